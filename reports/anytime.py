"""How soon strategies get anywhere: area under the anytime curve, and architectures until random search is matched."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports import statistics
from reports.formats import NOTHING
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import fixed
from reports.formats import lay_out
from reports.formats import spread
from reports.load import by_run
from reports.sheets import group_columns
from reports.sheets import run_columns
from reports.tables import FLOOR
from reports.tables import status_counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping

    from reports.formats import Row
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Floats


def anytime_sheet(results: Results, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Area under the curve of normalised regret, and when runs are as good as random search is in the end.

    Curves are of what the searches saw: the best validation score so far over distinct architectures. Regret is 0 at
    the best score that any run of the sweep saw on the benchmark, and 1 at what random search had seen in the end, mean
    over its runs; that mean is also the target.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        One row per benchmark and strategy: ``area_mean``, ``area_std`` over runs; ``share`` of runs that reached the
        target with ``_low`` and ``_high``, ``median`` (Kaplan-Meier) number of architectures until then, ``expected``
        (restarting until one succeeds). ``None`` where no benchmark has random search, with a score, and another
        strategy.
    """
    rows: list[Row] = []
    runs = results.runs[results.runs["finished"] & (results.runs["trials"] > 0)]
    floors = {label for label, spec in runs.groupby("strategy")["spec"].first().items() if _is_floor(spec)}
    complete = results.trials["state"] == "complete"
    trials = by_run(results.trials.assign(seen=results.trials["valid"].where(complete)), "seen", "duplicate")
    for benchmark, group in runs.groupby("benchmark", sort=False):
        better = bool(group["record"].iloc[0]["metric"]["higher_is_better"])
        curves = {
            strategy: _curves([trials[run] for run in members.index], higher_is_better=better)
            for strategy, members in group.groupby("strategy", sort=False)
        }
        floor = next((strategy for strategy in curves if strategy in floors), None)
        if floor is None or len(curves) < 2:
            continue
        target = statistics.mean(_ends(curves[floor][0]))
        if math.isnan(target):
            # No run of random search has seen any score.
            continue
        tops = [
            values.max() if better else values.min()
            for values in map(_ends, (c for c, _ in curves.values()))
            if values.size
        ]
        rows += _rows(str(benchmark), curves, target, max(tops) if better else min(tops), better=better)
    if not rows:
        return None
    counts = {(row["benchmark"], row["strategy"]): row for row in status_counts(results).to_dict("records")}
    shown = [row | counts[row["benchmark"], row["strategy"]] for row in rows]
    columns = [
        *group_columns(known),
        Column("area", "Area under the curve", spread("area", 3), "Area"),
        Column("share", "Reached random search's end", _share, "Reached"),
        Column("median", "Median architectures until then", _amount("median"), "Median"),
        Column("expected", "Expected architectures, with restarts", _amount("expected"), "Expected"),
        *run_columns(),
    ]
    return Sheet(
        name="anytime",
        title="How soon",
        caption="Of what the searches saw, over distinct architectures. Area under the curve: mean normalised regret "
        "along the run, 0 at the best score that any run of this sweep saw, 1 at the mean of what random search had "
        "seen in the end; less is better, mean ± standard deviation over runs. Reached: share of runs that got as far "
        "as that mean of random search; the median number of architectures until then counts runs that never did "
        "as censored (Kaplan-Meier), ∞ where fewer than half did; the expected number restarts whenever one fails.",
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, shown, names=2),
        narrow=lay_out(columns, shown, names=2, narrow=True),
    )


def _is_floor(spec: Mapping[str, Mapping[str, object]]) -> bool:
    return spec["strategy"]["name"] == FLOOR


def _curves(trials: list[tuple[np.ndarray, ...]], *, higher_is_better: bool) -> tuple[Floats, Floats]:
    """Best so far after each trial, and distinct architectures until then, each ``(runs, trials)``."""
    length = max(len(seen) for seen, _ in trials)
    values, spent = np.full((2, len(trials), length), math.nan)
    for row, (seen, duplicate) in enumerate(trials):
        values[row, : len(seen)] = statistics.best_so_far(seen, higher_is_better=higher_is_better)
        spent[row, : len(seen)] = np.cumsum(~duplicate)
    return values, spent


def _ends(values: Floats) -> Floats:
    """What each run has in the end, of those that have anything."""
    ends = pd.DataFrame(values).ffill(axis=1).iloc[:, -1].dropna()
    return np.asarray(ends, dtype=float)


def _rows(
    benchmark: str, curves: Mapping[str, tuple[Floats, Floats]], target: float, best: float, *, better: bool
) -> list[Row]:
    end = float(max(np.nanmax(spent) for _, spent in curves.values()))
    rows = []
    for strategy, (values, spent) in curves.items():
        row: Row = {"benchmark": benchmark, "strategy": strategy, "area_mean": math.nan, "area_std": math.nan}
        # Where no run saw anything better than random search's mean, regret has no unit.
        if abs(best - target) > 0:
            regret = statistics.normalised_regret(values, best=best, floor=target)
            areas = statistics.area_under_curve(regret, spent, begin=1.0, end=end + 1, before=1.0)
            row |= {"area_mean": statistics.mean(areas), "area_std": statistics.std(areas)}
        reached = statistics.time_to_target(values, spent, target, higher_is_better=better)
        row |= {
            "target": target,
            "share": reached.share.value,
            "share_low": reached.share.low,
            "share_high": reached.share.high,
            "median": reached.median.value,
            "expected": reached.expected,
        }
        rows.append(row)
    return rows


def _share(row: Row) -> str:
    return NOTHING if math.isnan(row["share"]) else f"{row['share']:.0%}"


def _amount(key: str) -> Callable[[Row], str]:
    return lambda row: "∞" if math.isinf(row[key]) else fixed(key, 1)(row)
