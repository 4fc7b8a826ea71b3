"""The final scores of all runs, of strategies by benchmarks: what statistics over several benchmarks take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.statistics.samples import normalised_regret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reports.statistics.samples import Floats


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of runs. Make one with :meth:`from_frame`.

    Attributes:
        strategies: Labels.
        benchmarks: Labels.
        values: ``(strategies, benchmarks, runs)``; NaN where there is no run or it has no score. Runs of two
            strategies at the same place have nothing to do with each other.
        higher_is_better: ``(benchmarks,)``: direction of the scores.
        left_out: What is not in the table, or unequal in it, one sentence each. Every statistic of the table repeats
            them.
    """

    strategies: tuple[str, ...]
    benchmarks: tuple[str, ...]
    values: Floats
    higher_is_better: NDArray[np.bool_]
    left_out: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls, runs: pd.DataFrame, *, value: str, higher_is_better: bool | Mapping[str, bool]
    ) -> ScoreTable:
        """The table of a frame of runs.

        Args:
            runs: A row per run, in any order. Columns ``strategy``, ``benchmark`` and ``value``, where NaN means that
            the
                run has no score. Strategies and benchmarks keep the order in which they first stand there.
            value: Name of the column of scores.
            higher_is_better: Direction of all scores, or by benchmark.
        """
        strategies, benchmarks = (tuple(map(str, pd.unique(runs[by]))) for by in ("strategy", "benchmark"))
        order = {by: pd.Categorical(runs[by], pd.unique(runs[by])).codes for by in ("strategy", "benchmark")}
        run = runs.groupby(["strategy", "benchmark"], sort=False).cumcount().to_numpy()
        values = np.full((len(strategies), len(benchmarks), int(run.max(initial=-1)) + 1), math.nan)
        values[order["strategy"], order["benchmark"], run] = runs[value].to_numpy(dtype=float)
        planned = np.zeros(values.shape[:2], dtype=int)
        np.add.at(planned, (order["strategy"], order["benchmark"]), 1)
        if isinstance(higher_is_better, bool):
            higher_is_better = dict.fromkeys(benchmarks, higher_is_better)
        better = np.array([higher_is_better[benchmark] for benchmark in benchmarks], dtype=bool)
        left_out = _unequal(strategies, benchmarks, planned, (~np.isnan(values)).sum(axis=2))
        return cls(strategies, benchmarks, values, better, left_out)

    @property
    def runs(self) -> NDArray[np.intp]:
        """Number of runs with a score, ``(strategies, benchmarks)``."""
        return np.asarray(np.count_nonzero(~np.isnan(self.values), axis=2), dtype=np.intp)

    @property
    def means(self) -> Floats:
        """Mean score over runs, ``(strategies, benchmarks)``, as :func:`comparable`; NaN where there is none."""
        counts = self.runs
        sums = np.nansum(self.values, axis=2)
        means: Floats = np.divide(sums, counts, out=np.full(counts.shape, math.nan), where=counts > 0)
        return comparable(means)

    def of(self, strategy: str) -> Floats:
        """Scores of a strategy, ``(benchmarks, runs)``.

        Raises:
            KeyError: The table has no such strategy.
        """
        if strategy not in self.strategies:
            raise KeyError(f"The table has no strategy {strategy!r}, only {', '.join(self.strategies)}.")
        return np.asarray(self.values[self.strategies.index(strategy)])

    def complete(self) -> ScoreTable:
        """Strategies and benchmarks of which every one has a score on every other, as tests over benchmarks need.

        Strategies without any score go first, then benchmarks that one of the others lacks; :attr:`left_out` says
        which.
        """
        known = self.runs > 0
        kept = np.any(known, axis=1)
        full = np.all(known[kept], axis=0) & kept.any()
        reasons = [
            f"{s} has no score on any benchmark and is left out." for s in _where(self.strategies, ~kept)
        ]
        for b in np.flatnonzero(~full):
            without = ", ".join(_where(self.strategies, kept & ~known[:, b])) or "every strategy"
            reasons.append(f"{self.benchmarks[b]} is left out, because there is no score of {without}.")
        return ScoreTable(
            _where(self.strategies, kept),
            _where(self.benchmarks, full),
            self.values[kept][:, full],
            self.higher_is_better[full],
            (*self.left_out, *reasons),
        )

    def normalised(self, best: Mapping[str, float], floor: Mapping[str, float]) -> ScoreTable:
        """The table of normalised regrets (:func:`normalised_regret`), in which benchmarks compare and lower is better.

        Args:
            best: Benchmark to its best score.
            floor: Benchmark to the score whose regret is 1.

        Returns:
            Benchmarks without the two, or whose floor is not worse than the best, are left out, and it says so.
        """
        tops, floors = (
            np.array([given.get(b, math.nan) for b in self.benchmarks]) for given in (best, floor)
        )
        spans = np.where(self.higher_is_better, tops - floors, floors - tops)
        usable = spans > 0
        reasons = [
            f"{self.benchmarks[b]} is left out of normalised scores, because "
            + (
                "its best score or its floor is not known."
                if np.isnan(spans[b])
                else f"its floor {floors[b]:g} is not worse than its best score {tops[b]:g}."
            )
            for b in np.flatnonzero(~usable)
        ]
        regrets = normalised_regret(
            self.values[:, usable], best=tops[usable, None], floor=floors[usable, None]
        )
        return replace(
            self,
            benchmarks=_where(self.benchmarks, usable),
            values=regrets,
            higher_is_better=np.zeros(int(usable.sum()), dtype=bool),
            left_out=(*self.left_out, *reasons),
        )


def comparable(means: Floats) -> Floats:
    """Means rounded to 12 digits of the largest on their benchmark.

    Equal scores, of which tables have many, then have equal means in whatever order and number they are added up.

    Args:
        means: ``(..., strategies, benchmarks)``.
    """
    largest = np.fmax.reduce(np.abs(means), axis=-2, keepdims=True, initial=0)
    scale = np.where(largest > 0, largest, 1.0)
    return np.asarray(np.round(means / scale, 12) * scale)


def _unequal(
    strategies: Sequence[str], benchmarks: Sequence[str], planned: NDArray[np.intp], scored: NDArray[np.intp]
) -> tuple[str, ...]:
    """What is missing in a table, or differs in its number of runs."""
    said = []
    unequal: dict[str, list[str]] = {}
    for b, benchmark in enumerate(benchmarks):
        if absent := [s for s, n in zip(strategies, scored[:, b], strict=True) if n == 0]:
            said.append(f"On {benchmark} there is no score of {', '.join(absent)}.")
        partly = [
            f"{s} ({of - n} of {of})"
            for s, n, of in zip(strategies, scored[:, b], planned[:, b], strict=True)
            if 0 < n < of
        ]
        if partly:
            said.append(f"On {benchmark} runs without a score are left out: {', '.join(partly)}.")
        counts = scored[:, b][scored[:, b] > 0]
        if counts.size and counts.min() < counts.max():
            unequal.setdefault(f"{counts.min()} to {counts.max()}", []).append(benchmark)
    if unequal:
        numbers = "; ".join(f"{span} on {', '.join(on)}" for span, on in unequal.items())
        said.append(f"Strategies differ in their number of runs: {numbers}.")
    return tuple(said)


def _where(labels: Sequence[str], kept: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(label for label, keep in zip(labels, kept, strict=True) if keep)
