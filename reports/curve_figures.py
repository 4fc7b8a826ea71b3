"""Anytime curves as figures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures import INK
from reports.figures import legend_below
from reports.figures import legend_height
from reports.figures import legend_width
from reports.figures import line_style
from reports.figures import measure_label
from reports.figures import render
from reports.formats import decimals
from reports.formats import epochs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.curves import Curve
    from reports.curves import Panel
    from reports.figures import Drawing

# In inches.
_WIDTH, _HEIGHT = 5.8, 3.9
_MARKS_PER_CURVE = 7
_SETTLED = 0.2


def draw(panel: Panel) -> Drawing:
    """Draw the curves of a benchmark.

    Args:
        panel: The curves. Those of a single run have no band.
    """
    return render(partial(figure, panel))


def describe(panel: Panel) -> str:
    """What a figure shows, for its caption and for people who do not see it."""
    over = {
        "architectures": "distinct architectures",
        "gpu-hours": _gpu_hours(panel),
        "llm-tokens": "the tokens that language models had read and written",
    }[panel.axis]
    curves = (*panel.curves, *panel.levels)
    band = any(curve.runs > 1 for curve in panel.curves)
    levels = " Lines across are what strategies that ask no model reach in the end." if panel.levels else ""
    return (
        f"Validation {panel.metric['name']} of the best architecture so far ({scored(panel)}) over {over}: mean "
        f"over finished runs ({seeds(curves)})"
        f"{', with the 95 % bootstrap interval of the mean' if band else ''}.{levels}"
    )


def scored(panel: Panel) -> str:
    """How the architectures of a curve are scored."""
    if panel.final:
        return "at the highest fidelity, mean over training seeds"
    after = f" after {epochs(panel.fidelity)}" if panel.fidelity else ""
    return f"as the search saw it{after}, because not all of these have a final score here"


def seeds(curves: Sequence[Curve]) -> str:
    """How many runs curves are of."""
    counts = {curve.strategy: curve.runs for curve in curves}
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values()))} per strategy"
    return ", ".join(f"{strategy} {n}" for strategy, n in counts.items()) or "none yet"


def draw_curve(axes: Axes, curve: Curve, number: int, of: int, label: str | None = None) -> None:
    """Draw a curve with its band.

    Args:
        axes: Where.
        curve: The curve.
        number: Which one of its figure it is; decides colour, dashes and marker.
        of: How many stand beside it.
        label: In the legend; the strategy's without.
    """
    style = line_style(number)
    step = max(1, len(curve.x) // _MARKS_PER_CURVE)
    # Marks of different curves stand at different places, so that equal curves can be told apart.
    offset = (number * step) // max(1, of) % step
    axes.fill_between(
        curve.x, curve.low, curve.high, step="post", color=style["color"], alpha=0.13, linewidth=0
    )
    axes.plot(
        curve.x,
        curve.mean,
        drawstyle="steps-post",
        label=curve.strategy if label is None else label,
        linewidth=1.7,
        markersize=5,
        markevery=(offset, step),
        **style,
    )


def draw_optimum(axes: Axes, panel: Panel) -> None:
    """A line across at the best score of the space, where it is known."""
    if not np.isnan(panel.optimum):
        axes.axhline(
            panel.optimum, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), label=optimum_label(panel)
        )


def optimum_label(panel: Panel) -> str:
    """What the legend says of that line."""
    return f"optimum {panel.optimum:.{decimals(panel.metric['unit'])}f}"


def score_limits(panel: Panel, curves: Sequence[Curve]) -> tuple[float, float]:
    """Limits that show where strategies differ; the first few architectures may be far off.

    Args:
        panel: What the curves are of.
        curves: The curves, at least one.
    """
    settled = [curve.mean[curve.x >= _SETTLED * curve.x[-1]] for curve in curves]
    shown = np.append(np.concatenate(settled), panel.optimum)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def scale_architectures(axes: Axes) -> None:
    """Whole numbers alone at the axis of architectures."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def figure(panel: Panel) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    names = [curve.strategy for curve in (*panel.curves, *panel.levels)]
    if not np.isnan(panel.optimum):
        names.append(optimum_label(panel))
    width = max(_WIDTH, legend_width(names))
    made = Figure(figsize=(width, _HEIGHT + legend_height(names, width)), layout="constrained")
    axes = made.add_subplot()
    for curve in panel.curves:
        draw_curve(axes, curve, panel.strategies.index(curve.strategy), len(panel.strategies))
    for level in panel.levels:
        style = line_style(panel.strategies.index(level.strategy)) | {"marker": "none"}
        axes.axhline(level.mean[-1], label=level.strategy, linewidth=1.5, **style)
    draw_optimum(axes, panel)
    if panel.curves:
        axes.set_xlim(0, max(curve.x[-1] for curve in panel.curves) or 1)
        axes.set_ylim(*score_limits(panel, (*panel.curves, *panel.levels)))
    if panel.axis == "architectures":
        scale_architectures(axes)
    if panel.axis == "llm-tokens":
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel(measure_label(**panel.metric, before="Best validation "))
    axes.set_xlabel(
        {
            "architectures": "Distinct architectures",
            "gpu-hours": _gpu_hours(panel).capitalize().replace("gpu", "GPU"),
            "llm-tokens": "Tokens of language models, read and written",
        }[panel.axis]
    )
    axes.set_title(panel.title)
    axes.grid(visible=True, color=INK, alpha=0.12, linewidth=0.6)
    if panel.curves:
        legend_below(made)
    else:
        axes.text(0.5, 0.5, "no finished run yet", transform=axes.transAxes, ha="center", va="center")
    return made


def _gpu_hours(panel: Panel) -> str:
    """What GPU hours are, with where they come from."""
    return f"{panel.cost_kind} GPU hours{' and those of language models' if panel.llm_gpus else ''}"
