"""What a language model answered, and why an answer cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Literal
from typing import TypeVar
from typing import get_args

from llm_strategies.models import parsing

Reason = Literal[
    "not JSON",
    "wrong shape",
    "illegal choice",
    "duplicate",
    "too costly",
    "truncated",
    "refused",
    "empty",
    "too long",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

#: ``finish_reason`` of a request that was refused because its prompt does not fit the model's context.
TOO_LONG = "prompt_too_long"

Value = TypeVar("Value")


class Rejected(Exception):
    """A reply, or an architecture in it, that cannot be used. It is counted, and the model may be asked again.

    Args:
        reason: One of :data:`REASONS`. ``"too costly"`` is an architecture over a limit of parameters or FLOPs;
            ``"too long"`` is a prompt that did not fit the model's context.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Reply:
    """What a model answered to one request.

    Attributes:
        text: The answer, without what the server recognised as reasoning.
        finish_reason: Why it ended, in the words of the OpenAI interface (``"stop"``, ``"length"``), or
            :data:`TOO_LONG`.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written, those of the reasoning among them.
        reasoning: What the model wrote before its answer, where the server tells the two apart.
        started: When the request was sent, in seconds since the epoch.
        seconds: Wall-clock seconds waited.
        gpu_seconds: Share of the time of the server's GPUs.
        key: Key of the transcript; empty where none is kept.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    reasoning: str = ""
    started: float = 0.0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    key: str = ""

    def read(self, read: Callable[[Any], Value], prose: Callable[[str], Value] | None = None) -> Value:
        """A value made of the JSON (or Python literal) in the answer.

        Where the answer holds several, the last one that ``read`` accepts counts: a model that thinks aloud
        drafts first and decides last. Before that, several objects without lists in them are offered as one list:
        a model that is asked for several architectures may write one per line.

        Args:
            read: Takes a parsed value, returns what is wanted, or raises :class:`Rejected`.
            prose: Does the same with the text of an answer that holds no JSON; ``None`` rejects it.

        Raises:
            Rejected: The answer was cut off, refused, is empty, holds no JSON, or ``read`` accepts none of its
                values; the reason is then that of the last one.
        """
        text = self._answer()
        values = parsing.json_values(text)
        if not values:
            if prose is None:
                raise Rejected("not JSON")
            return prose(text)
        offered = list(reversed(values))
        if len(values) > 1 and all(map(_is_flat, values)):
            offered.insert(0, values)
        first: Rejected | None = None
        for value in offered:
            try:
                return read(value)
            except Rejected as rejection:
                first = first or rejection
        assert first is not None
        raise first

    def prose(self) -> str:
        """The answer as text, without reasoning and surrounding white space.

        Raises:
            Rejected: The answer was cut off, refused, or is empty.
        """
        return self._answer()

    def _answer(self) -> str:
        if self.finish_reason == TOO_LONG:
            raise Rejected("too long")
        if self.finish_reason == "length":
            raise Rejected("truncated")
        if self.finish_reason == "content_filter":
            raise Rejected("refused")
        text = parsing.without_reasoning(self.text)
        if not text:
            raise Rejected("empty")
        return text


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(item, list | dict) for item in value.values())
