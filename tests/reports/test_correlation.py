"""Rank correlations and their intervals: against scipy on lists, by hand, and by what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports import correlation
from reports.correlation import _STRIP

CASES = {
    "continuous": lambda rng, n: rng.normal(size=n),
    "many ties": lambda rng, n: rng.integers(0, 5, size=n).astype(float),
    "one large tie": lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.normal(size=n)),
    "few different": lambda rng, n: (rng.random(n) < 2 / n).astype(float),
}


def drawn(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """A resample as a list."""
    return np.repeat(values, counts.astype(int))


@pytest.mark.parametrize("n", [2, 7, _STRIP, _STRIP + 1, 5 * _STRIP])
@pytest.mark.parametrize("kind", CASES)
def test_resampled_correlations_are_those_of_the_lists(kind, n):
    rng = np.random.default_rng(n)
    first = CASES[kind](rng, n)
    second = np.round(first + rng.normal(size=n), 1)
    counts = correlation.resamples(n, count=12)
    found = {
        "kendalltau": correlation.kendall_of_resamples(first, second, counts),
        "spearmanr": correlation.spearman_of_resamples(first, second, counts),
    }
    for resample, weights in enumerate(counts.T):
        one, other = drawn(first, weights), drawn(second, weights)
        constant = np.ptp(one) == 0 or np.ptp(other) == 0
        for function, values in found.items():
            expected = math.nan if constant else getattr(stats, function)(one, other).statistic
            assert values[resample] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, 200), rng.normal(size=200)
    ones = np.ones((200, 1), dtype=np.float32)
    for ours, resampled, theirs in (
        (correlation.kendall, correlation.kendall_of_resamples, stats.kendalltau),
        (correlation.spearman, correlation.spearman_of_resamples, stats.spearmanr),
    ):
        expected = theirs(first, second).statistic
        assert ours(first, second) == expected
        assert resampled(first, second, ones)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", [correlation.kendall, correlation.spearman])
def test_by_hand(measure):
    assert measure([1, 2, 3, 4], [10, 20, 30, 40]) == 1
    assert measure([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    for first, second in (([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([1], [1]), ([], [])):
        assert math.isnan(measure(first, second))


def test_tau_b_of_ties():
    # Pairs: 12 tied in the first, 23 tied in the second, 13 concordant. (1 - 0) / sqrt(2 * 2).
    assert correlation.kendall([1, 1, 2], [1, 2, 2]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "share"),
    [([1, 2, 3], 0.0), ([5, 5, 5], 1.0), ([1, 1, 2, 3], 1 / 6), ([1, 1, 2, 2], 1 / 3)],
)
def test_share_of_equal_pairs(values, share):
    assert correlation.tied_pairs(values) == pytest.approx(share)


def test_no_pair_no_share():
    assert math.isnan(correlation.tied_pairs([1.0]))


def test_the_best_keep_equals_together():
    values = [9.0, 7.0, 7.0, 5.0, *range(-16, 0)]
    once = np.ones((20, 1), dtype=np.float32)
    # Of 20, two are the best tenth: the first, and both of the next, which are equal.
    assert correlation.top(values, once, 0.1)[:, 0].nonzero()[0].tolist() == [0, 1, 2]
    assert correlation.top(values, once, 0.05)[:, 0].nonzero()[0].tolist() == [0]
    twice = once.copy()
    twice[0], twice[3] = 2, 0
    assert correlation.top(values, twice, 0.1)[:, 0].tolist() == [2, *[0] * 19]


def test_resamples_draw_with_replacement():
    counts = correlation.resamples(50, count=400)
    assert (counts.sum(axis=0) == 50).all()
    assert counts.mean(axis=1) == pytest.approx(np.ones(50), abs=0.25)
    # Of each resample, 1/e of the things are left out.
    assert (counts == 0).mean() == pytest.approx(math.exp(-1), abs=0.01)
    assert (counts == correlation.resamples(50, count=400)).all()
    assert (counts != correlation.resamples(50, count=400, seed=1)).any()


def test_large_samples_have_fewer_resamples():
    assert correlation.resamples(3).shape == (3, correlation.RESAMPLES)
    assert correlation.resamples(correlation.LARGE + 1).shape[1] == correlation.RESAMPLES_OF_LARGE


def test_the_interval_is_that_of_scipys_bootstrap():
    rng = np.random.default_rng(3)
    first = rng.normal(size=120)
    second = first + rng.normal(size=120)
    counts = correlation.resamples(120, count=4000)
    ours = correlation.estimate(0.5, correlation.kendall_of_resamples(first, second, counts), things=120)
    theirs = stats.bootstrap(
        (first, second),
        lambda x, y: stats.kendalltau(x, y).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    # Both draw their own resamples.
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_intervals_hold_the_true_tau_as_often_as_they_say():
    # Of two normal variables of correlation r, tau is 2 / pi * arcsin r.
    r, n, samples = 0.6, 150, 200
    true = 2 / math.pi * math.asin(r)
    rng = np.random.default_rng(11)
    counts = correlation.resamples(n, count=500)
    held = 0
    for _ in range(samples):
        first, noise = rng.normal(size=(2, n))
        second = r * first + math.sqrt(1 - r * r) * noise
        estimate = correlation.estimate(
            correlation.kendall(first, second),
            correlation.kendall_of_resamples(first, second, counts),
            things=n,
        )
        assert estimate.low < estimate.value < estimate.high
        held += estimate.low <= true <= estimate.high
    # 190 are expected, with a standard deviation of 3.
    assert 180 <= held <= 198


def test_what_is_not_defined_has_no_interval():
    nothing = correlation.estimate(math.nan, np.array([0.1, 0.2]), things=50)
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)
    some = correlation.estimate(0.5, np.array([math.nan, 0.4, math.nan]), things=50)
    assert (some.low, some.high) == (0.4, 0.4)
    none = correlation.estimate(0.5, np.array([math.nan]), things=50)
    assert none.value == 0.5
    assert math.isnan(none.high)


def test_a_few_things_have_no_interval():
    for things in (2, 9, 10):
        order = np.arange(things)
        taus = correlation.kendall_of_resamples(order, order, correlation.resamples(things))
        found = correlation.estimate(correlation.kendall(order, order), taus, things=things)
        assert found.value == pytest.approx(1)
        assert math.isnan(found.low) == math.isnan(found.high) == (things < 10)
