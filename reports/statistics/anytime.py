"""Curves: what a run has found after each trial, and how good it was all along.

Arrays are ``(trials,)`` or ``(runs, trials)``; a run that has no value at a trial holds NaN there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    from reports.statistics.samples import Floats


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
    better = np.fmax if higher_is_better else np.fmin
    best: Floats = better.accumulate(np.asarray(values, dtype=float), axis=-1)
    return best


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


def area_under_curve(
    values: ArrayLike, spent: ArrayLike, *, end: float, begin: float = 0.0, before: ArrayLike = math.nan
) -> Floats:
    """Mean height of each run's curve between two amounts spent: the area under it over the length of that span.

    A value holds from when its trial has ended until the next one ends, the last one for good, so that a run that ended
    early is not punished for it. The steps are added up exactly, on no grid. Of normalised regret
    (:func:`reports.statistics.normalised_regret`) it is 0 for a run that had the optimum from the start, and 1 for
    one that was never better than the floor.

    ======================  ==============================  ================================
    by                      ``spent``                       ``begin``, ``end``
    ======================  ==============================  ================================
    distinct architectures  1, 2, 3, ...                    1, budget + 1: the mean after
                                                            1, 2, ..., budget of them
    GPU hours, or tokens    their sum up to and with        0, budget
                            each trial
    ======================  ==============================  ================================

    Args:
        values: ``(runs, trials)``: what holds after each trial, such as :func:`best_so_far`. NaN before the first
            value, and after the last trial of a run.
        spent: ``(runs, trials)`` or ``(trials,)``: amount spent when the trial has ended, never falling along a run;
            NaN after its last trial.
        end: Where the span ends. Equal for all runs that are compared.
        begin: Where it begins.
        before: What having no value yet counts as, one for all or ``(runs,)``: for normalised regret, 1.

    Returns:
        ``(runs,)``; NaN for runs that have no value at all, and without ``before`` for those that have none yet at
        ``begin``. :func:`reports.statistics.summarise` says how many.

    Raises:
        ValueError: The span has no length.
    """
    if not begin < end:
        raise ValueError(f"The span from {begin} to {end} has no length: give an end above {begin}.")
    heights = np.asarray(values, dtype=float)
    none = np.isnan(heights).all(axis=1)
    starts = np.broadcast_to(np.asarray(spent, dtype=float), heights.shape)
    starts = np.clip(np.where(np.isnan(starts), end, starts), begin, end)
    nothing = np.broadcast_to(np.asarray(before, dtype=float), none.shape)[:, None]
    # Before the first trial there is nothing; then each value until the next.
    heights = np.where(np.isnan(heights), nothing, heights)
    heights = np.concatenate([nothing, heights], axis=1)
    edges = np.full((len(starts), 1), begin), starts, np.full((len(starts), 1), end)
    lengths = np.diff(np.concatenate(edges, axis=1), axis=1)
    area = np.where(lengths > 0, lengths * heights, 0.0).sum(axis=1) / (end - begin)
    return np.where(none, math.nan, area)
