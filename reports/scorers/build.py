"""From the folder of a ranking to a report on disk and on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from reports import formats
from reports import html
from reports import output
from reports.output import Report
from reports.scorers import figures
from reports.scorers.load import load_rankings
from reports.scorers.sheet import sheet
from reports.scorers.table import ranking_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reports.scorers.load import Rankings


def build_report(sweep_folder: Path, out: Path | None = None) -> Report:
    """Make tables, figures and page of a ranking.

    Equal results give equal bytes. Files of an earlier report are replaced, each in one step.

    Args:
        sweep_folder: ``results/<sweep>``.
        out: Where to write; ``sweep_folder/report`` without.

    Raises:
        StoreError: ``sweep_folder`` is damaged, or without scores; or ``out`` cannot be written.
    """
    out = output.folder(sweep_folder, out)
    rankings = load_rankings(sweep_folder)
    # The matrices are small: threads would only wait for each other.
    with threadpool_limits(limits=1):
        tables = [ranking_table(ranked) for ranked in rankings.benchmarks]

    contents: dict[str, bytes] = {}

    overview = []
    for heat_map in figures.tau_maps(tables):
        picture, files = output.drawn(heat_map)
        contents |= files
        overview.append(picture)
    sections = []
    for table in tables:
        printed = sheet(table)
        contents |= output.files(f"table-{table.ranked.label}", printed)
        picture, files = output.drawn(figures.agreement_map(table.ranked, list(table.frame["scorer"])))
        contents |= files
        lacks_test = "test" in table.ranked.record.missing
        sections.append(html.Section(printed, (), [picture], lacks_test=lacks_test))
    markdown = _markdown(rankings, sections, overview)
    contents["report.md"] = markdown.encode()
    contents = {"report.html": _page(rankings, sections, overview).encode()} | contents

    written = output.write(out, contents)
    console_tables = [formats.to_console(section.sheet) for section in sections]
    if rankings.remarks:
        console_tables.append(formats.left_out_to_console(rankings.remarks, title="Missing"))
    return Report(page=written[0], markdown=markdown, console_tables=console_tables, files=written)


def _markdown(rankings: Rankings, sections: Sequence[html.Section], overview: Sequence[html.Picture]) -> str:
    parts = [f"# {rankings.plan.name}\n", *map(output.linked, overview)]
    for section in sections:
        parts += [formats.to_markdown(section.sheet), *map(output.linked, section.pictures)]
    if rankings.remarks:
        parts.append("## Missing scores\n\n" + "\n".join(f"- {text}" for text in rankings.remarks) + "\n")
    return "\n".join(parts)


def _page(rankings: Rankings, sections: Sequence[html.Section], overview: Sequence[html.Picture]) -> str:
    plan = rankings.plan
    records = [ranked.record for ranked in rankings.benchmarks]
    started = [session["started"] for session in rankings.sessions]
    facts = [
        ("Data", html.distinct(f"{r.data.source}, digest {r.data.digest}" for r in records)),
        ("Search space", html.distinct(record.space for record in records)),
        ("Sample", f"{plan.architectures} architectures, seed {plan.seed}"),
        *html.made_by(rankings.sessions),
        ("First started", min(started, default="")),
    ]
    scorers = {
        label: (record.name, html.settings(record.params, record.models) or "none")
        for ranked in rankings.benchmarks
        for label, record in ranked.record.scorers.items()
    }
    return html.render(
        "ranking.html.j2",
        title=plan.name,
        description=plan.description,
        benchmarks=len(rankings.benchmarks),
        planned=len(plan.benchmarks),
        overview=overview,
        sections=sections,
        facts=[(name, text) for name, text in facts if text],
        scorers=[(label, *texts) for label, texts in scorers.items()],
        remarks=rankings.remarks,
        lacks_test=[section.sheet.name for section in sections if section.lacks_test],
    )
