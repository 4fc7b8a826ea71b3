"""Limits of what an architecture may cost."""

from __future__ import annotations

import pytest

from harness.errors import SpecError
from harness.limits import Limits
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from harness.task import Task

SPACE = NASBench201Space()
TASK = Task(dataset="cifar10")
CELL = SPACE.from_ncode("341203")
COST = SPACE.cost(CELL, "cifar10")


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("max_parameters", COST.parameters, "parameters"),
        ("max_flops", COST.flops, "multiply-accumulate operations"),
        ("max_depth", COST.depth, "layers in a row"),
    ],
)
def test_each_limit_is_inclusive_and_named(name: str, value: int, unit: str) -> None:
    assert Limits(**{name: value}).exceeded_by(CELL, SPACE, TASK) is None
    said = Limits(**{name: value - 1}).exceeded_by(CELL, SPACE, TASK)
    assert said == f"it has {value:,} {unit}, and at most {value - 1:,} are allowed."
    assert Limits(**{name: value}).describe() == [f"An architecture may have at most {value:,} {unit}."]


def test_no_limit_asks_for_no_cost() -> None:
    space = SearchSpace({"a": (1, 2)})
    assert Limits().exceeded_by(space.from_index(0), space, Task()) is None
    assert Limits().describe() == []


def test_what_cannot_be_checked_is_refused() -> None:
    space = SearchSpace({"a": (1, 2)})
    with pytest.raises(SpecError, match="max_depth needs exact costs, and search space 'categorical'"):
        Limits(max_depth=3).exceeded_by(space.from_index(0), space, Task())
    with pytest.raises(SpecError, match="max_flops must be at least 1, not 0"):
        Limits(max_flops=0)
