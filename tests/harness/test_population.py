"""The population of Zen-NAS and RZ-NAS."""

from __future__ import annotations

import numpy as np

from harness.history import History
from harness.history import Trial
from harness.limits import Limits
from harness.population import Population
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.task import Task

SPACE = NASBench201Space()
TASK = Task(dataset="cifar10")


def history(*tried: tuple[str, float]) -> History:
    trials = [
        Trial(number, SPACE.from_ncode(ncode), score, score, {})
        for number, (ncode, score) in enumerate(tried)
    ]
    return History(
        SPACE,
        trials,
        number=len(trials),
        seen={trial.architecture for trial in trials},
        make_rng=lambda: np.random.default_rng(0),
        folds={},
    )


def members(population: Population, *tried: tuple[str, float]) -> list[Architecture]:
    return [trial.architecture for trial in population.members(history(*tried), TASK)]


def archs(*ncodes: str) -> list[Architecture]:
    return [SPACE.from_ncode(ncode) for ncode in ncodes]


def test_the_worst_dies_however_young_it_is() -> None:
    population = Population(2, Limits())
    assert members(population, ("000001", 2.0), ("000010", 3.0)) == archs("000001", "000010")
    assert members(population, ("000001", 2.0), ("000010", 3.0), ("000100", 1.0)) == archs("000001", "000010")
    assert members(population, ("000001", 2.0), ("000010", 3.0), ("000100", 4.0)) == archs("000010", "000100")


def test_an_architecture_joins_once_and_within_the_limits() -> None:
    tried = ("111111", 1.0), ("333333", 9.0), ("111111", 1.0)
    assert members(Population(3, Limits()), *tried) == archs("111111", "333333")
    assert members(Population(3, Limits(max_flops=60_000_000)), *tried) == archs("111111")


def test_the_best_is_within_the_limits_where_any_is() -> None:
    population = Population(3, Limits(max_flops=60_000_000))
    assert population.best(history(("333333", 9.0), ("111111", 1.0)), TASK) == SPACE.from_ncode("111111")
    assert population.best(history(("333333", 9.0)), TASK) == SPACE.from_ncode("333333")
