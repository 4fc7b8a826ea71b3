"""Engines in this process that answer in the place of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Protocol

from harness.errors import ModelUnavailable
from llm_strategies.models.reply import Reply


class Engine(Protocol):
    """Computes replies in this process."""

    async def chat(self, request: Mapping[str, Any]) -> Reply:
        """Answer one request; requests that wait at the same time may be computed together.

        Raises:
            ModelUnavailable: The engine has died.
            ModelError: The engine refuses the request.
        """


_ENGINES: dict[str, Engine] = {}


def register(name: str, engine: Engine) -> None:
    """Make an engine known to the clients of this process."""
    _ENGINES[name] = engine


def remove(name: str) -> None:
    """Forget an engine; nothing happens where it is not known."""
    _ENGINES.pop(name, None)


async def chat(name: str, request: Mapping[str, Any]) -> Reply:
    """Answer a request by an engine of this process.

    Raises:
        ModelUnavailable: There is no engine of that name in this process (any more), or it has died.
        ModelError: The engine refuses the request.
    """
    if name not in _ENGINES:
        raise ModelUnavailable(
            f"engine {name!r} does not run in this process: it was stopped, or another process started it."
        )
    return await _ENGINES[name].chat(request)
