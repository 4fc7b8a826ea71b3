"""The bare loop of a strategy: propose, score, remember. Far faster than a study, and nothing in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from harness import seeding
from harness.history import History
from harness.history import Proposal
from harness.history import Trial
from harness.spaces import Architecture

if TYPE_CHECKING:
    from harness.spaces import SearchSpace
    from harness.strategy import Strategy

Score = Callable[[Architecture], float]


class Loop:
    """A strategy with the trials it made.

    Args:
        strategy: Proposes.
        space: Search space.
        score: Scores an architecture; higher is better.
        seed: Seed of the proposals.
    """

    def __init__(self, strategy: Strategy, space: SearchSpace, score: Score, seed: int = 0) -> None:
        self.strategy = strategy
        self.space = space
        self.score = score
        self.seed = seed
        self.trials: list[Trial] = []
        self._seen: set[Architecture] = set()
        self._folds: dict[object, Any] = {}

    def history(self) -> History:
        number = len(self.trials)
        return History(
            self.space,
            self.trials,
            number=number,
            seen=self._seen,
            make_rng=lambda: seeding.generator(self.seed, "proposal", number),
            folds=self._folds,
        )

    def propose(self) -> Proposal:
        proposal = self.strategy.propose(self.history())
        return proposal if isinstance(proposal, Proposal) else Proposal(proposal)

    def add(self, architecture: Architecture, **attributes: Any) -> Trial:
        score = self.score(architecture)
        trial = Trial(len(self.trials), architecture, score, score, attributes)
        self.trials.append(trial)
        self._seen.add(architecture)
        return trial

    def step(self) -> Trial:
        proposal = self.propose()
        return self.add(proposal.architecture, **proposal.attributes)

    def run(self, trials: int) -> list[Trial]:
        while len(self.trials) < trials:
            self.step()
        return self.trials


def distance(one: Architecture, other: Architecture) -> int:
    """Number of decisions in which two architectures differ."""
    return sum(a != b for a, b in zip(one, other, strict=True))
