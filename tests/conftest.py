"""Fixtures for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_strategies.models.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.models import Endpoint


@pytest.fixture(scope="session")
def embedded_model() -> Iterator[Endpoint]:
    """A real language model, small, on the CPU; one server for the whole session."""
    if reason := EmbeddedServer.check():
        pytest.skip(reason)
    server = EmbeddedServer()
    try:
        yield server.start()
    finally:
        server.stop()
