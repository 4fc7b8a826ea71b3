"""First-proposal audit: what a language model proposes before it has seen any feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from llm_strategies.base import LLMStrategy
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Proposal
    from llm_strategies.models.client import Message
    from llm_strategies.views import View


class FirstProposal(LLMStrategy):
    """Asks for one architecture per trial and never shows a score.

    This is no search, and from no paper: it measures what a model brings along. All trials of a run put the same
    question with another seed, so their scores are a sample of the model's first guesses; a report gives their
    percentiles in the search space beside those of random architectures. What ``names: plain`` gains over a blind
    form is what the model owes to the names of operations and of the data set.

    A model that repeats itself shows so by it: duplicates stay in the sample. Therefore give the budget in
    ``trials``. A budget of ``architectures`` goes on until as many distinct ones were proposed, to which a model with
    a favourite may never come.

    Attributes of a trial: ``source``, which is ``"model"``, or ``"fallback"`` for one that is not the model's.

    Args:
        temperature: See :class:`~llm_strategies.base.LLMStrategy`. 1 samples from the model as it is; with 0 all
            trials may be one and the same.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A number is out of range.
    """

    def __init__(self, *, temperature: float = 1.0, **options: Any) -> None:
        super().__init__(temperature=temperature, **options)

    def suggest(self, history: History, view: View) -> Proposal:
        conversation = self.conversation(history)
        messages = self.messages(view)
        for _ in range(self.attempts):
            architecture = conversation.ask(messages, view.read, schema=view.schema())
            if architecture is not None:
                return conversation.proposal(architecture, {"source": "model"})
        raise conversation.exhausted()

    def messages(self, view: View) -> list[Message]:
        """The question, the same in every trial."""
        return [
            {
                "role": "user",
                "content": render(
                    "first_proposal/user.j2",
                    blind=view.blind,
                    space=view.describe(),
                    objective=Objective(self.task, view.blind),
                    form=view.form(),
                ),
            }
        ]
