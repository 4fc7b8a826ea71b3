"""One client for every model: the ``openai`` package towards any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import ModelError
from harness.errors import ModelUnavailable
from llm_strategies.models import engines
from llm_strategies.models.reply import TOO_LONG
from llm_strategies.models.reply import Reply

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from openai import AsyncOpenAI

    from harness.models import Endpoint
    from harness.models import Meter
    from harness.models import Replay
    from llm_strategies.models.transcripts import Transcripts

#: One message of a chat: ``{"role": "system" | "user" | "assistant", "content": ...}``.
Message = Mapping[str, str]

#: Everything that is sent but the address: ``model`` (what decides the replies), ``messages``, ``schema``,
#: ``sampling`` and ``seed``.
Request = Mapping[str, Any]

_CONTEXT_EXCEEDED = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context size",
)


class ChatModel:
    """A language model that answers chats.

    Args:
        endpoint: Where it answers.
        transcripts: Where requests and replies are kept.
        replay: ``auto`` answers from transcripts what is there and asks for the rest, ``strict`` never asks,
            ``off`` always asks and replaces what was stored.
        meter: Who shares the server's time among concurrent requests; without one, a request pays all the time
            that it waited.
        timeout: Seconds to wait for one reply, including the time in the server's queue.
        max_retries: How often the ``openai`` package sends a request again after a dropped connection, a
            time-out, or status 408, 409, 429 or 5xx; it waits longer each time, or as long as the server says.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transcripts: Transcripts | None = None,
        replay: Replay = "auto",
        meter: Meter | None = None,
        timeout: float = 600.0,
        max_retries: int = 4,
    ) -> None:
        self.endpoint = endpoint
        self.transcripts = transcripts
        self.replay: Replay = replay
        self.meter = meter
        self.timeout = timeout
        self.max_retries = max_retries

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Reply:
        """Send one request and wait for the reply.

        Args:
            messages: The chat so far.
            schema: JSON schema that the reply must fit; its root must be an object. ``None`` leaves the form
                free.
            sampling: ``temperature``, ``top_p`` and ``max_tokens``; what is missing is the server's default.
            seed: Seed of the sampling.

        Raises:
            ModelUnavailable: The server does not answer, or is overloaded, after all retries.
            ModelError: The server refuses the request, or a strict replay holds no reply to it.
        """
        return self.chat_all([self.request(messages, schema=schema, sampling=sampling, seed=seed)])[0]

    def request(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Request:
        """What :meth:`chat` sends for these arguments."""
        return {
            "model": {"name": self.endpoint.model, **self.endpoint.identity},
            "messages": [dict(message) for message in messages],
            "schema": None if schema is None else dict(schema),
            "sampling": dict(sampling or {}),
            "seed": seed,
        }

    def chat_all(self, requests: Sequence[Request]) -> list[Reply]:
        """Send several requests side by side and wait for all replies, in the order of the requests.

        Raises:
            ModelUnavailable: As for :meth:`chat`. Replies that had come are in the transcripts.
            ModelError: As for :meth:`chat`.
        """
        replies = [self._recorded(request) for request in requests]
        missing = [i for i, reply in enumerate(replies) if reply is None]
        if missing and self.replay == "strict":
            raise ModelError(
                f"strict replay: the transcripts{self._where()} hold no reply of model {self.endpoint.model!r} to a "
                "request of this run. Import the transcripts of the original sweep (`harness transcripts import`), "
                "or run with `--replay auto` and the model at hand."
            )
        if missing:
            asked = _loop()[1].call(self._ask_all, [requests[i] for i in missing])
            for i, reply in zip(missing, asked, strict=True):
                replies[i] = reply
        return [reply for reply in replies if reply is not None]

    def _recorded(self, request: Request) -> Reply | None:
        if self.transcripts is None or self.replay == "off":
            return None
        return self.transcripts.get(request)

    def _where(self) -> str:
        return "" if self.transcripts is None else f" in {self.transcripts.folder}"

    async def _ask_all(self, requests: Sequence[Request]) -> list[Reply]:
        # All of them are waited for, also when one fails: what was paid for is recorded.
        outcomes = await asyncio.gather(*map(self._ask, requests), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Reply)]

    async def _ask(self, request: Request) -> Reply:
        mark = None if self.meter is None else self.meter.begin()
        started, began = time.time(), time.perf_counter()
        try:
            if self.endpoint.in_process is not None:
                reply = await engines.chat(self.endpoint.in_process, request)
            else:
                reply = await self._send(request)
        finally:
            seconds = time.perf_counter() - began
            share = seconds if self.meter is None or mark is None else self.meter.end(mark)
        reply = replace(
            reply,
            started=round(started, 3),
            seconds=round(seconds, 6),
            gpu_seconds=round(share * self.endpoint.gpus, 6),
        )
        if self.transcripts is None:
            return reply
        return self.transcripts.put(request, reply, again=self.replay == "off")

    async def _send(self, request: Request) -> Reply:
        import openai

        structured: dict[str, Any] = {}
        if request["schema"] is not None:
            # The one form that llama.cpp, vLLM and hosted services all obey.
            structured["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reply", "strict": True, "schema": request["schema"]},
            }
        client = _client(self.endpoint.base_url, _key(self.endpoint), self.timeout, self.max_retries)
        try:
            completion = await client.chat.completions.create(
                model=self.endpoint.model,
                messages=request["messages"],
                seed=request["seed"],
                **request["sampling"],
                **structured,
            )
        except openai.BadRequestError as error:
            if any(mark in str(error) for mark in _CONTEXT_EXCEEDED):
                return Reply("", TOO_LONG, 0, 0)
            raise _explained(self.endpoint, error) from error
        except openai.OpenAIError as error:
            raise _explained(self.endpoint, error) from error
        return _reply(self.endpoint, completion)


