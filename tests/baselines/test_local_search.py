"""Local search."""

from __future__ import annotations

from itertools import pairwise

import pytest

from baselines.local_search import LocalSearch
from harness.history import Exhausted
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from tests.baselines.loop import Loop
from tests.baselines.loop import distance

SPACE = NASBench201Space()


def separable(arch: Architecture) -> float:
    """One optimum, and a way up to it from anywhere."""
    return float(sum(arch))


def rugged(arch: Architecture) -> float:
    return float((SPACE.index(arch) * 7919) % 15_625)


@pytest.mark.parametrize("first_improvement", [False, True])
@pytest.mark.parametrize("score", [separable, rugged])
def test_every_proposal_is_a_neighbour_of_its_centre_or_a_start(
    score: object, first_improvement: bool
) -> None:
    assert callable(score)
    trials = Loop(LocalSearch(first_improvement=first_improvement), SPACE, score).run(300)
    assert len({trial.architecture for trial in trials}) == 300
    centres = [trials[trial.attributes["centre"]] if trial.attributes else trial for trial in trials]
    for trial, centre in zip(trials, centres, strict=True):
        assert distance(trial.architecture, centre.architecture) == (trial != centre)
    for before, after in pairwise(centres):
        started_again = after.number > before.number and not after.attributes
        assert started_again or after == before or after.score > before.score


def test_moves_to_the_best_neighbour_once_all_are_known() -> None:
    loop = Loop(LocalSearch(), SPACE, rugged, seed=1)
    start = loop.step()
    for _ in range(24):
        assert loop.step().attributes == {"centre": 0}
    best = max(loop.trials, key=lambda trial: trial.score)
    assert best != start
    assert loop.step().attributes == {"centre": best.number}


def test_moves_to_the_first_better_neighbour() -> None:
    loop = Loop(LocalSearch(first_improvement=True), SPACE, rugged, seed=1)
    start = loop.step()
    while loop.step().score < start.score:
        pass
    assert loop.step().attributes == {"centre": loop.trials[-2].number}


def test_climbs_to_the_optimum_and_starts_again() -> None:
    loop = Loop(LocalSearch(), SPACE, separable, seed=2)
    loop.run(25 * 7)
    optimum = max(loop.trials, key=lambda trial: trial.score)
    assert optimum.architecture == (4,) * 6
    starts = [trial for trial in loop.trials if not trial.attributes]
    assert len(starts) >= 2
    assert starts[1].number > optimum.number


def test_knows_neighbours_that_were_evaluated_before() -> None:
    """A start next to known architectures needs no more than the unknown ones, and can move to a known one."""
    space = SearchSpace({"a": (0, 1, 2), "b": (0, 1, 2)})
    loop = Loop(LocalSearch(), space, separable)
    for arch in ((2, 0), (1, 0), (0, 1)):
        loop.add(Architecture(arch))
    loop.add(Architecture((0, 0)))
    assert loop.step().architecture == (0, 2)
    # All four neighbours of (0, 0) are known; the best are (2, 0) and (0, 2), the first of which leads on.
    assert loop.propose().attributes == {"centre": 0}


def test_ends_when_the_space_is_seen() -> None:
    space = SearchSpace({"a": (0, 1, 2), "b": (0, 1, 2)})
    loop = Loop(LocalSearch(), space, separable)
    assert {trial.architecture for trial in loop.run(9)} == set(space)
    with pytest.raises(Exhausted):
        loop.propose()
