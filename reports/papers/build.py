"""From results folders to the tables of papers, on disk and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from harness.experiment import read_experiments
from reports import formats
from reports import html
from reports import output
from reports.output import Report
from reports.papers.filling import sweeps_for
from reports.papers.measured import collect
from reports.papers.measured import sweep_folders
from reports.papers.sheet import paper_table
from reports.published import check
from reports.published import papers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from harness.experiment import ExperimentsFile
    from reports.papers.measured import Measured
    from reports.papers.sheet import PaperTable
    from reports.published.papers import Paper


@dataclass(frozen=True)
class Filled:
    """A table with what would fill the rest of it.

    Attributes:
        table: The table.
        commands: What to call, and how many of its numbers that has runs of.
        beyond: Numbers of methods that the harness has, and that no sweep of the file would measure.
    """

    table: PaperTable
    commands: tuple[tuple[str, int], ...]
    beyond: int

    @property
    def summary(self) -> str:
        """How much of it was measured."""
        return f"{self.table.measured} of {self.table.numbers} numbers measured"


@dataclass(frozen=True)
class Chapter:
    """A paper with its tables."""

    paper: Paper
    tables: tuple[Filled, ...]


def build_papers(results: Path, out: Path | None = None, experiments: Path | None = None) -> Report:
    """Put every table of every paper beside what some sweeps measured. Equal results give equal bytes.

    Args:
        results: Folder of one sweep, or of several.
        out: Where to write; ``results/papers`` without.
        experiments: Names the sweeps that would fill the rest; a file that is not there names none.

    Raises:
        StoreError: There are no results, or ``out`` cannot be written.
        SpecError: ``experiments`` is wrong.
    """
    measured, remarks = collect(sweep_folders(results))
    file = _experiments(experiments)
    chapters = []
    for name in papers.PAPERS:
        paper = papers.load_paper(name)
        chapters.append(
            Chapter(paper, tuple(_filled(paper, table.key, measured, file) for table in paper.tables))
        )
    findings = check.check()
    out = output.folder(results, out, name="papers")
    contents: dict[str, bytes] = {}
    for chapter in chapters:
        for filled in chapter.tables:
            contents |= output.files(filled.table.sheet.name, filled.table.sheet)
    markdown = _markdown(chapters, remarks)
    page = html.render(
        "papers.html.j2",
        title="Tables of papers",
        chapters=chapters,
        findings=findings,
        remarks=remarks,
        sweeps=sorted({number.sweep for number in measured}),
    )
    written = output.write(out, {"papers.html": page.encode(), "papers.md": markdown.encode()} | contents)
    return Report(page=written[0], markdown=markdown, console_tables=[_overview(chapters)], files=written)


def build_table(key: str, results: Path, out: Path | None = None, experiments: Path | None = None) -> Report:
    """Put one table of a paper beside what some sweeps measured.

    Args:
        key: Of the table, such as ``collm-table3``.
        results: Folder of one sweep, or of several.
        out: Where to write; ``results/papers`` without.
        experiments: Names the sweeps that would fill the rest; a file that is not there names none.

    Raises:
        DataError: There is no such table.
        StoreError: There are no results, or ``out`` cannot be written.
        SpecError: ``experiments`` is wrong.
    """
    paper, _ = papers.find_table(key)
    measured, remarks = collect(sweep_folders(results))
    filled = _filled(paper, key, measured, _experiments(experiments))
    out = output.folder(results, out, name="papers")
    markdown = _markdown([Chapter(paper, (filled,))], remarks)
    page = html.render(
        "papers.html.j2",
        title=filled.table.sheet.title,
        chapters=[Chapter(paper, (filled,))],
        findings=[finding for finding in check.check() if key in finding.tables],
        remarks=remarks,
        sweeps=sorted({number.sweep for number in measured}),
    )
    name = filled.table.sheet.name
    contents = {f"{name}.html": page.encode(), f"{name}.md": markdown.encode()}
    written = output.write(out, contents | output.files(name, filled.table.sheet))
    tables = [formats.to_console(filled.table.sheet)]
    if filled.commands:
        tables.append(formats.left_out_to_console(_missing(filled), title="What would fill it"))
    if remarks:
        tables.append(formats.left_out_to_console(remarks))
    return Report(page=written[0], markdown=markdown, console_tables=tables, files=written)


def _experiments(path: Path | None) -> ExperimentsFile | None:
    return read_experiments(path) if path is not None and path.exists() else None


def _filled(paper: Paper, key: str, measured: Sequence[Measured], file: ExperimentsFile | None) -> Filled:
    table = paper_table(paper, papers.find_table(key)[1], measured)
    if file is None:
        return Filled(table, (), len(table.missing))
    sweeps = sweeps_for(table.missing, file)
    commands = tuple((f"harness run {file.path.name} --sweep {name}", n) for name, n in sweeps.items())
    return Filled(table, commands, len(table.missing) - sum(sweeps.values()))


def _missing(filled: Filled) -> list[str]:
    """What would fill the rest of a table, a sentence each."""
    sentences = [f"`{command}` has runs of {_numbers(n)}." for command, n in filled.commands]
    if filled.beyond:
        sentences.append(f"Of {_numbers(filled.beyond)} more there is a method here, and no sweep.")
    rest = filled.table.numbers - filled.table.measured - len(filled.table.missing)
    if rest:
        sentences.append(f"Of {_numbers(rest)} there is no such method or setting here.")
    return sentences


def _numbers(n: int) -> str:
    return f"{n} number{'' if n == 1 else 's'}"


def _overview(chapters: Sequence[Chapter]) -> Table:
    rows = [
        {
            "key": filled.table.key,
            "title": filled.table.sheet.title,
            "numbers": filled.table.numbers,
            "measured": filled.table.measured,
            "next": filled.commands[0][0].rpartition(" ")[2] if filled.commands else formats.NOTHING,
        }
        for chapter in chapters
        for filled in chapter.tables
    ]
    columns = [
        formats.Column("key", "Key", formats.plain("key"), "Key"),
        formats.Column("title", "Table", formats.plain("title"), "Table"),
        formats.Column("numbers", "Numbers", formats.plain("numbers"), "Numbers"),
        formats.Column("measured", "Measured", formats.plain("measured"), "Measured"),
        formats.Column("next", "Sweep that has most of the rest", formats.plain("next"), "Next sweep"),
    ]
    grid = formats.lay_out(columns, rows, names=2, narrow=True)
    return formats.to_console(formats.Sheet("papers", "Tables of papers", "", pd.DataFrame(rows), grid, grid))


def _markdown(chapters: Sequence[Chapter], remarks: Sequence[str]) -> str:
    parts = []
    for chapter in chapters:
        for filled in chapter.tables:
            parts.append(formats.to_markdown(filled.table.printed))
            if filled.table.measured:
                parts.append(formats.to_markdown(filled.table.sheet))
            if missing := _missing(filled):
                parts.append("\n".join(f"- {sentence}" for sentence in missing) + "\n")
    if remarks:
        parts.append("## Left out\n\n" + "\n".join(f"- {text}" for text in remarks) + "\n")
    return "\n".join(parts)
