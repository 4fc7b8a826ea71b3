"""Weights of road graphs and what graph convolutions make of them, by hand and by what must hold."""

from __future__ import annotations

from math import exp
from math import inf
from math import sqrt

import numpy as np
import pytest
from numpy.testing import assert_allclose

from harness.traffic.graph import gaussian_kernel
from harness.traffic.graph import normalised
from harness.traffic.graph import transition

# 0 -> 1 (weight 2), 1 -> 2 (1), 2 -> 1 (3).
THREE = np.array([[0, 2, 0], [0, 0, 1], [0, 3, 0]], dtype=np.float32)


def random_graph(nodes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1, (nodes, nodes)) * (rng.uniform(size=(nodes, nodes)) < 0.3)
    return weights.astype(np.float32)


def test_the_kernel_by_hand() -> None:
    # Mean 2, variance (1 + 0 + 1) / 3.
    distances = np.array([[inf, 1, inf], [2, inf, 3], [inf, inf, inf]])
    expected = [[0, exp(-1.5), 0], [exp(-6), 0, exp(-13.5)], [0, 0, 0]]
    found = gaussian_kernel(distances, threshold=0.0)
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=1e-6)
    # exp(-6) and exp(-13.5) are below 0.1.
    assert_allclose(gaussian_kernel(distances), [[0, exp(-1.5), 0], [0, 0, 0], [0, 0, 0]], rtol=1e-6)


def test_the_threshold_itself_is_kept() -> None:
    distances = np.array([[0.0, 1.0], [2.0, 3.0]])
    # Variance 1.25.
    least = exp(-4 / 1.25)
    assert np.count_nonzero(gaussian_kernel(distances, threshold=least * 0.999)) == 3
    assert np.count_nonzero(gaussian_kernel(distances, threshold=least * 1.001)) == 2


def test_the_kernel_does_not_depend_on_the_unit() -> None:
    distances = np.random.default_rng(0).uniform(0, 5, (6, 6))
    assert_allclose(gaussian_kernel(distances * 5_280), gaussian_kernel(distances), rtol=1e-5)


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([[inf, inf], [inf, inf]], [[0, 0], [0, 0]]),
        # The mean of three times 0.1 is not 0.1 in floating point.
        ([[0.1, 0.1], [0.1, inf]], [[1, 1], [1, 0]]),
        ([[0.0, inf], [inf, 0.0]], [[1, 0], [0, 1]]),
    ],
    ids=["none", "all the same", "all zero"],
)
def test_distances_without_spread(distances: list[list[float]], expected: list[list[float]]) -> None:
    with np.errstate(all="raise"):
        assert_allclose(gaussian_kernel(np.array(distances)), expected)


def test_normalisation_by_hand() -> None:
    # With the larger weight of both directions and self-loops: [[1, 2, 0], [2, 1, 3], [0, 3, 1]], of degrees 3, 6, 4.
    expected = [
        [1 / 3, 2 / sqrt(18), 0],
        [2 / sqrt(18), 1 / 6, 3 / sqrt(24)],
        [0, 3 / sqrt(24), 1 / 4],
    ]
    found = normalised(THREE)
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=1e-6)


def test_a_diagonal_that_is_there_is_kept() -> None:
    weights = np.array([[0.5, 1], [1, 0]], dtype=np.float32)
    assert_allclose(normalised(weights), [[0.5 / 1.5, 1 / sqrt(3)], [1 / sqrt(3), 1 / 2]], rtol=1e-6)
    full = random_graph(9)
    np.fill_diagonal(full, 1)
    empty = full.copy()
    np.fill_diagonal(empty, 0)
    assert_allclose(normalised(full), normalised(empty))


@pytest.mark.parametrize("seed", range(5))
def test_normalised_graphs_are_symmetric_with_eigenvalues_up_to_1(seed: int) -> None:
    found = normalised(random_graph(12, seed))
    assert np.array_equal(found, found.T)
    values = np.linalg.eigvalsh(found.astype(np.float64))
    assert values.max() == pytest.approx(1, abs=1e-6)
    assert values.min() > -1
    assert (normalised(np.zeros((3, 3), np.float32)) == np.eye(3)).all()


def test_transitions_by_hand() -> None:
    forward, backward = transition(THREE)
    assert forward.dtype == backward.dtype == np.float32
    assert_allclose(forward, [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    # Into 1 lead 2 of 0 and 3 of 2.
    assert_allclose(backward, [[0, 0, 0], [2 / 5, 0, 3 / 5], [0, 1, 0]], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_transitions_sum_to_1_or_0(seed: int) -> None:
    weights = random_graph(12, seed)
    weights[3] = weights[:, 4] = 0
    forward, backward = transition(weights)
    for walk, alone in ((forward, 3), (backward, 4)):
        assert (walk >= 0).all()
        assert (walk[alone] == 0).all()
        sums = walk.sum(axis=1)
        assert sums[sums > 0] == pytest.approx(1, abs=1e-6)
        assert np.count_nonzero(sums) >= 10
    assert np.array_equal(transition(weights.T)[0], backward)


def test_the_order_of_nodes_does_not_matter() -> None:
    weights = random_graph(12)
    order = np.random.default_rng(1).permutation(12)
    here = np.ix_(order, order)
    assert_allclose(normalised(weights[here]), normalised(weights)[here], rtol=1e-6)
    for permuted, walk in zip(transition(weights[here]), transition(weights), strict=True):
        assert_allclose(permuted, walk[here], rtol=1e-6)


def test_what_is_given_stays_as_it_is() -> None:
    weights = random_graph(5)
    weights.flags.writeable = False
    before = weights.copy()
    normalised(weights)
    transition(weights)
    assert np.array_equal(weights, before)
