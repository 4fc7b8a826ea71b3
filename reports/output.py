"""What a report consists of, and how its files are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import StoreError
from reports import formats
from reports import heatmaps
from reports.html import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.table import Table

    from reports.formats import Sheet
    from reports.heatmaps import HeatMap

_OTHER_FOLDER = "Give another folder for the report: `harness report RESULTS --out FOLDER`."


@dataclass(frozen=True)
class Report:
    """What was made.

    Attributes:
        page: The HTML page.
        markdown: All tables, as in ``report.md``.
        console_tables: One per benchmark, within 100 columns; then those over the whole sweep, and one of what was
            left out, if anything was.
        files: Everything that was written, the page first.
    """

    page: Path
    markdown: str
    console_tables: list[Table]
    files: list[Path]


def folder(results: Path, out: Path | None, *, name: str = "report") -> Path:
    """Where a report is written: ``out``, or a folder of that name in the results.

    Raises:
        StoreError: A file is there.
    """
    out = results / name if out is None else out
    try:
        taken = out.exists() and not out.is_dir()
    except OSError:
        # What cannot be looked at is told by what reads the sweep, or writes here.
        taken = False
    if taken:
        raise StoreError(f"{out}: this is a file. {_OTHER_FOLDER}")
    return out


def files(name: str, sheet: Sheet) -> dict[str, bytes]:
    """A table as files, by their names."""
    made = {
        f"{name}.csv": formats.to_csv(sheet).encode(),
        f"{name}.tex": formats.to_latex(sheet).encode(),
    }
    if sheet.runs is not None:
        made[f"{name}-runs.csv"] = sheet.runs.to_csv(index=False, lineterminator="\n").encode()
    return made


def drawn(heat_map: HeatMap) -> tuple[Picture, dict[str, bytes]]:
    """A heat map as a figure of a page, and as files, by their names."""
    drawing = heatmaps.draw(heat_map)
    picture = Picture(heat_map.name, drawing.svg, heat_map.caption, fills=False)
    return picture, drawing.files(heat_map.name)


def linked(picture: Picture) -> str:
    """A figure in Markdown."""
    return f"![{picture.caption}]({picture.name}.svg)\n"


def write(out: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files, each in one step, so that no reader sees half of it.

    Args:
        out: Folder.
        contents: By the names of the files.

    Returns:
        Their paths, in their order.

    Raises:
        StoreError: One cannot be written.
    """
    return [_write(out / name, content) for name, content in contents.items()]


def _write(path: Path, content: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        where = error.filename or path
        raise StoreError(f"{where}: cannot be written: {error.strerror}. {_OTHER_FOLDER}") from error
    return path
