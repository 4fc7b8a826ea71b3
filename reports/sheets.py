"""What tables over a whole sweep share: columns, and the comparison of plain with blind runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from reports import statistics
from reports.formats import NOTHING
from reports.formats import Column
from reports.formats import between
from reports.formats import fixed
from reports.formats import part_of
from reports.formats import plain
from reports.tables import status_notes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import ArrayLike

    from reports.formats import Row
    from reports.load import Results
    from reports.scores import Ceiling

PLAIN = "plain"
PERMUTED = "permuted"
"""``names`` of a strategy whose model sees the names of the search space."""


def group_columns(known: Mapping[str, Ceiling] | None = None) -> list[Column]:
    """The two that name a row.

    Args:
        known: Of every benchmark, where rows are to be named by title.
    """

    def title(row: Row) -> str:
        label = str(row["benchmark"])
        return label if known is None or label not in known else known[label].title

    return [
        Column("benchmark", "Benchmark", title, "Benchmark"),
        Column("strategy", "Strategy", plain("strategy"), "Strategy"),
    ]


def run_columns() -> list[Column]:
    """How many runs a row stands for, and what became of the others; a row has what ``status_counts`` gives."""
    return [
        Column("runs", "Runs", _runs, "Runs"),
        Column("notes", "Runs not complete", status_notes, optional=True),
    ]


def model_columns() -> list[Column]:
    """Which model a row is of, and how it was asked; a row has what :func:`asked` gives."""
    return [
        Column("model", "Model", plain("model")),
        Column("structured", "Reply form", plain("structured")),
        Column("names", "Names", plain("names"), "Names"),
    ]


def difference_columns(decimals: int) -> list[Column]:
    """Plain minus blind; a row has what :func:`differences` gives."""
    return [
        Column(
            "by_heart", "Plain minus blind", fixed("by_heart", decimals, "+"), "Plain - blind", optional=True
        ),
        Column("by_heart_interval", "95 % interval", between("by_heart", decimals, "+"), optional=True),
    ]


def asked(runs: pd.DataFrame) -> Row:
    """Models of a strategy's runs, form of their replies, and how they were shown the search space."""
    spec = runs["spec"].iloc[0]
    params = spec["strategy"]["params"]
    return {
        "model": ", ".join(spec["models"]) or NOTHING,
        "structured": params.get("structured", NOTHING),
        "names": params.get("names", NOTHING),
    }


def plain_partner(results: Results, benchmark: str, strategy: str) -> str | None:
    """Label of the strategy that differs from a permuted one in the names alone; ``None`` without one.

    Codes (``ncode``) have no such partner: their digits are the same in every run, and published for some spaces.

    Args:
        results: The runs.
        benchmark: Label.
        strategy: Label of the blind strategy.
    """
    first = (
        results.runs[results.runs["benchmark"] == benchmark].groupby("strategy", sort=False)["spec"].first()
    )
    if strategy not in first.index or _names(first[strategy]) != PERMUTED:
        return None
    for label, spec in first.items():
        if _names(spec) == PLAIN and _without_names(spec) == _without_names(first[strategy]):
            return str(label)
    return None


def differences(plain_values: ArrayLike, blind_values: ArrayLike, *, higher_is_better: bool = True) -> Row:
    """How much better a strategy is that sees names: what its model knew by heart.

    Args:
        plain_values: ``(runs,)``.
        blind_values: ``(runs,)``.
        higher_is_better: Direction of the values; of the difference, more is always better.
    """
    sign = 1 if higher_is_better else -1
    better, worse = (sign * np.asarray(values, dtype=float) for values in (plain_values, blind_values))
    low, high = statistics.difference_interval(better, worse)
    gain = statistics.mean(better) - statistics.mean(worse)
    return {"by_heart": gain, "by_heart_low": low, "by_heart_high": high}


NO_DIFFERENCE: Row = dict.fromkeys(("by_heart", "by_heart_low", "by_heart_high"), math.nan)
"""Stands where there is no partner to compare with."""


def _names(spec: Mapping[str, Any]) -> str | None:
    names: str | None = spec["strategy"]["params"].get("names")
    return names


def _without_names(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any], Any]:
    params = {key: value for key, value in spec["strategy"]["params"].items() if key != "names"}
    return spec["strategy"]["name"], params, spec["models"]


def _runs(row: Row) -> str:
    return part_of(int(row["finished"]), int(row["runs"]))
