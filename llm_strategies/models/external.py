"""A model behind any OpenAI-compatible server that somebody else runs."""

from __future__ import annotations

from typing import ClassVar

from harness.errors import ModelError
from harness.errors import unknown_name
from harness.models import Endpoint
from llm_strategies.models.client import list_models


class ExternalServer:
    """An OpenAI-compatible server that is already running: vLLM, llama.cpp, or a paid service.

    Args:
        base_url: Address up to and with ``/v1``.
        model: Name of the model, as the server lists it.
        api_key_variable: Environment variable that holds the key; ``None`` where none is needed.
    """

    operational_parameters: ClassVar[frozenset[str]] = frozenset({"base_url", "api_key_variable"})

    def __init__(self, *, base_url: str, model: str, api_key_variable: str | None = None) -> None:
        self.endpoint = Endpoint(base_url.rstrip("/"), model, api_key_variable)

    def start(self) -> Endpoint:
        """Ask the server for its models; start nothing.

        Raises:
            ModelError: It does not answer, refuses the key, or does not list the model.
        """
        served = list_models(self.endpoint)
        if self.endpoint.model not in served:
            problem = unknown_name("model", self.endpoint.model, served)
            raise ModelError(f"{self.endpoint.base_url}: {problem}")
        return self.endpoint

    def stop(self) -> None:
        """Nothing to stop: the server belongs to somebody else."""

    @classmethod
    def check(cls) -> str | None:
        """Always ``None``: what is needed runs elsewhere."""
        return None
