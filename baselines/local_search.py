"""Local search: hill climbing from random starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.random_search import random_unseen
from harness.history import Proposal
from harness.strategy import Strategy

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

_CENTRE = "centre"


class LocalSearch(Strategy):
    """Hill climbing (White et al. 2020, "Local Search is State of the Art for NAS Benchmarks", algorithm 1).

    Starts at a random architecture, evaluates its neighbours, moves to the best of them if it is better, and
    so on. At a local optimum it starts again at a random architecture that was not evaluated yet.
    Neighbours differ in one decision.

    What the paper leaves open, and how it is settled here:

    - Neighbours are evaluated in random order. (The released code takes them in a fixed order.)
    - A neighbour that was evaluated before is not proposed again, and its score counts; the released code
      does not move to it.
    - A neighbour whose trial failed counts as evaluated, and nothing moves to it.

    The number of the trial that is climbed from is kept with each trial as ``centre``.

    Args:
        first_improvement: Move to the first neighbour that is better, instead of to the best of all
            neighbours (a variant of the paper, ``query_full_nbhd=False`` in its code).
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.
    """

    def __init__(
        self, *, first_improvement: bool = False, space: SearchSpace | None = None, seed: int | None = None
    ) -> None:
        super().__init__(space=space, seed=seed)
        self.first_improvement = first_improvement

    def propose(self, history: History) -> Proposal:
        known: dict[Architecture, Trial] = history.fold("best of each architecture", dict, _add)
        centre = _last_centre(history)
        while centre is not None:
            neighbours = history.space.neighbours(centre.architecture)
            unknown = [arch for arch in neighbours if arch not in history.seen]
            if unknown and not self.first_improvement:
                return self._step(history, centre, unknown)
            best = max(
                (known[arch] for arch in neighbours if arch in known),
                key=lambda trial: trial.score,
                default=centre,
            )
            if best.score > centre.score:
                centre = best
            elif unknown:
                return self._step(history, centre, unknown)
            else:
                centre = None
        return Proposal(random_unseen(history))

    @staticmethod
    def _step(history: History, centre: Trial, unknown: list[Architecture]) -> Proposal:
        chosen = unknown[int(history.rng.integers(len(unknown)))]
        return Proposal(chosen, attributes={_CENTRE: centre.number})


def _add(known: dict[Architecture, Trial], trial: Trial) -> dict[Architecture, Trial]:
    known.setdefault(trial.architecture, trial)
    return known


def _last_centre(history: History) -> Trial | None:
    """The trial that the last proposal climbed from; the last trial itself if it was a start."""
    if not history.trials:
        return None
    last = history.trials[-1]
    number = last.attributes.get(_CENTRE)
    return next((trial for trial in reversed(history.trials) if trial.number == number), last)
