"""Evolution as Zen-NAS has it: random parents, the worst dies."""

from __future__ import annotations

import pytest

from baselines.random_search import RandomSearch
from baselines.zero_cost.evolution import ProxyEvolution
from harness.errors import SpecError
from harness.history import Exhausted
from harness.models import Models
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.task import Task
from tests.baselines.loop import Loop
from tests.baselines.loop import Score
from tests.baselines.loop import distance

SPACE = NASBench201Space()


def parameters(arch: Architecture) -> float:
    return float(SPACE.cost(arch, "cifar10").parameters)


def index(arch: Architecture) -> float:
    """No two architectures have the same."""
    return float(SPACE.index(arch))


def loop(seed: int = 0, score: Score = parameters, **settings: int) -> Loop:
    strategy = ProxyEvolution(space=SPACE, seed=seed, **settings)
    strategy.connect(Task(dataset="cifar10"), Models())
    return Loop(strategy, SPACE, score, seed)


def test_parents_are_the_best_so_far_and_any_of_them() -> None:
    evolution = loop(population=8, random_starts=8, score=index)
    evolution.run(8)
    parents = set()
    for _ in range(60):
        known = [trial.architecture for trial in evolution.trials]
        members = sorted(known, key=index, reverse=True)[:8]
        child = evolution.step().architecture
        near = [rank for rank, member in enumerate(members) if distance(child, member) == 1]
        assert near
        if len(near) == 1:
            parents.add(near[0])
    # The worst member is a parent as well as the best.
    assert {0, 7} <= parents


def test_nothing_known_is_proposed_while_there_is_another() -> None:
    trials = loop(population=20, random_starts=20).run(150)
    assert len({trial.architecture for trial in trials}) == 150


def test_a_search_whose_neighbourhood_is_known_goes_on_with_known_ones() -> None:
    trials = loop(population=1, random_starts=1, score=lambda arch: -index(arch)).run(200)
    assert trials[-1].architecture in {trial.architecture for trial in trials[:-1]}
    assert distance(trials[-1].architecture, SPACE.from_index(0)) == 1


def best(evolution: Loop) -> float:
    return max(parameters(trial.architecture) for trial in evolution.run(120))


def test_it_climbs_where_random_search_does_not() -> None:
    found = [best(loop(seed, population=20, random_starts=20)) for seed in range(5)]
    drawn = [best(Loop(RandomSearch(), SPACE, parameters, seed)) for seed in range(5)]
    assert sum(found) > 1.15 * sum(drawn)


def test_limits_hold_and_the_recommendation_keeps_them() -> None:
    evolution = loop(population=10, random_starts=10, max_flops=60_000_000, max_depth=40)
    for trial in evolution.run(100):
        cost = SPACE.cost(trial.architecture, "cifar10")
        assert cost.flops <= 60_000_000
        assert cost.depth is not None
        assert cost.depth <= 40
    # Of another sampler, and beyond the limits.
    evolution.add(SPACE.from_ncode("333333"))
    assert evolution.strategy.recommend(evolution.history()) == max(
        (trial.architecture for trial in evolution.trials[:-1]), key=parameters
    )
    assert distance(evolution.propose().architecture, SPACE.from_ncode("333333")) > 0


def test_limits_that_nothing_meets_end_the_run() -> None:
    with pytest.raises(Exhausted, match="none of 1,000 architectures drawn is within the limits"):
        loop(max_parameters=10).run(1)


@pytest.mark.parametrize("settings", [{"population": 0}, {"random_starts": 0}])
def test_bad_settings(settings: dict[str, int]) -> None:
    with pytest.raises(SpecError, match="must be at least 1"):
        ProxyEvolution(**settings)
