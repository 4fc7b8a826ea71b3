"""Statistics against values computed by hand, and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports import statistics


def test_mean_and_sample_deviation():
    assert statistics.mean([61, 62, 70]) == pytest.approx(193 / 3)
    # Deviations -10/3, -7/3, 17/3; squares 100, 49, 289 ninths; their sum over 2 is 219/9.
    assert statistics.std([61, 62, 70]) == pytest.approx(math.sqrt(219 / 9))


def test_too_few_runs_give_nan_not_zero():
    assert math.isnan(statistics.mean([]))
    assert math.isnan(statistics.std([5.0]))
    assert all(math.isnan(end) for end in statistics.interval([5.0]))


def test_best_so_far_by_hand():
    values = [[3, 1, 4, 4, 2], [5, 6, 2, math.nan, 7]]
    assert statistics.best_so_far(values, higher_is_better=True).tolist() == [
        [3, 3, 4, 4, 4],
        [5, 6, 6, 6, 7],
    ]
    assert statistics.best_so_far(values, higher_is_better=False).tolist() == [
        [3, 1, 1, 1, 1],
        [5, 5, 2, 2, 2],
    ]


def test_nothing_is_best_before_the_first_value():
    assert statistics.incumbents([math.nan, 1.0, 1.0], higher_is_better=True).tolist() == [-1, 1, 1]
    best = statistics.best_so_far([math.nan, 1.0], higher_is_better=False)
    assert math.isnan(best[0])
    assert best[1] == 1


def test_a_duplicate_does_not_move_the_curve_on():
    curve = statistics.by_architectures([1, 2, 3, 4], [False, True, False, True])
    assert curve.tolist() == [2, 4]


def test_curve_over_cost_by_hand():
    # Spent after each trial: 2, 2, 5.
    curve = statistics.by_cost([10, 20, 30], [2, 0, 3], [0, 1.9, 2, 4.9, 5, 9])
    assert curve.tolist()[2:] == [20, 20, 30, 30]
    assert np.isnan(curve[:2]).all()


def test_an_ended_run_keeps_its_last_value():
    assert statistics.align([np.array([1.0, 2.0, 3.0]), np.array([5.0])]).tolist() == [[1, 2, 3], [5, 5, 5]]


def test_distance_is_positive_in_both_directions():
    assert statistics.distance([90, 92], 92, higher_is_better=True).tolist() == [2, 0]
    assert statistics.distance([3, 1], 1, higher_is_better=False).tolist() == [2, 0]


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(1).normal(70, 2, size=25)
    low, high = statistics.interval(values, resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.03)
    assert high == pytest.approx(theirs.high, abs=0.03)


def test_interval_is_deterministic_and_exact_for_equal_values():
    values = np.random.default_rng(0).normal(size=(5, 7))
    assert np.array_equal(statistics.interval(values), statistics.interval(values))
    low, high = statistics.interval([71.1] * 4)
    assert low == high == 71.1


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 is 0.03, 0.06, 0.04; the last is raised to 0.06.
    assert statistics.holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.9, 0.8]).tolist() == [1, 1]
    assert statistics.holm([]).tolist() == []


def test_three_seeds_allow_no_test():
    comparison = statistics.compare_with_best_baseline(
        {"base": [1, 2, 3], "other": [7, 8, 9]}, ["base"], higher_is_better=True
    )
    assert comparison.reference == "base"
    assert comparison.p_values == {}
    # 2 / C(6, 3) = 0.1, 2 / C(8, 4) = 0.029.
    assert comparison.needed == 4


def test_exact_p_value_of_separated_samples():
    scores = {"worse": [0, 0, 0, 0, 0], "base": [1, 2, 3, 4, 5], "other": [6, 7, 8, 9, 10]}
    comparison = statistics.compare_with_best_baseline(scores, ["worse", "base"], higher_is_better=True)
    assert comparison.reference == "base"
    # Both differ as much as five against five can, 2 / C(10, 5), times two comparisons.
    assert comparison.p_values == pytest.approx({"worse": 4 / 252, "other": 4 / 252})


def test_equal_samples_do_not_differ():
    scores = {"base": [5.0] * 6, "other": [5.0] * 6}
    assert statistics.compare_with_best_baseline(scores, ["base"], higher_is_better=True).p_values == {
        "other": 1
    }


def test_large_samples_use_the_normal_approximation():
    rng = np.random.default_rng(0)
    scores = {"base": rng.normal(0, 1, 40), "other": rng.normal(2, 1, 40)}
    comparison = statistics.compare_with_best_baseline(scores, ["base"], higher_is_better=True)
    assert comparison.p_values["other"] == pytest.approx(
        stats.mannwhitneyu(scores["other"], scores["base"], method="asymptotic").pvalue
    )


def test_lower_is_better_picks_the_lowest_baseline():
    scores = {"a": [1.0] * 4, "b": [2.0] * 4, "c": [0.0] * 4}
    assert statistics.compare_with_best_baseline(scores, ["a", "b"], higher_is_better=False).reference == "a"


def test_without_a_baseline_there_is_no_reference():
    assert statistics.compare_with_best_baseline({"a": [1, 2]}, [], higher_is_better=True).reference is None
