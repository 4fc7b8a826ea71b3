"""Evolution guided by a proxy, as in Zen-NAS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.mutation import mutate
from harness.errors import SpecError
from harness.history import Exhausted
from harness.limits import Limits
from harness.population import Population
from harness.strategy import Strategy

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

_MOST_DRAWS = 1_000


class ProxyEvolution(Strategy):
    """Evolution without ages (Lin et al., ICCV 2021, "Zen-NAS", algorithm 1), with which RZ-NAS compares itself.

    The population begins with ``random_starts`` random architectures. After that, every trial mutates one decision of
    a member that is drawn at random, whatever its score. The mutant joins the population, which loses its member of
    the lowest score when it has grown beyond ``population``. So selection acts through the deaths alone. Architectures
    beyond a limit are not evaluated. The best one within the limits is recommended.

    The score is that of the benchmark: with the ``proxy`` benchmark that of a proxy, as in the paper. What the paper
    leaves open, or does otherwise:

    - Algorithm 1 begins with one architecture, and RZ-NAS (2025, section 4) with a random population, of 100 on
      NAS-Bench-201. ``random_starts`` and ``population`` are those of RZ-NAS, so that a comparison with it shows what
      its mutations are worth; Zen-NAS has a population of 256 and 96,000 iterations in other spaces.
    - Zen-NAS's mutation also changes width and depth of a block; here it changes a decision of the space.
    - A mutant that the run knows is drawn again: scored once more it would tell nothing, and fill the population with
      copies. Where 1,000 draws give none that is new, a known one is proposed, and such a run stalls in the end.
    - Trials that failed do not join.

    Args:
        population: Number of architectures of which parents are drawn.
        random_starts: Random architectures at the beginning.
        max_parameters: Largest number of trainable parameters of an architecture; ``None`` sets no limit.
        max_flops: Largest number of multiply-accumulate operations; ``None`` sets no limit.
        max_depth: Largest number of layers with weights on a path; ``None`` sets no limit.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: A value is out of range, or a limit is set and the search space knows no exact costs.
    """

    def __init__(
        self,
        *,
        population: int = 100,
        random_starts: int = 100,
        max_parameters: int | None = None,
        max_flops: int | None = None,
        max_depth: int | None = None,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        if population < 1 or random_starts < 1:
            raise SpecError(
                f"population and random_starts must be at least 1, not {population} and {random_starts}."
            )
        self.random_starts = random_starts
        self.limits = Limits(max_parameters, max_flops, max_depth)
        self.population = Population(population, self.limits)

    def propose(self, history: History) -> Architecture:
        members = self.population.members(history, self.task)
        random = len(history) < self.random_starts or not members
        arch = None
        for _ in range(_MOST_DRAWS):
            drawn = history.space.random(history.rng) if random else self._mutant(history, members)
            if self.limits.exceeded_by(drawn, history.space, self.task) is None:
                arch = drawn
                if drawn not in history.seen:
                    return drawn
        if arch is None:
            raise Exhausted(f"none of {_MOST_DRAWS:,} architectures drawn is within the limits.")
        return arch

    def recommend(self, history: History) -> Architecture:
        return self.population.best(history, self.task)

    def _mutant(self, history: History, members: list[Trial]) -> Architecture:
        parent = members[history.rng.integers(len(members))].architecture
        which, choice = history.rng.random(2).tolist()
        return mutate(parent, history.space.radices, which, choice)
