"""One client for every model: the ``openai`` package towards any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Mapping
from collections.abc import Sequence
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

#: What servers say of a prompt that is longer than the context.
CONTEXT_EXCEEDED = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context size",
    "maximum model length",
    # vLLM, where the prompt fills the context and leaves no place for a reply.
    "max_tokens must be at least 1, got 0",
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
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transcripts: Transcripts | None = None,
        replay: Replay = "auto",
        meter: Meter | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.transcripts = transcripts
        self.replay: Replay = replay
        self.meter = meter

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
            ModelUnavailable: The server does not answer, or is overloaded, after all retries; or a strict replay
                holds no reply.
            ModelError: The server refuses the request.
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
            raise ModelUnavailable(
                f"strict replay: the transcripts{self._where()} hold no reply of model {self.endpoint.model!r} to a "
                "request of this run. Import the transcripts of the original sweep (`harness transcripts import`), "
                "or run with `--replay auto` and the model at hand."
            )
        if missing:
            asking = self._ask_all([requests[i] for i in missing])
            with _starting:
                loop = _loop()
            asked = asyncio.run_coroutine_threadsafe(asking, loop).result()
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
        client = _client(
            self.endpoint.base_url, _key(self.endpoint), self.endpoint.timeout, self.endpoint.max_retries
        )
        try:
            # Raw, because the package takes whatever a server writes for a completion.
            response = await client.chat.completions.with_raw_response.create(
                model=self.endpoint.model,
                messages=request["messages"],
                seed=request["seed"],
                **request["sampling"],
                **structured,
            )
        except openai.BadRequestError as error:
            if any(mark in str(error) for mark in CONTEXT_EXCEEDED):
                return Reply("", TOO_LONG, 0, 0)
            raise _explained(self.endpoint, error) from error
        except openai.OpenAIError as error:
            raise _explained(self.endpoint, error) from error
        return _reply(self.endpoint, response.content)


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


# Runs in threads of one process share the loop, and the cache alone would let each of them start one.
_starting = threading.Lock()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process that all models share, in a thread of its own; it ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="models", daemon=True).start()
    return loop


@cache
def _client(base_url: str, key: str, timeout: float, max_retries: int) -> AsyncOpenAI:
    """One pool of connections per server; used inside the event loop alone.

    The package waits longer before each repetition, or as long as the server says.
    """
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


def _reply(endpoint: Endpoint, body: bytes) -> Reply:
    """The reply in a completion. Servers differ in what they leave out, so nothing is taken for granted."""
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError):
        completion = None
    if not isinstance(completion, dict) or "choices" not in completion:
        raise ModelUnavailable(
            f"model {endpoint.model!r} at {endpoint.base_url} answered with something that is no chat completion: "
            f"{body[:200]!r}; check that the address ends in /v1 and that the server speaks OpenAI's API."
        )
    choices = completion["choices"]
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message, usage = _mapping(choice.get("message")), _mapping(completion.get("usage"))
    return Reply(
        _text(message.get("content")),
        "content_filter" if message.get("refusal") else _text(choice.get("finish_reason")) or "stop",
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        reasoning=_text(message.get("reasoning_content")) or _text(message.get("reasoning")),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _text(value: Any) -> str:
    # Half characters, which JSON can name, fit neither a file nor the next request.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


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
