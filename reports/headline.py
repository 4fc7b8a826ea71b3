"""The table that a reader opens the report for: every strategy over all benchmarks of the sweep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from reports.formats import Column
from reports.formats import Sheet
from reports.formats import between
from reports.formats import count
from reports.formats import fixed
from reports.formats import lay_out
from reports.formats import plain
from reports.statistics import ScoreTable
from reports.statistics import aggregate
from reports.statistics import average_ranks
from reports.statistics import probability_of_improvement
from reports.statistics import rank_test
from reports.tables import FLOOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.formats import Row
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Aggregate
    from reports.statistics import RankTest

NAME = "headline"


def score_table(results: Results, runs: pd.DataFrame, known: Mapping[str, Ceiling]) -> ScoreTable:
    """Final scores of all finished runs, on the split that counts on each benchmark.

    Args:
        results: The runs.
        runs: What :func:`reports.tables.run_table` gives.
        known: Of every benchmark.
    """
    finished = runs[results.runs["finished"]]
    splits = finished["benchmark"].map({label: ceiling.split for label, ceiling in known.items()})
    score = finished["test"].where(splits == "test", finished["valid"])
    records = results.runs.groupby("benchmark", sort=False)["record"].first()
    better = {
        label: bool(ceiling.metric(records[label])["higher_is_better"]) for label, ceiling in known.items()
    }
    return ScoreTable.from_frame(finished.assign(score=score), value="score", higher_is_better=better)


def headline_sheet(results: Results, table: ScoreTable, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Ranks, normalised regret and probability of beating random search, over all benchmarks.

    Normalised regret is 0 at the best of the space and 1 at the mean of random search on the benchmark; of all runs of
    all benchmarks together it is the interquartile mean (Agarwal et al., 2021).

    Args:
        results: The runs.
        table: What :func:`score_table` gives.
        known: Of every benchmark.

    Returns:
        One row per strategy: ``rank`` (average over benchmarks), ``regret``, ``better`` (probability that a run beats
        one of random search), each with ``_low`` and ``_high``; ``benchmarks`` and ``runs`` with a score. ``None``
        where fewer than two strategies have a score, or nothing can be said: of one benchmark without random search.
    """
    floor = _floor(results, table)
    several = len(table.benchmarks) > 1
    scored = [s for s, runs in zip(table.strategies, table.runs.sum(axis=1), strict=True) if runs]
    if len(scored) < 2 or not (several or floor):
        return None
    ranks = average_ranks(table)
    places = {
        strategy: (average, low, high)
        for strategy, average, low, high in zip(
            ranks.strategies, ranks.average, ranks.low, ranks.high, strict=True
        )
    }
    regrets = table.normalised(
        {label: ceiling.optimum[ceiling.split] for label, ceiling in known.items()},
        {}
        if floor is None
        else dict(zip(table.benchmarks, table.means[table.strategies.index(floor)], strict=True)),
    )
    rows: list[Row] = []
    said = dict.fromkeys([*table.left_out, *(ranks.left_out if several else ()), *regrets.left_out])
    for strategy in table.strategies:
        position = table.strategies.index(strategy)
        row: Row = {
            "strategy": strategy,
            "benchmarks": int((table.runs[position] > 0).sum()),
            "runs": int(table.runs[position].sum()),
        }
        row |= dict(
            zip(("rank", "rank_low", "rank_high"), places.get(strategy, (math.nan,) * 3), strict=True)
        )
        row |= _estimate("regret", aggregate(regrets, strategy) if regrets.benchmarks else None)
        compared = floor is not None and floor != strategy
        row |= _estimate(
            "better", probability_of_improvement(table, strategy, str(floor)) if compared else None
        )
        rows.append(row)
    columns = [
        Column("strategy", "Strategy", plain("strategy"), "Strategy"),
        *([Column("rank", "Mean rank", fixed("rank", 2), "Rank")] if several else []),
        *([Column("rank_interval", "95 % interval", between("rank", 2), optional=True)] if several else []),
        Column("regret", "Normalised regret", fixed("regret", 3), "Regret", optional=True),
        Column("regret_interval", "95 % interval", between("regret", 3), optional=True),
        Column(
            "better", "Probability of beating random search", fixed("better", 2), "P(beats)", optional=True
        ),
        Column("better_interval", "95 % interval", between("better", 2), optional=True),
        Column("benchmarks", "Benchmarks", count("benchmarks")),
        Column("runs", "Runs", count("runs"), "Runs"),
    ]
    best = {
        "rank": _ranks(rows, "rank", -1),
        "regret": _ranks(rows, "regret", -1),
        "better": _ranks(rows, "better", 1),
    }
    return Sheet(
        name=NAME,
        title="Headline",
        caption=_caption(rows, several=several),
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, rows, ranks=best),
        narrow=lay_out(columns, rows, ranks=best, narrow=True),
        closing=" ".join(said),
    )


def _caption(rows: list[Row], *, several: bool) -> str:
    sentences = ["Over all benchmarks, on the score that each run is judged by."]
    if several:
        sentences.append("Rank 1 has the best mean on a benchmark.")
    if any(not math.isnan(row["regret"]) for row in rows):
        sentences.append(
            "Normalised regret is 0 at the best architecture of the space and 1 at the mean of random search on the "
            "benchmark: its interquartile mean over all runs."
        )
    if any(not math.isnan(row["better"]) for row in rows):
        sentences.append(
            "The probability of beating random search is that of one run against one of random search, a mean over "
            "benchmarks."
        )
    return " ".join([*sentences, "Intervals: stratified bootstrap over runs."])


def rank_tests(table: ScoreTable) -> RankTest | None:
    """Friedman's and Nemenyi's tests over benchmarks; ``None`` where they cannot be made."""
    test = rank_test(table)
    return None if test.reason else test


def _floor(results: Results, table: ScoreTable) -> str | None:
    """Label of random search."""
    names = results.runs.groupby("strategy", sort=False)["spec"].first()
    found = (s for s in table.strategies if names[s]["strategy"]["name"] == FLOOR)
    return next(found, None)


def _estimate(key: str, found: Aggregate | None) -> Row:
    values = (
        (math.nan,) * 3 if found is None else (found.estimate.value, found.estimate.low, found.estimate.high)
    )
    return dict(zip((key, f"{key}_low", f"{key}_high"), values, strict=True))


def _ranks(rows: list[Row], key: str, sign: int) -> list[int]:
    """Rank 1 and 2; 0 for all others."""
    order = (pd.Series([row[key] for row in rows], dtype=float).round(3) * -sign).rank(method="dense")
    return [int(rank) if rank <= 2 else 0 for rank in order.fillna(0)]
