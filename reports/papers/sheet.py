"""A published table beside what was measured: number by number, and in the shape in which it is printed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import pandas as pd

from reports import statistics
from reports.formats import NOTHING
from reports.formats import Cell
from reports.formats import Column
from reports.formats import Grid
from reports.formats import Sheet
from reports.formats import amount
from reports.formats import between
from reports.formats import lay_out
from reports.formats import plain
from reports.papers.matching import beside
from reports.papers.matching import by_key
from reports.papers.matching import rounding
from reports.published import papers
from reports.published.printed import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from reports.formats import Row
    from reports.papers.matching import Beside
    from reports.papers.matching import Key
    from reports.papers.measured import Measured
    from reports.published.papers import Paper
    from reports.published.papers import Value
    from reports.published.printed import PrintedTable

MEASURED = "measured"
"""What a row with measured numbers is called, below the one with the published."""

NOT_COMPARABLE = "not comparable"

MARKS = {"agrees": "=", "differs": "*", "cannot be said": "?", NOT_COMPARABLE: ""}
"""Behind a difference: what a test says of it."""

_BEST = (
    "Bold is the best mean of those that compete on one data set in one search space, underlined the second: of what "
    "is published, and of what was measured."
)
_LEGEND = (
    "Difference: measured minus published. * the means differ (Welch's test, p < 0.05); = they are shown to be within "
    "one published deviation of each other (two one-sided tests); ? neither is shown; no mark: not comparable. In "
    "brackets: of how many runs."
)


# What is equal of methods that compete with each other.
_TOGETHER = ("competes_in", "space", "measure", "dataset", "split", "part")


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper, filled.

    Attributes:
        key: What it is called here.
        sheet: Number by number.
        printed: In the shape of the paper: each row as published, and below it as measured.
        numbers: How many numbers it has.
        measured: How many of them were measured.
        missing: Numbers of methods that the harness has, and that no sweep has measured.
    """

    key: str
    sheet: Sheet
    printed: Sheet
    numbers: int
    measured: int
    missing: tuple[Value, ...]

    @property
    def is_known(self) -> bool:
        """Whether all that was measured of it is no measurement, but the best of a whole space."""
        of_methods = self.sheet.frame.query("not optimum")
        return not of_methods["n"].any()


def paper_table(paper: Paper, table: PrintedTable, measured: Mapping[Key, list[Measured]]) -> PaperTable:
    """Put what was measured beside a published table.

    Args:
        paper: The paper.
        table: A table of it.
        measured: All that was measured, as :func:`~reports.papers.matching.by_key` gives it.
    """
    values = [value for value in paper.values() if value.key == table.key]
    decimals = _printed_decimals(values)
    matches = [beside(value, measured) for value in values]
    rows = [_row(match, decimals) for match in matches]
    frame = pd.DataFrame(rows)
    ranks = {of: _ranks(frame, of) for of in ("published", "measured")}
    found = [match for match in matches if match.measured is not None]
    sheet = Sheet(
        name=f"paper-{table.key}",
        title=f"{paper.paper}, {table.table}",
        caption=_caption(paper, table, values),
        frame=frame.drop(columns=["decimals", "competes_in"]),
        wide=lay_out(_columns(), rows, names=2 + any(row["group"] for row in rows), ranks=ranks),
        narrow=lay_out(_columns(), rows, names=2, ranks=ranks, narrow=True),
        closing=" ".join(_closing(found, ranks)),
    )
    return PaperTable(
        key=table.key,
        sheet=sheet,
        printed=_as_printed(table, sheet, values, rows, ranks),
        numbers=len(values),
        measured=len(found),
        missing=tuple(m.value for m in matches if m.measured is None and _is_ours(m.value)),
    )


def paper_tables(measured: Sequence[Measured]) -> list[PaperTable]:
    """The tables of all papers of which a number was measured."""
    found = by_key(measured)
    tables = [
        paper_table(paper, table, found)
        for paper in map(papers.load_paper, papers.PAPERS)
        for table in paper.tables
    ]
    return [table for table in tables if table.measured and not table.is_known]


def _caption(paper: Paper, table: PrintedTable, values: Sequence[Value]) -> str:
    counts = dict.fromkeys(value.runs for value in values if value.runs)
    sentences = [f"{_sentence(table.shows)} ({paper.cite(table)})."]
    if counts:
        sentences.append(f"Means of {' or '.join(map(str, counts))} runs, where the paper says how many.")
    if table.note:
        sentences.append(f"{_sentence(table.note)}.")
    return " ".join(sentences)


