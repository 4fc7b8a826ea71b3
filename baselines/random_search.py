"""Random search: the floor that every strategy has to beat."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from harness.history import Exhausted
from harness.spaces import Architecture
from harness.strategy import Strategy

if TYPE_CHECKING:
    from harness.history import History
    from harness.spaces import SearchSpace

#: Above this many expected draws per unseen architecture, listing the unseen ones is cheaper.
_MAX_EXPECTED_DRAWS = 64


class RandomSearch(Strategy):
    """Draw architectures uniformly (Li & Talwalkar 2020, "Random Search and Reproducibility for NAS").

    By default no architecture is drawn twice, so that a budget of n trials is n distinct architectures. The
    random search of the NAS-Bench-201 paper (Dong & Yang 2020, section 5) draws with replacement.

    Args:
        replacement: Whether an architecture may be drawn again. Without replacement, architectures of
            failed trials count as drawn.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.
    """

    def __init__(
        self, *, replacement: bool = False, space: SearchSpace | None = None, seed: int | None = None
    ) -> None:
        super().__init__(space=space, seed=seed)
        self.replacement = replacement

    def propose(self, history: History) -> Architecture:
        return history.space.random(history.rng) if self.replacement else random_unseen(history)


def random_unseen(history: History) -> Architecture:
    """A uniformly random architecture among those that the run has not seen.

    Raises:
        Exhausted: The run has seen the whole space.
    """
    space, rng, seen = history.space, history.rng, history.seen
    unseen = space.size - len(seen)
    if unseen == 0:
        raise Exhausted(f"all {space.size} architectures of the search space have been proposed.")
    if space.size <= unseen * _MAX_EXPECTED_DRAWS:
        while True:
            arch = space.random(rng)
            if arch not in seen:
                return arch
    # So much has been seen that walking through the space costs no more than the run did.
    remaining = [indices for indices in product(*map(range, space.radices)) if indices not in seen]
    return Architecture(remaining[int(rng.integers(len(remaining)))])
