"""Fixtures for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_strategies.models.embedded import EmbeddedServer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.models import Endpoint


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tables and scores of the tests are their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(tmp_path_factory.mktemp("data")))
        yield


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


@pytest.fixture(scope="session")
def scripted_model() -> Iterator[Endpoint]:
    """A server that answers at once whatever fits the schema, for what no model is needed to see."""
    with ScriptedServer() as endpoint:
        yield endpoint


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the model, so that ``-m "not llm"`` leaves it out."""
    for item in items:
        if "embedded_model" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.llm)
