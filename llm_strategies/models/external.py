"""A model behind any OpenAI-compatible server that somebody else runs."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from harness.errors import ModelError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.models import Endpoint
from llm_strategies.models.client import list_models


class ExternalServer:
    """An OpenAI-compatible server that is already running: vLLM, llama.cpp, or a paid service.

    Args:
        base_url: Address up to and with ``/v1``.
        model: Name of the model, as the server lists it.
        api_key_variable: Environment variable that holds the key; ``None`` where none is needed.
        gpus: GPUs that the server occupies, where that is known; its time on them is charged to the runs.

    Raises:
        SpecError: ``gpus`` is negative.
    """

    operational_parameters: ClassVar[frozenset[str]] = frozenset({"base_url", "api_key_variable", "gpus"})

    def __init__(
        self, *, base_url: str, model: str, api_key_variable: str | None = None, gpus: float = 0.0
    ) -> None:
        if not gpus >= 0:
            raise SpecError(f"openai model: gpus is {gpus}; it must be at least 0.")
        # The name alone says what decides the replies: of a server of somebody else nothing more is known.
        self.endpoint = Endpoint(base_url.rstrip("/"), model, api_key_variable, gpus=gpus)

    def describe(self) -> Endpoint:
        """The endpoint without an address and a key. Asks nobody."""
        return replace(self.endpoint, base_url="", api_key_variable=None)

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
