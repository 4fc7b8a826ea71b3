"""Columns that all tables over a whole sweep share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.formats import Column
from reports.formats import part_of
from reports.formats import plain
from reports.tables import status_notes

if TYPE_CHECKING:
    from reports.formats import Row


def group_columns() -> list[Column]:
    """The two that name a row."""
    return [
        Column("benchmark", "Benchmark", plain("benchmark"), "Benchmark"),
        Column("strategy", "Strategy", plain("strategy"), "Strategy"),
    ]


def run_columns() -> list[Column]:
    """How many runs a row stands for, and what became of the others; a row has what ``status_counts`` gives."""
    return [
        Column("runs", "Runs", _runs, "Runs"),
        Column("notes", "Runs not complete", status_notes, optional=True),
    ]


def _runs(row: Row) -> str:
    return part_of(int(row["finished"]), int(row["runs"]))
