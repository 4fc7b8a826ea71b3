"""From a results folder to a report on disk and on the terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.ranking.run import KIND
from reports import anytime
from reports import benchmark_sheet
from reports import by_heart
from reports import costs
from reports import first_proposals
from reports import formats
from reports import headline
from reports import html
from reports import measured
from reports import measures
from reports import measures_sheet
from reports import output
from reports import pictures
from reports import ranking
from reports import scores
from reports import seconds
from reports import tables
from reports import validity
from reports.conversation import conversation
from reports.load import load_results
from reports.output import Report
from reports.papers.measured import of_results
from reports.papers.sheet import paper_tables
from reports.scorers import build as scorers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from reports.formats import Sheet
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import ScoreTable


def build_report(sweep_folder: Path, out: Path | None = None) -> Report:
    """Make tables, figures and page of a sweep.

    Equal results give equal bytes. Files of an earlier report are replaced, each in one step.

    Args:
        sweep_folder: ``results/<sweep>``.
        out: Where to write; ``sweep_folder/report`` without.

    Raises:
        StoreError: ``sweep_folder`` is no results folder of this version, or ``out`` cannot be written.
        DataError: A trajectory is damaged.
    """
    if _is_ranking(sweep_folder):
        return scorers.build_report(sweep_folder, out)
    out = output.folder(sweep_folder, out)
    results = load_results(sweep_folder)
    known = scores.ceilings(results)
    runs = tables.run_table(results, scores.final_scores(results, known))
    scored = measures.run_scores(results, known)

    contents: dict[str, bytes] = {}
    sections = []
    for label, ceiling in known.items():
        table = tables.benchmark_table(results, label, runs, ceiling)
        sheet = benchmark_sheet.sheet(table)
        contents |= output.files(f"table-{label}", sheet)
        album = pictures.of_benchmark(results, label, ceiling, scored)
        contents |= album.files
        lacks_test = "test" in ceiling.missing
        sections.append(html.Section(sheet, table.facts, album.pictures, lacks_test=lacks_test))
    over_benchmarks = headline.score_table(results, runs, known)
    sheets = _sweep_sheets(results, runs, known, over_benchmarks)
    for sheet in sheets:
        contents |= output.files(sheet.name, sheet)
    of_sheets = {}
    for name, album in pictures.of_sheets(
        results, sheets, known, headline.rank_tests(over_benchmarks)
    ).items():
        contents |= album.files
        of_sheets[name] = album.pictures
    beside = paper_tables(of_results(results, known))
    for paper_table in beside:
        contents |= output.files(paper_table.sheet.name, paper_table.sheet)
    markdown = _markdown(results, sections, sheets, of_sheets)
    contents["report.md"] = markdown.encode()
    contents["runs.csv"] = runs.to_csv(index=False, lineterminator="\n").encode()
    clocked = measured.measured_runs(results)
    contents["measured-seconds.csv"] = clocked.to_csv(index=False, lineterminator="\n").encode()
    page = html.page(
        results,
        sections,
        sheets,
        of_sheets,
        papers=beside,
        conversation=conversation(results),
        seconds=measured.measured_sheet(results),
    )
    contents = {"report.html": page.encode()} | contents

    written = output.write(out, contents)
    console_tables = [formats.to_console(sheet) for sheet in (*(s.sheet for s in sections), *sheets)]
    if results.left_out:
        console_tables.append(formats.left_out_to_console(results.left_out.values()))
    return Report(
        page=written[0],
        markdown=markdown,
        console_tables=console_tables,
        files=written,
    )


def _is_ranking(folder: Path) -> bool:
    try:
        sweep = json.loads((folder / "sweep.json").read_bytes())
    except (OSError, ValueError):
        # What is wrong is said by whoever reads all of it.
        return False
    return isinstance(sweep, dict) and sweep.get("kind") == KIND


def _sweep_sheets(
    results: Results, runs: pd.DataFrame, known: Mapping[str, Ceiling], table: ScoreTable
) -> list[Sheet]:
    """The tables over the whole sweep that have something to say."""
    sheets = [
        headline.headline_sheet(results, table, known),
        anytime.anytime_sheet(results, known),
        measures_sheet.measure_sheet(results, known),
        first_proposals.proposal_sheet(results, known),
        ranking.ranking_sheet(results, known),
        by_heart.by_heart_sheet(results, runs, known),
        costs.cost_sheet(results, runs),
        seconds.second_sheet(results, known),
        validity.validity_sheet(results),
    ]
    return [sheet for sheet in sheets if sheet is not None]


def _markdown(
    results: Results,
    sections: Sequence[html.Section],
    sheets: Sequence[Sheet],
    of_sheets: Mapping[str, Sequence[html.Picture]],
) -> str:
    parts = [f"# {results.name}\n"]
    for section in sections:
        parts.append(formats.to_markdown(section.sheet))
        parts += map(output.linked, section.pictures)
    for sheet in sheets:
        parts += [formats.to_markdown(sheet), *map(output.linked, of_sheets[sheet.name])]
    incomplete = [f"{path} failed." for path in results.runs.query("status == 'failed'")["path"]]
    incomplete += [f"{path} is not finished." for path in results.runs.query("status == 'running'")["path"]]
    parked = results.runs.query("status == 'parked'")
    incomplete += [
        f"{path} is parked: {reason}" for path, reason in zip(parked["path"], parked["parked"], strict=True)
    ]
    incomplete += [f"{path} is missing." for path in results.missing]
    if remarks := [*incomplete, *results.remarks]:
        parts.append("## Failed and missing runs\n\n" + "\n".join(f"- {text}" for text in remarks) + "\n")
    return "\n".join(parts)
