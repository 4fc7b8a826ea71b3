"""How much it takes to reach a target, where some runs never do."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from reports.correlation import Estimate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    from reports.statistics.samples import Floats


@dataclass(frozen=True)
class TimeToTarget:
    """What the runs of a strategy spent until they reached a target.

    Attributes:
        runs: Number of runs.
        reached: Runs that reached the target.
        share: Share of runs that did, with Wilson's interval.
        median: Amount by which half of the runs have reached it, after Kaplan and Meier (1958), which counts a run that
            ended before as one that may have reached it later; infinite where fewer than half of them do, as is the
            upper end of its interval where runs do not bound it.
        expected: Expected amount of a strategy that is started anew until it succeeds: all that was spent by all runs,
            over the number of successes (ERT: Auger and Hansen, 2005; COCO). Infinite without a success.
        left_out: What is not in the numbers, one sentence each.
    """

    runs: int
    reached: int
    share: Estimate
    median: Estimate
    expected: float
    left_out: tuple[str, ...]


def first_reaching(
    values: ArrayLike, spent: ArrayLike, target: float, *, higher_is_better: bool
) -> tuple[Floats, NDArray[np.bool_]]:
    """What each run had spent when it first reached a target, or in the end.

    Args:
        values: ``(runs, trials)``: score of each trial, or the best so far; NaN is no score.
        spent: ``(runs, trials)`` or ``(trials,)``: amount spent when the trial has ended (evaluations, GPU hours or
        tokens,
            summed up); NaN after the last trial of a run.
        target: The score to reach.
        higher_is_better: Direction of the scores.

    Returns:
        Amounts, ``(runs,)``, NaN for a run that has neither reached it nor spent a known amount; and whether the run
        reached the target.
    """
    scores = np.asarray(values, dtype=float)
    amounts = np.broadcast_to(np.asarray(spent, dtype=float), scores.shape)
    hits: NDArray[np.bool_] = scores >= target if higher_is_better else scores <= target
    reached = np.any(hits, axis=1)
    ended = np.fmax.reduce(amounts, axis=1, initial=-math.inf)
    ended = np.where(np.isinf(ended), math.nan, ended)
    at = np.take_along_axis(amounts, hits.argmax(axis=1)[:, None], axis=1)[:, 0] if scores.shape[1] else ended
    return np.where(reached, at, ended), reached


def time_to_target(
    values: ArrayLike, spent: ArrayLike, target: float, *, higher_is_better: bool, level: float = 0.95
) -> TimeToTarget:
    """How often runs reach a target, and what it takes.

    A run that ends without reaching it is censored: it is known only that it takes more. Leaving such runs out would
    favour strategies that succeed rarely and then early. The median assumes that where a run ended says nothing about
    when it would have succeeded, which a common budget grants; the expected amount, that runs could be started anew
    as often as one likes.

    Args:
        values: As :func:`first_reaching` takes them.
        spent: Likewise.
        target: The score to reach.
        higher_is_better: Direction of the scores.
        level: Of the intervals.
    """
    amounts, reached = first_reaching(values, spent, target, higher_is_better=higher_is_better)
    known = ~np.isnan(amounts)
    left_out = (
        (f"{(~known).sum()} of {len(known)} runs spent no known amount and are left out.",)
        if not known.all()
        else ()
    )
    amounts, reached = amounts[known], reached[known]
    runs, successes = len(amounts), int(reached.sum())
    if not runs:
        return TimeToTarget(0, 0, Estimate(), Estimate(), math.nan, left_out)
    low, high = proportion_confint(successes, runs, alpha=1 - level, method="wilson")
    share = Estimate(successes / runs, float(low), float(high))
    expected = float(amounts.sum() / successes) if successes else math.inf
    return TimeToTarget(runs, successes, share, _median(amounts, reached, level), expected, left_out)


def _median(amounts: Floats, reached: NDArray[np.bool_], level: float) -> Estimate:
    """Median of the Kaplan-Meier curve, with where its log-log band crosses one half (Brookmeyer and Crowley, 1982)."""
    sample = stats.CensoredData(uncensored=amounts[reached], right=amounts[~reached])
    survival = stats.ecdf(sample).sf
    with warnings.catch_warnings():
        # Said of the points at which no run, or every run, has succeeded: they are filled in below.
        warnings.filterwarnings("ignore", message="The confidence interval is undefined")
        band = survival.confidence_interval(confidence_level=level)
    left = survival.probabilities
    below = np.where(np.isnan(band.low.probabilities), left, band.low.probabilities)
    above = np.where(np.isnan(band.high.probabilities), 1.0, band.high.probabilities)
    value, low, high = (_crossing(survival.quantiles, curve) for curve in (left, below, above))
    return Estimate(value, low, high)


def _crossing(amounts: Floats, probabilities: Floats) -> float:
    """The first amount at which the curve is down to one half, but for rounding."""
    down = np.flatnonzero(probabilities <= 0.5 + 1e-12)
    return float(amounts[down[0]]) if down.size else math.inf
