"""Statistics over seeds, trials and benchmarks: pure functions on arrays, seeded where they draw.

``samples``: runs of one strategy on one benchmark. ``anytime``: curves over trials. ``targets``: time to reach a
target.
``significance``: tests of differences. ``score_table``, ``aggregates``, ``ranks``: several benchmarks together.
``published``: what a paper reports beside what was measured. Rank correlations are in :mod:`reports.correlation`.

What has no score is NaN; results say what they leave out.
"""

from __future__ import annotations

from reports.correlation import kendall
from reports.statistics.aggregates import Aggregate
from reports.statistics.aggregates import Statistic
from reports.statistics.aggregates import aggregate
from reports.statistics.aggregates import interquartile_mean
from reports.statistics.aggregates import probability_of_improvement
from reports.statistics.anytime import align
from reports.statistics.anytime import area_under_curve
from reports.statistics.anytime import best_so_far
from reports.statistics.anytime import by_architectures
from reports.statistics.anytime import by_cost
from reports.statistics.anytime import incumbents
from reports.statistics.published import PublishedComparison
from reports.statistics.published import Verdict
from reports.statistics.published import compare_with_published
from reports.statistics.ranks import Ranks
from reports.statistics.ranks import RankTest
from reports.statistics.ranks import average_ranks
from reports.statistics.ranks import critical_difference
from reports.statistics.ranks import rank_test
from reports.statistics.samples import Floats
from reports.statistics.samples import Summary
from reports.statistics.samples import difference_interval
from reports.statistics.samples import distance
from reports.statistics.samples import interval
from reports.statistics.samples import mean
from reports.statistics.samples import normalised_regret
from reports.statistics.samples import percentiles
from reports.statistics.samples import std
from reports.statistics.samples import summarise
from reports.statistics.score_table import ScoreTable
from reports.statistics.significance import SIGNIFICANCE
from reports.statistics.significance import Comparison
from reports.statistics.significance import PairedTest
from reports.statistics.significance import compare_over_benchmarks
from reports.statistics.significance import compare_with_best_baseline
from reports.statistics.significance import holm
from reports.statistics.significance import paired_test
from reports.statistics.significance import smallest_p
from reports.statistics.significance import smallest_paired_p
from reports.statistics.targets import TimeToTarget
from reports.statistics.targets import first_reaching
from reports.statistics.targets import time_to_target

__all__ = [
    "SIGNIFICANCE",
    "Aggregate",
    "Comparison",
    "Floats",
    "PairedTest",
    "PublishedComparison",
    "RankTest",
    "Ranks",
    "ScoreTable",
    "Statistic",
    "Summary",
    "TimeToTarget",
    "Verdict",
    "aggregate",
    "align",
    "area_under_curve",
    "average_ranks",
    "best_so_far",
    "by_architectures",
    "by_cost",
    "compare_over_benchmarks",
    "compare_with_best_baseline",
    "compare_with_published",
    "critical_difference",
    "difference_interval",
    "distance",
    "first_reaching",
    "holm",
    "incumbents",
    "interquartile_mean",
    "interval",
    "kendall",
    "mean",
    "normalised_regret",
    "paired_test",
    "percentiles",
    "probability_of_improvement",
    "rank_test",
    "smallest_p",
    "smallest_paired_p",
    "std",
    "summarise",
    "time_to_target",
]
