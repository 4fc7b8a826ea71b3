"""Critical-difference diagrams: average ranks over benchmarks, and which strategies cannot be told apart.

After Demšar (2006), "Statistical comparisons of classifiers over multiple data sets", Section 3.2.4. All of it is ink
on the page's ground, so that nothing hangs on a colour.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from reports.figures import INK
from reports.figures import Drawing
from reports.figures import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reports.statistics import RankTest

# In inches: the axis of ranks, a row of names or a bar, a letter of the font, and what stands above the rows.
_WIDTH, _HEIGHT, _LETTER, _HEAD = 4.2, 0.27, 0.085, 1.1
# Where the bar of the critical difference stands above the axis, in rows.
_ABOVE = 2.2
# Up to so many strategies, every rank has its number.
_FEW = 12


def draw(test: RankTest, title: str) -> Drawing:
    """The diagram as files.

    Args:
        test: One that could be made.
        title: Above it.

    Raises:
        ValueError: The test could not be made, for the reason that it gives.
    """
    return render(partial(figure, test, title))


def describe(test: RankTest) -> str:
    """What the diagram shows."""
    ranks = test.ranks
    return (
        f"Average rank of each strategy over {len(ranks.benchmarks)} benchmarks ({', '.join(ranks.benchmarks)}), by "
        "mean score over runs; 1 is the best. A bar joins strategies whose ranks differ by less than the critical "
        f"difference (CD = {test.critical_difference:.2f}, Nemenyi's test at p = {test.significance:g}), which are not "
        f"told apart. Friedman's test of whether any two differ: p = {test.p_value:.2g}."
    )


def figure(test: RankTest, title: str) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    # It loads seaborn, which no other figure needs.
    from scikit_posthocs import critical_difference_diagram

    if test.reason:
        raise ValueError(f"There is no critical-difference diagram of {title}: {test.reason}")
    ranks = test.ranks
    names = ranks.strategies
    rows = (len(names) + 1) // 2 + len(test.cliques) + 1
    side = _LETTER * (max(map(len, names)) + 8)
    made = Figure(figsize=(_WIDTH + 2 * side, _HEIGHT * rows + _HEAD), layout="constrained")
    axes = made.add_subplot()
    # Numbers for names: the library draws sets of them, whose order in a process hangs on the hashes of texts.
    numbers = range(len(names))
    drawn = critical_difference_diagram(
        pd.Series(ranks.average, index=numbers),
        pd.DataFrame(test.p_pairs, index=numbers, columns=numbers),
        alpha=test.significance,
        ax=axes,
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        label_props={"fontsize": 10},
        marker_props={"marker": "o", "s": 18},
        elbow_props={"color": INK, "linewidth": 0.9},
        crossbar_props={"color": INK, "linewidth": 4.0, "solid_capstyle": "round"},
        text_h_margin=0.03 * len(names),
    )
    for label in drawn["labels"]:
        number = int(label.get_text())
        name, rank = names[number], f"{ranks.average[number]:.2f}"
        left = label.get_horizontalalignment() == "right"
        label.set_text(f"{name}  {rank} " if left else f" {rank}  {name}")
    _axis(axes, len(names))
    _critical_difference(axes, test.critical_difference)
    made.suptitle(title, x=0.02, ha="left", fontsize=12)
    return made


def _axis(axes: Axes, strategies: int) -> None:
    """Ranks above the markers."""
    axes.set_xlim(0.7, strategies + 0.3)
    axes.set_xticks(range(1, strategies + 1) if strategies <= _FEW else [1, *range(5, strategies + 1, 5)])
    axes.spines["top"].set_visible(True)
    axes.spines["top"].set_bounds(1, strategies)


def _critical_difference(axes: Axes, length: float) -> None:
    """A bar as long as the critical difference, from rank 1 on."""
    axes.plot([1, 1 + length], [_ABOVE, _ABOVE], color=INK, linewidth=1.2, marker="|", clip_on=False)
    axes.text(1 + length / 2, _ABOVE + 0.3, f"CD = {length:.2f}", ha="center", va="bottom", fontsize=10)
