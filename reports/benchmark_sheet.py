"""How the table of a benchmark is printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reports import formats
from reports.formats import Column
from reports.formats import Row
from reports.formats import Sheet
from reports.formats import amount
from reports.formats import between
from reports.formats import count
from reports.formats import fixed
from reports.formats import plain
from reports.formats import spread
from reports.tables import OPTIMUM
from reports.tables import status_notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.formats import Grid
    from reports.tables import BenchmarkTable

_SPLIT_NAMES = {"valid": "Validation", "test": "Test"}


def sheet(table: BenchmarkTable) -> Sheet:
    """The table in all its forms."""
    return Sheet(
        name=table.benchmark,
        title=table.title,
        caption=" ".join(f"{name}: {text}." for name, text in table.facts),
        frame=table.frame,
        wide=_grid(table, narrow=False),
        narrow=_grid(table, narrow=True),
        closing=table.comparison,
        apart=OPTIMUM,
    )


def _grid(table: BenchmarkTable, *, narrow: bool) -> Grid:
    rows = table.frame.to_dict("records")
    ranks = {split: _ranks(table, split) for split in _SPLIT_NAMES}
    grid = formats.lay_out(_columns(table), rows, footnotes=table.footnotes, ranks=ranks, narrow=narrow)
    incomplete = [f"{row['strategy']} {text}" for row in rows if (text := status_notes(row))]
    if not narrow or not incomplete:
        return grid
    return formats.with_note(grid, f"Runs not complete: {'; '.join(incomplete)}.")


def _columns(table: BenchmarkTable) -> list[Column]:
    unit, decimals = _unit(table), table.decimals
    columns = [Column("strategy", "Strategy", plain("strategy"), "Strategy")]
    for split, name in _SPLIT_NAMES.items():
        columns += [
            Column(split, f"{name}{unit}", spread(split, decimals), f"{split.capitalize()}{unit}"),
            Column(f"{split}_interval", f"{name}, 95 % interval", between(split, decimals), optional=True),
        ]
    return [
        *columns,
        Column("valid_distance", "Gap, validation", fixed("valid_distance_mean", decimals), "Gap"),
        Column("test_distance", "Gap, test", fixed("test_distance_mean", decimals), optional=True),
        Column("p_value", "p", _p_value(table), optional=True),
        Column("gpu_hours", "GPU hours", amount("gpu_hours_mean"), "GPU h"),
        Column("llm_tokens", "LLM tokens", count("llm_tokens_mean"), "LLM tokens", optional=True),
        Column("rejected", "Invalid", count("rejected_mean"), "Inv.", optional=True),
        Column("fallbacks", "At random", count("fallbacks_mean"), "At random", optional=True),
        Column("duplicates", "Duplicates", count("duplicates_mean"), "Dup."),
        Column("architectures", "Distinct / trials", _distinct_of_trials),
        Column("runs", "Seeds", _seeds, "Seeds"),
        Column("notes", "Runs not complete", status_notes, optional=True),
    ]


def _unit(table: BenchmarkTable) -> str:
    """What stands behind the name of a split: the unit, and what the score is where lower ones are better."""
    name, unit, better = (table.metric[key] for key in ("name", "unit", "higher_is_better"))
    if better:
        return f" {unit}" if unit else ""
    return f" {formats.measure_head(name, unit, higher_is_better=better)}"


def _seeds(row: Row) -> str:
    if row["role"] == "optimum":
        return ""
    return formats.part_of(int(row["finished"]), int(row["runs"]))


def _ranks(table: BenchmarkTable, split: str) -> list[int]:
    """Rank 1 and 2 of the strategies by mean, equal where they look equal; 0 for all others."""
    frame = table.frame
    means = frame[f"{split}_mean"].where(frame["role"] == "strategy").round(table.decimals)
    if means.count() < 2:
        return [0] * len(frame)
    order = means.rank(method="dense", ascending=not table.metric["higher_is_better"])
    return [int(rank) if rank <= 2 else 0 for rank in order]


def _distinct_of_trials(row: Row) -> str:
    distinct, trials = count("architectures_mean")(row), count("trials_mean")(row)
    return distinct if distinct == formats.blank(row) else f"{distinct} / {trials}"


def _p_value(table: BenchmarkTable) -> Callable[[Row], str]:
    tested = table.frame["p_value"].notna().any()

    def text(row: Row) -> str:
        if tested and row["strategy"] == table.reference:
            return "reference"
        if math.isnan(row["p_value"]):
            return formats.blank(row)
        return "< 0.001" if row["p_value"] < 0.001 else f"{row['p_value']:.3f}"

    return text
