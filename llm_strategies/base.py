"""What strategies driven by language models have in common."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import TypeVar
from typing import get_args

from harness.errors import ModelError
from harness.history import Call
from harness.history import Exhausted
from harness.history import Proposal
from harness.history import Usage
from harness.strategy import Strategy
from llm_strategies.candidates import draw_new
from llm_strategies.models.client import ChatModel
from llm_strategies.models.client import Message
from llm_strategies.models.reply import Reason
from llm_strategies.models.reply import Rejected
from llm_strategies.models.reply import Reply
from llm_strategies.options import require
from llm_strategies.options import require_one_of
from llm_strategies.views import NAMES
from llm_strategies.views import Names
from llm_strategies.views import View

if TYPE_CHECKING:
    from harness.history import History
    from harness.models import Models
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from harness.task import Task

Structured = Literal["schema", "none"]
OnExhausted = Literal["end", "random"]

#: Largest number of letters of a text that a model writes under a schema (a search strategy, a reflection).
TEXT_LENGTH = 1200

Read = TypeVar("Read")


class NoUsableReply(Exhausted):
    """The model was asked as often as allowed and gave nothing that could be used."""


class LLMStrategy(Strategy):
    """A strategy that asks a language model.

    A subclass writes :meth:`suggest`, and takes the arguments below as ``**options``; one with another default
    names it in its own signature.

    Args:
        model: Name of an entry of ``models`` in ``experiments.yaml``; in a bare Optuna study, a
            :class:`~llm_strategies.models.client.ChatModel`.
        structured: ``schema`` makes the server write JSON that fits the search space; ``none`` lets the model
            write freely, as in most papers, and reads what it wrote. Prompts are the same.
        names: How the search space is shown: ``plain``, or blind as ``permuted`` symbols or ``ncode`` digits;
            see :class:`~llm_strategies.views.View`.
        attempts: How often to ask for one proposal before the model counts as exhausted.
        on_exhausted: ``end`` ends the run when the model is; ``random`` draws this proposal at random instead,
            marks it ``"source": "fallback"``, and asks again for the next one.
        temperature: Sampling temperature; 0 takes the likeliest token.
        top_p: Share of the probability mass to sample from.
        max_tokens: Longest reply in tokens, reasoning included. A longer one is cut off and rejected.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: A value is out of range.
    """

    model_parameters: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self,
        *,
        model: str | ChatModel,
        structured: Structured = "schema",
        names: Names = "plain",
        attempts: int = 5,
        on_exhausted: OnExhausted = "end",
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 2048,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        self._require_one_of("structured", structured, get_args(Structured))
        self._require_one_of("names", names, NAMES)
        self._require_one_of("on_exhausted", on_exhausted, get_args(OnExhausted))
        self._require("attempts", attempts, low=1)
        self._require("temperature", temperature, low=0.0)
        self._require("top_p", top_p, low=0.0, high=1.0)
        self._require("max_tokens", max_tokens, low=1)
        self.model = model
        self.structured: Structured = structured
        self.names: Names = names
        self.attempts = attempts
        self.on_exhausted: OnExhausted = on_exhausted
        self.temperature = temperature
        self.top_p = top_p
        self.max_tokens = max_tokens
        self._models: dict[str, ChatModel] = {}

    @abstractmethod
    def suggest(self, history: History, view: View) -> Architecture | Proposal:
        """Propose the next architecture, asking models through :meth:`conversation`.

        Args:
            history: The trials so far.
            view: The search space as the model sees it.

        Raises:
            NoUsableReply: The model gave nothing usable in :attr:`attempts`.
        """

    def propose(self, history: History) -> Architecture | Proposal:
        view = View(history.space, self.names, self._entropy)
        try:
            return self.suggest(history, view)
        except NoUsableReply as end:
            if self.on_exhausted == "end":
                raise
            fallback = draw_new(history, 1)[0]
            return Proposal(fallback, {"source": "fallback"}, end.usage, end.rejected)

    def connect(self, task: Task, models: Models) -> None:
        super().connect(task, models)
        for parameter in self.model_parameters:
            name = getattr(self, parameter)
            if name is not None and not isinstance(name, ChatModel):
                self._models[name] = ChatModel.of(models, name)

    def conversation(self, history: History) -> Conversation:
        """A fresh account of the calls of one proposal."""
        return Conversation(self, history)

    def chat_model(self, model: str | ChatModel | None) -> tuple[str, ChatModel]:
        """Name and client of a model, given by the value of one of :attr:`model_parameters`; ``None`` is that
        of ``model``.

        Raises:
            ModelError: The model is not connected.
        """
        chosen = self.model if model is None else model
        if isinstance(chosen, ChatModel):
            return chosen.endpoint.model, chosen
        if chosen not in self._models:
            raise ModelError(
                f"model {chosen!r} is not connected; in a bare Optuna study, pass a ChatModel as the model."
            )
        return chosen, self._models[chosen]

    def _require(
        self, name: str, value: float | None, *, low: float | None = None, high: float | None = None
    ) -> None:
        """Refuse a hyper-parameter outside its range. ``None`` is always in it.

        Raises:
            SpecError: Names the parameter, its value and what is legal.
        """
        require(self, name, value, low=low, high=high)

    def _require_one_of(self, name: str, value: str, legal: Sequence[str]) -> None:
        require_one_of(self, name, value, legal)


class Conversation:
    """The model calls of one proposal: what they spent, and how many replies were thrown away.

    Args:
        strategy: Whose sampling settings and models are used.
        history: Its generator seeds the calls, in the order in which they are made.
    """

    def __init__(self, strategy: LLMStrategy, history: History) -> None:
        self.usage = Usage()
        self.rejected: Counter[str] = Counter()
        self._strategy = strategy
        self._rng = history.rng

    def ask(
        self,
        messages: Sequence[Message],
        read: Callable[[Any], Read],
        *,
        schema: Mapping[str, Any],
        model: str | ChatModel | None = None,
        temperature: float | None = None,
        prose: Callable[[str], Read] | None = None,
    ) -> Read | None:
        """Ask once for a JSON value.

        Args:
            messages: The chat so far.
            read: Makes what is wanted of the parsed value, or raises
                :class:`~llm_strategies.models.reply.Rejected`.
            schema: What the reply must fit; sent where the strategy is ``structured``.
            model: Value of one of the strategy's ``model_parameters``; ``None`` for that of ``model``.
            temperature: In the place of the strategy's.
            prose: As ``read``, of the text of a reply that holds no JSON; ``None`` rejects it.

        Returns:
            What ``read`` made, or ``None`` when the reply was rejected, which is counted.
        """
        return self.ask_all(
            [messages], read, schema=schema, model=model, temperature=temperature, prose=prose
        )[0]

    def ask_all(
        self,
        chats: Sequence[Sequence[Message]],
        read: Callable[[Any], Read],
        *,
        schema: Mapping[str, Any],
        model: str | ChatModel | None = None,
        temperature: float | None = None,
        prose: Callable[[str], Read] | None = None,
    ) -> list[Read | None]:
        """Ask several questions side by side, each with a seed of its own; otherwise as :meth:`ask`."""
        sent = schema if self._strategy.structured == "schema" else None
        return self._exchange(chats, lambda reply: reply.read(read, prose), sent, model, temperature)

    def ask_text(
        self,
        messages: Sequence[Message],
        *,
        model: str | ChatModel | None = None,
        temperature: float | None = None,
    ) -> str | None:
        """Ask once for a text.

        Where the strategy is ``structured``, the text comes as ``{"text": ...}`` of at most :data:`TEXT_LENGTH`
        letters, so that a model that finds no end is no failure; the prompt need not say so. A free-form reply
        is taken as it is.
        """
        structured = self._strategy.structured == "schema"
        read = (lambda reply: reply.read(_read_text)) if structured else Reply.prose
        return self._exchange([messages], read, _TEXT if structured else None, model, temperature)[0]

    def ask_text_fitting(
        self,
        messages: Callable[[int], Sequence[Message]],
        shown: int,
        *,
        model: str | ChatModel | None = None,
        temperature: float | None = None,
    ) -> str | None:
        """Ask once for a text, as :meth:`ask_text`, with as much of the history as fits, as :meth:`ask_fitting`."""
        while True:
            text = self.ask_text(messages(shown), model=model, temperature=temperature)
            if self.usage.log[-1].verdict != "too long" or shown == 0:
                return text
            shown //= 2

    def ask_fitting(
        self,
        messages: Callable[[int], Sequence[Message]],
        shown: int,
        read: Callable[[Any], Read],
        *,
        schema: Mapping[str, Any],
        model: str | ChatModel | None = None,
        temperature: float | None = None,
        prose: Callable[[str], Read] | None = None,
    ) -> Read | None:
        """Ask once, with as much of the history as fits the model's context.

        Args:
            messages: Takes the number of trials to show, returns the chat. Which trials go first, the oldest or
                the worst, is the strategy's choice.
            shown: Number of trials to begin with. A prompt that is too long is counted, and sent again with half
                as many, down to none.
            read: See :meth:`ask`.
            schema: See :meth:`ask`.
            model: See :meth:`ask`.
            temperature: See :meth:`ask`.
            prose: See :meth:`ask`.
        """
        values = self.ask_all_fitting(
            [messages], shown, read, schema=schema, model=model, temperature=temperature, prose=prose
        )
        return values[0]

    def ask_all_fitting(
        self,
        chats: Sequence[Callable[[int], Sequence[Message]]],
        shown: int,
        read: Callable[[Any], Read],
        *,
        schema: Mapping[str, Any],
        model: str | ChatModel | None = None,
        temperature: float | None = None,
        prose: Callable[[str], Read] | None = None,
    ) -> list[Read | None]:
        """Ask several questions side by side, each as :meth:`ask_fitting` asks one; those that fit are sent once."""
        values: list[Read | None] = [None] * len(chats)
        waiting = list(range(len(chats)))
        while True:
            asked = self.ask_all(
                [chats[i](shown) for i in waiting],
                read,
                schema=schema,
                model=model,
                temperature=temperature,
                prose=prose,
            )
            calls = self.usage.log[-len(waiting) :]
            for i, value in zip(waiting, asked, strict=True):
                values[i] = value
            waiting = [i for i, call in zip(waiting, calls, strict=True) if call.verdict == "too long"]
            if not waiting or shown == 0:
                return values
            shown //= 2

    def reject(self, reason: Reason, times: int = 1) -> None:
        """Count architectures of a usable reply that are thrown away (``"duplicate"``)."""
        if times:
            self.rejected[reason] += times

    def proposal(self, architecture: Architecture, attributes: Mapping[str, Any]) -> Proposal:
        """A proposal that carries this account."""
        return Proposal(architecture, attributes, self.usage, dict(self.rejected))

    def exhausted(self) -> NoUsableReply:
        """The end of a run whose model gave no usable reply; carries this account."""
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self.rejected.items()))
        return NoUsableReply(
            f"the model gave nothing usable in {self.usage.calls} calls ({counts or 'none rejected'}).",
            usage=self.usage,
            rejected=self.rejected,
        )

    def _exchange(
        self,
        chats: Sequence[Sequence[Message]],
        read: Callable[[Reply], Read],
        schema: Mapping[str, Any] | None,
        model: str | ChatModel | None,
        temperature: float | None,
    ) -> list[Read | None]:
        name, client = self._strategy.chat_model(model)
        sampling = {
            "temperature": self._strategy.temperature if temperature is None else temperature,
            "top_p": self._strategy.top_p,
            "max_tokens": self._strategy.max_tokens,
        }
        requests = [
            client.request(chat, schema=schema, sampling=sampling, seed=int(self._rng.integers(2**31)))
            for chat in chats
        ]
        began = time.perf_counter()
        replies = client.chat_all(requests)
        waited = time.perf_counter() - began
        values: list[Read | None] = []
        calls = []
        for reply in replies:
            verdict = "used"
            value = None
            try:
                value = read(reply)
            except Rejected as rejection:
                verdict = rejection.reason
                self.rejected[verdict] += 1
            values.append(value)
            calls.append(_call(name, reply, verdict))
        self.usage = _with(self.usage, calls, waited)
        return values


_TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 1, "maxLength": TEXT_LENGTH}},
    "required": ["text"],
    "additionalProperties": False,
}


def _read_text(value: Any) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise Rejected("wrong shape")
    text: str = value["text"].strip()
    if not text:
        raise Rejected("empty")
    return text


def _call(model: str, reply: Reply, verdict: str) -> Call:
    return Call(
        key=reply.key,
        model=model,
        verdict=verdict,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        started=reply.started,
        seconds=reply.seconds,
        gpu_seconds=reply.gpu_seconds,
    )


def _with(usage: Usage, calls: Sequence[Call], waited: float) -> Usage:
    """The usage with calls that were made side by side."""
    return replace(
        usage,
        calls=usage.calls + len(calls),
        prompt_tokens=usage.prompt_tokens + sum(call.prompt_tokens for call in calls),
        completion_tokens=usage.completion_tokens + sum(call.completion_tokens for call in calls),
        seconds=usage.seconds + _seconds_together(calls),
        waited=usage.waited + waited,
        gpu_seconds=usage.gpu_seconds + sum(call.gpu_seconds for call in calls),
        log=(*usage.log, *calls),
    )


def _seconds_together(calls: Sequence[Call]) -> float:
    """Seconds in which at least one of the calls was in flight; transcripts may be of different sessions."""
    total = 0.0
    covered = float("-inf")
    for call in sorted(calls, key=lambda call: call.started):
        ended = call.started + call.seconds
        total += min(call.seconds, max(ended - covered, 0.0))
        covered = max(covered, ended)
    return total
