"""Stacked bars as figures: what a whole consists of, row by row, in colours with hatches that stay apart in grey."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports.figures import HATCHES
from reports.figures import INK
from reports.figures import PALETTE
from reports.figures import legend_below
from reports.figures import legend_height
from reports.figures import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.figures import Drawing
    from reports.statistics import Floats

# In inches: a bar with its margins, the bars of a panel, and a letter of the font.
_HEIGHT, _WIDTH, _LETTER = 0.38, 3.6, 0.095


@dataclass(frozen=True)
class Stack:
    """One bar per row.

    Attributes:
        label: What is measured, with its unit.
        parts: Part to its amounts, ``(rows,)``, in the order in which they are stacked. Parts of the same name in
            different stacks of a figure look the same.
        ends: What is written behind each bar.
        whole: What a full bar is; the longest one where ``None``.
    """

    label: str
    parts: Mapping[str, Floats]
    ends: Sequence[str]
    whole: float | None = None


@dataclass(frozen=True)
class StackedBars:
    """Stacks of the same rows, side by side.

    Attributes:
        name: What its files are called.
        title: Above it.
        rows: What each row is.
        stacks: At least one.
        caption: What it shows.
    """

    name: str
    title: str
    rows: Sequence[str]
    stacks: Sequence[Stack]
    caption: str


def area_style(number: int) -> dict[str, Any]:
    """Colour and hatch of an area; no two of the first 70 are alike.

    Args:
        number: Which part of its figure it is.
    """
    return {
        # Light enough for lines and hatches on it, on a white and on a dark page.
        "facecolor": mpl.colors.to_rgba(PALETTE[number % len(PALETTE)], 0.6),
        "hatch": HATCHES[number % len(HATCHES)],
        "edgecolor": INK,
        "linewidth": 0.6,
    }


def draw(shown: StackedBars) -> Drawing:
    """The bars as files."""
    return render(partial(figure, shown))


def figure(shown: StackedBars) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    parts = list(dict.fromkeys(part for stack in shown.stacks for part in stack.parts))
    styles = {part: area_style(number) for number, part in enumerate(parts)}
    ends = [_LETTER * max(map(len, stack.ends), default=0) + 0.15 for stack in shown.stacks]
    width = max(
        _LETTER * max(map(len, shown.rows)) + _WIDTH * len(shown.stacks) + sum(ends),
        _LETTER * len(shown.title) + 0.5,
    )
    height = _HEIGHT * len(shown.rows) + 1.0 + legend_height(parts, width)
    made = Figure(figsize=(width, height), layout="constrained")
    ratios = [_WIDTH + end for end in ends]
    grid = made.subplots(1, len(shown.stacks), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for axes, stack, end in zip(grid, shown.stacks, ends, strict=True):
        _bars(axes, stack, styles, end)
    grid[0].set_yticks(range(len(shown.rows)), shown.rows)
    grid[0].set_ylim(len(shown.rows) - 0.4, -0.6)
    made.suptitle(shown.title, x=0.02, ha="left", fontsize=12)
    legend_below(made, handles=[Patch(label=part, **style) for part, style in styles.items()])
    return made


def _bars(axes: Axes, stack: Stack, styles: Mapping[str, Mapping[str, Any]], end: float) -> None:
    left = np.zeros(len(stack.ends))
    for part, amounts in stack.parts.items():
        axes.barh(range(len(amounts)), amounts, left=left, height=0.68, **styles[part])
        left = left + amounts
    longest = stack.whole or float(left.max()) or 1.0
    # Behind the longest bar is space for what is written there.
    axes.set_xlim(0, longest * (1 + end / _WIDTH))
    for row, text in enumerate(stack.ends):
        axes.text(left[row] + 0.02 * longest, row, text, va="center", fontsize=10)
    ticks = MaxNLocator(4).tick_values(0, longest)
    axes.set_xticks([tick for tick in ticks if tick <= longest])
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.set_xlabel(stack.label)
    axes.grid(visible=True, axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
