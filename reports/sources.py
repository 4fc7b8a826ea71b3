"""Where the proposals of a search come from, over its trials (LM-Searcher, Figure 3)."""

from __future__ import annotations

import itertools
import textwrap
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports.figures import INK
from reports.figures import legend_below
from reports.figures import legend_height
from reports.figures import render
from reports.load import FALLBACK
from reports.stacked import area_style

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from reports.figures import Drawing
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Floats

DETAILS = ("candidate_source", "operator", "stage")
"""What strategies attach beside ``source`` to say more: what drew the candidate that a model chose (``lm_searcher``),
what a model was asked to do (``llmatic``), and in which stage of the search (``ists``)."""

NOT_RECORDED = "not recorded"
EVOLUTION = "model: evolution"
"""A model chose a mutant among its candidates; a line shows how many it was offered."""

WINDOWS = 20
"""Of a search: its trials are counted in at most so many windows of equal length."""

# In inches: a panel, a letter and a line of its title; and how many stand side by side.
_WIDTH, _HEIGHT, _LETTER, _LINE = 3.9, 2.3, 0.098, 0.2
_COLUMNS = 3
_OFFERED = "evolution's share of the candidates"


@dataclass(frozen=True)
class Sources:
    """Where one strategy's proposals come from.

    Attributes:
        strategy: Label.
        runs: Finished runs that were counted.
        edges: ``(windows + 1,)``: number of the first trial of each window, and that behind the last.
        shares: Source to its share of the trials of each window, ``(windows,)``, over all runs; they sum to 1.
        offered: ``(windows,)``: share of evolution's among the candidates that a model chose from, times the share of
            trials in which it chose; what the share of :data:`EVOLUTION` would be if it chose blindly. NaN where
            it was shown none.
    """

    strategy: str
    runs: int
    edges: Floats
    shares: Mapping[str, Floats]
    offered: Floats


@dataclass(frozen=True)
class SourcePanels:
    """The strategies of a benchmark whose proposals come from more than one source.

    Attributes:
        benchmark: Label.
        title: What it is called.
        panels: One per strategy, in the order of the sweep.
        order: All their sources, in the order in which they are stacked.
    """

    benchmark: str
    title: str
    panels: tuple[Sources, ...]
    order: tuple[str, ...]


def source_of(attributes: Mapping[str, Any]) -> str:
    """Where a proposal comes from, by what its strategy attached to the trial."""
    source = attributes.get("source")
    if source is None:
        return NOT_RECORDED
    detail = next((attributes[key] for key in DETAILS if key in attributes), None)
    return str(source) if detail is None else f"{source}: {detail}"


def source_panels(results: Results, label: str, ceiling: Ceiling) -> SourcePanels | None:
    """Shares of sources over the trials of the finished runs on a benchmark.

    Args:
        results: The runs.
        label: Label of the benchmark.
        ceiling: Of this benchmark.

    Returns:
        ``None`` where no strategy has more than one source.
    """
    runs = results.runs[(results.runs["benchmark"] == label) & results.runs["finished"]]
    panels = []
    for strategy, own in runs.groupby("strategy", sort=False):
        trials = results.trials[results.trials["run"].isin(own.index)]
        attributes = trials["attributes"].tolist()
        sources = [source_of(attached) for attached in attributes]
        if len(set(sources)) < 2:
            continue
        offered = np.array([_offered(attached) for attached in attributes])
        panels.append(_count(str(strategy), len(own), trials["trial"].to_numpy(), np.array(sources), offered))
    if not panels:
        return None
    return SourcePanels(label, ceiling.title, tuple(panels), _order(s for p in panels for s in p.shares))


def draw(shown: SourcePanels) -> Drawing:
    """The shares as files, strategies side by side."""
    return render(partial(figure, shown))


def describe(shown: SourcePanels) -> str:
    """What the figure shows."""
    chosen = any(np.isfinite(panel.offered).any() for panel in shown.panels)
    line = (
        f" The line is {_OFFERED} that the model was shown: where more of its choices are evolution's, it prefers them."
        if chosen
        else ""
    )
    fallback = (
        f" {FALLBACK.capitalize()} is a trial drawn at random because the model gave nothing usable."
        if FALLBACK in shown.order
        else ""
    )
    return (
        f"Share of the trials on {shown.title} by where the proposal came from, over all finished runs, in up to "
        f"{WINDOWS} windows of equal length.{line}{fallback} Strategies with a single source are left out."
    )


