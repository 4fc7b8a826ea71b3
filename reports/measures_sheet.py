"""How the table of all measures is printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

import pandas as pd

from harness.benchmarks.tabulated import Tabulated
from harness.benchmarks.trained import TrainedBenchmark
from reports.formats import NOTHING
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import count
from reports.formats import decimals
from reports.formats import epochs
from reports.formats import lay_out
from reports.formats import measure_head
from reports.formats import plain
from reports.formats import spread
from reports.measures import REFERENCE
from reports.measures import measure_table
from reports.measures import run_scores
from reports.measures import scored
from reports.published import papers
from reports.tables import in_no_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator
    from collections.abc import Mapping

    from reports.formats import Grid
    from reports.formats import Row
    from reports.load import Results
    from reports.measures import Scored
    from reports.scores import Ceiling

_SPLIT_NAMES = {"valid": "validation", "test": "test"}


def measure_sheet(results: Results, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Every measure of every benchmark that has several: strategies, then networks that people designed.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        The table, the scores of single runs, and raw numbers as :func:`reports.measures.measure_table` gives them;
        ``None`` where no benchmark has several measures.
    """
    frame = measure_table(results, known)
    if frame.empty:
        return None
    benchmarks = [on for on in scored(known) if on.label in set(frame["benchmark"])]
    runs = run_scores(results, known)
    runs = runs[runs["benchmark"].isin([on.label for on in benchmarks])]
    references = list(frame.loc[frame["role"] == REFERENCE, "strategy"])
    notes = [
        *_no_references(benchmarks),
        *(note for on in benchmarks for note in _footnotes(frame, runs, on)),
    ]
    after = dict.fromkeys(epochs(on.benchmark.final_fidelity) for on in benchmarks)
    return Sheet(
        name="measures",
        title="All measures",
        caption=f"Every measure of what the runs recommend, after training for {' or '.join(after)}: mean ± standard "
        "deviation over n runs, each a mean over training seeds. An arrow shows where better values are. Networks that "
        "people designed have the mean and the deviation of n trainings.",
        frame=frame,
        wide=_wide(frame, benchmarks, notes),
        narrow=_narrow(frame, notes),
        closing=_closing(known),
        runs=runs,
        apart=references[0] if references else None,
    )


def _wide(frame: pd.DataFrame, benchmarks: list[Scored], notes: list[tuple[str, str]]) -> Grid:
    """A row per strategy and reference, and a group of columns per benchmark."""
    names = list(dict.fromkeys(frame["strategy"]))
    rows: list[Row] = [{"strategy": name} for name in names]
    columns = [Column("strategy", "Strategy", plain("strategy"))]
    ranks: dict[str, list[int]] = {}
    for on in benchmarks:
        group = _group(on)
        mine = frame[frame["benchmark"] == on.label]
        for measure in on.benchmark.measures:
            key = f"{on.label}/{measure.name}"
            cells = mine[mine["measure"] == measure.name].set_index("strategy").reindex(names)
            ranks[key] = _ranks(cells.reset_index())
            for row, cell in zip(rows, cells.to_dict("records"), strict=True):
                row |= _cell(key, cell)
                row[f"{on.label}/n"] = cell["n"]
            head = measure_head(measure.name, measure.unit, higher_is_better=measure.higher_is_better)
            columns.append(Column(key, head, spread(key, decimals(measure.unit)), group=group))
            columns.append(
                Column(f"{key}/published", _beside(mine), _reported(key), optional=True, group=group)
            )
        columns.append(Column(f"{on.label}/n", "n", count(f"{on.label}/n"), group=group))
    return lay_out(columns, rows, footnotes=notes, ranks=ranks)


def _narrow(frame: pd.DataFrame, notes: list[tuple[str, str]]) -> Grid:
    """A row per benchmark and strategy or reference, and a column per measure."""
    rows: list[Row] = []
    ranks: dict[str, list[int]] = {}
    measures = list(dict.fromkeys(frame["measure"]))
    for _, mine in frame.groupby("benchmark", sort=False):
        names = list(dict.fromkeys(mine["strategy"]))
        more: list[Row] = [{"title": mine["title"].iloc[0], "strategy": name} for name in names]
        for measure in measures:
            cells = mine[mine["measure"] == measure].set_index("strategy").reindex(names)
            ranks.setdefault(measure, []).extend(_ranks(cells.reset_index()))
            for row, cell in zip(more, cells.to_dict("records"), strict=True):
                row |= _cell(measure, cell) | {"n": cell["n"]}
        rows += more
    columns = [
        Column("title", "Benchmark", plain("title"), "Benchmark"),
        Column("strategy", "Strategy", plain("strategy"), "Strategy"),
    ]
    for measure in measures:
        mine = frame[frame["measure"] == measure]
        units = dict.fromkeys(mine["unit"])
        better = mine["direction"].iloc[0] == "higher"
        head = measure_head(measure, " or ".join(units), higher_is_better=better)
        digits = decimals(next(iter(units)))
        columns.append(Column(measure, head, spread(measure, digits), head))
        columns.append(Column(f"{measure}/published", "", _reported(measure), _beside(mine), optional=True))
    columns.append(Column("n", "n", count("n"), "n"))
    # There are no groups here: what is said of one is said below the whole table.
    return lay_out(
        columns, rows, names=2, footnotes=[("strategy", text) for _, text in notes], ranks=ranks, narrow=True
    )


