"""Numbers over seeds and over trials: pure functions on arrays.

Arrays are ``(runs,)`` or ``(runs, points)``; a run that has no value at a point holds NaN there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIGNIFICANCE = 0.05
_EXACT_UP_TO = 20


def mean(values: ArrayLike) -> float:
    """Mean over runs; NaN without a run."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()) if array.size else math.nan


def std(values: ArrayLike) -> float:
    """Sample standard deviation over runs (``ddof=1``); NaN with fewer than two runs."""
    array = np.asarray(values, dtype=float)
    return float(array.std(ddof=1)) if array.size > 1 else math.nan


def interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Percentile bootstrap interval of the mean over runs.

    The same as ``scipy.stats.bootstrap(method="percentile")``, but a resample is a vector of weights, so all
    points of a curve take one matrix product. Every point sees the same resamples: a band is that of curves.

    Args:
        values: ``(runs,)`` or ``(runs, points)``, without NaN.
        level: Share of the resampled means that the interval holds.
        resamples: Number of resamples.
        seed: Seed of the resampling; equal arguments give equal intervals.

    Returns:
        Lower and upper ends, each of the shape of one run's values; NaN with fewer than two runs.
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < 2:
        nothing = np.full(array.shape[1:], math.nan)
        return nothing, nothing
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    # Centred, so that rounding of the weights' sum does not widen the interval of equal values.
    centre = array.mean(axis=0)
    means = weights @ (array - centre) + centre
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def difference_interval(
    first: ArrayLike, second: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the difference of two means, of samples that share nothing.

    Args:
        first: ``(runs,)``, without NaN.
        second: ``(runs,)`` of its own length, without NaN.
        level: Share of the resampled differences that the interval holds.
        resamples: Number of resamples.
        seed: Seed of the resampling; equal arguments give equal intervals.

    Returns:
        Lower and upper end of mean of ``first`` minus mean of ``second``; NaN where one has fewer than two runs.
    """
    samples = [np.asarray(values, dtype=float) for values in (first, second)]
    if min(map(len, samples)) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    one, other = (rng.choice(values, (resamples, len(values))).mean(axis=1) for values in samples)
    low, high = np.quantile(one - other, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def kendall(ranking: ArrayLike, scores: ArrayLike) -> float:
    """Kendall's tau-b of two orders of the same things; NaN for fewer than two, or where one ties all.

    Args:
        ranking: ``(things,)``, higher is better.
        scores: ``(things,)``, higher is better, without NaN.
    """
    first, second = np.asarray(ranking, dtype=float), np.asarray(scores, dtype=float)
    return math.nan if len(first) < 2 else float(stats.kendalltau(first, second, variant="b").statistic)


def percentiles(scores: ArrayLike, population: ArrayLike, *, higher_is_better: bool) -> Floats:
    """Share of a population that is worse, in percent; what is equal counts half, so that its mean is 50.

    Args:
        scores: ``(things,)``.
        population: ``(all,)``; NaN is left out.
        higher_is_better: Direction of the scores.
    """
    sign = 1 if higher_is_better else -1
    everything = sign * np.asarray(population, dtype=float)
    everything = np.sort(everything[~np.isnan(everything)])
    values = sign * np.asarray(scores, dtype=float)
    below, upto = (np.searchsorted(everything, values, side) for side in ("left", "right"))
    shares: Floats = 50 * (below + upto) / len(everything)
    return shares


def incumbents(values: ArrayLike, *, higher_is_better: bool) -> NDArray[np.intp]:
    """Position of the best value so far, the first of equals, along the last axis.

    Args:
        values: ``(..., points)``; NaN is never best (a pruned trial).
        higher_is_better: Direction of the search.

    Returns:
        Positions, of the same shape; -1 before the first value.
    """
    scores = np.asarray(values, dtype=float) * (1 if higher_is_better else -1)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    before = np.full_like(scores, -np.inf)
    np.maximum.accumulate(scores[..., :-1], axis=-1, out=before[..., 1:])
    positions = np.arange(scores.shape[-1])
    return np.maximum.accumulate(np.where(scores > before, positions, -1), axis=-1)


def best_so_far(values: ArrayLike, *, higher_is_better: bool) -> Floats:
    """The best value so far along the last axis; NaN before the first value.

    Args:
        values: ``(..., points)``; NaN is never best.
        higher_is_better: Direction of the search.
    """
    array = np.asarray(values, dtype=float)
    at = incumbents(array, higher_is_better=higher_is_better)
    return np.where(at < 0, math.nan, np.take_along_axis(array, np.maximum(at, 0), axis=-1))


def by_architectures(values: ArrayLike, duplicate: ArrayLike) -> Floats:
    """A curve over trials as a curve over distinct architectures.

    Args:
        values: ``(trials,)``: what holds after each trial.
        duplicate: ``(trials,)``: whether the trial asked for a known architecture.

    Returns:
        ``(architectures,)``: what holds after the last trial with that many distinct architectures.
    """
    counts = np.cumsum(~np.asarray(duplicate, dtype=bool))
    last = np.searchsorted(counts, np.arange(1, counts.max(initial=0) + 1), side="right") - 1
    return np.asarray(values, dtype=float)[last]


def by_cost(values: ArrayLike, costs: ArrayLike, grid: ArrayLike) -> Floats:
    """A curve over trials as a curve over what was spent.

    Args:
        values: ``(trials,)``: what holds after each trial.
        costs: ``(trials,)``: what each trial cost, at least 0.
        grid: ``(points,)``: amounts spent, ascending.

    Returns:
        ``(points,)``: what holds once that much is spent; NaN before the first trial has ended.
    """
    spent = np.cumsum(np.asarray(costs, dtype=float))
    ended = np.searchsorted(spent, np.asarray(grid, dtype=float), side="right")
    return np.concatenate([[math.nan], np.asarray(values, dtype=float)])[ended]


def align(curves: Sequence[Floats]) -> Floats:
    """Curves of different lengths as one array; an ended run keeps its last value.

    Args:
        curves: One ``(points,)`` array per run, each with at least one point.

    Returns:
        ``(runs, points)`` of the longest.
    """
    points = max(map(len, curves), default=0)
    return np.array([np.pad(curve, (0, points - len(curve)), mode="edge") for curve in curves])


def distance(values: ArrayLike, optimum: float, *, higher_is_better: bool) -> Floats:
    """How far values are from the optimum: at least 0, in the unit of the values."""
    return (optimum - np.asarray(values, dtype=float)) * (1 if higher_is_better else -1)


def holm(p_values: Sequence[float]) -> Floats:
    """P-values corrected for their number by Holm's step-down method (1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


@dataclass(frozen=True)
class Comparison:
    """Strategies against the best baseline.

    Attributes:
        reference: Label of the baseline with the best mean; ``None`` where there is none.
        n_reference: Its number of runs.
        n: Number of runs of each other strategy.
        p_values: Corrected p-value of each strategy that could be tested.
        needed: Runs per strategy from which a test could reject at all.
    """

    reference: str | None
    n_reference: int
    n: Mapping[str, int]
    p_values: Mapping[str, float]
    needed: int


def smallest_p(n: int, m: int) -> float:
    """The smallest two-sided p-value that the Mann-Whitney U test can give for two samples without ties."""
    return 2 / math.comb(n + m, n) if n and m else 1.0


def compare_with_best_baseline(
    scores: Mapping[str, ArrayLike], baselines: Sequence[str], *, higher_is_better: bool
) -> Comparison:
    """Two-sided Mann-Whitney U tests of every strategy against the best baseline, Holm-corrected.

    Runs of two strategies with the same seed share nothing, so the test is the unpaired one. Samples of up to
    20 runs are permuted, exactly where that takes few permutations and seeded where not, for ties are common
    on a table; larger ones use the normal approximation. A comparison whose smallest possible p-value, times
    the number of comparisons, exceeds 0.05 is not made: it could only ever say "no difference".

    Args:
        scores: Strategy label to the final scores of its runs, ``(runs,)``.
        baselines: Labels that may be the reference.
        higher_is_better: Direction of the scores.
    """
    samples = {label: np.asarray(values, dtype=float) for label, values in scores.items() if np.size(values)}
    sign = 1 if higher_is_better else -1
    known = [label for label in baselines if label in samples]
    reference = max(known, key=lambda label: sign * samples[label].mean(), default=None)
    others = [label for label in samples if label != reference]
    n = {label: len(samples[label]) for label in others}
    needed = next(k for k in range(2, 100) if smallest_p(k, k) * max(len(others), 1) <= SIGNIFICANCE)
    if reference is None:
        return Comparison(None, 0, n, {}, needed)
    best = samples[reference]
    possible = [o for o in others if smallest_p(n[o], len(best)) * len(others) <= SIGNIFICANCE]
    raw = [_mann_whitney(samples[label], best) for label in possible]
    p_values = dict(zip(possible, holm(raw).tolist(), strict=True))
    return Comparison(reference, len(best), n, p_values, needed)


def _mann_whitney(a: Floats, b: Floats) -> float:
    if max(len(a), len(b)) > _EXACT_UP_TO:
        return float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    method = stats.PermutationMethod(n_resamples=9999, rng=np.random.default_rng(0))
    return float(stats.mannwhitneyu(a, b, method=method).pvalue)
