"""Niches, their elites, and where an architecture lies."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from harness.spaces import Architecture
from harness.spaces import SearchSpace
from harness.task import Task
from llm_strategies.quality_diversity import Archive
from llm_strategies.quality_diversity import Descriptors
from tests.llm_strategies.driver import MIXED
from tests.llm_strategies.driver import benchmark

SPACE = benchmark().space
TASK = Task.of(benchmark(), 200)


def archive(niches: int = 100) -> Archive[str]:
    return Archive(niches, 25_000)


def test_niches_tile_the_unit_square_evenly() -> None:
    points = np.random.default_rng(0).random((5000, 2))
    filled = archive()
    counts = np.bincount([filled.niche((x, y)) for x, y in points], minlength=100)
    assert len(counts) == 100
    # 50 each on average.
    assert counts.min() > 10
    assert counts.max() < 150


def test_niches_are_the_same_in_every_archive() -> None:
    points = np.random.default_rng(1).random((200, 2))
    one, other = archive(), archive()
    assert [one.niche((x, y)) for x, y in points] == [other.niche((x, y)) for x, y in points]


def test_a_niche_holds_its_fittest() -> None:
    held = archive()
    assert held.add("first", 1.0, (0.2, 0.2))
    assert not held.add("equal", 1.0, (0.2, 0.2))
    assert not held.add("worse", 0.0, (0.2, 0.2))
    assert held.add("elsewhere", 0.5, (0.9, 0.9))
    assert held.best() == ["first", "elsewhere"]
    assert held.add("better", 2.0, (0.2, 0.2))
    assert held.best() == ["better", "elsewhere"]
    assert len(held) == 2


def test_infinite_fitness() -> None:
    held = archive()
    assert held.add("lost", float("-inf"), (0.5, 0.5))
    assert held.add("found", float("inf"), (0.5, 0.5))
    assert not held.add("again", float("inf"), (0.5, 0.5))


def test_variety() -> None:
    describe = Descriptors(SPACE, TASK)
    codes = ("333333", "333330", "333300", "332200", "012344")
    varieties = [describe(SPACE.from_ncode(code))[0] for code in codes]
    assert varieties[0] == 0.0
    assert all(low < high for low, high in pairwise(varieties))
    assert varieties[-1] < 1.0
    # Neither the order of the decisions nor which choices they are says anything.
    assert describe(SPACE.from_ncode("430330"))[0] == describe(SPACE.from_ncode("221201"))[0]


def test_size_is_the_flops_where_they_are_known() -> None:
    describe = Descriptors(SPACE, TASK)
    none, pools, small, large = (
        describe(SPACE.from_ncode(code))[1] for code in ("000000", "444444", "222222", "333333")
    )
    assert none == pools < small < large
    assert none < 0.1
    assert large > 0.95


def test_size_is_the_mean_rank_elsewhere() -> None:
    describe = Descriptors(MIXED, Task())
    first, middle, last = (
        describe(Architecture(choices))[1] for choices in ((0, 0, 0, 0), (1, 1, 0, 0), (2, 1, 1, 1))
    )
    assert first < 0.1
    assert 0.3 < middle < 0.5
    assert last > 0.9


def test_random_cells_fill_many_niches() -> None:
    rng = np.random.default_rng(0)
    describe, filled = Descriptors(SPACE, TASK), archive()
    niches = {filled.niche(describe(SPACE.random(rng))) for _ in range(500)}
    assert len(niches) > 35


@pytest.mark.parametrize(
    "decisions",
    [{"only": ("one",)}, {"a": (1, True, "1")}, {"a": (None,), "b": (1, 2)}, {"a": (1, 2), "b": (1, 2)}],
)
def test_any_space_lies_in_the_unit_square(decisions: dict[str, tuple[object, ...]]) -> None:
    space = SearchSpace(decisions)
    describe = Descriptors(space, Task())
    assert all(0.0 <= x <= 1.0 for arch in space for x in describe(arch))
