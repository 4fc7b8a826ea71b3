"""One client for every model: the ``openai`` package towards any OpenAI-compatible server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import ModelError

if TYPE_CHECKING:
    from openai import OpenAI

    from harness.models import Endpoint
    from llm_strategies.models.transcripts import Transcripts

#: One message of a chat: ``{"role": "system" | "user" | "assistant", "content": ...}``.
Message = Mapping[str, str]


class Rejected(Exception):
    """A reply that cannot be used. It is counted by its reason, and the model may be asked again.

    Args:
        reason: Short and from a small set (``"truncated"``), as it becomes a key of the counts.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Reply:
    """What a model answered to one request.

    Attributes:
        text: The answer.
        finish_reason: Why it ended, in the words of the OpenAI interface (``"stop"``, ``"length"``).
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        seconds: Wall-clock seconds waited; of the first call where the reply comes from a transcript.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float

    def json(self) -> Any:
        """The answer as a JSON value.

        Raises:
            Rejected: It was cut off (``"truncated"``), withheld by the server (``"refused"``), is ``"empty"``
                or ``"not JSON"``.
        """
        if self.finish_reason == "length":
            raise Rejected("truncated")
        if self.finish_reason == "content_filter":
            raise Rejected("refused")
        if not self.text.strip():
            raise Rejected("empty")
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise Rejected("not JSON") from error


class ChatModel:
    """A language model that answers chats.

    Args:
        endpoint: Where it answers.
        transcripts: Where requests and replies are kept. A request that is there already is answered from
            there and not sent.
        timeout: Seconds to wait for one reply, including the time in the server's queue.
        max_retries: How often the ``openai`` package sends a request again after a dropped connection,
            a time-out, or status 429 or 5xx.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transcripts: Transcripts | None = None,
        timeout: float = 600.0,
        max_retries: int = 4,
    ) -> None:
        self.endpoint = endpoint
        self.transcripts = transcripts
        self.timeout = timeout
        self.max_retries = max_retries

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        max_tokens: int = 512,
    ) -> Reply:
        """Send one request and wait for the reply.

        Args:
            messages: The chat so far.
            schema: JSON schema that the reply must fit; its root must be an object. ``None`` leaves the form
                free.
            temperature: Sampling temperature; 0 takes the likeliest token.
            top_p: Share of the probability mass to sample from.
            seed: Seed of the sampling.
            max_tokens: Longest reply in tokens. A longer one is cut off, which :meth:`Reply.json` rejects.

        Raises:
            ModelError: The server does not answer, or refuses the request.
        """
        sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        request = {
            "model": self.endpoint.model,
            "messages": [dict(message) for message in messages],
            "schema": None if schema is None else dict(schema),
            "sampling": sampling,
            "seed": seed,
        }
        if self.transcripts is None:
            return self._send(request)
        return self.transcripts.replay_or_record(request, self._send)

    def _send(self, request: Mapping[str, Any]) -> Reply:
        import openai

        structured: dict[str, Any] = {}
        if request["schema"] is not None:
            # The one form that llama.cpp, vLLM and hosted services all obey.
            structured["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": request["schema"]},
            }
        began = time.perf_counter()
        try:
            completion = self._client.chat.completions.create(
                model=request["model"],
                messages=request["messages"],
                seed=request["seed"],
                **request["sampling"],
                **structured,
            )
        except openai.OpenAIError as error:
            raise _explained(self.endpoint, error) from error
        seconds = time.perf_counter() - began
        if not completion.choices:
            return Reply("", "stop", *_tokens(completion.usage), seconds)
        choice = completion.choices[0]
        reason = "content_filter" if choice.message.refusal else choice.finish_reason
        return Reply(choice.message.content or "", reason or "stop", *_tokens(completion.usage), seconds)

    @cached_property
    def _client(self) -> OpenAI:
        return _connect(self.endpoint, timeout=self.timeout, max_retries=self.max_retries)

    def __getstate__(self) -> dict[str, Any]:
        # A connection cannot travel to another process; it is made again there.
        return {key: value for key, value in self.__dict__.items() if key != "_client"}


def list_models(endpoint: Endpoint) -> list[str]:
    """Names of the models that a server offers.

    Raises:
        ModelError: The server does not answer.
    """
    import openai

    try:
        with _connect(endpoint, timeout=10.0, max_retries=1) as client:
            return [model.id for model in client.models.list()]
    except openai.OpenAIError as error:
        raise _explained(endpoint, error) from error


def _connect(endpoint: Endpoint, *, timeout: float, max_retries: int) -> OpenAI:
    # Imported here because it takes most of a second, which a look at the names of strategies need not wait.
    from openai import OpenAI

    key = "none"
    if endpoint.api_key_variable is not None:
        key = os.environ.get(endpoint.api_key_variable, "")
        if not key:
            raise ModelError(
                f"{endpoint.base_url} needs a key, and the environment variable "
                f"{endpoint.api_key_variable!r} is not set; export it and run again."
            )
    return OpenAI(base_url=endpoint.base_url, api_key=key, timeout=timeout, max_retries=max_retries)


def _tokens(usage: Any) -> tuple[int, int]:
    return (usage.prompt_tokens, usage.completion_tokens) if usage is not None else (0, 0)


def _explained(endpoint: Endpoint, error: Exception) -> ModelError:
    import openai

    where = f"model {endpoint.model!r} at {endpoint.base_url}"
    resume = "What has finished is kept: run the same command again when it answers."
    match error:
        case openai.APITimeoutError():
            return ModelError(f"{where} did not reply in time; it is overloaded or hangs. {resume}")
        case openai.APIConnectionError():
            return ModelError(
                f"{where} cannot be reached ({error.__cause__ or error}); check that the server runs and "
                f"that the address is right. {resume}"
            )
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ModelError(f"{where} refused the key in {endpoint.api_key_variable!r}: {error}")
        case openai.NotFoundError():
            return ModelError(
                f"{where} was not found; check its name, and that the address ends in /v1: {error}"
            )
        case openai.BadRequestError():
            return ModelError(
                f"{where} refused the request: {error}. A prompt that is too long needs a larger context "
                "of the server, or a smaller history limit of the strategy."
            )
        case _:
            return ModelError(f"{where} failed: {error}. {resume}")
