"""Regularized (aging) evolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.mutation import mutate
from harness.errors import SpecError
from harness.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history import History
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


class RegularizedEvolution(Strategy):
    """Aging evolution (Real et al. 2019, algorithm 1), with the settings of NAS-Bench-201.

    The first ``population`` architectures are random. After that, each child is a mutation of the best of
    ``sample`` members drawn with replacement from the ``population`` youngest; the oldest member dies with
    every birth, however good it is. Population 10 and sample size 3 are those of the NAS-Bench-201 and
    NATS-Bench papers (Dong & Yang 2020, section 5; Dong et al. 2021).

    A mutation changes one decision to another of its choices. In cell spaces with free wiring Real et al.
    also move an input and sometimes keep the parent as it is; here the wiring is fixed and a child always
    differs. What the papers leave open, and how it is settled here:

    - All decisions are equally likely to mutate. The code released with NAS-Bench-201 picks a node first and
      one of its input edges second, so its edges are not; ``decision_weights: [6, 3, 3, 2, 2, 2]`` is that.
    - The random architectures of the first population may repeat, as in that code.
    - A child that was evaluated before is proposed again, as in that code.
    - Trials that failed or were pruned neither join the population nor age it.
    - Equal members of a sample: the one drawn first is the parent.

    Args:
        population: Number of youngest members that can be parents.
        sample: Number of members drawn for each tournament.
        decision_weights: Relative probability of each decision to be mutated; ``None`` for equal ones.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: ``population`` or ``sample`` is below 1, or a weight is negative. Where ``space`` is given,
            also: there is not one weight per decision, or no decision that can change has a positive one.
    """

    def __init__(
        self,
        *,
        population: int = 10,
        sample: int = 3,
        decision_weights: Sequence[float] | None = None,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        if population < 1 or sample < 1:
            raise SpecError(f"population and sample must be at least 1, not {population} and {sample}.")
        if decision_weights is not None and min(decision_weights, default=0.0) < 0:
            raise SpecError(f"decision_weights must not be negative: {list(decision_weights)!r}.")
        if decision_weights is not None and space is not None:
            _require_weights_for(decision_weights, space)
        self.population = population
        self.sample = sample
        self.decision_weights = decision_weights

    def propose(self, history: History) -> Architecture:
        if len(history) < self.population:
            return history.space.random(history.rng)
        # One call for all random numbers: calls of a generator cost more than what they draw.
        *tournament, which, choice = history.rng.random(self.sample + 2).tolist()
        oldest = len(history) - self.population
        sampled = [history.trials[oldest + int(u * self.population)] for u in tournament]
        parent = max(sampled, key=lambda trial: trial.score)
        return mutate(parent.architecture, history.space.radices, which, choice, self.decision_weights)


def _require_weights_for(weights: Sequence[float], space: SearchSpace) -> None:
    # Mutation checks this too, but not before the first population was evaluated.
    if len(weights) != len(space.radices):
        raise SpecError(
            f"decision_weights has {len(weights)} numbers, and the space has {len(space.radices)} decisions: "
            f"{', '.join(space.decisions)}; give one per decision."
        )
    mutable = [weight for weight, radix in zip(weights, space.radices, strict=True) if radix > 1]
    if mutable and not any(mutable):
        raise SpecError(
            f"decision_weights {list(weights)!r} leave none of the space's {len(space.radices)} decisions to "
            "mutate; give at least one that has several choices a positive weight."
        )
