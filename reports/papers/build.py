"""From results folders to the tables of papers, on disk and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from harness.experiment import read_experiments
from reports import formats
from reports import html
from reports import output
from reports.folders import sweep_folders
from reports.output import Report
from reports.papers.filling import Filler
from reports.papers.filling import Offers
from reports.papers.matching import by_key
from reports.papers.measured import collect
from reports.papers.sheet import paper_table
from reports.published import check
from reports.published import papers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from reports.papers.matching import Key
    from reports.papers.measured import Collected
    from reports.papers.measured import Measured
    from reports.papers.sheet import PaperTable
    from reports.published.papers import Paper


@dataclass(frozen=True)
class Filled:
    """A table with what would fill the rest of it.

    Attributes:
        table: The table.
        fillers: Sweeps that would measure more of it.
        file: The experiments file that has them.
    """

    table: PaperTable
    fillers: tuple[Filler, ...] = ()
    file: Path | None = None

    @property
    def summary(self) -> str:
        """How much of it was measured."""
        return f"{self.table.measured} of {self.table.numbers} numbers measured"

    @property
    def steps(self) -> list[tuple[str, str]]:
        """What to call, and what that has."""
        return [(f"harness run {self.file} --sweep {filler.sweep}", _has(filler)) for filler in self.fillers]

    @property
    def rest(self) -> list[str]:
        """What no sweep would measure, a sentence each."""
        sentences = []
        beyond = len(self.table.missing) - sum(filler.numbers for filler in self.fillers)
        if beyond and self.file is not None:
            sentences.append(f"Of {_numbers(beyond)} there is a method here, and no sweep in {self.file}.")
        if other := self.table.numbers - self.table.measured - len(self.table.missing):
            sentences.append(f"Of {_numbers(other)} there is no such method or setting here.")
        return sentences


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
        experiments: The experiments file whose sweeps would fill the rest.

    Raises:
        StoreError: There are no results, or ``out`` cannot be written.
        SpecError: ``experiments`` is wrong.
    """
    collected = collect(sweep_folders(results))
    offers = None if experiments is None else Offers(read_experiments(experiments))
    found = by_key(collected.measured)
    chapters = [
        Chapter(paper, tuple(_filled(table.key, found, offers) for table in paper.tables))
        for paper in map(papers.load_paper, papers.PAPERS)
    ]
    findings = check.check()
    out = output.folder(results, out, name="papers")
    contents: dict[str, bytes] = {}
    for chapter in chapters:
        for filled in chapter.tables:
            contents |= output.files(filled.table.sheet.name, filled.table.sheet)
    markdown = _markdown(chapters, collected.remarks)
    page = html.render(
        "papers.html.j2",
        title="Tables of papers",
        chapters=chapters,
        findings=findings,
        remarks=collected.remarks,
        sweeps=collected.sweeps,
    )
    written = output.write(out, {"papers.html": page.encode(), "papers.md": markdown.encode()} | contents)
    tables = [_overview(chapters), *_left_out(collected)]
    return Report(page=written[0], markdown=markdown, console_tables=tables, files=written)


def build_table(key: str, results: Path, out: Path | None = None, experiments: Path | None = None) -> Report:
    """Put one table of a paper beside what some sweeps measured.

    Args:
        key: Of the table, such as ``collm-table3``.
        results: Folder of one sweep, or of several.
        out: Where to write; ``results/papers`` without.
        experiments: The experiments file whose sweeps would fill the rest.

    Raises:
        DataError: There is no such table.
        StoreError: There are no results, or ``out`` cannot be written.
        SpecError: ``experiments`` is wrong.
    """
    paper, _ = papers.find_table(key)
    collected = collect(sweep_folders(results))
    offers = None if experiments is None else Offers(read_experiments(experiments))
    filled = _filled(key, by_key(collected.measured), offers)
    out = output.folder(results, out, name="papers")
    markdown = _markdown([Chapter(paper, (filled,))], collected.remarks)
    page = html.render(
        "papers.html.j2",
        title=filled.table.sheet.title,
        chapters=[Chapter(paper, (filled,))],
        findings=[finding for finding in check.check() if key in finding.tables],
        remarks=collected.remarks,
        sweeps=collected.sweeps,
    )
    name = filled.table.sheet.name
    contents = {f"{name}.html": page.encode(), f"{name}.md": markdown.encode()}
    written = output.write(out, contents | output.files(name, filled.table.sheet))
    tables = [formats.to_console(filled.table.sheet)]
    if missing := _missing(filled):
        tables.append(formats.left_out_to_console(missing, title="What would fill it"))
    tables += _left_out(collected)
    return Report(page=written[0], markdown=markdown, console_tables=tables, files=written)


def _left_out(collected: Collected) -> list[Table]:
    return [formats.left_out_to_console(collected.remarks)] if collected.remarks else []


def _filled(key: str, measured: Mapping[Key, list[Measured]], offers: Offers | None) -> Filled:
    table = paper_table(*papers.find_table(key), measured)
    if offers is None:
        return Filled(table)
    return Filled(table, tuple(offers.fillers(table.missing)), offers.path)


def _missing(filled: Filled) -> list[str]:
    """What would fill the rest of a table, a sentence each."""
    return [f"`{command}` {has}." for command, has in filled.steps] + filled.rest


def _has(filler: Filler) -> str:
    needs = ", ".join(f"{n} need{'s' if n == 1 else ''} {need}" for need, n in filler.needs.items())
    return f"has runs of {_numbers(filler.numbers)}{f' ({needs})' if needs else ''}"


def _numbers(n: int) -> str:
    return f"{n} number{'' if n == 1 else 's'}"


def _overview(chapters: Sequence[Chapter]) -> Table:
    rows = [
        {
            "key": filled.table.key,
            "title": filled.table.sheet.title,
            "numbers": filled.table.numbers,
            "measured": filled.table.measured,
            "next": filled.fillers[0].sweep if filled.fillers else formats.NOTHING,
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
