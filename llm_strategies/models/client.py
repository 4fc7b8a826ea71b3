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
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.models import ModelGone
from llm_strategies.models import engines
from llm_strategies.models.reply import TOO_LONG
from llm_strategies.models.reply import Reply
from llm_strategies.models.transcripts import Transcripts
from llm_strategies.models.transcripts import request_key

if TYPE_CHECKING:
    from openai.resources.chat.completions.completions import AsyncCompletionsWithRawResponse

    from harness.models import Endpoint
    from harness.models import Meter
    from harness.models import Models
    from harness.models import Replay

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

    @classmethod
    def of(cls, models: Models, name: str) -> ChatModel:
        """One of the models of a run.

        Args:
            models: What the engine gives the run.
            name: Name of the model in ``experiments.yaml``.

        Raises:
            SpecError: It is none of them; names near misses.
        """
        if name not in models.endpoints:
            raise SpecError(unknown_name("model", name, models.endpoints))
        return cls(
            models.endpoints[name],
            transcripts=None if models.transcripts is None else Transcripts(models.transcripts),
            replay=models.replay,
            meter=models.meters.get(name),
        )

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
            ModelUnavailable: The server does not answer, is overloaded, or refuses access, after all retries; a
                strict replay holds no reply; or a stored one is damaged.
            ModelGone: The same, and the server does not offer the model any more.
            ModelError: The server refuses the request.
            StorageError: The store of transcripts cannot be read or written.
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
                f"request of this run (key {request_key(requests[missing[0]])}). Import the transcripts of the "
                "original sweep (`harness transcripts import`), or run with `--replay auto` and the model at hand. "
                "Where they are imported already, what is asked has changed since: the model's entry, or the "
                "prompts or the strategy in another version of the harness."
            )
        if missing:
            for i, reply in zip(missing, self._asked([requests[i] for i in missing]), strict=True):
                replies[i] = reply
        return [reply for reply in replies if reply is not None]

    def _asked(self, requests: Sequence[Request]) -> list[Reply]:
        with _starting:
            loop = _loop()
        try:
            return asyncio.run_coroutine_threadsafe(self._ask_all(requests), loop).result()
        except ModelUnavailable as error:
            if self.endpoint.in_process is None and not _offered(self.endpoint):
                raise ModelGone(str(error), self.endpoint) from error
            raise

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
        engine = self.endpoint.in_process
        if engine is None:
            # Before time is taken: the first one of a process takes as long to make as many a reply.
            _completions(self.endpoint)
        mark = None if self.meter is None else self.meter.begin()
        started, began = time.time(), time.perf_counter()
        try:
            if engine is not None:
                reply = await engines.chat(engine, request)
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
        try:
            response = await _completions(self.endpoint).create(
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
        ModelUnavailable: The server does not answer, or refuses.
        ModelError: What answers is no such server.
    """
    import openai

    key = _key(endpoint)
    try:
        with openai.OpenAI(base_url=endpoint.base_url, api_key=key, timeout=timeout, max_retries=1) as client:
            body = client.models.with_raw_response.list().content
    except openai.OpenAIError as error:
        raise _explained(endpoint, error) from error
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ModelError(
            f"{endpoint.base_url} answered with something that is no list of models: {body[:200]!r}; check that the "
            "address ends in /v1 and that the server speaks OpenAI's API."
        ) from None


def _offered(endpoint: Endpoint) -> bool:
    """Whether the server answers, and offers the model."""
    try:
        return endpoint.model in list_models(endpoint)
    except ModelError:
        return False


# Runs in threads of one process share the loop, and the cache alone would let each of them start one.
_starting = threading.Lock()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process that all models share, in a thread of its own; it ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="models", daemon=True).start()
    return loop


def _completions(endpoint: Endpoint) -> AsyncCompletionsWithRawResponse:
    return _client(endpoint.base_url, _key(endpoint), endpoint.timeout, endpoint.max_retries)


@cache
def _client(base_url: str, key: str, timeout: float, max_retries: int) -> AsyncCompletionsWithRawResponse:
    """One pool of connections per server; used inside the event loop alone.

    The package waits longer before each repetition, or as long as the server says.
    """
    # Imported here because it takes most of a second, which a look at the names of strategies need not wait.
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=max_retries)
    # Raw, because the package takes whatever a server writes for a completion.
    return client.chat.completions.with_raw_response


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
    match error:
        case openai.APITimeoutError():
            return ModelUnavailable(f"{where} did not reply in time; it is overloaded or hangs.")
        case openai.APIConnectionError():
            return ModelUnavailable(
                f"{where} cannot be reached ({error.__cause__ or error}); check that the server runs and "
                f"that the address is right."
            )
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            key = endpoint.api_key_variable
            remedy = f"check the key in {key!r}" if key else "if it needs a key, set `api_key_variable`"
            return ModelUnavailable(f"{where} refused access; {remedy}: {error}")
        case openai.NotFoundError():
            return ModelUnavailable(
                f"{where} was not found; check its name, and that the address ends in /v1: {error}"
            )
        case openai.RateLimitError() | openai.InternalServerError() | openai.APIResponseValidationError():
            return ModelUnavailable(f"{where} failed: {error}.")
        case _:
            return ModelError(f"{where} refused the request: {error}.")
