"""Random search."""

from __future__ import annotations

from collections import Counter

import optuna
import pytest
from scipy.stats import chisquare

from baselines.random_search import RandomSearch
from harness.history import Exhausted
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from tests.baselines.loop import Loop

SMALL = SearchSpace({"a": (0, 1, 2, 3, 4), "b": ("v", "w", "x", "y", "z")})


def no_score(_: Architecture) -> float:
    return 0.0


@pytest.mark.parametrize("space", [SMALL, NASBench201Space()], ids=["25 cells", "15,625 cells"])
def test_sees_every_architecture_once_and_ends(space: SearchSpace) -> None:
    loop = Loop(RandomSearch(), space, no_score)
    drawn = {trial.architecture for trial in loop.run(space.size)}
    assert drawn == set(space)
    with pytest.raises(Exhausted, match=f"all {space.size} architectures"):
        loop.propose()


@pytest.mark.parametrize("drawn_before", [0, 3, 60])
def test_all_unseen_are_equally_likely(drawn_before: int) -> None:
    """Also when few are left, where it lists them."""
    space = SearchSpace({"a": tuple(range(8)), "b": tuple(range(8))})
    counts = Counter[Architecture]()
    for seed in range(2000):
        loop = Loop(RandomSearch(), space, no_score, seed)
        for index in range(drawn_before):
            loop.add(space.from_index(index))
        counts[loop.propose().architecture] += 1
    assert len(counts) == space.size - drawn_before
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_last_of_a_large_space_is_found() -> None:
    """Where rejection would take tens of thousands of draws."""
    space = NASBench201Space()
    loop = Loop(RandomSearch(), space, no_score)
    last = space.from_index(7777)
    for arch in space:
        if arch != last:
            loop.add(arch)
    assert loop.propose().architecture == last


def test_with_replacement_repeats() -> None:
    loop = Loop(RandomSearch(replacement=True), SMALL, no_score)
    distinct = {trial.architecture for trial in loop.run(3 * SMALL.size)}
    assert len(distinct) < 3 * SMALL.size
    assert loop.propose() is not None


def test_failed_architectures_are_not_drawn_again() -> None:
    study = optuna.create_study(sampler=RandomSearch(space=SMALL, seed=3))

    def objective(trial: optuna.Trial) -> float:
        for name, choices in SMALL.decisions.items():
            trial.suggest_categorical(name, choices)
        if trial.number % 2:
            raise MemoryError
        return 0.0

    study.optimize(objective, n_trials=SMALL.size, catch=(MemoryError,))
    assert len({tuple(trial.params.values()) for trial in study.trials}) == SMALL.size


def test_bare_study_goes_on_when_everything_is_seen() -> None:
    """As with Optuna's grid sampler: a user's ``n_trials`` is a number of trials, and no promise to stop."""
    study = optuna.create_study(sampler=RandomSearch(seed=0))
    with pytest.warns(UserWarning, match="all 3 architectures .* Drawing uniformly"):
        study.optimize(lambda trial: trial.suggest_categorical("a", [1, 2, 3]), n_trials=12)
    assert len(study.trials) == 12
