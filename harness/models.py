"""What the engine needs to know of language models: where one answers. The rest is in ``llm_strategies``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import Protocol

from harness.errors import ModelUnavailable

#: ``auto`` answers from transcripts and asks the model for the rest; ``strict`` never asks; ``off`` always does.
Replay = Literal["auto", "strict", "off"]


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server that answers.

    Attributes:
        base_url: E.g. ``http://127.0.0.1:8080/v1``; empty where none runs, as in a strict replay.
        model: Name to send as ``model``.
        api_key_variable: Environment variable that holds the key; ``None`` where none is needed.
        identity: What decides the replies (weights, precision, ...), as JSON; it is part of a transcript's key.
        gpus: GPUs that the server occupies; 0 for one on the CPU or one whose hardware is not known.
        in_process: Name of an engine in this process that answers instead of a server; ``None`` for a server.
        timeout: Seconds to wait for one reply, including the time in the server's queue.
        max_retries: How often a request is sent again after a dropped connection, a time-out, or status 408,
            409, 429 or 5xx.
    """

    base_url: str
    model: str
    api_key_variable: str | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    gpus: float = 0.0
    in_process: str | None = None
    timeout: float = 600.0
    max_retries: int = 4


class ModelGone(ModelUnavailable):
    """A server does not answer at all, or offers the model no more: other runs need not try.

    Args:
        reason: What happened.
        endpoint: Where the model had answered.
    """

    def __init__(self, reason: str, endpoint: Endpoint) -> None:
        super().__init__(reason)
        self.endpoint = endpoint


class Meter(Protocol):
    """Shares a server's time fairly among the requests that are in flight at the same time."""

    def begin(self) -> float:
        """A request is sent; returns a mark to hand to :meth:`end`."""

    def end(self, mark: float) -> float:
        """Its reply is here; returns its share of the server's time, in seconds.

        While n requests are in flight, each second counts 1/n to each of them.
        """


@dataclass(frozen=True)
class Models:
    """The language models of one run.

    Attributes:
        endpoints: Where they answer, by their names in ``experiments.yaml``.
        transcripts: Folder of the transcript store; ``None`` keeps none.
        replay: How transcripts are used.
        meters: Who shares their time, by the same names; without one, a request pays all the time it waited.
    """

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    transcripts: Path | None = None
    replay: Replay = "auto"
    meters: Mapping[str, Meter] = field(default_factory=dict)


class ModelServer(Protocol):
    """A server that the engine starts before a sweep and stops after it.

    Classes are registered under ``harness.models``; their keyword arguments are the keys of the entry under
    ``models`` in ``experiments.yaml`` beside ``kind`` and ``concurrency``. A class may have ``concurrency: int``, the
    number of runs that may ask it at the same time where the entry says nothing; it is 16 without. One that
    starts no server has ``nothing_to_serve: str``, which says why `harness serve` does nothing for it.

    Attributes:
        operational_parameters: Keyword arguments that say where and how it runs and decide no reply; they are
            no part of a run's identity.
    """

    operational_parameters: ClassVar[frozenset[str]]

    def describe(self) -> Endpoint:
        """The endpoint without an address, for a replay without a server. Starts nothing.

        Raises:
            ModelError: What decides the replies cannot be found out (a file of weights is missing).
        """

    def start(self) -> Endpoint:
        """Start, and wait until it answers.

        Raises:
            ModelError: It cannot start; the message holds the tail of its log.
        """

    def stop(self) -> None:
        """Stop it and free its port. Safe to call twice, and without :meth:`start`."""

    @classmethod
    def check(cls) -> str | None:
        """Why servers of this kind cannot start on this machine, or ``None`` when they can."""
