"""Rank correlations with bootstrap intervals: pure functions on arrays.

A resample of n things is a vector of n counts: how often each was drawn. Its correlation is that of a list in which
each thing stands that often. Resamples of the same things differ in their counts alone, so things are sorted and
compared once, and each resample takes sums. The results are those of ``scipy.stats`` on such lists, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.float32]
    Codes = NDArray[np.intp]

RESAMPLES = 1000
"""Resamples of samples of up to :data:`LARGE` things."""
RESAMPLES_OF_LARGE = 250
LARGE = 5000
FEWEST = 10
"""Things of the smallest sample whose resamples are taken for what other samples would give."""

# Things of a strip, which are compared one by one; and counts that are worked on at a time.
_STRIP = 128
_AT_A_TIME = 2**21


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; NaN where it is not defined.

    Attributes:
        value: Of the sample.
        low: Lower end.
        high: Upper end.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


def resamples(things: int, *, count: int | None = None, seed: int = 0) -> Counts:
    """Bootstrap resamples: how often each thing was drawn, ``(things, count)``.

    Args:
        things: Size of the sample, and of each resample.
        count: Number of resamples; :data:`RESAMPLES`, or :data:`RESAMPLES_OF_LARGE`, without.
        seed: Equal arguments give equal resamples.
    """
    if count is None:
        count = RESAMPLES if things <= LARGE else RESAMPLES_OF_LARGE
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(things, size=things), minlength=things) for _ in range(count))
    return np.stack(list(drawn), axis=1).astype(np.float32)


def estimate(value: float, replicates: Floats, *, things: int, level: float = 0.95) -> Estimate:
    """A value with its percentile bootstrap interval, which samples of fewer than :data:`FEWEST` things have none of.

    Two things that are ordered alike have tau 1 in every resample, and the interval would say that this is certain.

    Args:
        value: Of the sample.
        replicates: The same of each resample; NaN where it is not defined there.
        things: Size of the sample.
        level: Share of the replicates that the interval holds.
    """
    defined = replicates[~np.isnan(replicates)]
    if math.isnan(value) or not defined.size or things < FEWEST:
        return Estimate(value)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's tau-b; NaN for fewer than two things, or where one of the two orders ties all.

    Args:
        first: ``(things,)``, without NaN.
        second: ``(things,)``, without NaN.
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return math.nan if len(one) < 2 else float(stats.kendalltau(one, other, variant="b").statistic)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation, ties with their mean rank; NaN as :func:`kendall`.

    Args:
        first: ``(things,)``, without NaN.
        second: ``(things,)``, without NaN.
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(stats.spearmanr(one, other).statistic)


def tied_pairs(values: ArrayLike) -> float:
    """Share of the pairs of things whose values are equal; NaN for fewer than two things.

    Args:
        values: ``(things,)``.
    """
    sizes = np.unique(np.asarray(values, dtype=float), return_counts=True)[1]
    n = int(sizes.sum())
    return math.nan if n < 2 else float((sizes * (sizes - 1)).sum() / (n * (n - 1)))


def top(values: ArrayLike, counts: Counts, share: float) -> Counts:
    """The counts of the best things of each resample; 0 for the others.

    The best are those of which fewer than ``share`` of the resample are better, so that equals stay together.

    Args:
        values: ``(things,)``, higher is better.
        counts: ``(things, resamples)``.
        share: Between 0 and 1.
    """
    codes = _codes(-np.asarray(values, dtype=float))
    groups = _sums(codes, counts)
    better = groups.cumsum(axis=0) - groups
    return np.where((better < share * groups.sum(axis=0))[codes], counts, np.float32(0))


def kendall_of_resamples(first: ArrayLike, second: ArrayLike, counts: Counts) -> Floats:
    """Kendall's tau-b of each resample; NaN where one of the two orders ties all.

    Args:
        first: ``(things,)``, without NaN.
        second: ``(things,)``, without NaN.
        counts: ``(things, resamples)``.

    Returns:
        ``(resamples,)``.
    """
    if len(counts) < 2:
        return np.full(counts.shape[1], math.nan)
    pairs = _Pairs(_codes(first), _codes(second))
    return _in_parts(pairs.tau, counts)


def spearman_of_resamples(first: ArrayLike, second: ArrayLike, counts: Counts) -> Floats:
    """Spearman's rank correlation of each resample; NaN where one of the two orders ties all.

    Args:
        first: ``(things,)``, without NaN.
        second: ``(things,)``, without NaN.
        counts: ``(things, resamples)``.

    Returns:
        ``(resamples,)``.
    """
    if len(counts) < 2:
        return np.full(counts.shape[1], math.nan)
    orders = (_codes(first), _codes(second))

    def correlation(part: Counts) -> Floats:
        ranks, variances = zip(*(_centred_ranks(codes, part) for codes in orders), strict=True)
        covariance = np.einsum("ij,ij,ij->j", part, *(r[c] for r, c in zip(ranks, orders, strict=True)))
        return _ratio(covariance, np.sqrt(variances[0] * variances[1]))

    return _in_parts(correlation, counts)


class _Pairs:
    """Concordant less discordant pairs, counted by a grid over the two orders.

    The things are cut into strips of neighbours, once by either order. Pairs that share no strip are in the order of
    their strips, so sums over a grid of strips by strips count them. Those that share one are compared one by one,
    with a matrix of signs per strip.

    Args:
        first: Order of the things, as :func:`_codes` gives it.
        second: Another.
    """

    def __init__(self, first: Codes, second: Codes) -> None:
        self._first, self._second = first, second
        rows, columns = _strips(first), _strips(second)
        self._shape = (int(rows.max(initial=0)) + 1, int(columns.max(initial=0)) + 1)
        self._cells = rows * self._shape[1] + columns
        self._signs: list[tuple[Codes, Counts]] = []
        for strips, order, others in ((rows, first, None), (columns, second, rows)):
            for things in _members(strips):
                if np.ptp(order[things]) == 0:
                    # All tied.
                    continue
                signs = _signs(first[things]) * _signs(second[things])
                if others is not None:
                    # Those that share both strips were compared before.
                    signs *= others[things][:, None] != others[things]
                self._signs.append((things, signs))

    def tau(self, counts: Counts) -> Floats:
        """Tau-b of each column of counts."""
        n = counts.sum(axis=0, dtype=float)
        untied = [
            (n**2 - (_sums(codes, counts) ** 2).sum(axis=0)) / 2 for codes in (self._first, self._second)
        ]
        return _ratio(self._surplus(counts), np.sqrt(untied[0] * untied[1]))

    def _surplus(self, counts: Counts) -> Floats:
        grid = _sums(self._cells, counts, self._shape[0] * self._shape[1]).reshape(*self._shape, -1)
        before = grid[:-1, :-1].cumsum(axis=0).cumsum(axis=1)
        concordant = np.einsum("ijk,ijk->k", grid[1:, 1:], before)
        rows, columns = grid.sum(axis=1), grid.sum(axis=0)
        # Of pairs that share neither strip.
        pairs = (
            rows.sum(axis=0) ** 2
            - (rows**2).sum(axis=0)
            - (columns**2).sum(axis=0)
            + np.einsum("ijk,ijk->k", grid, grid)
        ) / 2
        surplus: Floats = 2 * concordant - pairs
        for things, signs in self._signs:
            drawn = counts[things]
            # Each pair stands in the matrix twice. Whole numbers below 2**24 are exact.
            surplus += np.einsum("ik,ik->k", drawn, signs @ drawn) / 2
        return surplus


def _in_parts(compute: Callable[[Counts], Floats], counts: Counts) -> Floats:
    """What is computed of all resamples, a few at a time, so that it stays near the processor."""
    step = max(1, _AT_A_TIME // max(1, len(counts)))
    parts = [compute(counts[:, i : i + step]) for i in range(0, counts.shape[1], step)]
    return np.concatenate(parts)


def _codes(values: ArrayLike) -> Codes:
    """Position of each thing in the order of the values, from 0; equal ones share it."""
    return np.unique(np.asarray(values, dtype=float), return_inverse=True)[1]


def _sums(groups: Codes, counts: Counts, size: int | None = None) -> Floats:
    """Sums of the counts of each group, ``(groups, resamples)``."""
    size = int(groups.max(initial=-1)) + 1 if size is None else size
    n = len(groups)
    members = sparse.csr_array((np.ones(n), (groups, np.arange(n))), shape=(size, n))
    sums: Floats = members @ counts
    return sums


def _strips(codes: Codes) -> Codes:
    """Which strip each thing is in: neighbours in the order, equal ones always together."""
    sizes = np.bincount(codes)
    # A group belongs to the strip in which it ends; one that would fill a strip is alone, for it needs no comparing.
    place = (np.cumsum(sizes) - 1) // _STRIP
    alone = sizes > _STRIP
    begins = (np.diff(place, prepend=0) > 0) | alone | np.append(False, alone[:-1])
    begins[:1] = False
    return np.cumsum(begins)[codes]


def _members(strips: Codes) -> Iterator[Codes]:
    order = np.argsort(strips, kind="stable")
    yield from (part for part in np.split(order, np.flatnonzero(np.diff(strips[order])) + 1) if len(part) > 1)


def _signs(codes: Codes) -> Counts:
    signs: Counts = np.sign(codes[:, None] - codes).astype(np.float32)
    return signs


def _centred_ranks(codes: Codes, counts: Counts) -> tuple[Floats, Floats]:
    """Mean ranks of each group less the mean of all, ``(groups, resamples)``, and the sum of their squares."""
    sizes = _sums(codes, counts)
    ranks: Floats = sizes.cumsum(axis=0) - sizes / 2 - sizes.sum(axis=0) / 2
    return ranks, np.einsum("ij,ij,ij->j", sizes, ranks, ranks)


def _ratio(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.divide(above, below, out=np.full(len(above), math.nan), where=below > 0)
    return ratio