def _group(on: Scored) -> str:
    return f"{on.title}, {_SPLIT_NAMES[on.split]}"


def _cell(key: str, cell: Mapping[str, Any]) -> Row:
    return {
        f"{key}_mean": cell["mean"],
        f"{key}_std": cell["std"],
        f"{key}_published": cell["published_mean"],
        f"{key}_published_spread": cell["published_spread"],
    }


def _beside(rows: pd.DataFrame) -> str:
    """Head of a column with what papers report."""
    named = dict.fromkeys(text.partition(",")[0] for text in rows["published_in"] if text)
    return f"{'/'.join(named)}{', not comparable' if rows['part'].any() else ''}"


def _reported(key: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        mean, deviation = row[f"{key}_published"], row[f"{key}_published_spread"]
        if math.isnan(mean):
            return NOTHING
        return f"{mean:.2f}" + ("" if math.isnan(deviation) else f" ± {deviation:.2f}")

    return text


def _ranks(cells: pd.DataFrame) -> list[int]:
    """Rank 1 and 2 of the strategies by mean, equal where they look equal; 0 for all others."""
    judged = cells["mean"].where(cells["role"] == "strategy")
    if judged.count() < 2:
        return [0] * len(cells)
    first = cells.dropna(subset="unit").iloc[0]
    order = judged.round(decimals(first["unit"])).rank(
        method="dense", ascending=first["direction"] == "lower"
    )
    return [int(rank) if rank <= 2 else 0 for rank in order]


def _footnotes(frame: pd.DataFrame, runs: pd.DataFrame, on: Scored) -> Iterator[tuple[str, str]]:
    """What a benchmark lacks, and what would fill it; and what papers' numbers beside it are."""
    group = _group(on)
    mine = frame[frame["benchmark"] == on.label]
    if on.split == "valid":
        yield group, f"{on.title} has no test scores: these are of validation."
    own = runs[(runs["benchmark"] == on.label) & (runs["measure"] == on.benchmark.measures[0].name)]
    if own["no_score"].notna().any():
        yield group, f"{in_no_mean(own)} {own['no_score'].dropna().iloc[0]}{_more_of_a_table(on)}"
    unknown = mine[(mine["role"] == REFERENCE) & (mine["n"] == 0)]["strategy"]
    lacking = list(dict.fromkeys(unknown))
    if lacking and on.benchmark.references:
        yield group, _untrained(", ".join(lacking), [on])
    beside = mine[mine["published_in"] != ""]
    if not beside.empty:
        yield group, _comparison(beside, on)


def _more_of_a_table(on: Scored) -> str:
    if not isinstance(on.benchmark, Tabulated):
        return ""
    return " `harness tabulate` makes a table that has it: `architectures: all`."


def _no_references(benchmarks: list[Scored]) -> Iterator[tuple[str, str]]:
    """The benchmarks of which no network that people designed is known, though it could be."""
    lacking = [
        on
        for on in benchmarks
        if isinstance(on.benchmark, TrainedBenchmark | Tabulated) and not on.benchmark.references
    ]
    if lacking:
        yield "strategy", _untrained("Networks that people designed", lacking)


def _untrained(names: str, benchmarks: list[Scored]) -> str:
    where = ", ".join(f"{on.benchmark.dataset} ({epochs(on.benchmark.final_fidelity)})" for on in benchmarks)
    return (
        f"{names}: not trained on {where}. An entry of `tables` with this benchmark and them as `references` has them "
        "trained: `harness tabulate NAME`."
    )


def _comparison(beside: pd.DataFrame, on: Scored) -> str:
    sources = []
    for (where, runs), rows in beside.groupby(["published_in", "published_runs"], sort=False, dropna=False):
        of = "" if pd.isna(runs) else f", mean of {int(runs)} runs"
        notes = [note for note in dict.fromkeys(rows["published_note"]) if note]
        sources.append(f"{where} ({_where(str(where))}{of}{''.join(f'; {note}' for note in notes)})")
    part = beside["part"].iloc[0]
    data = (
        f"on the whole of {on.benchmark.extent.dataset}, and here are {part}: the two cannot be compared"
        if part
        else "with settings of its own"
    )
    return f"Numbers of a paper: {'; '.join(sources)}, {data}."


def _where(published_in: str) -> str:
    """Where a paper is found."""
    name = published_in.partition(",")[0]
    return next(paper.where for key in papers.PAPERS if (paper := papers.load_paper(key)).paper == name)


def _closing(known: Mapping[str, Ceiling]) -> str:
    lost = [
        f"{ceiling.title} ({ceiling.missing['valid']})"
        for ceiling in known.values()
        if ceiling.benchmark is None
    ]
    return f"Not shown, for there are no scores here: {'; '.join(lost)}." if lost else ""
