"""Ranks of strategies over benchmarks, and whether they differ: Friedman's test and Nemenyi's.

After Demšar (2006), "Statistical comparisons of classifiers over multiple data sets", Section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from reports.statistics.resampling import blocks
from reports.statistics.score_table import comparable

if TYPE_CHECKING:
    from reports.statistics.samples import Floats
    from reports.statistics.score_table import ScoreTable

# Up to so many benchmarks the chi-square and F approximations are poor (Demšar, 2006, Section 3.2.2).
_FEW_BENCHMARKS = 10
_PERMUTATIONS = 9999


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks by mean score on each benchmark, 1 for the best; equal ones share their mean rank.

    Attributes:
        strategies: Labels, of strategies that have a score on every one of these benchmarks.
        benchmarks: Labels.
        ranks: ``(strategies, benchmarks)``.
        average: ``(strategies,)``: over benchmarks.
        low: ``(strategies,)``: lower end of its stratified bootstrap interval; NaN where no strategy has two runs.
        high: ``(strategies,)``: its upper end.
        left_out: What is not in the ranks, one sentence each.
    """

    strategies: tuple[str, ...]
    benchmarks: tuple[str, ...]
    ranks: Floats
    average: Floats
    low: Floats
    high: Floats
    left_out: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RankTest:
    """Friedman's test of whether strategies differ at all, and Nemenyi's of which ones: a critical-difference diagram.

    Numbers are NaN, and there are no cliques, where the test cannot be made.

    Attributes:
        ranks: What is tested.
        chi_square: Friedman's statistic, corrected for ties, which Demšar's equation is not.
        f_ratio: The less conservative statistic of Iman and Davenport (1980), made of it.
        p_value: That all strategies are equal.
        method: Where the p-value comes from: ``permutation`` or ``Iman-Davenport``.
        significance: Of the critical difference: the probability that any two of equal strategies differ by so much.
        critical_difference: Two strategies differ where their average ranks differ by at least so much.
        p_pairs: ``(strategies, strategies)``: Nemenyi's p-value of each two, corrected for the number of pairs.
        cliques: Strategies that cannot be told apart, best first: each the largest of its kind, of two or more.
        reason: Why there is no test; empty where there is one.
    """

    ranks: Ranks
    chi_square: float
    f_ratio: float
    p_value: float
    method: str
    significance: float
    critical_difference: float
    p_pairs: Floats
    cliques: tuple[tuple[str, ...], ...]
    reason: str


