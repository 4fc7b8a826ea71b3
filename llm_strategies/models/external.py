"""A model behind any OpenAI-compatible server that somebody else runs."""

from __future__ import annotations

import urllib.parse
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
        timeout: Seconds to wait for one reply, including the time in the server's queue.
        max_retries: How often a request is sent again after a dropped connection, a time-out, or an answer that
            says that the server is overloaded; then the run is parked.

    Raises:
        SpecError: A number is out of range, or the address is none.
    """

    nothing_to_serve: ClassVar[str] = "its server is somebody else's, and runs already"
    operational_parameters: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_variable", "gpus", "timeout", "max_retries"}
    )

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key_variable: str | None = None,
        gpus: float = 0.0,
        timeout: float = 600.0,
        max_retries: int = 4,
    ) -> None:
        for key, value in (("gpus", gpus), ("max_retries", max_retries)):
            if not value >= 0:
                raise SpecError(f"openai model: {key} is {value}; it must be at least 0.")
        if not timeout > 0:
            raise SpecError(f"openai model: timeout is {timeout}; it must be more than 0 seconds.")
        if api_key_variable == "":
            raise SpecError(
                "openai model: api_key_variable is empty; it must name an environment variable. Leave it out where "
                "the server needs no key."
            )
        if reason := _unusable(base_url):
            raise SpecError(
                f"openai model: base_url is {base_url!r}, {reason}; it must be an address such as "
                "http://127.0.0.1:8000/v1."
            )
        # The name alone says what decides the replies: of a server of somebody else nothing more is known.
        self.endpoint = Endpoint(
            base_url.rstrip("/"),
            model,
            api_key_variable,
            gpus=gpus,
            timeout=timeout,
            max_retries=max_retries,
        )

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


def _unusable(base_url: str) -> str | None:
    """Why a text is no address of a server; ``None`` where it is one."""
    try:
        url = urllib.parse.urlsplit(base_url)
        # Read to be checked: a port is looked at when it is asked for.
        _ = url.port
    except ValueError as error:
        return f"which is no URL ({error})"
    if url.scheme not in {"http", "https"}:
        return "which begins with neither http:// nor https://"
    if not url.hostname:
        return "which names no host"
    if not base_url.isprintable() or " " in base_url:
        return "which holds white space or control characters"
    return None
