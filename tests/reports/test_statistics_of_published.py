"""Published against measured numbers: against Welch's test of scipy and the two one-sided tests of statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

from reports import statistics


@pytest.fixture
def samples():
    """Runs of a paper, which prints their mean and spread, and runs that are measured."""
    rng = np.random.default_rng(3)
    return rng.normal(70, 1, 5), rng.normal(70.4, 2, 9)


def test_welchs_test_of_summaries_is_that_of_the_runs(samples):
    theirs, ours = samples
    result = statistics.compare_with_published(
        theirs.mean(), ours, spread=theirs.std(ddof=1), runs=5, margin=3
    )
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    assert result.standard_errors == pytest.approx(expected.statistic)
    assert result.p_differs == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    equivalence, *_ = ttost_ind(ours, theirs, -3, 3, usevar="unequal")
    assert result.p_beyond == pytest.approx(equivalence)
    assert result.assumed == ()


def test_agreement_has_to_be_shown():
    ours = [69.9, 70.0, 70.1, 70.0, 69.8, 70.2]
    close = statistics.compare_with_published(70.05, ours, spread=0.5, runs=10)
    assert close.verdict == "agrees"
    assert close.margin == 0.5
    # The same difference, from two runs on either side, may be anything.
    few = statistics.compare_with_published(70.05, ours[:2], spread=0.5, runs=2)
    assert few.verdict == "cannot be said"
    assert "more runs would tell" in few.reason


def test_a_difference_is_told_in_standard_errors():
    result = statistics.compare_with_published(75, [69, 70, 71, 70], spread=1, runs=4)
    assert result.verdict == "differs"
    assert result.difference == -5
    assert result.standard_errors == pytest.approx(-5 / math.sqrt((2 / 3) / 4 + 1 / 4))
    assert "7.7 standard errors" in result.reason


def test_a_difference_that_does_not_matter_is_agreement():
    ours = np.array([70.0, 70.01, 69.99, 70.0])
    result = statistics.compare_with_published(70.1, ours, spread=0.01, runs=10, margin=0.5)
    assert result.p_differs < 0.001
    assert result.verdict == "agrees"


def test_without_a_spread_nothing_agrees_unless_a_margin_is_named():
    ours = [69.9, 70.0, 70.1, 70.0]
    result = statistics.compare_with_published(70.0, ours)
    assert result.verdict == "cannot be said"
    assert len(result.assumed) == 2
    # A single run of the paper that scatters as ours: the interval for one further run.
    reach = stats.t.ppf(0.975, 3) * np.std(ours, ddof=1) * math.sqrt(1 + 1 / 4)
    assert (result.low, result.high) == pytest.approx((-reach, reach))
    assert statistics.compare_with_published(70.0, ours, margin=1).verdict == "agrees"
    assert statistics.compare_with_published(75.0, ours).verdict == "differs"


def test_an_unknown_number_of_runs_counts_as_one():
    ours = [69.9, 70.0, 70.1, 70.0]
    result = statistics.compare_with_published(70.5, ours, spread=0.5)
    assert result.standard_error == pytest.approx(math.sqrt(np.var(ours, ddof=1) / 4 + 0.25))
    assert result.assumed == ("The paper does not say how many runs its mean is of: it counts as one.",)


def test_one_measured_run_borrows_the_published_spread():
    result = statistics.compare_with_published(70, [73.0], spread=1, runs=4)
    assert result.standard_error == pytest.approx(math.sqrt(1 + 1 / 4))
    assert result.p_differs == pytest.approx(2 * stats.t.sf(3 / math.sqrt(1.25), 3))
    assert "scatter as the published ones" in result.assumed[0]


@pytest.mark.parametrize(
    ("ours", "reason"),
    [
        ([], "No run was measured."),
        ([math.nan], "No run was measured."),
        ([70.0], "One run was measured, and"),
    ],
)
def test_without_any_spread_nothing_can_be_said(ours, reason):
    result = statistics.compare_with_published(70, ours)
    assert result.verdict == "cannot be said"
    assert result.reason.startswith(reason)
    assert math.isnan(result.p_differs)


def test_failed_runs_are_told():
    result = statistics.compare_with_published(70, [70, math.nan, 71], spread=1, runs=3)
    assert result.runs == 2
    assert result.left_out == ("1 of 3 measured runs have no score and are left out.",)


def test_runs_that_all_find_the_optimum_agree_but_for_rounding():
    # 94.3733 is printed as 94.37 with a spread of 0.00.
    ours = [94.3733] * 4
    assert statistics.compare_with_published(94.37, ours, spread=0, runs=3).verdict == "differs"
    rounded = statistics.compare_with_published(94.37, ours, spread=0, runs=3, rounding=0.005)
    assert rounded.verdict == "cannot be said"
    within = statistics.compare_with_published(94.37, ours, spread=0, runs=3, rounding=0.005, margin=0.01)
    assert within.verdict == "agrees"
    assert statistics.compare_with_published(70.0, [70.0] * 3, spread=0, runs=3).verdict == "agrees"


@pytest.mark.parametrize("wrong", [{"spread": -1.0}, {"runs": 0}, {"margin": -0.1}, {"rounding": -1.0}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least"):
        statistics.compare_with_published(70, [70.0, 71.0], **wrong)
