"""LLM ranking: a language model orders architectures before any of them is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from harness import seeding
from harness.errors import SpaceError
from harness.errors import SpecError
from harness.history import Finished
from harness.history import Proposal
from llm_strategies import ranking_question
from llm_strategies.base import LLMStrategy

if TYPE_CHECKING:
    from harness.history import History
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from llm_strategies.views import View


class LLMRanking(LLMStrategy):
    """Ranking by a language model (CoLLM-NAS, section 3.1 and appendix D).

    The model gets some architectures, knows no score of any, and orders all of them in one reply, best first. Then
    each trial evaluates one, in the predicted order, so that a report can set the predicted ranks against the
    scores (Kendall's tau). The run ends when all are evaluated. One run is one ranking; a sweep over seeds repeats
    it.

    The paper ranks ten uniformly sampled cells of NAS-Bench-201 (its Table 7) 40 times, with other seeds and
    temperatures, which it does not name. What differs here:

    - The order in which the architectures are shown is drawn anew for every question. Otherwise a model that keeps
      the order would be as right as the order is.
    - The paper compares with the scores of its Table 7, which are test accuracies on CIFAR-10. Here it is the
      validation score that guides searches.
    - The paper's reply is free text. Here it is ``{"ranking": [...]}``; one that is no permutation is rejected, and
      the model is asked again.
    - The paper's prompt says that the task is image classification. Here the space's description says it, where
      names are plain. As there, the data set is not named.

    Attributes of a trial: ``rank`` (1 is best) and ``of``, ``position`` (the number under which it was shown, from
    1), and ``ranking``, the whole order as pairs of NCode and position.

    Args:
        n: Number of architectures to draw uniformly, all different; the whole space where it is smaller.
        architectures: Architectures to rank instead, in the space's own string form.
        sample_seed: Seed of the draw, so that all runs on a space rank the same architectures; with ``None``, each
            run draws its own. Of no meaning where ``architectures`` are listed.
        temperature: See :class:`~llm_strategies.base.LLMStrategy`; the default is that of the paper's search.
        options: See :class:`~llm_strategies.base.LLMStrategy`. ``on_exhausted`` must be ``end``: a random architecture
            would have no rank.

    Raises:
        SpecError: A value is out of range, ``architectures`` holds one that is not in the space, or one twice.
    """

    def __init__(
        self,
        *,
        n: int = 10,
        architectures: list[str] | None = None,
        sample_seed: int | None = 0,
        temperature: float = 0.6,
        **options: Any,
    ) -> None:
        super().__init__(temperature=temperature, **options)
        self._require("n", n, low=2)
        self._require("sample_seed", sample_seed, low=0)
        if self.on_exhausted != "end":
            raise SpecError(
                f"LLMRanking: on_exhausted is {self.on_exhausted!r}, but an architecture drawn at random has no "
                "predicted rank; leave it at 'end'."
            )
        if architectures is not None and len(architectures) < 2:
            raise SpecError(
                f"LLMRanking: architectures lists {len(architectures)}; a ranking needs at least 2."
            )
        self.n = n
        self.architectures = architectures
        self.sample_seed = sample_seed
        if self.space is not None:
            self.ranked(self.space)

    def suggest(self, history: History, view: View) -> Proposal:
        for trial in reversed(history.trials):
            if "ranking" in trial.attributes:
                return self._next(history, trial.attributes["ranking"])
        conversation = self.conversation(history)
        architectures = self.ranked(history.space)
        for _ in range(self.attempts):
            shown = [architectures[i] for i in history.rng.permutation(len(architectures))]
            order = conversation.ask(
                ranking_question.messages(view, self.task, shown),
                partial(ranking_question.read, n=len(shown)),
                schema=ranking_question.schema(len(shown)),
            )
            if order is not None:
                ranking = [[history.space.ncode(shown[number - 1]), number] for number in order]
                first = self._next(history, ranking)
                return conversation.proposal(first.architecture, first.attributes)
        raise conversation.exhausted()

    def ranked(self, space: SearchSpace) -> list[Architecture]:
        """The architectures to rank.

        Raises:
            SpecError: A listed one is not in the space, or is listed twice.
        """
        if self.architectures is None:
            return _sample(space, self.n, self._entropy if self.sample_seed is None else self.sample_seed)
        read: dict[Architecture, None] = {}
        for text in self.architectures:
            try:
                architecture = space.parse(text)
            except SpaceError as error:
                raise SpecError(f"LLMRanking: architectures: {error}") from None
            if architecture in read:
                raise SpecError(f"LLMRanking: architectures lists {text!r} twice; list each once.")
            read[architecture] = None
        return list(read)

    def _next(self, history: History, ranking: Sequence[Sequence[Any]]) -> Proposal:
        """The best-ranked architecture that was not evaluated yet."""
        for rank, (code, position) in enumerate(ranking, start=1):
            architecture = history.space.from_ncode(code)
            if architecture not in history.seen:
                attributes = {"source": "model", "rank": rank, "of": len(ranking), "position": position}
                return Proposal(architecture, {**attributes, "ranking": ranking})
        raise Finished(f"all {len(ranking)} ranked architectures are evaluated.")


def _sample(space: SearchSpace, n: int, entropy: int) -> list[Architecture]:
    rng = seeding.generator(entropy, "sample")
    drawn: dict[Architecture, None] = {}
    while len(drawn) < min(n, space.size):
        drawn[space.random(rng)] = None
    return list(drawn)
