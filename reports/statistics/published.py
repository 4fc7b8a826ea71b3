"""What a paper reports beside what was measured: the same number, another one, or not to be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Literal

import numpy as np
from scipy import stats

from reports.statistics.samples import mean
from reports.statistics.samples import std

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from reports.statistics.samples import Floats

Verdict = Literal["agrees", "differs", "cannot be said"]


@dataclass(frozen=True)
class PublishedComparison:
    """A published mean against measured runs; NaN for what is not known.

    Attributes:
        published: Published mean.
        measured: Mean over the measured runs.
        runs: Number of measured runs with a score.
        difference: Measured minus published.
        standard_error: Of that difference.
        standard_errors: How many of these the two are apart, with the sign of the difference.
        low: Lower end of the interval of the difference.
        high: Its upper end.
        margin: How large a difference may be and still count as none.
        p_differs: Two-sided p-value of Welch's test that the two means are equal.
        p_beyond: P-value of the two one-sided tests that they are further apart than the margin.
        verdict: ``agrees`` where the difference is shown to be within the margin, ``differs`` where it is shown to be
            there and not shown to be within it, ``cannot be said`` where neither is shown.
        reason: Why that verdict, one sentence.
        assumed: What stands in for what is not known, one sentence each.
        left_out: What is not in the numbers, one sentence each.
    """

    published: float
    measured: float
    runs: int
    difference: float
    standard_error: float
    standard_errors: float
    low: float
    high: float
    margin: float
    p_differs: float
    p_beyond: float
    verdict: Verdict
    reason: str
    assumed: tuple[str, ...]
    left_out: tuple[str, ...]


def compare_with_published(
    published: float,
    measured: ArrayLike,
    *,
    spread: float | None = None,
    runs: int | None = None,
    margin: float | None = None,
    rounding: float = 0.0,
    level: float = 0.95,
) -> PublishedComparison:
    """Whether measured runs give what a paper reports.

    The interval of the difference and its p-value are Welch's, of two samples with variances of their own. That two
    means do not differ significantly does not say that they are equal: equivalence is tested for itself, by two
    one-sided tests against a margin (TOST: Schuirmann, 1987). All of it assumes means of about normal distribution,
    and that both sides mean the same: split, fidelity, budget, and a spread over runs that is a standard deviation.

    What a paper does not say is assumed, and :attr:`PublishedComparison.assumed` tells it: without a spread, runs
    scatter as the measured ones; without a number of runs, its mean is that of a single run, which makes the interval
    as wide as it can be. A single measured run takes the published spread likewise.

    Args:
        published: Published mean.
        measured: ``(runs,)``: measured scores in the same unit; NaN is left out.
        spread: Published standard deviation over runs.
        runs: Number of runs of the published mean.
        margin: Difference that does not matter, in the unit of the scores. Without one it is the published spread: a
            mean that is off by less is off by less than one run of the paper from another.
        rounding: By how much the printed number may differ from the paper's own: half a unit of its last digit. It
            widens the interval on both sides.
        level: Of the interval.

    Raises:
        ValueError: A negative spread, margin or rounding, or fewer than one run.
    """
    if min(spread or 0, margin or 0, rounding) < 0 or (runs is not None and runs < 1):
        raise ValueError(
            f"Spread {spread}, margin {margin} and rounding {rounding} must be at least 0, and runs {runs} at least 1."
        )
    array = np.asarray(measured, dtype=float)
    known = array[~np.isnan(array)]
    without = len(array) - len(known)
    left_out = (
        (f"{without} of {len(array)} measured runs have no score and are left out.",) if without else ()
    )
    error, freedom, assumed = _standard_error(known, spread, runs)
    difference = mean(known) - published
    away = abs(difference)
    accepted = spread if margin is None else margin
    accepted = math.nan if accepted is None else accepted
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * error + rounding
    p_differs = 2 * float(stats.t.sf(_over(max(away - rounding, 0.0), error, nothing=0.0), freedom))
    # Of the two one-sided tests, the one on the side of the difference has the larger p-value, which counts.
    p_beyond = float(stats.t.sf(_over(accepted - rounding - away, error, nothing=math.inf), freedom))
    verdict, reason = _verdict(difference, error, accepted, p_differs, p_beyond, 1 - level)
    return PublishedComparison(
        published=published,
        measured=mean(known),
        runs=len(known),
        difference=difference,
        standard_error=error,
        standard_errors=_over(difference, error, nothing=0.0),
        low=difference - reach,
        high=difference + reach,
        margin=accepted,
        p_differs=p_differs,
        p_beyond=p_beyond,
        verdict=verdict,
        reason=reason,
        assumed=assumed,
        left_out=left_out,
    )


def _standard_error(
    measured: Floats, spread: float | None, runs: int | None
) -> tuple[float, float, tuple[str, ...]]:
    """Standard error of the difference, its degrees of freedom, and what was assumed."""
    n, own = len(measured), std(measured)
    assumed = []
    if n and runs is None:
        assumed.append("The paper does not say how many runs its mean is of: it counts as one.")
    theirs = runs or 1
    # A spread of unknown origin is taken as it stands.
    their_freedom = theirs - 1 if theirs > 1 else math.inf
    if n == 0 or (n == 1 and spread is None):
        return math.nan, math.nan, tuple(assumed)
    if n == 1:
        assumed.append("One run was measured: it is taken to scatter as the published ones do.")
        return float(spread or 0) * math.sqrt(1 + 1 / theirs), their_freedom, tuple(assumed)
    if spread is None:
        assumed.append("The paper gives no spread: its runs are taken to scatter as the measured ones do.")
        return own * math.sqrt(1 / n + 1 / theirs), n - 1, tuple(assumed)
    variances = np.array([own**2 / n, spread**2 / theirs])
    total = float(variances.sum())
    if total == 0:
        return 0.0, math.inf, tuple(assumed)
    freedom = total**2 / float((variances**2 / np.array([n - 1, their_freedom])).sum())
    return math.sqrt(total), freedom, tuple(assumed)


def _verdict(
    difference: float, error: float, margin: float, p_differs: float, p_beyond: float, significance: float
) -> tuple[Verdict, str]:
    if math.isnan(difference):
        return "cannot be said", "No run was measured."
    if math.isnan(error):
        return "cannot be said", "One run was measured, and the paper gives no spread."
    if p_beyond < significance:
        return (
            "agrees",
            f"The difference of {difference:+.3g} is shown to be within the margin of {margin:.3g}.",
        )
    if p_differs < significance:
        apart = f"{abs(difference) / error:.1f} standard errors" if error else "without any spread"
        return (
            "differs",
            f"The means are {difference:+.3g} apart ({apart}), and not shown to be within a margin.",
        )
    if math.isnan(margin):
        return "cannot be said", (
            "No difference is shown, and no agreement either: without a published spread that takes a margin."
        )
    return "cannot be said", (
        f"The difference of {difference:+.3g} may be none, and with a standard error of {error:.3g} may also be beyond "
        f"the margin of {margin:.3g}: more runs would tell."
    )


def _over(value: float, error: float, *, nothing: float) -> float:
    """How many standard errors a value is, of which 0 of 0 is ``nothing``."""
    if error == 0:
        return math.copysign(math.inf, value) if value else nothing
    return value / error