def list_models(endpoint: Endpoint, timeout: float = 10.0) -> list[str]:
    """Names of the models that a server offers.

    Args:
        endpoint: Where it answers.
        timeout: Seconds to wait.

    Raises:
        ModelUnavailable: The server does not answer.
        ModelError: It refuses.
    """
    import openai

    key = _key(endpoint)
    try:
        with openai.OpenAI(base_url=endpoint.base_url, api_key=key, timeout=timeout, max_retries=1) as client:
            return [model.id for model in client.models.list()]
    except openai.OpenAIError as error:
        raise _explained(endpoint, error) from error


@cache
def _loop() -> tuple[AbstractContextManager[BlockingPortal], BlockingPortal]:
    """The event loop of this process that all models share, in a thread of its own; it ends with the process."""
    from anyio.from_thread import start_blocking_portal

    # Kept, because a context that is collected is left.
    context = start_blocking_portal()
    return context, context.__enter__()


@cache
def _client(base_url: str, key: str, timeout: float, max_retries: int) -> AsyncOpenAI:
    """One pool of connections per server; used inside the event loop alone."""
    # Imported here because it takes most of a second, which a look at the names of strategies need not wait.
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=max_retries)


def _key(endpoint: Endpoint) -> str:
    if endpoint.api_key_variable is None:
        return "none"
    key = os.environ.get(endpoint.api_key_variable, "")
    if not key:
        raise ModelError(
            f"{endpoint.base_url} needs a key, and the environment variable "
            f"{endpoint.api_key_variable!r} is not set; export it and run again."
        )
    return key


def _reply(endpoint: Endpoint, completion: Any) -> Reply:
    """The reply in a completion. Servers differ in what they leave out, so nothing is taken for granted."""
    usage = getattr(completion, "usage", None)
    tokens = [getattr(usage, key, None) or 0 for key in ("prompt_tokens", "completion_tokens")]
    choices = getattr(completion, "choices", None)
    if choices is None and not hasattr(completion, "id"):
        raise ModelUnavailable(
            f"model {endpoint.model!r} at {endpoint.base_url} answered with something that is no chat completion; "
            "check that the address ends in /v1 and that the server speaks OpenAI's API."
        )
    if not choices:
        return Reply("", "stop", *tokens)
    choice = choices[0]
    message = choice.message
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    reason = "content_filter" if message.refusal else choice.finish_reason
    return Reply(_text(message.content), reason or "stop", *tokens, reasoning=_text(reasoning))


def _text(content: Any) -> str:
    return content if isinstance(content, str) else ""


def _explained(endpoint: Endpoint, error: Exception) -> ModelError:
    import openai

    where = f"model {endpoint.model!r} at {endpoint.base_url}"
    resume = "What has finished is kept: run the same command again when it answers."
    match error:
        case openai.APITimeoutError():
            return ModelUnavailable(f"{where} did not reply in time; it is overloaded or hangs. {resume}")
        case openai.APIConnectionError():
            return ModelUnavailable(
                f"{where} cannot be reached ({error.__cause__ or error}); check that the server runs and "
                f"that the address is right. {resume}"
            )
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ModelError(f"{where} refused the key in {endpoint.api_key_variable!r}: {error}")
        case openai.NotFoundError():
            return ModelError(
                f"{where} was not found; check its name, and that the address ends in /v1: {error}"
            )
        case openai.RateLimitError() | openai.InternalServerError() | openai.APIResponseValidationError():
            return ModelUnavailable(f"{where} failed: {error}. {resume}")
        case _:
            return ModelError(f"{where} refused the request: {error}.")