def _closing(found: Sequence[Beside], ranks: Mapping[str, Sequence[int]]) -> list[str]:
    sentences = [_BEST] if any(map(any, ranks.values())) else []
    if not found:
        return [*sentences, "Nothing of it was measured in these sweeps."]
    assumed = [text for match in found if match.comparison for text in match.comparison.assumed]
    return [*sentences, _LEGEND, *dict.fromkeys(assumed)]


def _printed_decimals(values: Sequence[Value]) -> dict[tuple[str, str], int]:
    """Measure and unit to the decimals in which the table prints them: zeros at the end of a number are not kept."""
    decimals: dict[tuple[str, str], int] = {}
    for value in values:
        digits = len(value.printed.partition(" ±")[0].partition(".")[2])
        kind = (value.measure, value.unit)
        decimals[kind] = max(decimals.get(kind, 0), digits)
    return decimals


def _is_ours(value: Value) -> bool:
    subject = value.subject
    ours = subject.strategy or subject.reference or subject.proxy
    return not subject.setting and bool(ours or subject.optimum)


def _row(match: Beside, decimals: Mapping[tuple[str, str], int]) -> Row:
    value, found, comparison = match.value, match.measured, match.comparison
    values = () if found is None else found.values
    digits = decimals[value.measure, value.unit]
    row: Row = {
        "paper": value.paper,
        "table": value.table,
        "group": value.group,
        "row": value.row.removeprefix(f"{value.group}: "),
        "column": value.column,
        "space": value.space,
        "dataset": value.dataset,
        "split": value.split or "",
        "part": value.subject.part or "",
        "measure": value.measure,
        "unit": value.unit,
        "direction": value.direction,
        "optimum": value.subject.optimum,
        "published": _published(value, digits),
        "published_mean": value.mean,
        "published_spread": math.nan if value.spread is None else value.spread,
        "published_runs": value.runs,
        "measured_mean": statistics.mean(values),
        "measured_std": statistics.std(values),
        "n": len(values),
        "difference": math.nan,
        "difference_low": math.nan,
        "difference_high": math.nan,
        "standard_errors": math.nan,
        "verdict": "",
        "reason": "",
        "gpu_hours": math.nan if found is None else found.gpu_hours,
        "tokens": math.nan if found is None else found.tokens,
        "trials": math.nan if found is None else found.trials,
        "sweep": "" if found is None else found.sweep,
        "benchmark": "" if found is None else found.benchmark,
        "strategy": "" if found is None else found.label,
        "conditions": "; ".join(match.conditions),
        "others": "; ".join(match.others),
        # Measured means are no rounder than two decimals, whatever is printed.
        "decimals": max(digits, 2),
        # What methods compete in is the heading that does not name them.
        "competes_in": value.column if value.method == value.row else value.row,
    }
    if comparison is not None:
        row |= {
            "difference": comparison.difference,
            "difference_low": comparison.low,
            "difference_high": comparison.high,
            "standard_errors": comparison.standard_errors,
            "verdict": comparison.verdict,
            "reason": " ".join([comparison.reason, *comparison.assumed, *comparison.left_out]),
        }
    elif match.incomparable:
        row |= {"verdict": NOT_COMPARABLE, "reason": match.incomparable}
    elif found is not None:
        difference = found.values[0] - value.mean
        # What floating-point numbers take away is no difference.
        equal = abs(difference) <= rounding(value) + 1e-9
        row |= {
            "difference": difference,
            "verdict": "agrees" if equal else "differs",
            "reason": "Both are exact.",
        }
    return row


def _published(value: Value, digits: int) -> str:
    """As printed; scores, which the files have without zeros at the end, all with the same number of decimals."""
    return f"{value.mean:.{digits}f}" if value.spread is None and value.split else value.printed


def _columns() -> list[Column]:
    return [
        Column("group", "", plain("group"), optional=True),
        Column("row", "Row", plain("row"), "Row"),
        Column("column", "Column", plain("column"), "Column"),
        Column("published", "Published", plain("published"), "Published"),
        Column("measured", "Measured", _measured, "Measured"),
        Column("difference", "Difference", _difference, "Difference"),
        Column("interval", "95 % interval", _interval, optional=True),
        Column("errors", "Standard errors apart", _errors, optional=True),
        Column("verdict", "Verdict", _or_nothing("verdict"), optional=True),
        Column("n", "Seeds", _seeds, "Seeds"),
        Column("gpu_hours", "GPU hours", amount("gpu_hours"), "GPU h"),
        Column("tokens", "LLM tokens", amount("tokens"), optional=True),
        Column("from", "From", _from, optional=True),
        Column("conditions", "Measured with", _or_nothing("conditions"), optional=True),
    ]