def average_ranks(table: ScoreTable, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Ranks:
    """Ranks of strategies on each benchmark, and their average.

    Scores need not be normalised: only their order counts on each benchmark. Strategies or benchmarks that lack scores
    are left out (:meth:`ScoreTable.complete`). The interval is over runs, resampled within each strategy and
    benchmark: what other seeds would give on the same benchmarks.

    Args:
        table: Scores.
        level: Share of the resampled average ranks that an interval holds.
        resamples: Number of resamples.
        seed: Seed of the resampling; equal arguments give equal intervals.
    """
    table = table.complete()
    signs = np.where(table.higher_is_better, -1.0, 1.0)
    ranks = stats.rankdata(table.means * signs, axis=0)
    low = high = np.full(len(table.strategies), math.nan)
    if table.runs.max(initial=0) > 1:
        drawn = stats.rankdata(_resampled_means(table, resamples, seed) * signs, axis=1).mean(axis=2)
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    average = ranks.mean(axis=1) if table.benchmarks else np.full(len(table.strategies), math.nan)
    return Ranks(table.strategies, table.benchmarks, ranks, average, low, high, table.left_out)


def rank_test(table: ScoreTable, *, significance: float = 0.05, seed: int = 0) -> RankTest:
    """Friedman's test with Nemenyi's as the post-hoc test.

    A benchmark is one observation: the mean over runs of each strategy on it, as in Demšar (2006), so that more seeds
    sharpen the ranks, and only more benchmarks make the test more powerful. It assumes that benchmarks are independent.
    On the three data sets of NAS-Bench-201 the critical difference of five strategies is 3.5 of at most 4 ranks.

    The p-value is permuted within benchmarks up to 10 of these (exactly where that takes fewer than 10,000
    permutations, seeded where not), for approximations are poor there; above, it is that of Iman and Davenport's F.

    Args:
        table: Scores; incomplete strategies and benchmarks are left out, as :func:`average_ranks` does.
        significance: Of the critical difference.
        seed: Of permutations and resamples.
    """
    ranks = average_ranks(table, seed=seed)
    n, k = len(ranks.benchmarks), len(ranks.strategies)
    if reason := _untestable(ranks):
        nothing = np.full((k, k), math.nan)
        return RankTest(ranks, math.nan, math.nan, math.nan, "", significance, math.nan, nothing, (), reason)
    chi_square = float(stats.friedmanchisquare(*ranks.ranks).statistic)
    left = n * (k - 1) - chi_square
    f_ratio = math.inf if math.isclose(left, 0, abs_tol=1e-9) else (n - 1) * chi_square / left
    if n <= _FEW_BENCHMARKS:
        method, p_value = "permutation", _permuted_p(ranks.ranks, seed)
    else:
        method, p_value = "Iman-Davenport", float(stats.f.sf(f_ratio, k - 1, (k - 1) * (n - 1)))
    critical = critical_difference(k, n, significance=significance)
    return RankTest(
        ranks,
        chi_square,
        f_ratio,
        p_value,
        method,
        significance,
        critical,
        _nemenyi(ranks.ranks),
        _cliques(ranks, critical),
        "",
    )


def critical_difference(strategies: int, benchmarks: int, *, significance: float = 0.05) -> float:
    """Nemenyi's critical difference of average ranks (Demšar, 2006, Section 3.2.2).

    Args:
        strategies: How many are compared, at least two.
        benchmarks: On how many.
        significance: Probability that any two of equal strategies differ by so much.
    """
    q = stats.studentized_range.isf(significance, strategies, math.inf) / math.sqrt(2)
    return float(q * math.sqrt(strategies * (strategies + 1) / (6 * benchmarks)))


def _untestable(ranks: Ranks) -> str:
    if len(ranks.strategies) < 3:
        return (
            f"Friedman's test takes at least 3 strategies, and {len(ranks.strategies)} have scores on all of these "
            "benchmarks; for two there is a paired test."
        )
    if len(ranks.benchmarks) < 2:
        return f"Friedman's test takes at least 2 benchmarks; {len(ranks.benchmarks)} have scores of every strategy."
    if not np.ptp(ranks.ranks, axis=0).any():
        return "All strategies have equal scores on every benchmark."
    return ""


def _nemenyi(ranks: Floats) -> Floats:
    # It loads seaborn, which nothing else here needs.
    from scikit_posthocs import posthoc_nemenyi_friedman

    return np.asarray(posthoc_nemenyi_friedman(ranks.T), dtype=float)


def _permuted_p(ranks: Floats, seed: int) -> float:
    """Share of permutations within benchmarks whose rank sums are at least as far apart."""

    def spread(*samples: Floats, axis: int) -> Floats:
        # Grows and falls with Friedman's statistic, whose other terms no permutation changes.
        return np.asarray(np.var([sample.sum(axis=axis) for sample in samples], axis=0))

    result = stats.permutation_test(
        tuple(ranks),
        spread,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=_PERMUTATIONS,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _cliques(ranks: Ranks, critical: float) -> tuple[tuple[str, ...], ...]:
    order = np.argsort(ranks.average, kind="stable")
    places = ranks.average[order]
    # A clique is a stretch of neighbours, for all between two that are close are closer.
    last = np.searchsorted(places, places + critical, side="left")
    first = np.flatnonzero(last > np.append(0, last[:-1]))
    return tuple(
        tuple(ranks.strategies[i] for i in order[begin : last[begin]])
        for begin in first
        if last[begin] - begin > 1
    )


def _resampled_means(table: ScoreTable, resamples: int, seed: int) -> Floats:
    """Mean scores of resampled runs, ``(resamples, strategies, benchmarks)``."""
    children = iter(np.random.SeedSequence(seed).spawn(len(table.strategies) * len(table.benchmarks)))
    means = np.empty((resamples, len(table.strategies), len(table.benchmarks)))
    for s, b in np.ndindex(means.shape[1:]):
        scores = table.values[s, b]
        scores = scores[~np.isnan(scores)]
        rng, n = np.random.default_rng(next(children)), len(scores)
        drawn = (scores[rng.integers(n, size=(count, n))].mean(axis=1) for count in blocks(resamples, n))
        means[:, s, b] = np.concatenate(list(drawn))
    return comparable(means)
