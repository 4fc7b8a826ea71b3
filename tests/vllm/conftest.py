"""A model that vLLM serves, behind HTTP and in this process; loaded once for the session."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import pytest

from llm_strategies.models.vllm_engine import VLLMEngine
from llm_strategies.models.vllm_server import VLLMServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.models import Endpoint


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Parameters of both kinds of model, as in ``experiments.yaml``."""
    from tests.vllm import tiny_model

    folder: Path = tmp_path_factory.mktemp("vllm") / "tiny"
    return {
        "model": str(tiny_model.make(folder)),
        "dtype": "float32",
        "max_model_len": tiny_model.CONTEXT,
        # Compiling and warming up would take minutes on a CPU.
        "extra": {"enforce-eager": True},
        "resources": {"max-num-seqs": 16},
    }


@pytest.fixture(scope="session")
def server(settings: dict[str, Any]) -> Iterator[Endpoint]:
    server = VLLMServer(**settings)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def engine(settings: dict[str, Any]) -> Iterator[Endpoint]:
    engine = VLLMEngine(**settings)
    try:
        yield engine.start()
    finally:
        engine.stop()


@pytest.fixture(params=["server", "engine"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Both in turn."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return endpoint
