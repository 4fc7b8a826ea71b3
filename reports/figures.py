"""Figures as PNG and SVG, equal bytes for equal results; and anytime curves as figures."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.formats import decimals
from reports.formats import epochs

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from reports.curves import Panel

INK = "#1c1c1c"
"""Colour of text and axes; the page turns it into that of its own text."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#7a7a7a")
"""Colours of Okabe and Ito (2008), which people with any colour vision tell apart, and a grey."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_MARKS_PER_CURVE = 7
# Letters of a measure and its unit, from which on there is no more space beside them.
_LONG = 20
_SETTLED = 0.2

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "svg.hashsalt": "nas-harness",
    "svg.fonttype": "path",
}


def draw(panel: Panel) -> tuple[bytes, bytes]:
    """Draw the curves of a benchmark.

    Args:
        panel: The curves. Those of a single run have no band.

    Returns:
        The figure as PNG and as SVG. The SVG has a transparent background.
    """
    return render(partial(_figure, panel))


def render(make: Callable[[], Figure]) -> tuple[bytes, bytes]:
    """Make a figure in the style of all figures.

    Args:
        make: Draws it; called once, while that style is set.

    Returns:
        The figure as PNG and as SVG. The SVG has a transparent background.
    """
    with mpl.rc_context():
        # Not on top of a user's own style, which would make other figures of equal results.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = make()
        return _png(figure), _svg(figure)


def describe(panel: Panel) -> str:
    """What a figure shows, for its caption and for people who do not see it."""
    over = {
        "architectures": "distinct architectures",
        "gpu-hours": _gpu_hours(panel),
    }[panel.axis]
    scored = (
        "at the highest fidelity, mean over training seeds"
        if panel.final
        else f"as the search saw it{_after(panel)}, because not all of these have a final score here"
    )
    counts = {curve.strategy: curve.runs for curve in panel.curves}
    if len(set(counts.values())) == 1:
        seeds = f"{next(iter(counts.values()))} per strategy"
    else:
        seeds = ", ".join(f"{strategy} {n}" for strategy, n in counts.items()) or "none yet"
    band = any(curve.runs > 1 for curve in panel.curves)
    return (
        f"Validation {panel.metric['name']} of the best architecture so far ({scored}) over {over}: mean "
        f"over finished runs ({seeds})"
        f"{', with the 95 % bootstrap interval of the mean' if band else ''}."
    )


def _gpu_hours(panel: Panel) -> str:
    """What GPU hours are, with where they come from."""
    return f"{panel.cost_kind} GPU hours{' and those of language models' if panel.llm_gpus else ''}"


def _figure(panel: Panel) -> Figure:
    figure = Figure(figsize=(5.8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for i, curve in enumerate(panel.curves):
        colour = PALETTE[i % len(PALETTE)]
        dashes = DASHES[i % len(DASHES)]
        step = max(1, len(curve.x) // _MARKS_PER_CURVE)
        # Marks of different curves stand at different places, so that equal curves can be told apart.
        offset = (i * step) // max(1, len(panel.curves)) % step
        axes.fill_between(curve.x, curve.low, curve.high, step="post", color=colour, alpha=0.13, linewidth=0)
        axes.plot(
            curve.x,
            curve.mean,
            drawstyle="steps-post",
            label=curve.strategy,
            color=colour,
            linestyle=dashes,
            linewidth=1.7,
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            markevery=(offset, step),
        )
    if not np.isnan(panel.optimum):
        label = f"optimum {panel.optimum:.{decimals(panel.metric['unit'])}f}"
        axes.axhline(panel.optimum, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), label=label)
    _scale(axes, panel)
    axes.set_ylabel(measure_label(**panel.metric, before="Best validation "))
    axes.set_xlabel(
        "Distinct architectures"
        if panel.axis == "architectures"
        else _gpu_hours(panel).capitalize().replace("gpu", "GPU")
    )
    axes.set_title(panel.title)
    axes.grid(visible=True, color=INK, alpha=0.12, linewidth=0.6)
    if panel.curves:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10, handlelength=3.2)
    else:
        axes.text(0.5, 0.5, "no finished run yet", transform=axes.transAxes, ha="center", va="center")
    return figure


def measure_label(name: str, unit: str, *, higher_is_better: bool, before: str = "") -> str:
    """A measure at an axis, in two lines where it is long."""
    measured = f"{before}{name} ({unit})" if unit else f"{before}{name}"
    better = "higher is better" if higher_is_better else "lower is better"
    return f"{measured},{chr(10) if len(measured) > _LONG else ' '}{better}"


def _after(panel: Panel) -> str:
    """How much evaluation a search saw; nothing where it trained nothing."""
    return f" after {epochs(panel.fidelity)}" if panel.fidelity else ""


def _scale(axes: Axes, panel: Panel) -> None:
    """Limits that show where strategies differ; the first few architectures may be far off."""
    if not panel.curves:
        return
    axes.set_xlim(0, max(curve.x[-1] for curve in panel.curves) or 1)
    if panel.axis == "architectures":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    settled = np.concatenate([curve.mean[curve.x >= _SETTLED * curve.x[-1]] for curve in panel.curves])
    shown = np.append(settled, panel.optimum)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasSVG(figure)
    # A date, or the version of matplotlib, would make other bytes of equal results.
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return buffer.getvalue()
