"""Tables as text: Markdown, CSV, LaTeX, HTML cells, and for the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

Row = dict[str, Any]

NOTHING = "\N{EN DASH}"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


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
        names: How many of the first columns name a row.
        rows: Cells.
        notes: Footnotes, each beginning with its mark, and what a narrow table has no column for.
        groups: What stands above the heads, as text and number of columns; empty where nothing does.
    """

    heads: tuple[str, ...]
    names: int
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def full_heads(self) -> tuple[str, ...]:
        """Heads that say which group they belong to."""
        above = [text for text, columns in self.groups for _ in range(columns)] or [""] * len(self.heads)
        return tuple(
            f"{text}: {head}" if text else head for text, head in zip(above, self.heads, strict=True)
        )


@dataclass(frozen=True)
class Column:
    """How a column is made of a row.

    Attributes:
        key: What footnotes and ranks refer to.
        head: Its head.
        text: Text of a row's cell.
        short: Its head where space is short (LaTeX, terminal); ``None`` leaves it out there.
        optional: Left out where no row has anything to show.
        group: What it shares with the columns beside it, where there is space; footnotes may refer to it as to a key.
    """

    key: str
    head: str
    text: Callable[[Row], str]
    short: str | None = None
    optional: bool = False
    group: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table in all its forms.

    Attributes:
        name: What its files and its LaTeX label are called.
        title: Its heading.
        caption: What the numbers are.
        frame: The raw numbers.
        wide: As a page has space for.
        narrow: Without the columns that a printed page or a terminal has no space for.
        closing: What is said below it.
        runs: The same run by run; ``None`` where ``runs.csv`` has it.
        apart: First cell of the row that a rule parts from those above; ``None`` without one.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    wide: Grid
    narrow: Grid
    closing: str = ""
    runs: pd.DataFrame | None = None
    apart: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said below the wide form."""
        return (*self.wide.notes, *([self.closing] if self.closing else ()))


def lay_out(
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    names: int = 1,
    footnotes: Sequence[tuple[str, str]] = (),
    ranks: Mapping[str, Sequence[int]] | None = None,
    narrow: bool = False,
) -> Grid:
    """Lay a table out.

    Args:
        columns: Its columns.
        rows: The numbers.
        names: How many of the first columns name a row.
        footnotes: Remarks on columns, as key and text.
        ranks: Key of a column to the rank of each of its cells.
        narrow: Leave out columns that a printed page or a terminal has no space for.
    """
    # Space that is short is not spent on a column of zeros, such as tokens where no model was called.
    nothing = {"", NOTHING, "0"} if narrow else {"", NOTHING}
    shown = [
        column
        for column in columns
        if (not narrow or column.short is not None)
        and (not column.optional or any(column.text(row) not in nothing for row in rows))
    ]
    marks = [str(i).translate(_SUPERSCRIPTS) for i in range(1, len(footnotes) + 1)]

    def marked(text: str, key: str) -> str:
        return text + " ".join(m for m, (k, _) in zip(marks, footnotes, strict=True) if k == key)

    groups = [
        (group, len(list(members))) for group, members in groupby(shown, key=lambda c: c.group) if not narrow
    ]
    ranks = ranks or {}
    return Grid(
        heads=tuple(marked(str(c.short if narrow else c.head), c.key) for c in shown),
        names=names,
        rows=tuple(
            tuple(Cell(c.text(row), ranks[c.key][i] if c.key in ranks else 0) for c in shown)
            for i, row in enumerate(rows)
        ),
        notes=tuple(f"{mark} {text}" for mark, (_, text) in zip(marks, footnotes, strict=True)),
        groups=tuple((marked(group, group), n) for group, n in groups) if len(groups) > 1 else (),
    )


def with_note(grid: Grid, note: str) -> Grid:
    """The same with a further note."""
    return replace(grid, notes=(*grid.notes, note))


def to_markdown(sheet: Sheet) -> str:
    """A section with heading, caption, table, notes. The best score is bold."""
    cells = sheet.wide
    frame = pd.DataFrame(
        [[f"**{c.text}**" if c.rank == 1 else c.text for c in row] for row in cells.rows],
        columns=cells.full_heads,
    )
    align = ["left"] * cells.names + ["right"] * (len(cells.heads) - cells.names)
    body = frame.to_markdown(index=False, colalign=align, disable_numparse=True)
    notes = "\n".join(f"{note}  " for note in sheet.notes)
    return "\n\n".join(part for part in (f"## {sheet.title}", sheet.caption, body, notes) if part) + "\n"


def to_csv(sheet: Sheet) -> str:
    """The raw numbers, mean, standard deviation and count in columns of their own."""
    return str(sheet.frame.to_csv(index=False, lineterminator="\n"))


def to_latex(sheet: Sheet) -> str:
    """A ``table`` environment for booktabs. The best score is bold, the second underlined."""
    cells = sheet.narrow
    frame = pd.DataFrame(
        [[_latex_cell(cell) for cell in row] for row in cells.rows],
        columns=list(map(_latex, cells.full_heads)),
    )
    said = [f"{sheet.title}.", sheet.caption, *cells.notes, sheet.closing]
    text = frame.style.hide(axis="index").to_latex(
        column_format="l" * cells.names + "r" * (len(cells.heads) - cells.names),
        hrules=True,
        caption=_latex(" ".join(part for part in said if part)),
        label=f"tab:{sheet.name}",
        position="t",
        position_float="centering",
    )
    if sheet.apart is not None:
        # Styler has rules between all rows or none.
        text = str(text).replace(f"\n{_latex(sheet.apart)} &", f"\n\\midrule\n{_latex(sheet.apart)} &", 1)
    return str(text)


def to_console(sheet: Sheet) -> Table:
    """A table that fits into 100 columns. Names that are the same in every row stand in the title."""
    cells, shared = _without_shared_names(sheet.narrow)
    output = Table(
        title=f"{sheet.title} ({', '.join(shared)})" if shared else sheet.title,
        title_justify="left",
        title_style="bold",
        caption="\n".join(part for part in (sheet.caption, *cells.notes, sheet.closing) if part),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for head in cells.heads[: cells.names]:
        output.add_column(head, overflow="ellipsis", vertical="bottom", min_width=8)
    for head in cells.heads[cells.names :]:
        # On a narrow terminal a name may be cut, a number never.
        output.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True, vertical="bottom")
    for row in cells.rows:
        styles = ("", "bold", "underline")
        output.add_row(*(Text(cell.text.replace(" ± ", "±"), style=styles[cell.rank]) for cell in row))
    return output


def _without_shared_names(cells: Grid) -> tuple[Grid, list[str]]:
    """The grid without the columns of names that tell no rows apart, and these names."""
    columns = [{row[column].text for row in cells.rows} for column in range(cells.names)]
    told_apart = [column for column, texts in enumerate(columns) if len(texts) > 1]
    if not told_apart:
        return cells, []
    kept = [*told_apart, *range(cells.names, len(cells.heads))]
    grid = replace(
        cells,
        heads=tuple(cells.heads[column] for column in kept),
        rows=tuple(tuple(row[column] for column in kept) for row in cells.rows),
        names=len(told_apart),
    )
    return grid, [texts.pop() for texts in columns if len(texts) == 1]


def left_out_to_console(sentences: Iterable[str], title: str = "Left out") -> Table:
    """Why something counts in no table, a sentence each."""
    output = Table(
        title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=0
    )
    output.add_column(overflow="fold")
    for sentence in sentences:
        output.add_row(Text(sentence))
    return output


def plain(key: str) -> Callable[[Row], str]:
    """A name."""
    return lambda row: str(row[key])


def spread(key: str, decimals: int) -> Callable[[Row], str]:
    """Mean and standard deviation."""

    def text(row: Row) -> str:
        mean, std = row[f"{key}_mean"], row[f"{key}_std"]
        if math.isnan(mean):
            return NOTHING
        return f"{mean:.{decimals}f}" + ("" if math.isnan(std) else f" ± {std:.{decimals}f}")

    return text


def between(key: str, decimals: int, sign: str = "") -> Callable[[Row], str]:
    """An interval; ``sign`` as in a format specification."""

    def text(row: Row) -> str:
        low, high = row[f"{key}_low"], row[f"{key}_high"]
        return blank(row) if math.isnan(low) else f"{low:{sign}.{decimals}f} to {high:{sign}.{decimals}f}"

    return text


def fixed(key: str, decimals: int, sign: str = "") -> Callable[[Row], str]:
    """A number with a fixed number of decimals; ``sign`` as in a format specification."""
    return lambda row: NOTHING if math.isnan(row[key]) else f"{row[key]:{sign}.{decimals}f}"


def amount(key: str) -> Callable[[Row], str]:
    """Three significant digits, without an exponent."""

    def text(row: Row) -> str:
        value = row[key]
        if math.isnan(value):
            return blank(row)
        digits = 0 if value == 0 else max(0, min(4, 2 - math.floor(math.log10(abs(value)))))
        return f"{value:,.{digits}f}"

    return text


def count(key: str) -> Callable[[Row], str]:
    """A count, or a mean of counts: whole where it is whole or large, else with one decimal."""

    def text(row: Row) -> str:
        value = row[key]
        if math.isnan(value):
            return blank(row)
        return f"{value:,.0f}" if float(value).is_integer() or value >= 1000 else f"{value:,.1f}"

    return text


def decimals(unit: str) -> int:
    """Decimals of a score in a unit: two of percent, three of other units, four of plain numbers."""
    return 2 if unit == "%" else 3 if unit else 4


def epochs(number: int) -> str:
    """``1 epoch``, ``12 epochs``."""
    return f"{number} epoch{'' if number == 1 else 's'}"


def measure_head(name: str, unit: str, *, higher_is_better: bool) -> str:
    """A measure with its unit, and an arrow to where its better values are."""
    return f"{name}{f' {unit}' if unit else ''} {'↑' if higher_is_better else '↓'}"


def part_of(done: int, planned: int) -> str:
    """``5``, or ``3/5`` where some are missing."""
    return str(done) if done == planned else f"{done}/{planned}"


def blank(row: Row) -> str:
    """What has no value says so; an optimum has nothing to say about costs."""
    return "" if row.get("role") == "optimum" else NOTHING


_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", NOTHING: "--", "<": "$<$", ">": "$>$"}
    | {
        "∞": r"$\infty$",
        "†": r"\dag{}",
        "◊": r"$\diamond$",
        "¬": r"$\lnot$",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "…": r"\dots{}",
    }
    | {"\N{GREEK SMALL LETTER ALPHA}": r"$\alpha$", "β": r"$\beta$", "ϕ": r"$\phi$", "ω": r"$\omega$"}
    | {mark: rf"\textsuperscript{{{digit}}}" for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
)


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _latex_cell(cell: Cell) -> str:
    wrap = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}[cell.rank]
    return wrap.format(_latex(cell.text))
