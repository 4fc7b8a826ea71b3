"""Mutation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from baselines.mutation import mutate
from harness.errors import SpecError
from harness.spaces import Architecture
from tests.baselines.loop import distance

UNIT = st.floats(0, 1, exclude_max=True)


@given(data=st.data(), which=UNIT, choice=UNIT)
def test_exactly_one_decision_changes_to_a_legal_choice(
    data: st.DataObject, which: float, choice: float
) -> None:
    radices = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    arch = Architecture([data.draw(st.integers(0, radix - 1)) for radix in radices])
    child = mutate(arch, radices, which, choice)
    assert distance(arch, child) == (max(radices) > 1)
    assert all(0 <= i < radix for i, radix in zip(child, radices, strict=True))


def test_all_neighbours_are_equally_likely() -> None:
    arch = Architecture((0, 4, 2, 1, 3, 2))
    draws = np.random.default_rng(0).random((24_000, 2)).tolist()
    counts = Counter(mutate(arch, [5] * 6, which, choice) for which, choice in draws)
    assert len(counts) == 24
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_weights_are_those_of_the_released_code() -> None:
    """Node first, its input edge second: the edge of the first node is picked in a third of all cases."""
    arch = Architecture((0,) * 6)
    draws: list[tuple[float, float]] = np.random.default_rng(0).random((18_000, 2)).tolist()
    counts = Counter(
        next(i for i, (a, b) in enumerate(zip(arch, child, strict=True)) if a != b)
        for child in (mutate(arch, [5] * 6, u, v, (6, 3, 3, 2, 2, 2)) for u, v in draws)
    )
    expected = [6000, 3000, 3000, 2000, 2000, 2000]
    assert chisquare([counts[i] for i in range(6)], expected).pvalue > 1e-3


@pytest.mark.parametrize(
    ("weights", "message"),
    [((1, 1), "2 weights for 3 decisions"), ((0, 0, 1), "leave no decision to mutate")],
)
def test_useless_weights_are_refused(weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        mutate(Architecture((0, 0, 0)), (2, 2, 1), 0.5, 0.5, weights)
