"""The language models of a sweep: started before its runs, stopped after them."""

from __future__ import annotations

import contextlib
import socket
import time
import urllib.parse
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from harness import registry
from harness.errors import ModelError
from harness.errors import SpecError
from harness.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Iterator

    from harness.experiment import ExperimentsFile
    from harness.models import Endpoint
    from harness.models import ModelServer
    from harness.models import Replay

_CONCURRENCY = 16
_LOOPBACK = "127.0.0.1"
_WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Serving:
    """Models that were asked for.

    Attributes:
        endpoints: Where those that answer do, by name.
        failed: Why the others do not, by name.
    """

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def serving(
    file: ExperimentsFile, names: Iterable[str], *, replay: Replay, message: Callable[[str], None]
) -> Iterator[Serving]:
    """Models that answer for as long as the context lasts, however it ends.

    Args:
        file: Where they are declared.
        names: Which of them.
        replay: ``strict`` starts none: what decides the replies is all that a replay needs.
        message: Told what a person should know now.
    """
    models = Serving()
    with contextlib.ExitStack() as stack:
        for name in names:
            try:
                server = make_server(file, name)
                if replay == "strict":
                    models.endpoints[name] = server.describe()
                    continue
                stack.callback(server.stop)
                message(f"Starting model {name} …")
                models.endpoints[name] = server.start()
            except ModelError as error:
                models.failed[name] = f"model {name!r}: {error}"
        yield models


def keep_serving(file: ExperimentsFile, name: str, message: Callable[[str], None]) -> None:
    """Start a model and keep it until this process is interrupted, for runs of other processes.

    Args:
        file: Where it is declared.
        name: Its name there.
        message: Told where it answers.

    Raises:
        SpecError: There is no such model, or its kind has nothing to serve.
        ModelError: It does not start, or has ended by itself.
    """
    declared = file.experiments.models
    if name not in declared:
        raise SpecError(f"{file.path}: {unknown_name('model', name, declared)}")
    if reason := getattr(registry.load("model", declared[name].kind), "nothing_to_serve", None):
        raise SpecError(f"model {name!r} has nothing to serve: {reason}.")
    parameters = file.model(name)
    port = parameters.get("port")
    was_there = port is not None and _listens(parameters.get("host") or _LOOPBACK, port)
    server = make_server(file, name)
    try:
        message(f"Starting model {name} …")
        endpoint = server.start()
        message(f"Model {name} answers at {endpoint.base_url} as {endpoint.model!r}.")
        if was_there:
            message("Another process had started it already and keeps it; there is nothing to do here.")
            return
        address = urllib.parse.urlsplit(endpoint.base_url)
        if port is None:
            message(
                f"`harness run` starts one of its own; for it to use this one, set `port: {address.port}` under "
                f"`models.{name}` in {file.path}."
            )
        message("Ctrl-C stops it.")
        while _listens(address.hostname or _LOOPBACK, address.port or 80):
            time.sleep(_WATCH_SECONDS)
    finally:
        server.stop()
    raise ModelError(f"model {name!r} has ended by itself; `harness serve {name}` starts it again.")


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_WATCH_SECONDS).close()
    except TimeoutError:
        # Busy, which is not gone.
        return True
    except OSError:
        return False
    return True


def make_server(file: ExperimentsFile, name: str) -> ModelServer:
    """The server of a model that the file declares, not started."""
    server: ModelServer = registry.load("model", file.experiments.models[name].kind)(**file.model(name))
    return server


def concurrency(file: ExperimentsFile, name: str) -> int:
    """How many runs may ask a model at the same time."""
    entry = file.experiments.models[name]
    default: int = getattr(registry.load("model", entry.kind), "concurrency", _CONCURRENCY)
    return entry.concurrency or default
