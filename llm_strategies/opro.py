"""OPRO: the model reads the best solutions so far with their scores, and proposes a better one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from harness.history import Proposal
from llm_strategies import batches
from llm_strategies.base import LLMStrategy
from llm_strategies.candidates import draw_new
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history import History
    from harness.history import Trial
    from llm_strategies.models.client import Message
    from llm_strategies.views import View

Order = Literal["ascending", "descending", "random"]


class OPRO(LLMStrategy):
    """OPRO (Yang et al. 2023, "Large Language Models as Optimizers"), with architectures as solutions.

    A few random architectures first. Then, step by step, the meta-prompt holds the problem and the best solutions
    of the run with their scores, the worst of them first; the model answers it several times, side by side, at
    temperature 1; the new architectures among the answers are evaluated, and the next step begins (sections 2
    and 3). One trial is one of them, so a budget may end a run within a step.

    The paper optimises linear regression, tours of a travelling salesman, and prompts. What is particular to
    these is out of reach or without meaning here:

    - Exemplars of the task (section 4.2) show the model what a prompt is applied to. An architecture's task is a
      data set of images; the meta-prompt has the description of the search space in their place.
    - A prompt is scored by a second model; an architecture by the benchmark.
    - Prompts whose score is below a threshold are left out of the meta-prompt in the released code. The best
      ``pairs`` are shown here whatever their score.

    And what differs from the paper:

    - Scores in its meta-prompts are rounded to integers. Good architectures differ in the second decimal of their
      accuracy and would all read the same, so the default is four significant digits. Two are the paper's
      rounding of percentages.
    - It evaluates a solution again that the run has seen in an earlier step (the released code skips it for
      prompts). Here a known architecture is thrown away and counted as a duplicate, as long as the space holds
      others; so a step has at most ``proposals`` trials.
    - A step without any new architecture is repeated with other seeds, ``attempts`` times.
    - The paper repeats a search 5 times; here that is the number of seeds of a sweep.

    A prompt that exceeds the model's context is sent again with the better half of its pairs.

    Args:
        random_starts: Random architectures before the model is asked; the paper starts linear regression and
            tours from 5 random solutions.
        pairs: Largest number of solutions shown, the best of the run.
        proposals: Number of calls in a step, each for one architecture.
        order: How the solutions are sorted: ``ascending`` shows the worst first; ``descending`` and ``random``
            are the paper's ablation (section 5.3).
        digits: Significant digits of the scores shown; ``None`` shows none, the paper's ablation.
        temperature: See :class:`~llm_strategies.base.LLMStrategy`.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(
        self,
        *,
        random_starts: int = 5,
        pairs: int = 20,
        proposals: int = 8,
        order: Order = "ascending",
        digits: int | None = 4,
        temperature: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(temperature=temperature, **options)
        self._require("random_starts", random_starts, low=0)
        self._require("pairs", pairs, low=1)
        self._require("proposals", proposals, low=1)
        self._require_one_of("order", order, get_args(Order))
        self._require("digits", digits, low=1)
        self.random_starts = random_starts
        self.pairs = pairs
        self.proposals = proposals
        self.order: Order = order
        self.digits = digits

    def suggest(self, history: History, view: View) -> Proposal:
        if len(history) < self.random_starts:
            return Proposal(draw_new(history, 1)[0], {"source": "random"})
        last = batches.latest(history)
        if last and (queue := batches.waiting(history, last)):
            return Proposal(queue[0], {**last, "queue": batches.attribute(history, queue[1:])})
        conversation = self.conversation(history)
        step = last["step"] + 1 if last else 1
        best = sorted(history.trials, key=lambda trial: -trial.score)[: self.pairs]
        ranks = self._ranks(history, len(best))
        for _ in range(self.attempts):
            found = conversation.ask_all_fitting(
                [partial(self.messages, view, best, ranks)] * self.proposals,
                len(best),
                view.read,
                schema=view.schema(),
            )
            if batch := batches.new(history, conversation, found):
                queue = batches.attribute(history, batch[1:])
                return conversation.proposal(batch[0], {"source": "model", "step": step, "queue": queue})
        raise conversation.exhausted()

    def messages(self, view: View, best: Sequence[Trial], ranks: Sequence[int], shown: int) -> list[Message]:
        """The meta-prompt.

        Args:
            view: How architectures are written.
            best: The trials to show, best first.
            ranks: Positions in ``best``, in the order in which they are shown.
            shown: Number of trials to show, the best ones.
        """
        objective = Objective(self.task, view.blind)
        trials = [best[rank] for rank in ranks if rank < shown]
        pairs = [(view.write(trial.architecture), self._written(objective.value(trial))) for trial in trials]
        content = render(
            "opro/user.j2",
            description=view.describe(),
            objective=objective,
            order=self.order,
            pairs=pairs,
            form=view.form(),
        )
        return [{"role": "user", "content": content}]

    def _ranks(self, history: History, n: int) -> list[int]:
        match self.order:
            case "ascending":
                return list(reversed(range(n)))
            case "descending":
                return list(range(n))
            case "random":
                return [int(rank) for rank in history.rng.permutation(n)]

    def _written(self, value: float) -> str | None:
        return None if self.digits is None else f"{value:.{self.digits}g}"
