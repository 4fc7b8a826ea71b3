"""What strategies driven by language models have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import TypeVar

from harness.errors import ModelError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.history import Exhausted
from harness.history import Proposal
from harness.history import Usage
from harness.strategy import Strategy
from llm_strategies.models.client import ChatModel
from llm_strategies.models.client import Message
from llm_strategies.models.client import Rejected
from llm_strategies.models.client import Reply
from llm_strategies.models.transcripts import Transcripts

if TYPE_CHECKING:
    from pathlib import Path

    from harness.models import Endpoint
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

TRANSCRIPTS = "transcripts.jsonl"

Read = TypeVar("Read")


class LLMStrategy(Strategy):
    """A strategy that asks a language model.

    Args:
        model: Name of an entry of ``models`` in ``experiments.yaml``; in a bare Optuna study, the model.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.
    """

    model_parameters: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self, *, model: str | ChatModel, space: SearchSpace | None = None, seed: int | None = None
    ) -> None:
        super().__init__(space=space, seed=seed)
        self.model = model
        self._models: dict[str, ChatModel] = {}

    def connect(self, endpoints: Mapping[str, Endpoint], folder: Path) -> None:
        transcripts = Transcripts(folder / TRANSCRIPTS)
        for parameter in self.model_parameters:
            name = getattr(self, parameter)
            if isinstance(name, ChatModel):
                continue
            if name not in endpoints:
                raise SpecError(unknown_name("model", name, endpoints))
            self._models[name] = ChatModel(endpoints[name], transcripts=transcripts)

    def conversation(self, model: str | ChatModel | None = None) -> Conversation:
        """A fresh account of the calls of one proposal.

        Args:
            model: Value of one of :attr:`model_parameters`; ``None`` for that of ``model``.
        """
        chosen = self.model if model is None else model
        if isinstance(chosen, ChatModel):
            return Conversation(chosen)
        if chosen not in self._models:
            raise ModelError(
                f"model {chosen!r} is not connected; in a bare Optuna study, pass a ChatModel as the model."
            )
        return Conversation(self._models[chosen])


class Conversation:
    """The model calls of one proposal, with what they spent and how many replies were thrown away."""

    def __init__(self, model: ChatModel) -> None:
        self.model = model
        self.usage = Usage()
        self.rejected: Counter[str] = Counter()

    def ask(self, messages: Sequence[Message], read: Callable[[Reply], Read], **options: Any) -> Read | None:
        """Ask once.

        Args:
            messages: The chat so far.
            read: Makes a value of the reply, or raises :class:`~llm_strategies.models.client.Rejected`.
            options: Further arguments of :meth:`~llm_strategies.models.client.ChatModel.chat`.

        Returns:
            The value, or ``None`` when the reply was rejected, which is counted.
        """
        reply = self.model.chat(messages, **options)
        self.usage = Usage(
            calls=self.usage.calls + 1,
            prompt_tokens=self.usage.prompt_tokens + reply.prompt_tokens,
            completion_tokens=self.usage.completion_tokens + reply.completion_tokens,
            seconds=self.usage.seconds + reply.seconds,
        )
        try:
            return read(reply)
        except Rejected as rejection:
            self.rejected[rejection.reason] += 1
            return None

    def proposal(self, architecture: Architecture, attributes: Mapping[str, Any]) -> Proposal:
        """A proposal that carries this account."""
        return Proposal(architecture, attributes, self.usage, dict(self.rejected))

    def exhausted(self) -> Exhausted:
        """The end of a run whose model gave no usable reply; carries this account."""
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self.rejected.items()))
        name = self.model.endpoint.model
        return Exhausted(
            f"model {name!r} gave no usable reply in {self.usage.calls} calls ({counts}).",
            usage=self.usage,
            rejected=self.rejected,
        )
