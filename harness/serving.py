"""The language models of a sweep: started before its runs, stopped after them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from harness import registry
from harness.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Iterator

    from harness.experiment import ExperimentsFile
    from harness.models import Endpoint
    from harness.models import ModelServer
    from harness.models import Replay

_CONCURRENCY = 16


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


def make_server(file: ExperimentsFile, name: str) -> ModelServer:
    """The server of a model that the file declares, not started."""
    server: ModelServer = registry.load("model", file.experiments.models[name].kind)(**file.model(name))
    return server


def concurrency(file: ExperimentsFile, name: str) -> int:
    """How many runs may ask a model at the same time."""
    entry = file.experiments.models[name]
    default: int = getattr(registry.load("model", entry.kind), "concurrency", _CONCURRENCY)
    return entry.concurrency or default