def figure(shown: SourcePanels) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    columns = min(_COLUMNS, len(shown.panels))
    rows = -(-len(shown.panels) // columns)
    width = max(columns * _WIDTH, _LETTER * len(shown.title) + 0.5)
    handles: list[Patch | Line2D] = [
        Patch(label=source, **area_style(number)) for number, source in enumerate(shown.order)
    ]
    if any(np.isfinite(panel.offered).any() for panel in shown.panels):
        handles.append(Line2D([], [], label=_OFFERED, **_EVEN))
    names = [str(handle.get_label()) for handle in handles]
    lines = max(len(_title(panel).splitlines()) for panel in shown.panels)
    height = rows * (_HEIGHT + _LINE * lines) + 0.5 + legend_height(names, width)
    made = Figure(figsize=(width, height), layout="constrained")
    grid = made.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, panel in itertools.zip_longest(grid.flat, shown.panels):
        if panel is None:
            axes.axis("off")
        else:
            _draw(axes, panel, shown.order)
    for axes in grid[:, 0]:
        axes.set_ylabel("Share of trials (%)")
    made.suptitle(shown.title, x=0.02, ha="left", fontsize=12)
    legend_below(made, handles=handles)
    return made


_EVEN: dict[str, Any] = {"color": INK, "linewidth": 2.4, "linestyle": (0, (3, 1.2))}


def _draw(axes: Axes, panel: Sources, order: tuple[str, ...]) -> None:
    bottom = np.zeros(len(panel.edges) - 1)
    for number, source in enumerate(order):
        if source not in panel.shares:
            continue
        top = bottom + 100 * panel.shares[source]
        axes.fill_between(
            panel.edges,
            np.append(bottom, bottom[-1]),
            np.append(top, top[-1]),
            step="post",
            **area_style(number),
        )
        bottom = top
    axes.stairs(100 * panel.offered, panel.edges, baseline=None, **_EVEN)
    axes.set_xlim(panel.edges[0], panel.edges[-1])
    axes.set_ylim(0, 100)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("Trial")
    axes.set_title(_title(panel), fontsize=11)


def _title(panel: Sources) -> str:
    """Whose proposals they are, in lines of a panel's width."""
    text = f"{panel.strategy} ({panel.runs}\N{NO-BREAK SPACE}run{'' if panel.runs == 1 else 's'})"
    return textwrap.fill(text, int((_WIDTH - 0.6) / _LETTER))


def _offered(attributes: Mapping[str, Any]) -> float:
    """Share of evolution's among the candidates of a trial; NaN where none were recorded."""
    candidates = attributes.get("candidates")
    if not isinstance(candidates, dict) or not sum(candidates.values()):
        return np.nan
    return float(candidates.get("evolution", 0) / sum(candidates.values()))


def _count(strategy: str, runs: int, trials: np.ndarray, sources: np.ndarray, offered: Floats) -> Sources:
    length = int(trials.max()) + 1
    edges = np.unique(np.linspace(0, length, min(WINDOWS, length) + 1).round()).astype(float)
    window = np.searchsorted(edges, trials, side="right") - 1
    # Where runs are of different lengths, the last windows hold the trials of the longer ones; none is empty.
    totals = np.bincount(window, minlength=len(edges) - 1)
    shares = {
        source: np.bincount(window[sources == source], minlength=len(totals)) / totals
        for source in _order(sources.tolist())
    }
    known = np.isfinite(offered)
    blind = np.bincount(window[known], offered[known], minlength=len(totals)) / totals
    asked = np.bincount(window[known], minlength=len(totals)) > 0
    return Sources(strategy, runs, edges, shares, np.where(asked, blind, np.nan))


def _order(sources: Iterable[str]) -> tuple[str, ...]:
    """Evolution's candidates lowest, so that they stand on the axis like the line; what was drawn at random highest."""
    found = set(sources)
    last = ("random", FALLBACK, NOT_RECORDED)
    ordered = (EVOLUTION, *sorted(found - {EVOLUTION, *last}), *last)
    return tuple(source for source in ordered if source in found)
