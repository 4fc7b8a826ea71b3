"""Seconds of the statistics over 10,000 runs of 100 trials, beside a bare loop that computes the same.

Run it: ``python -m tests.performance.bench_statistics``. The runs are of 20 strategies on 5 benchmarks, 100 seeds each.
A loop takes runs or resamples one by one with numpy and scipy. Where it would take minutes it does a part of the work,
and its time is scaled up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from threadpoolctl import threadpool_limits

from reports import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

STRATEGIES, BENCHMARKS, SEEDS, TRIALS = 20, 5, 100, 100
RESAMPLES = 2000


@dataclass(frozen=True)
class Timing:
    """Seconds of one statistic over all runs.

    Attributes:
        name: What is computed.
        ours: By this library.
        loop: By a loop.
    """

    name: str
    ours: float
    loop: float


class Study:
    """10,000 runs of 100 trials, whose scores and costs are drawn."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        runs = STRATEGIES * BENCHMARKS * SEEDS
        self.values = rng.normal(70, 5, (runs, TRIALS))
        self.best = statistics.best_so_far(self.values, higher_is_better=True)
        self.spent = rng.exponential(size=(runs, TRIALS)).cumsum(axis=1)
        labels = pd.MultiIndex.from_product(
            [[f"s{i}" for i in range(STRATEGIES)], [f"b{i}" for i in range(BENCHMARKS)], range(SEEDS)],
            names=["strategy", "benchmark", "seed"],
        )
        self.frame = labels.to_frame(index=False).assign(score=self.best[:, -1])
        self.table = statistics.ScoreTable.from_frame(self.frame, value="score", higher_is_better=True)
        self.strata = self.table.values[0]

    def timings(self) -> Iterable[Timing]:
        """Each statistic, ours and by a loop."""
        table, few = self.table, 40
        yield Timing(
            "best so far",
            _seconds(lambda: statistics.best_so_far(self.values, higher_is_better=True)),
            _seconds(lambda: [np.maximum.accumulate(run) for run in self.values]),
        )
        yield Timing(
            "area under the curve",
            _seconds(lambda: statistics.area_under_curve(self.best, self.spent, end=80, before=50)),
            _seconds(lambda: [_area(*run) for run in zip(self.best, self.spent, strict=True)]),
        )
        yield Timing(
            "time to target",
            _seconds(lambda: statistics.time_to_target(self.best, self.spent, 85, higher_is_better=True)),
            _seconds(lambda: [_first(*run) for run in zip(self.best, self.spent, strict=True)]),
        )
        yield Timing(
            "interquartile mean of each strategy",
            _seconds(lambda: [statistics.aggregate(table, s) for s in table.strategies]),
            _seconds(lambda: _resample(self.strata, few)) * RESAMPLES / few * STRATEGIES,
        )
        yield Timing(
            "probability of improvement of each strategy",
            _seconds(
                lambda: [statistics.probability_of_improvement(table, s, "s0") for s in table.strategies]
            ),
            _seconds(lambda: _improve(self.strata, table.values[1], few)) * RESAMPLES / few * STRATEGIES,
        )
        yield Timing(
            "ranks, with intervals",
            _seconds(lambda: statistics.average_ranks(table)),
            _seconds(lambda: _rank(table.values, few)) * RESAMPLES / few,
        )
        yield Timing(
            "mean with interval of each strategy on each benchmark",
            _seconds(lambda: [statistics.summarise(runs) for runs in table.values.reshape(-1, SEEDS)]),
            _seconds(lambda: _means(self.strata[0], few)) * RESAMPLES / few * STRATEGIES * BENCHMARKS,
        )
        yield Timing(
            "Friedman's and Nemenyi's tests",
            _seconds(lambda: statistics.rank_test(table)),
            _seconds(lambda: _friedman(table.means, few)) * 10_000 / few,
        )
        yield Timing(
            "signed ranks of each strategy on 12 benchmarks",
            _seconds(lambda: [_paired(run) for run in self.values[:STRATEGIES, :12]]),
            _seconds(lambda: [_wilcoxon(run) for run in self.values[:2, :12]]) * STRATEGIES / 2,
        )
        yield Timing(
            "published against measured, 100 cells",
            _seconds(lambda: [_against_published(run) for run in self.values[:100]]),
            _seconds(lambda: [_welch(run) for run in self.values[:100]]),
        )


def _seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Of the fastest of some rounds, in processor time, which others on the machine disturb less."""
    taken = []
    with threadpool_limits(limits=1):
        for _ in range(rounds):
            began = time.process_time()
            work()
            taken.append(time.process_time() - began)
    return min(taken)


def _area(best: np.ndarray, spent: np.ndarray) -> float:
    edges = np.clip(np.concatenate([[0.0], spent, [80.0]]), 0, 80)
    return float((np.diff(edges) * np.concatenate([[50.0], best])).sum() / 80)


def _first(best: np.ndarray, spent: np.ndarray) -> float:
    hits = np.flatnonzero(best >= 85)
    return float(spent[hits[0]]) if hits.size else float(spent[-1])


def _resample(strata: np.ndarray, times: int) -> list[float]:
    rng = np.random.default_rng(0)
    return [
        float(stats.trim_mean(np.concatenate([rng.choice(runs, len(runs)) for runs in strata]), 0.25))
        for _ in range(times)
    ]


def _improve(first: np.ndarray, second: np.ndarray, times: int) -> list[float]:
    rng = np.random.default_rng(0)
    return [
        float(
            np.mean(
                [
                    stats.mannwhitneyu(rng.choice(x, len(x)), rng.choice(y, len(y))).statistic
                    / (len(x) * len(y))
                    for x, y in zip(first, second, strict=True)
                ]
            )
        )
        for _ in range(times)
    ]


def _rank(values: np.ndarray, times: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        stats.rankdata(
            [[rng.choice(runs, len(runs)).mean() for runs in strategy] for strategy in values], axis=0
        ).mean(axis=1)
        for _ in range(times)
    ]


def _means(runs: np.ndarray, times: int) -> list[float]:
    rng = np.random.default_rng(0)
    return [float(rng.choice(runs, len(runs)).mean()) for _ in range(times)]


def _friedman(means: np.ndarray, times: int) -> list[float]:
    rng = np.random.default_rng(0)
    return [float(stats.friedmanchisquare(*rng.permuted(means, axis=0)).statistic) for _ in range(times)]


def _paired(differences: np.ndarray) -> float:
    return statistics.paired_test(differences, np.full(12, 70.0), higher_is_better=True).p_value


def _wilcoxon(differences: np.ndarray) -> float:
    return float(stats.wilcoxon(differences - 70, method=stats.PermutationMethod(n_resamples=9999)).pvalue)


def _against_published(runs: np.ndarray) -> float:
    return statistics.compare_with_published(70, runs, spread=5, runs=10).p_differs


def _welch(runs: np.ndarray) -> list[float]:
    summaries = (float(runs.std(ddof=1)), len(runs), 70, 5, 10)
    return [
        float(
            stats.ttest_ind_from_stats(
                float(runs.mean()) + shift, *summaries, equal_var=False, alternative=side
            ).pvalue
        )
        for shift, side in ((0, "two-sided"), (5, "greater"), (-5, "less"))
    ]


def main() -> None:
    study = Study()
    print(f"{len(study.values):,} runs of {TRIALS} trials, {RESAMPLES:,} resamples; seconds of one processor")
    for timing in study.timings():
        times = timing.loop / timing.ours
        print(f"{timing.name:<55} {timing.ours:8.3f}, loop {timing.loop:8.2f} ({times:.1f} times)")


if __name__ == "__main__":
    main()
