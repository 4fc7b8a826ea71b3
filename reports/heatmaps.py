"""Heat maps as figures: a number in every cell, on colours that keep their order for every eye and in grey."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from reports.figures import INK
from reports.figures import render
from reports.formats import NOTHING

if TYPE_CHECKING:
    from reports.correlation import Floats
    from reports.figures import Drawing

# Its lightness only rises, so that it is ordered for every eye, and in grey.
_COLOURS = "viridis"
# In inches: the smallest cell, a letter of the font, and one of the numbers.
_WIDTH, _HEIGHT, _LETTER, _NUMBER = 0.58, 0.34, 0.092, 0.08
# Up to so many columns have their names written level.
_FEW = 6
# Relative luminance at which black and white text have the same contrast (WCAG 2).
_MIDDLE = 0.179


@dataclass(frozen=True)
class HeatMap:
    """Numbers of rows by columns.

    Attributes:
        name: What its files are called.
        title: Above it.
        rows: What each row is.
        columns: What each column is.
        values: ``(rows, columns)``; NaN where there is no number.
        limits: What the darkest and the lightest colour stand for.
        caption: What it shows.
        row_title: What the rows are together.
        column_title: What the columns are together.
        decimals: Of the numbers.
    """

    name: str
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Floats
    limits: tuple[float, float]
    caption: str
    row_title: str = ""
    column_title: str = ""
    decimals: int = 2


def draw(heat_map: HeatMap) -> Drawing:
    """The heat map as files."""
    return render(partial(figure, heat_map))


def figure(heat_map: HeatMap) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    rows, columns = heat_map.values.shape
    numbers = [
        [NOTHING if np.isnan(v) else f"{v:.{heat_map.decimals}f}" for v in row] for row in heat_map.values
    ]
    cell = max(_WIDTH, _NUMBER * max(len(number) for row in numbers for number in row) + 0.15)
    level = columns <= _FEW or _longest(heat_map.columns) <= cell
    heads = [_broken(head) if level else head for head in heat_map.columns]
    # As large as cells and names need, so that nothing is squeezed or cut.
    longest = _longest(line for head in heads for line in head.splitlines())
    width = columns * (max(cell, longest + 0.15) if level else cell) + _longest(heat_map.rows)
    height = rows * _HEIGHT + (0.17 * max(head.count("\n") + 1 for head in heads) if level else longest)
    made = Figure(
        figsize=(max(width, _longest([heat_map.title]) * 1.1) + 0.6, height + 0.9), layout="constrained"
    )
    axes = made.add_subplot()
    scale = mpl.colors.Normalize(*heat_map.limits, clip=True)
    colours = mpl.colormaps[_COLOURS]
    # A mesh, not an image: figures inside the page are drawn, without a picture to load.
    axes.pcolormesh(
        np.ma.masked_invalid(heat_map.values), cmap=colours, norm=scale, edgecolors="white", linewidth=1.0
    )
    for (row, column), value in np.ndenumerate(heat_map.values):
        known = not np.isnan(value)
        axes.text(
            column + 0.5,
            row + 0.5,
            numbers[row][column],
            ha="center",
            va="center",
            fontsize=9,
            color=_text_on(colours(scale(value))) if known else INK,
        )
    axes.set_xticks(np.arange(columns) + 0.5, heads)
    axes.set_yticks(np.arange(rows) + 0.5, heat_map.rows)
    axes.tick_params(length=0)
    if not level:
        axes.tick_params(axis="x", rotation=90)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.set_xlabel(heat_map.column_title)
    axes.set_ylabel(heat_map.row_title)
    made.suptitle(heat_map.title, x=0.02, ha="left", fontsize=mpl.rcParams["axes.titlesize"])
    return made


def _broken(head: str) -> str:
    """A long name in two lines."""
    return head if _longest([head]) <= 2 * _WIDTH else head.replace("-", "-\n", 1)


def _longest(texts: Iterable[str]) -> float:
    """Inches that the longest text takes."""
    return _LETTER * max(map(len, texts), default=0)


def _text_on(colour: tuple[float, float, float, float]) -> str:
    # Neither is INK, which the page turns into the colour of its own text.
    red, green, blue = (channel**2.2 for channel in colour[:3])
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _MIDDLE else "#ffffff"