def _measured(row: Row) -> str:
    if math.isnan(row["measured_mean"]):
        return NOTHING
    text = f"{row['measured_mean']:.{row['decimals']}f}"
    return text if math.isnan(row["measured_std"]) else f"{text} ± {row['measured_std']:.{row['decimals']}f}"


def _difference(row: Row) -> str:
    if math.isnan(row["difference"]):
        return NOTHING
    return f"{row['difference']:+.{row['decimals']}f}{MARKS[row['verdict']]}"


def _interval(row: Row) -> str:
    return between("difference", row["decimals"], "+")(row)


def _errors(row: Row) -> str:
    errors = row["standard_errors"]
    return f"{errors:+.1f}" if math.isfinite(errors) else NOTHING


def _seeds(row: Row) -> str:
    return str(row["n"]) if row["n"] else NOTHING


def _from(row: Row) -> str:
    return ": ".join(part for part in (row["sweep"], row["strategy"]) if part) or NOTHING


def _or_nothing(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key]) or NOTHING


def _ranks(rows: pd.DataFrame, of: str) -> list[int]:
    """Rank 1 and 2 among the methods that compete in one thing; 0 for all others."""
    known = (rows["direction"] != "none") & ~rows["optimum"]
    if of == "measured":
        known &= rows["verdict"] != NOT_COMPARABLE
    # What looks equal is equal.
    means = [round(mean, digits) for mean, digits in zip(rows[f"{of}_mean"], rows["decimals"], strict=True)]
    signs = rows["direction"].map({"higher": -1, "lower": 1, "none": 0})
    judged = (pd.Series(means, index=rows.index) * signs).where(known)
    groups = judged.groupby([rows[key] for key in _TOGETHER])
    ranks = groups.rank(method="dense").where(groups.transform("count") > 1)
    return [int(rank) if rank <= 2 else 0 for rank in ranks.fillna(0)]


def _as_printed(
    table: PrintedTable,
    sheet: Sheet,
    values: Sequence[Value],
    rows: Sequence[Row],
    ranks: Mapping[str, Sequence[int]],
) -> Sheet:
    places = {(value.row, value.column): position for position, value in enumerate(values)}
    nothing = [Cell("")] * len(table.columns)
    lines: list[tuple[Cell, ...]] = []
    group = ""
    for name, printed_row in table.rows.items():
        if printed_row.group != group:
            group = printed_row.group
            if group:
                lines.append((Cell(group), *nothing))
        published, measured = [], []
        for column, printed in zip(table.columns, printed_row.values, strict=True):
            position = places.get((name, column))
            if position is None:
                published.append(Cell(printed.text if isinstance(printed, Text) else ""))
                measured.append(Cell(""))
            else:
                published.append(Cell(rows[position]["published"], ranks["published"][position]))
                measured.append(Cell(_below(rows[position]), ranks["measured"][position]))
        lines.append((Cell(name.removeprefix(f"{group}: ")), *published))
        if any(cell.text for cell in measured):
            lines.append((Cell(MEASURED), *measured))
    heads, groups = _heads(tuple(table.columns))
    grid = Grid(heads=("", *heads), names=1, rows=tuple(lines), notes=(), groups=groups)
    return replace(sheet, name=f"printed-{table.key}", wide=grid, narrow=grid)


def _heads(columns: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Heads of columns, and what several of them share: what stands before a colon."""
    parts = [column.rpartition(": ") for column in columns]
    if not any(above for above, _, _ in parts):
        return columns, ()
    shared = groupby(["", *(above for above, _, _ in parts)])
    return tuple(head for _, _, head in parts), tuple(
        (above, len(list(members))) for above, members in shared
    )


def _below(row: Row) -> str:
    """What was measured, with the number of runs and the mark of the test; empty where nothing was."""
    if not row["n"]:
        return ""
    runs = "" if row["optimum"] else f"({row['n']})"
    return " ".join(part for part in (_measured(row), runs, MARKS[row["verdict"]]) if part)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
