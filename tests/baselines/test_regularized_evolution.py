"""Regularized evolution."""

from __future__ import annotations

from typing import Any

import pytest

from baselines.random_search import RandomSearch
from baselines.regularized_evolution import RegularizedEvolution
from harness.errors import SpecError
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from tests.baselines.loop import Loop
from tests.baselines.loop import distance

SPACE = NASBench201Space()


def first_digit_counts(arch: Architecture) -> float:
    return float(SPACE.index(arch))


def test_first_population_is_random() -> None:
    ours = Loop(RegularizedEvolution(population=10), SPACE, first_digit_counts).run(10)
    random = Loop(RandomSearch(replacement=True), SPACE, first_digit_counts).run(10)
    assert [trial.architecture for trial in ours] == [trial.architecture for trial in random]


@pytest.mark.parametrize("population", [1, 4, 10])
def test_children_are_mutations_of_the_youngest(population: int) -> None:
    loop = Loop(RegularizedEvolution(population=population), SPACE, first_digit_counts)
    loop.run(population)
    for _ in range(100):
        parents = [trial.architecture for trial in loop.trials[-population:]]
        child = loop.step().architecture
        assert min(distance(child, parent) for parent in parents) <= 1


def test_the_best_dies_of_age() -> None:
    """A superb architecture is a parent as long as it is among the youngest ten, and not one trial longer."""
    best, poor = Architecture((4,) * 6), Architecture((0,) * 6)
    strategy = RegularizedEvolution(population=10, sample=10)
    for age in range(1, 15):
        children = []
        for seed in range(40):
            loop = Loop(strategy, SPACE, first_digit_counts, seed)
            loop.add(best)
            for _ in range(max(age, 10) - 1):
                loop.add(poor)
            if age > 10:
                assert loop.trials[-10].architecture == poor
            children.append(loop.propose().architecture)
        from_best = sum(distance(child, best) == 1 for child in children)
        # With ten draws with replacement, it is missed in 0.9^10 of all tournaments.
        assert from_best >= 15 if age <= 10 else from_best == 0


def test_larger_samples_press_harder() -> None:
    def mean_score(sample: int) -> float:
        loops = [
            Loop(RegularizedEvolution(sample=sample), SPACE, first_digit_counts, seed) for seed in range(20)
        ]
        return sum(trial.score for loop in loops for trial in loop.run(60)[-10:])

    assert mean_score(1) < mean_score(3) < mean_score(10)


@pytest.mark.parametrize(
    "params", [{"population": 0}, {"sample": 0}, {"decision_weights": [1, -1, 1, 1, 1, 1]}]
)
def test_illegal_numbers_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(params))):
        RegularizedEvolution(**params)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1] * 5, "5 numbers, and the space has 6 decisions"),
        ([1] * 7, "7 numbers, and the space has 6 decisions"),
        ([], "0 numbers, and the space has 6 decisions"),
        ([0] * 6, "leave none of the space's 6 decisions to mutate"),
    ],
)
def test_weights_that_do_not_fit_the_space_are_refused_before_the_search(
    weights: list[float], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        RegularizedEvolution(decision_weights=weights, space=SPACE)


def test_weights_on_decisions_that_cannot_change_are_refused() -> None:
    space = SearchSpace({"fixed": ("a",), "free": ("a", "b")})
    with pytest.raises(SpecError, match="leave none of the space's 2 decisions to mutate"):
        RegularizedEvolution(decision_weights=[1, 0], space=space)
    RegularizedEvolution(decision_weights=[0, 1], space=space)
    RegularizedEvolution(decision_weights=[0], space=SearchSpace({"fixed": ("a",)}))


def test_weights_are_those_of_the_mutated_decisions() -> None:
    strategy = RegularizedEvolution(population=1, sample=1, decision_weights=[0, 0, 1, 0, 0, 0], space=SPACE)
    trials = Loop(strategy, SPACE, first_digit_counts).run(30)
    assert len({trial.architecture[2] for trial in trials}) > 1
    assert len({(*trial.architecture[:2], *trial.architecture[3:]) for trial in trials}) == 1
