"""A table as text: Markdown, CSV, LaTeX, HTML cells, and for the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from reports.records import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from reports.tables import BenchmarkTable

Row = dict[str, Any]

ABSENT = ("missing", "left_out")
"""Planned runs that are in no mean, beside the statuses of those that are read."""

NOTHING = "\N{EN DASH}"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SPLIT_NAMES = {"valid": "Validation", "test": "Test"}


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it shows.
        rank: 1 for the best of its column, 2 for the second, 0 for others.
    """

    text: str
    rank: int = 0


@dataclass(frozen=True)
class Grid:
    """A table ready to be printed.

    Attributes:
        heads: Heads of the columns, with the marks of footnotes.
        rows: Cells; the first one of a row names it.
        notes: Footnotes, each beginning with its mark, and what a narrow table has no column for.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    """How a column is made of a row.

    Attributes:
        key: What footnotes and ranks refer to.
        head: Its head.
        text: Text of a row's cell.
        short: Its head where space is short (LaTeX, terminal); ``None`` leaves it out there.
        optional: Left out where no row has anything to show.
    """

    key: str
    head: str
    text: Callable[[Row], str]
    short: str | None = None
    optional: bool = False


def grid(table: BenchmarkTable, *, narrow: bool = False) -> Grid:
    """Lay a table out.

    Args:
        table: The numbers.
        narrow: Leave out columns that a printed page or a terminal has no space for.
    """
    rows = table.frame.to_dict("records")
    # Space that is short is not spent on a column of zeros, such as tokens where no model was called.
    nothing = {"", NOTHING, "0"} if narrow else {"", NOTHING}
    columns = [
        column
        for column in _columns(table)
        if (not narrow or column.short is not None)
        and (not column.optional or any(column.text(row) not in nothing for row in rows))
    ]
    marks = [str(i).translate(_SUPERSCRIPTS) for i in range(1, len(table.footnotes) + 1)]
    at_head = {
        column.key: " ".join(
            m for m, (key, _) in zip(marks, table.footnotes, strict=True) if key == column.key
        )
        for column in columns
    }
    ranks = {split: _ranks(table, split) for split in _SPLIT_NAMES}
    notes = [f"{mark} {text}" for mark, (_, text) in zip(marks, table.footnotes, strict=True)]
    if narrow and (
        incomplete := [f"{row['strategy']} {text}" for row in rows if (text := status_notes(row))]
    ):
        notes.append(f"Runs not complete: {'; '.join(incomplete)}.")
    return Grid(
        heads=tuple(str(c.short if narrow else c.head) + at_head[c.key] for c in columns),
        rows=tuple(
            tuple(Cell(c.text(row), ranks[c.key][i] if c.key in ranks else 0) for c in columns)
            for i, row in enumerate(rows)
        ),
        notes=tuple(notes),
    )


def caption(table: BenchmarkTable) -> str:
    """All facts of a table as one line."""
    return " ".join(f"{name}: {text}." for name, text in table.facts)


def to_markdown(table: BenchmarkTable) -> str:
    """A section with heading, caption, table, notes. The best score is bold."""
    cells = grid(table)
    frame = pd.DataFrame(
        [[f"**{c.text}**" if c.rank == 1 else c.text for c in row] for row in cells.rows], columns=cells.heads
    )
    align = ["left", *["right"] * (len(cells.heads) - 1)]
    body = frame.to_markdown(index=False, colalign=align, disable_numparse=True)
    notes = "\n".join(f"{note}  " for note in (*cells.notes, table.comparison))
    return f"## {table.benchmark}\n\n{caption(table)}\n\n{body}\n\n{notes}\n"


def to_csv(table: BenchmarkTable) -> str:
    """The raw numbers, mean, standard deviation and count in columns of their own."""
    return str(table.frame.to_csv(index=False, lineterminator="\n"))


def to_latex(table: BenchmarkTable) -> str:
    """A ``table`` environment for booktabs. The best score is bold, the second underlined."""
    cells = grid(table, narrow=True)
    frame = pd.DataFrame(
        [[_latex_cell(cell) for cell in row] for row in cells.rows], columns=list(map(_latex, cells.heads))
    )
    text = frame.style.hide(axis="index").to_latex(
        column_format="l" + "r" * (len(cells.heads) - 1),
        hrules=True,
        caption=_latex(" ".join([f"{table.benchmark}.", caption(table), *cells.notes, table.comparison])),
        label=f"tab:{table.benchmark}",
        position="t",
        position_float="centering",
    )
    # Styler has rules between all rows or none.
    return str(text).replace("Optimum &", "\\midrule\nOptimum &", 1)


def to_console(table: BenchmarkTable) -> Table:
    """A table that fits into 100 columns."""
    cells = grid(table, narrow=True)
    output = Table(
        title=table.benchmark,
        title_justify="left",
        title_style="bold",
        caption="\n".join([caption(table), *cells.notes, table.comparison]),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    output.add_column(cells.heads[0], overflow="ellipsis", vertical="bottom")
    for head in cells.heads[1:]:
        # On a narrow terminal a name may be cut, a number never.
        output.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True, vertical="bottom")
    for row in cells.rows:
        styles = ("", "bold", "underline")
        output.add_row(*(Text(cell.text.replace(" ± ", "±"), style=styles[cell.rank]) for cell in row))
    return output


def left_out_to_console(sentences: Iterable[str]) -> Table:
    """Why folders that look like runs count in no table."""
    output = Table(
        title="Left out", title_justify="left", title_style="bold", box=None, show_header=False, padding=0
    )
    output.add_column(overflow="fold")
    for sentence in sentences:
        output.add_row(Text(sentence))
    return output


def _columns(table: BenchmarkTable) -> list[_Column]:
    unit = f" {table.metric['unit']}" if table.metric["unit"] else ""
    decimals = table.decimals
    columns = [_Column("strategy", "Strategy", lambda row: str(row["strategy"]), "Strategy")]
    for split, name in _SPLIT_NAMES.items():
        columns += [
            _Column(split, f"{name}{unit}", _spread(split, decimals), f"{split.capitalize()}{unit}"),
            _Column(f"{split}_interval", f"{name}, 95 % interval", _between(split, decimals), optional=True),
        ]
    return [
        *columns,
        _Column("valid_distance", "Gap, validation", _fixed("valid_distance_mean", decimals), "Gap"),
        _Column("test_distance", "Gap, test", _fixed("test_distance_mean", decimals), optional=True),
        _Column("p_value", "p", _p_value(table), optional=True),
        _Column("gpu_hours", "GPU hours", _amount("gpu_hours"), "GPU h"),
        _Column("search_seconds", "Search s", _amount("search_seconds"), "Search s"),
        _Column("llm_seconds", "LLM s", _amount("llm_seconds")),
        _Column("llm_tokens", "LLM tokens", _count("llm_tokens"), "LLM tokens", optional=True),
        _Column("rejected", "Invalid", _count("rejected"), "Inv.", optional=True),
        _Column("duplicates", "Duplicates", _count("duplicates"), "Dup."),
        _Column("architectures", "Distinct / trials", _distinct_of_trials),
        _Column("runs", "Seeds", _seeds, "Seeds"),
        _Column("notes", "Runs not complete", status_notes, optional=True),
    ]


def status_notes(row: Row) -> str:
    """How many runs did not end by their budget, by status; empty where all did."""
    if row["role"] == "optimum":
        return ""
    others = [status for status in (*STATUSES, *ABSENT) if status != "complete" and row[status]]
    return ", ".join(f"{int(row[status])} {status.replace('_', ' ')}" for status in others)


def _seeds(row: Row) -> str:
    if row["role"] == "optimum":
        return ""
    scored, planned = int(row["complete"] + row["exhausted"] + row["stalled"]), int(row["runs"])
    return str(scored) if scored == planned else f"{scored}/{planned}"


def _ranks(table: BenchmarkTable, split: str) -> list[int]:
    """Rank 1 and 2 of the strategies by mean, equal where they look equal; 0 for all others."""
    frame = table.frame
    means = frame[f"{split}_mean"].where(frame["role"] == "strategy").round(table.decimals)
    if means.count() < 2:
        return [0] * len(frame)
    order = means.rank(method="dense", ascending=not table.metric["higher_is_better"])
    return [int(rank) if rank <= 2 else 0 for rank in order]


def _spread(key: str, decimals: int) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        mean, std = row[f"{key}_mean"], row[f"{key}_std"]
        if math.isnan(mean):
            return NOTHING
        return f"{mean:.{decimals}f}" + ("" if math.isnan(std) else f" ± {std:.{decimals}f}")

    return text


def _between(key: str, decimals: int) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        low, high = row[f"{key}_low"], row[f"{key}_high"]
        return _blank(row) if math.isnan(low) else f"{low:.{decimals}f} to {high:.{decimals}f}"

    return text


def _fixed(key: str, decimals: int) -> Callable[[Row], str]:
    return lambda row: NOTHING if math.isnan(row[key]) else f"{row[key]:.{decimals}f}"


def _amount(key: str) -> Callable[[Row], str]:
    """Three significant digits, without an exponent."""

    def text(row: Row) -> str:
        value = row[f"{key}_mean"]
        if math.isnan(value):
            return _blank(row)
        digits = 0 if value == 0 else max(0, min(4, 2 - math.floor(math.log10(abs(value)))))
        return f"{value:,.{digits}f}"

    return text


def _count(key: str) -> Callable[[Row], str]:
    """A mean of counts: whole where it is whole or large, else with one decimal."""

    def text(row: Row) -> str:
        value = row[f"{key}_mean"]
        if math.isnan(value):
            return _blank(row)
        return f"{value:,.0f}" if float(value).is_integer() or value >= 1000 else f"{value:,.1f}"

    return text


def _distinct_of_trials(row: Row) -> str:
    distinct, trials = _count("architectures")(row), _count("trials")(row)
    return distinct if distinct == _blank(row) else f"{distinct} / {trials}"


def _p_value(table: BenchmarkTable) -> Callable[[Row], str]:
    tested = table.frame["p_value"].notna().any()

    def text(row: Row) -> str:
        if tested and row["strategy"] == table.reference:
            return "reference"
        if math.isnan(row["p_value"]):
            return _blank(row)
        return "< 0.001" if row["p_value"] < 0.001 else f"{row['p_value']:.3f}"

    return text


def _blank(row: Row) -> str:
    """A strategy without a value says so; the optimum has nothing to say about costs."""
    return "" if row["role"] == "optimum" else NOTHING


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", NOTHING: "--", "<": "$<$", ">": "$>$"}
    | {mark: rf"\textsuperscript{{{digit}}}" for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
)


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _latex_cell(cell: Cell) -> str:
    wrap = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}[cell.rank]
    return wrap.format(_latex(cell.text))
