"""All figures of a report: which there are, in which order, and their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import ablations
from reports import cell_figures
from reports import cells
from reports import cost_bars
from reports import critical_difference
from reports import curve_figures
from reports import curves
from reports import distributions
from reports import grids
from reports import headline
from reports import heatmaps
from reports import measures
from reports import ranking
from reports import reply_bars
from reports import search_maps
from reports import sources
from reports import stacked
from reports import variation
from reports.html import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    import pandas as pd

    from reports.figures import Drawing
    from reports.formats import Sheet
    from reports.heatmaps import HeatMap
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.stacked import StackedBars
    from reports.statistics import RankTest


class Album:
    """Figures that stand together on a page.

    Attributes:
        pictures: The figures of the page, in their order.
        files: All of them as files, by name.
    """

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.files: dict[str, bytes] = {}

    def add(
        self, name: str, drawing: Drawing, caption: str, *, fills: bool = False, alone: bool = True
    ) -> None:
        """Add a figure; see :class:`~reports.html.Picture`."""
        self.pictures.append(Picture(name, drawing.svg, caption, fills=fills, alone=alone))
        self.files |= drawing.files(name)

    def add_heat_map(self, heat_map: HeatMap) -> None:
        """Add a heat map, beside others where there is space."""
        self.add(heat_map.name, heatmaps.draw(heat_map), heat_map.caption, alone=False)

    def add_bars(self, bars: StackedBars) -> None:
        """Add stacked bars."""
        self.add(bars.name, stacked.draw(bars), bars.caption)


def of_benchmark(results: Results, label: str, ceiling: Ceiling, scored: pd.DataFrame) -> Album:
    """The figures of a benchmark.

    Args:
        results: The runs.
        label: Label of the benchmark.
        ceiling: Of this benchmark.
        scored: What :func:`reports.measures.run_scores` gives.
    """
    album = Album()
    panels = curves.panels(results, label, ceiling)
    for panel in panels:
        drawing = curve_figures.draw(panel)
        album.add(
            f"curve-{label}-{panel.axis}", drawing, curve_figures.describe(panel), fills=True, alone=False
        )
    for ablation in ablations.ablations(results, panels[0]):
        album.add(ablation.name, ablations.draw(ablation), ablations.describe(ablation))
    for on in measures.scored({label: ceiling}):
        if spread := distributions.distribution(on, scored):
            album.add(f"boxes-{label}", distributions.draw(spread), distributions.describe(spread))
        varied_together = grids.grids(results, on, scored)
        for grid in varied_together:
            for heat_map in grids.heat_maps(grid):
                album.add_heat_map(heat_map)
        for varied in variation.variations(results, on, scored):
            # The lines of a grid are in its heat map.
            if not any(set(varied.labels) <= set(grid.labels) for grid in varied_together):
                album.add(varied.name, variation.draw(varied), variation.describe(varied))
    if proposed := sources.source_panels(results, label, ceiling):
        album.add(f"sources-{label}", sources.draw(proposed), sources.describe(proposed))
    if search_map := search_maps.search_map(results, label, ceiling):
        album.add(f"paths-{label}", search_maps.draw(search_map), search_maps.describe(search_map))
    if gallery := cells.gallery(results, label, ceiling):
        album.add(f"cells-{label}", cell_figures.draw(gallery), cells.describe(gallery))
    return album


def of_sheets(
    results: Results, sheets: Sequence[Sheet], known: Mapping[str, Ceiling], test: RankTest | None
) -> dict[str, Album]:
    """The figures of the tables over the whole sweep, by the names of the tables.

    Args:
        results: The runs.
        sheets: The tables.
        known: Of every benchmark.
        test: Of ranks over benchmarks, where it could be made.
    """
    albums = {sheet.name: Album() for sheet in sheets}
    for sheet in sheets:
        if sheet.name == headline.NAME and test is not None:
            drawing = critical_difference.draw(test, "Ranks over benchmarks")
            albums[sheet.name].add("critical-difference", drawing, critical_difference.describe(test))
        elif sheet.name == "ranking":
            for heat_map in ranking.consistency_maps(results):
                albums[sheet.name].add_heat_map(heat_map)
        elif sheet.name == "costs":
            for bars in cost_bars.cost_bars(sheet, known):
                albums[sheet.name].add_bars(bars)
        elif sheet.name == "validity" and (replies := reply_bars.reply_bars(results)):
            albums[sheet.name].add_bars(replies)
    return albums
