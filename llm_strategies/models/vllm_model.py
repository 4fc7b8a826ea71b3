"""What vLLM is told of a model, by a server's flags or an engine's arguments, and what of it decides replies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness.errors import SpecError
from harness.errors import unknown_name

#: Without this, a JSON grammar allows white space without end, and weak models write it up to the length limit.
_STRUCTURED_OUTPUTS = {
    "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
}
#: vLLM 0.32 dies on a CPU when it computes a prompt in parts and the request has a seed: it winds the request's
#: generator back, which PyTorch's generators for CPUs do not do.
_ON_CPU = {"enable_chunked_prefill": False}
_DTYPES = ("auto", "bfloat16", "float", "float16", "float32", "half")
#: Keys of an entry, by what vLLM calls them.
_OWN = {
    "model": "model",
    "served_model_name": "name",
    "revision": "revision",
    "dtype": "dtype",
    "quantization": "quantization",
    "max_model_len": "max_model_len",
    "tensor_parallel_size": "tensor_parallel_size",
    "host": "host",
    "port": "port",
    "api_key": "the environment variable VLLM_API_KEY",
}
_IGNORED_SUFFIXES = frozenset({".md", ".lock"})


@dataclass(frozen=True)
class VLLMModel:
    """A model and how vLLM computes it.

    Attributes:
        model: Name on Hugging Face, or folder of weights, configuration and tokenizer.
        name: Name to send with requests; ``None`` is the folder's name, or that on Hugging Face.
        revision: Branch, tag or commit on Hugging Face.
        dtype: Number format of weights and activations.
        quantization: Method of quantisation; ``None`` is what the model's configuration says.
        max_model_len: Largest number of tokens of prompt and reply together; ``None`` is the model's own.
        tensor_parallel_size: Number of GPUs that share each layer.
        extra: Other arguments of vLLM that may decide replies.
        resources: Other arguments of vLLM that decide none.

    Raises:
        SpecError: A value is illegal, or an argument is given twice.
    """

    model: str
    name: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    quantization: str | None = None
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model:
            raise SpecError("vllm model: model is empty; it must name a model or a folder.")
        if self.dtype not in _DTYPES:
            raise SpecError(f"vllm model: {unknown_name('dtype', self.dtype, _DTYPES)}")
        require("max_model_len", self.max_model_len, 1)
        require("tensor_parallel_size", self.tensor_parallel_size, 1)
        extra, resources = _named(self.extra), _named(self.resources)
        for key in [*extra, *resources]:
            if key in _OWN:
                raise SpecError(f"vllm model: {key!r} has a place of its own; use {_OWN[key]}.")
        if twice := sorted(extra.keys() & resources.keys()):
            raise SpecError(f"vllm model: {twice[0]!r} is both in extra and in resources; drop one.")

    @property
    def served_name(self) -> str:
        """The name that requests carry."""
        if self.name is not None:
            return self.name
        return Path(self.model).resolve().name if self._is_local else self.model

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the replies, the same for a server and an engine.

        A folder counts by the content of its files, wherever it lies. The version of vLLM, the hardware and the
        number of GPUs change replies by rounding at most; they are no part of it, so that a replay needs none of
        them.

        Raises:
            ModelError: The folder does not exist, or cannot be read.
        """
        weights = {"sha256": _digest(Path(self.model))} if self._is_local else {"revision": self.revision}
        return {
            **weights,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "arguments": _STRUCTURED_OUTPUTS | _named(self.extra),
        }

    def arguments(self, *, on_cpu: bool) -> dict[str, Any]:
        """Arguments of vLLM's engine beside the model, by their names in Python; what is ``None`` is left out."""
        own = {
            "revision": self.revision,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "tensor_parallel_size": self.tensor_parallel_size,
        }
        return {
            **{key: value for key, value in own.items() if value is not None},
            **_STRUCTURED_OUTPUTS,
            **(_ON_CPU if on_cpu else {}),
            **_named(self.extra),
            **_named(self.resources),
        }

    def is_same(self, root: str) -> bool:
        """Whether a server that lists ``root`` as the place of its weights has them from where this model is."""
        return root == self.model or (self._is_local and Path(root).resolve() == Path(self.model).resolve())

    @property
    def _is_local(self) -> bool:
        """Whether it is a folder: it exists, or is written as a path."""
        return self.model.startswith(("/", "./", "../", "~")) or Path(self.model).exists()


def require(key: str, value: float | None, low: float, high: float | None = None) -> None:
    """Refuse a number out of range; ``None`` is always in it.

    Raises:
        SpecError: Names the key, its value and what is legal.
    """
    if value is None:
        return
    if isinstance(value, bool) or not value >= low or (high is not None and not value <= high):
        legal = f"at least {low}" if high is None else f"from {low} to {high}"
        raise SpecError(f"vllm model: {key} is {value!r}; it must be {legal}.")


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by their names in Python: ``--enforce-eager``, ``enforce-eager`` and ``enforce_eager`` are one."""
    named = {key.lstrip("-").replace("-", "_"): value for key, value in arguments.items()}
    if len(named) < len(arguments):
        raise SpecError(f"vllm model: an argument is given twice in {', '.join(map(repr, arguments))}.")
    return dict(sorted(named.items()))


def _digest(folder: Path) -> str:
    """SHA-256 of what a model's folder holds."""
    try:
        if not folder.exists():
            raise ModelError(
                f"model folder {folder} does not exist; `model` must be a folder with weights, config.json and "
                "tokenizer, or a name on Hugging Face."
            )
        files = _files(folder)
        if not files:
            raise ModelError(f"model folder {folder} is empty.")
        # Shards are read side by side: tens of gigabytes are hashed in the time they take to load.
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(_file_digest, *zip(*((f, _stamp(f)) for f in files), strict=True)))
    except OSError as error:
        raise ModelError(f"model folder {folder} cannot be read: {error.strerror}.") from error
    whole = hashlib.sha256()
    for file, digest in zip(files, digests, strict=True):
        name = file.relative_to(folder).as_posix() if file != folder else ""
        whole.update(f"{digest}  {name}\n".encode())
    return whole.hexdigest()


def _files(folder: Path) -> Sequence[Path]:
    """Everything in a folder but what is hidden and what only people read."""
    if folder.is_file():
        return [folder]
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent) / name for name in files if not name.startswith(".")]
    return sorted(file for file in found if file.suffix not in _IGNORED_SUFFIXES)


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _file_digest(file: Path, stamp: tuple[int, int]) -> str:
    """Asked anew where the file has changed since."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
