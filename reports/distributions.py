"""How the scores of runs are spread, measure by measure, as box plots (ISTS, Figures 4 and E.8 to E.11)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures import INK
from reports.figures import PALETTE
from reports.figures import measure_label
from reports.figures import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from harness.benchmarks import Metric
    from reports.figures import Drawing
    from reports.measures import Scored
    from reports.statistics import Floats

# In inches: a box with its margins, a panel, and a letter of the font.
_HEIGHT, _WIDTH, _LETTER = 0.42, 3.0, 0.095
# Share of a row's height in which the marks of its runs stand.
_BAND = 0.36


@dataclass(frozen=True)
class Distribution:
    """The scores of single runs on one benchmark.

    Attributes:
        benchmark: Label.
        title: What it is called.
        split: On which split.
        strategies: Labels, in the order of the sweep.
        panels: Each measure with the scores of each strategy's runs, ``(runs,)``.
    """

    benchmark: str
    title: str
    split: str
    strategies: tuple[str, ...]
    panels: tuple[tuple[Metric, Mapping[str, Floats]], ...]


def distribution(on: Scored, runs: pd.DataFrame) -> Distribution | None:
    """The scores of the runs on a benchmark; ``None`` where there are none, or it has one measure alone.

    Args:
        on: The benchmark.
        runs: What :func:`reports.measures.run_scores` gives.
    """
    mine = runs[(runs["benchmark"] == on.label)].dropna(subset="value")
    if mine.empty or len(on.benchmark.measures) < 2:
        return None
    strategies = tuple(dict.fromkeys(mine["strategy"]))
    panels = []
    for measure in on.benchmark.measures:
        values = mine[mine["measure"] == measure.name]
        panels.append(
            (
                measure,
                {s: values.loc[values["strategy"] == s, "value"].to_numpy(dtype=float) for s in strategies},
            )
        )
    return Distribution(on.label, on.title, on.split, strategies, tuple(panels))


def draw(shown: Distribution) -> Drawing:
    """The box plots as files, side by side."""
    return render(partial(figure, shown))


def describe(shown: Distribution) -> str:
    """What the figure shows."""
    split = {"valid": "Validation", "test": "Test"}[shown.split]
    names = ", ".join(measure.name for measure, _ in shown.panels)
    return (
        f"{split} scores of the recommendations of single runs on {shown.title} ({names}): a mark per run, and a box "
        "from the first to the third quartile with the median, whose whiskers reach to the last run within 1.5 of its "
        "lengths."
    )


def figure(shown: Distribution) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    rows = len(shown.strategies)
    names = _LETTER * max(map(len, shown.strategies))
    made = Figure(figsize=(names + _WIDTH * len(shown.panels), _HEIGHT * rows + 1.2), layout="constrained")
    grid = made.subplots(1, len(shown.panels), sharey=True, squeeze=False)[0]
    for axes, (measure, values) in zip(grid, shown.panels, strict=True):
        _boxes(axes, [values[strategy] for strategy in shown.strategies])
        axes.set_xlabel(measure_label(measure.name, measure.unit, higher_is_better=measure.higher_is_better))
    grid[0].set_yticks(range(rows), shown.strategies)
    grid[0].set_ylim(rows - 0.5, -0.5)
    made.suptitle(shown.title, x=0.02, ha="left", fontsize=12)
    return made


def _boxes(axes: Axes, samples: list[Floats]) -> None:
    line = {"color": INK, "linewidth": 1.0}
    boxes = axes.boxplot(
        samples,
        positions=range(len(samples)),
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        whiskerprops=line,
        capprops=line,
        boxprops={"edgecolor": INK, "linewidth": 1.0},
        medianprops={"color": INK, "linewidth": 2.2},
        manage_ticks=False,
    )
    for row, (box, values) in enumerate(zip(boxes["boxes"], samples, strict=True)):
        colour = PALETTE[row % len(PALETTE)]
        # Text and lines stay readable on it, in grey and on a dark page.
        box.set_facecolor((*_rgb(colour), 0.3))
        # Marks of equal runs stand beside each other.
        heights = row + (np.linspace(-_BAND / 2, _BAND / 2, len(values)) if len(values) > 1 else np.zeros(1))
        axes.plot(
            values,
            heights,
            "o",
            color=colour,
            markeredgecolor=INK,
            markeredgewidth=0.5,
            markersize=4.5,
            zorder=4,
        )
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.grid(visible=True, axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.tick_params(axis="y", length=0)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
