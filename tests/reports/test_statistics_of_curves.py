"""Anytime curves and times to a target, against values by hand and published ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports import statistics

NAN = math.nan


def test_normalised_regret_is_0_at_the_best_and_1_at_the_floor():
    assert statistics.normalised_regret([100, 90, 80, 70], best=100, floor=80).tolist() == [0, 0.5, 1, 1.5]
    assert statistics.normalised_regret([1, 3, 5], best=1, floor=5).tolist() == [0, 0.5, 1]
    assert np.isnan(statistics.normalised_regret([1, 2], best=3, floor=3)).all()


def test_summary_says_what_it_leaves_out():
    summary = statistics.summarise([1.0, NAN, 3.0])
    assert (summary.n, summary.mean, summary.std) == (2, 2, math.sqrt(2))
    assert summary.low <= 2 <= summary.high
    assert summary.left_out == ("1 of 3 runs have no value and are left out.",)
    assert statistics.summarise([1.0]).left_out == ()
    assert math.isnan(statistics.summarise([]).mean)


def test_area_over_architectures_is_the_mean_after_each():
    best = statistics.best_so_far([[1, 3, 2, 6], [4, 0, 0, 0]], higher_is_better=True)
    area = statistics.area_under_curve(best, [1, 2, 3, 4], begin=1, end=5)
    assert area.tolist() == [(1 + 3 + 3 + 6) / 4, 4]


def test_a_duplicate_costs_no_architecture():
    # The second trial repeats the first one, and the value after it holds.
    area = statistics.area_under_curve([[1, 2, 3]], [[1, 1, 2]], begin=1, end=3)
    assert area.tolist() == [2.5]


def test_area_over_cost_by_hand():
    # Nothing until 2, then 10 until 3, then 20 until the end at 10.
    values, spent = [[10, 20, NAN]], [[2, 3, NAN]]
    assert statistics.area_under_curve(values, spent, end=10, before=0).tolist() == [(10 + 20 * 7) / 10]
    # The second trial ends after the span.
    assert statistics.area_under_curve(values, spent, begin=2, end=2.5).tolist() == [10]
    # Without a value for having nothing, there is no area of a span that begins with it.
    assert np.isnan(statistics.area_under_curve(values, spent, end=10)).all()


def test_area_is_that_of_a_fine_grid():
    rng = np.random.default_rng(0)
    values, costs = rng.normal(size=(6, 40)), rng.exponential(size=(6, 40))
    grid = np.arange(0.0005, 30, 0.001)
    curves = np.array([statistics.by_cost(v, c, grid) for v, c in zip(values, costs, strict=True)])
    expected = np.where(np.isnan(curves), 7.0, curves).mean(axis=1)
    area = statistics.area_under_curve(values, costs.cumsum(axis=1), end=30, before=7)
    assert area.tolist() == pytest.approx(expected.tolist(), abs=0.01)


def test_area_of_a_run_without_a_value_is_unknown_and_told():
    area = statistics.area_under_curve([[NAN, NAN], [1, 1]], [1, 2], begin=1, end=3, before=5)
    assert math.isnan(area[0])
    assert statistics.summarise(area).left_out == ("1 of 2 runs have no value and are left out.",)


def test_a_span_without_length_is_an_error():
    with pytest.raises(ValueError, match="from 3 to 3"):
        statistics.area_under_curve([[1]], [[1]], begin=3, end=3)


def test_first_reaching_by_hand():
    values = [[1, 5, 9], [1, 2, 3], [NAN, 5, NAN], [NAN, NAN, NAN]]
    spent = [[10, 20, 30], [1, 2, 3], [7, 8, NAN], [NAN, NAN, NAN]]
    amounts, reached = statistics.first_reaching(values, spent, 5, higher_is_better=True)
    assert amounts.tolist()[:3] == [20, 3, 8]
    assert math.isnan(amounts[3])
    assert reached.tolist() == [True, False, True, False]
    amounts, reached = statistics.first_reaching(values, spent, 1, higher_is_better=False)
    assert amounts.tolist()[:3] == [10, 1, 8]
    assert reached.tolist() == [True, True, False, False]


def test_time_to_target_by_hand():
    # Reached after 2, 3 and 4; one run ended at 10 without, and one spent nothing that is known.
    values = [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [NAN] * 4]
    spent = [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 10], [NAN] * 4]
    result = statistics.time_to_target(values, spent, 1, higher_is_better=True)
    assert (result.runs, result.reached, result.share.value) == (4, 3, 0.75)
    assert result.median.value == 3
    assert result.expected == (2 + 3 + 4 + 10) / 3
    assert result.left_out == ("1 of 5 runs spent no known amount and are left out.",)


def test_a_target_that_no_run_reaches():
    result = statistics.time_to_target([[0, 0], [0, 0]], [1, 2], 1, higher_is_better=True)
    assert (result.reached, result.share.value, result.share.low) == (0, 0, 0)
    assert result.median.value == result.expected == math.inf
    assert statistics.time_to_target(np.empty((0, 3)), [1, 2, 3], 1, higher_is_better=True).runs == 0


def test_a_target_that_every_run_reaches_at_once():
    result = statistics.time_to_target([[1, 1]] * 3, [1, 2], 1, higher_is_better=True)
    assert (result.median.value, result.median.low, result.expected, result.share.high) == (1, 1, 1, 1)
    # Three runs say nothing of how much it may take at most.
    assert result.median.high == math.inf


def test_median_of_a_published_example_with_censored_runs():
    # Weeks of remission under 6-mercaptopurine: Freireich et al. (1963), as in Kalbfleisch and Prentice. The
    # Kaplan-Meier median is 23, and its log-log interval begins at 13 and has no upper end.
    reached = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    values = [[1]] * len(reached) + [[0]] * len(censored)
    result = statistics.time_to_target(values, [[t] for t in reached + censored], 1, higher_is_better=True)
    assert (result.median.value, result.median.low, result.median.high) == (23, 13, math.inf)
    assert result.expected == 359 / 9
