"""Candidates that a run has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from harness.history import History
from harness.history import Trial
from harness.spaces import SearchSpace
from llm_strategies.candidates import draw_mutants
from llm_strategies.candidates import draw_new

SPACE = SearchSpace({f"edge {i}": ("none", "skip", "conv") for i in range(3)})


def history(seen: int, space: SearchSpace = SPACE) -> History:
    """A run that has seen the first architectures of a space; each is better than the one before."""
    trials = [Trial(i, space.from_index(i), float(i), float(i), {}) for i in range(seen)]
    return History(
        space,
        trials,
        number=seen,
        seen={trial.architecture for trial in trials},
        make_rng=lambda: np.random.default_rng(0),
        folds={},
    )


@pytest.mark.parametrize("seen", [0, 13, 24])
def test_new_are_distinct_and_neither_seen_nor_excluded(seen: int) -> None:
    run = history(seen)
    excluded = [SPACE.from_index(25), SPACE.from_index(26)]
    drawn = draw_new(run, 10, but=excluded)
    assert len(drawn) == len(set(drawn)) == min(10, 25 - seen)
    assert not set(drawn) & (run.seen | set(excluded))


def test_what_is_new_and_excluded_is_no_reason_to_repeat() -> None:
    assert draw_new(history(26), 5, but=[SPACE.from_index(26)]) == []


def test_all_seen_may_be_drawn_again() -> None:
    assert len(set(draw_new(history(27), 10))) == 10


def test_mutants_differ_from_a_young_parent_in_one_decision() -> None:
    run = history(12)
    mutants = draw_mutants(run, 6, population=2, sample=1)
    parents = [SPACE.from_index(10), SPACE.from_index(11)]
    assert len(mutants) == len(set(mutants)) == 6
    assert not set(mutants) & run.seen
    assert all(any(mutant in SPACE.neighbours(parent) for parent in parents) for mutant in mutants)


def test_the_best_of_the_sample_is_the_parent() -> None:
    best = SPACE.from_index(11)
    mutants = draw_mutants(history(12), 2, population=12, sample=1000)
    assert all(mutant in SPACE.neighbours(best) for mutant in mutants)


def test_parents_without_new_mutants_make_room() -> None:
    """All but the last two were seen: few parents have a mutant left, and there are two to find."""
    mutants = draw_mutants(history(25), 9, population=25, sample=1000)
    assert set(mutants) == {SPACE.from_index(25), SPACE.from_index(26)}


def test_no_history_no_mutants() -> None:
    assert draw_mutants(history(0), 5, population=10, sample=3) == []
