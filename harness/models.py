"""What the engine needs to know of language models: where one answers. The rest is in ``llm_strategies``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server that answers.

    Attributes:
        base_url: E.g. ``http://127.0.0.1:8080/v1``.
        model: Name to send as ``model``.
        api_key_variable: Environment variable that holds the key; ``None`` where none is needed.
    """

    base_url: str
    model: str
    api_key_variable: str | None = None


class ModelServer(Protocol):
    """A server that the engine starts before a sweep and stops after it.

    Classes are registered under ``harness.models``; their keyword arguments are the keys of the entry under
    ``models`` in ``experiments.yaml`` beside ``kind``.
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
