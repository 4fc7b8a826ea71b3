"""How much of what language models wrote could be used, and what became of the rest."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING
from typing import Any

import pandas as pd

from reports.formats import NOTHING
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import count
from reports.formats import lay_out
from reports.formats import plain
from reports.sheets import group_columns
from reports.sheets import run_columns
from reports.tables import status_counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from reports.formats import Row
    from reports.load import Results

REASONS = (
    "not JSON",
    "wrong shape",
    "illegal choice",
    "duplicate",
    "truncated",
    "refused",
    "empty",
    "too long",
)
"""Why replies are thrown away, in the order of the columns; others come behind them by name."""

USED = "used"

NOT_RECORDED = "not recorded"
"""Stands for the model of calls that a results folder counts and does not list."""

_SHARED = ("thrown_away", "fallbacks", "trials", "gave_up")


def validity_sheet(results: Results) -> Sheet | None:
    """Calls and what became of their replies, over all runs of a strategy on a benchmark, finished or not.

    Args:
        results: The runs.

    Returns:
        One row per benchmark, strategy and model. Columns: ``structured`` and ``names`` of the strategy, ``calls``,
        ``used``, one per reason for which replies were thrown away; and for all models of a strategy together, in
        its first row: ``thrown_away`` (architectures of used replies, such as known ones), ``fallbacks`` (trials drawn
        at random), ``trials``, ``gave_up`` (runs that ended because a model gave nothing usable); and what
        :func:`reports.tables.status_counts` gives. ``None`` where no run called a model.
    """
    if not results.runs["llm_calls"].any():
        return None
    verdicts = _verdicts(results)
    reasons = [*REASONS, *sorted({v for _, v in verdicts.index} - {*REASONS, USED})]
    rows = [
        row for counts in status_counts(results).to_dict("records") for row in _rows(results, counts, reasons)
    ]
    columns = _columns(reasons)
    return Sheet(
        name="validity",
        title="Validity of replies",
        caption="Calls of language models and what became of their replies, summed over all runs, finished or not. "
        "Thrown away: architectures of used replies. At random: trials that the strategy drew because the model gave "
        "nothing usable, of all its trials. Exhausted: runs that ended for the same reason. These three are of all "
        "models of a strategy together, and stand in its first row.",
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, rows, names=3),
        narrow=lay_out(columns, rows, names=3, narrow=True),
    )


def _verdicts(results: Results) -> pd.Series:
    """Number of calls by model and verdict, over the whole sweep."""
    return results.calls.groupby(["model", "verdict"]).size()


def _rows(results: Results, counts: Mapping[str, Any], reasons: list[str]) -> Iterator[Row]:
    runs = results.runs[
        (results.runs["benchmark"] == counts["benchmark"]) & (results.runs["strategy"] == counts["strategy"])
    ]
    if not runs["llm_calls"].any():
        return
    calls = results.calls[results.calls["run"].isin(runs.index)]
    listed = {model: Counter(group["verdict"]) for model, group in calls.groupby("model", sort=False)}
    unlisted = max(int(runs["llm_calls"].sum()) - len(calls), 0)
    params = runs["spec"].iloc[0]["strategy"]["params"]
    shared = _shared(runs, sum(listed.values(), Counter()), complete=not unlisted)
    common = {
        "benchmark": counts["benchmark"],
        "strategy": counts["strategy"],
        "structured": params.get("structured", NOTHING),
        "names": params.get("names", NOTHING),
    }
    # The order in which the strategy names its models, then that of their first calls.
    order = {model: position for position, model in enumerate(runs["spec"].iloc[0]["models"])}
    for model in sorted(listed, key=lambda m: order.get(m, len(order))):
        verdict = listed[model]
        row = {"model": model, "calls": verdict.total(), USED: verdict[USED]}
        yield common | row | {reason: verdict[reason] for reason in reasons} | shared | counts
        shared = dict.fromkeys(_SHARED, math.nan)
    if unlisted:
        unknown = dict.fromkeys([USED, *reasons], math.nan)
        yield common | {"model": NOT_RECORDED, "calls": unlisted} | unknown | shared | counts


def _shared(runs: pd.DataFrame, verdicts: Counter[str], *, complete: bool) -> dict[str, float]:
    """What cannot be told apart by model."""
    rejected = sum(map(Counter, runs["reasons"]), Counter())
    # A run counts replies and single architectures alike; what no call explains were architectures.
    thrown_away = (rejected - verdicts).total() if complete else math.nan
    return {
        "thrown_away": thrown_away,
        "fallbacks": int(runs["fallbacks"].sum()),
        "trials": int(runs["trials"].sum()),
        "gave_up": sum(bool(r["status"] == "exhausted" and r.get("last_calls")) for r in runs["record"]),
    }


def _columns(reasons: list[str]) -> list[Column]:
    short = {"wrong shape": "shape", "illegal choice": "illegal", "not JSON": "no JSON"}
    return [
        *group_columns(),
        Column("model", "Model", plain("model"), "Model"),
        Column("structured", "Reply form", plain("structured")),
        Column("names", "Names", plain("names"), "Names"),
        Column("calls", "Calls", count("calls"), "Calls"),
        Column(USED, "Used", count(USED)),
        Column("share", "Used %", _share, "Used %"),
        *(
            Column(
                reason,
                reason.capitalize().replace("json", "JSON"),
                count(reason),
                short.get(reason, reason),
                True,
            )
            for reason in reasons
        ),
        Column("thrown_away", "Thrown away", _shared_count("thrown_away"), "Thrown away", optional=True),
        Column("fallbacks", "At random", _fallbacks, "At random", optional=True),
        Column("gave_up", "Exhausted", _shared_count("gave_up"), "Exhausted", optional=True),
        *run_columns(),
    ]


def _share(row: Row) -> str:
    return NOTHING if math.isnan(row[USED]) else f"{row[USED] / row['calls']:.1%}".removesuffix("%")


def _shared_count(key: str) -> Any:
    return lambda row: "" if math.isnan(row["trials"]) else count(key)(row)


def _fallbacks(row: Row) -> str:
    if math.isnan(row["trials"]):
        return ""
    return f"{row['fallbacks']:,} of {row['trials']:,}" if row["fallbacks"] else "0"
