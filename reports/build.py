"""From a results folder to a report on disk and on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import StoreError
from reports import curves
from reports import figures
from reports import formats
from reports import html
from reports import scores
from reports import tables
from reports.load import load_results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from reports.load import Results


_OTHER_FOLDER = "Give another folder for the report: `harness report RESULTS --out FOLDER`."


@dataclass(frozen=True)
class Report:
    """What was made.

    Attributes:
        page: The HTML page.
        markdown: All tables, as in ``report.md``.
        console_tables: One per benchmark, within 100 columns; then one of what was left out, if anything was.
        files: Everything that was written, the page first.
    """

    page: Path
    markdown: str
    console_tables: list[Table]
    files: list[Path]


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
    out = sweep_folder / "report" if out is None else out
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out}: this is a file. {_OTHER_FOLDER}")
    results = load_results(sweep_folder)
    known = scores.ceilings(results)
    runs = tables.run_table(results, scores.final_scores(results, known))

    contents: dict[str, bytes] = {}
    sections = []
    for label, ceiling in known.items():
        table = tables.benchmark_table(results, label, runs, ceiling)
        contents[f"table-{label}.csv"] = formats.to_csv(table).encode()
        contents[f"table-{label}.tex"] = formats.to_latex(table).encode()
        pictures = []
        for panel in curves.panels(results, label, ceiling):
            name = f"curve-{label}-{panel.axis}"
            png, svg = figures.draw(panel)
            contents |= {f"{name}.png": png, f"{name}.svg": svg}
            pictures.append(html.Picture(name, svg, figures.describe(panel)))
        sections.append(html.Section(table, pictures))
    markdown = _markdown(results, sections)
    contents["report.md"] = markdown.encode()
    contents["runs.csv"] = runs.to_csv(index=False, lineterminator="\n").encode()
    contents = {"report.html": html.page(results, sections).encode()} | contents

    files = [_write(out / name, content) for name, content in contents.items()]
    console_tables = [formats.to_console(section.table) for section in sections]
    if results.left_out:
        console_tables.append(formats.left_out_to_console(results.left_out.values()))
    return Report(
        page=files[0],
        markdown=markdown,
        console_tables=console_tables,
        files=files,
    )


def _markdown(results: Results, sections: Sequence[html.Section]) -> str:
    parts = [f"# {results.name}\n"]
    for section in sections:
        parts.append(formats.to_markdown(section.table))
        parts += [f"![{picture.caption}]({picture.name}.svg)\n" for picture in section.pictures]
    incomplete = [f"{path} failed." for path in results.runs.query("status == 'failed'")["path"]]
    incomplete += [f"{path} is not finished." for path in results.runs.query("status == 'running'")["path"]]
    incomplete += [f"{path} is missing." for path in results.missing]
    if remarks := [*incomplete, *results.remarks]:
        parts.append("## Failed and missing runs\n\n" + "\n".join(f"- {text}" for text in remarks) + "\n")
    return "\n".join(parts)


def _write(path: Path, content: bytes) -> Path:
    """Write a file in one step, so that no reader sees half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        where = error.filename or path
        raise StoreError(f"{where}: cannot be written: {error.strerror}. {_OTHER_FOLDER}") from error
    return path
