"""Paths of searches over a map of the search space, coloured by rank (CoLLM-NAS, Figure 3).

The map is a t-SNE (van der Maaten and Hinton 2008) of one-hot encoded architectures. Their squared distance is twice
the number of decisions in which two differ, a whole number, so it is computed without rounding.
"""

from __future__ import annotations

import itertools
import textwrap
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from scipy import stats
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from reports import statistics
from reports.figures import INK
from reports.figures import PALETTE
from reports.figures import legend_below
from reports.figures import legend_height
from reports.figures import render
from reports.scores import every_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from harness.spaces import SearchSpace
    from reports.figures import Drawing
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Floats

    Indices = NDArray[np.intp]

DRAWN = 600
"""Architectures that are drawn from the space beside those that are visited; fewer where fewer are left."""

MOST_VISITED = 900
"""Architectures on all paths together; longer paths are thinned evenly, and keep those that were the best so far."""

_PERPLEXITY = 30.0
_ITERATIONS = 500
_SEED = 0
# Of a distance: below the difference of any two.
_JITTER = 1e-3

# In inches: a panel, a letter and a line of its title; and how many stand side by side.
_SIZE, _LETTER, _LINE, _COLUMNS = 2.8, 0.092, 0.19, 4
# Points that were never visited, over all panels of a figure: each of them is an element of the SVG.
_MOST_DRAWN = 4000
_COLOURS = "viridis_r"


@dataclass(frozen=True)
class Path:
    """One run on the map.

    Attributes:
        strategy: Label.
        seed: Of the run.
        points: ``(architectures,)``: rows of :attr:`SearchMap.points`, distinct, in the order of the search.
        incumbents: ``(steps,)``: those of them that were the best so far, in the order of the search.
        end: That of the recommendation.
    """

    strategy: str
    seed: int
    points: Indices
    incumbents: Indices
    end: int


@dataclass(frozen=True)
class SearchMap:
    """Runs on a map of a search space, one per strategy.

    Attributes:
        benchmark: Label.
        title: What it is called.
        points: ``(points, 2)``: places of architectures; neither axis has a unit.
        ranks: ``(points,)``: rank of each in the whole space by final validation score, 1 is best; NaN without a score.
        drawn: ``(drawn,)``: rows of those drawn from the space.
        best: Row of the best architecture of the space.
        size: Architectures of the space.
        paths: One per strategy with a finished run, in the order of the sweep.
        thinned: Whether the paths leave out architectures, because runs are long.
    """

    benchmark: str
    title: str
    points: Floats
    ranks: Floats
    drawn: Indices
    best: int
    size: int
    paths: tuple[Path, ...]
    thinned: bool


def search_map(results: Results, label: str, ceiling: Ceiling) -> SearchMap | None:
    """The run of median score of each strategy, on a map of the space.

    Of an even number of runs it is the better one of the two in the middle, of equals that of the smallest seed. Trials
    stopped at a lower fidelity, and those without a score, are visited but never the best.

    Args:
        results: The runs.
        label: Label of the benchmark.
        ceiling: Of this benchmark.

    Returns:
        ``None`` where there is no table of the whole space, it is too small for a map, or no run is finished.
    """
    benchmark = ceiling.benchmark
    if benchmark is None or benchmark.space.size <= 3 * _PERPLEXITY:
        return None
    scores = every_score(ceiling, benchmark.final_fidelity)
    if scores is None:
        return None
    sign = 1 if benchmark.metric.higher_is_better else -1
    ranks = stats.rankdata(-sign * scores, method="min", nan_policy="omit")
    space = benchmark.space
    runs = results.runs
    finished = runs[
        (runs["benchmark"] == label) & runs["finished"] & runs["ncode"].notna() & (runs["trials"] > 0)
    ]
    chosen = [
        _median_run(own, ranks[[space.index(space.from_ncode(ncode)) for ncode in own["ncode"]]])
        for _, own in finished.groupby("strategy", sort=False)
    ]
    if not chosen:
        return None
    better = bool(finished["record"].iloc[0]["metric"]["higher_is_better"])
    tracks = [_track(results, run, space, better=better, room=MOST_VISITED // len(chosen)) for run in chosen]
    best = int(np.nanargmin(ranks))
    visited = np.unique(np.concatenate([[best], *(track.visited for track in tracks)]))
    others = np.setdiff1d(np.arange(space.size), visited)
    drawn = np.random.default_rng(_SEED).choice(others, min(DRAWN, len(others)), replace=False)
    shown = np.concatenate([visited, drawn])
    paths = tuple(
        Path(
            str(runs.at[track.run, "strategy"]),
            int(runs.at[track.run, "seed"]),
            np.searchsorted(visited, track.visited),
            np.searchsorted(visited, track.incumbents),
            int(np.searchsorted(visited, track.end)),
        )
        for track in tracks
    )
    return SearchMap(
        label,
        ceiling.title,
        embed(np.array([space.from_index(int(index)) for index in shown])),
        ranks[shown],
        np.arange(len(visited), len(shown)),
        int(np.searchsorted(visited, best)),
        space.size,
        paths,
        any(track.thinned for track in tracks),
    )


def embed(architectures: NDArray[np.int_]) -> Floats:
    """Places of architectures on a plane, such that those that differ in few decisions are near.

    The same in any process and with any number of threads.

    Args:
        architectures: ``(architectures, decisions)``: choices; more than 90 architectures.

    Returns:
        ``(architectures, 2)``.
    """
    differ = (architectures[:, None, :] != architectures[None, :, :]).sum(axis=2)
    rng = np.random.default_rng(_SEED)
    # Very many are equally near. Which of them count as nearest is drawn, not left to the order of the rows.
    jitter = np.triu(rng.random(differ.shape), 1)
    distances = np.sqrt(2 * differ) + _JITTER * (jitter + jitter.T)
    np.fill_diagonal(distances, 0)
    # Threads would sum in an order of their own.
    with threadpool_limits(limits=1):
        fitted = TSNE(
            metric="precomputed",
            init="random",
            perplexity=_PERPLEXITY,
            max_iter=_ITERATIONS,
            random_state=_SEED,
            n_jobs=1,
        ).fit_transform(distances)
    places: Floats = fitted.astype(float)
    return places


def draw(shown: SearchMap) -> Drawing:
    """The map as files, one panel per strategy."""
    return render(partial(figure, shown))


def describe(shown: SearchMap) -> str:
    """What the figure shows."""
    thinned = " Of long runs, evenly spaced trials are shown." if shown.thinned else ""
    return (
        f"Paths of searches on {shown.title}: the run of median score of each strategy on one map of the search "
        "space (t-SNE of one-hot encoded architectures; near ones differ in few decisions, and the axes have no unit). "
        "Grey: some architectures that none of them visited. Coloured: those that were visited, by their rank among "
        f"all {shown.size:,} by final validation score. The line joins those that were the best so far.{thinned} After "
        "CoLLM-NAS, Figure 3."
    )


def figure(shown: SearchMap) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    columns = min(_COLUMNS, len(shown.paths))
    rows = -(-len(shown.paths) // columns)
    lines = max(len(_title(path).splitlines()) for path in shown.paths)
    names = [str(handle.get_label()) for handle in _marks()]
    width = max(columns * _SIZE + 1.0, 4.2, _LETTER * len(shown.title) + 0.5)
    height = rows * (_SIZE + _LINE * lines) + 0.5 + legend_height(names, width)
    made = Figure(figsize=(width, height), layout="constrained")
    scale = LogNorm(1, shown.size)
    grid = made.subplots(rows, columns, squeeze=False)
    for axes, path in itertools.zip_longest(grid.flat, shown.paths):
        if path is None:
            axes.axis("off")
        else:
            _draw(axes, shown, path, scale)
    colours = ScalarMappable(scale, _COLOURS)
    bar = made.colorbar(colours, ax=grid.ravel().tolist(), shrink=min(0.9, 1.6 / rows), aspect=18)
    bar.set_label(f"Rank of {shown.size:,}, 1 is best")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}"))
    bar.ax.minorticks_off()
    bar.ax.invert_yaxis()
    made.suptitle(shown.title, x=0.02, ha="left", fontsize=12)
    legend_below(made, handles=_marks())
    return made


@dataclass(frozen=True)
class _Track:
    """A run in terms of the search space: ``index`` of architectures, in the order of the search."""

    run: int
    visited: Indices
    incumbents: Indices
    end: int
    thinned: bool


def _median_run(runs: pd.DataFrame, ranks: Floats) -> int:
    """Index of the run whose recommendation has the median rank."""
    order = np.lexsort((runs["seed"].to_numpy(), ranks))
    return int(runs.index[order[(len(order) - 1) // 2]])


def _track(results: Results, run: int, space: SearchSpace, *, better: bool, room: int) -> _Track:
    trials = results.trials[results.trials["run"] == run]
    indices = np.array([space.index(space.from_ncode(ncode)) for ncode in trials["ncode"]])
    seen = trials["valid"].where(trials["state"] == "complete")
    best = statistics.incumbents(seen, higher_is_better=better)
    incumbents = _distinct(indices[best[best >= 0]])
    end = space.index(space.from_ncode(results.runs.at[run, "ncode"]))
    visited = _distinct(np.append(indices, end))
    if len(visited) <= room:
        return _Track(run, visited, incumbents, end, thinned=False)
    kept = np.unique(np.linspace(0, len(visited) - 1, room).round().astype(int))
    kept = np.union1d(kept, np.flatnonzero(np.isin(visited, [*incumbents, end])))
    return _Track(run, visited[kept], incumbents, end, thinned=True)


def _distinct(indices: Indices) -> Indices:
    """The first of equals, in their order."""
    _, first = np.unique(indices, return_index=True)
    return indices[np.sort(first)]


def _title(path: Path) -> str:
    """Whose path it is, in lines of a panel's width."""
    return textwrap.fill(f"{path.strategy}, seed\N{NO-BREAK SPACE}{path.seed}", int(_SIZE / _LETTER))


def _marks() -> Sequence[Line2D]:
    """What the legend lists."""
    edge: dict[str, Any] = {"linestyle": "none", "markeredgecolor": INK, "markerfacecolor": "none"}
    return (
        Line2D([], [], label="best so far", color=INK, linewidth=1.0),
        Line2D([], [], label="recommended", marker="*", markersize=13, **edge),
        Line2D([], [], label="optimum", marker="s", markersize=10, markeredgewidth=1.6, **edge),
        Line2D([], [], label="not visited", marker="o", markersize=3, color=PALETTE[-1], linestyle="none"),
    )


def _draw(axes: Axes, shown: SearchMap, path: Path, scale: LogNorm) -> None:
    # As many as all panels have elements for; they were drawn at random, so the first ones are a sample, too.
    ground = shown.points[shown.drawn[: max(150, _MOST_DRAWN // len(shown.paths))]]
    axes.plot(*ground.T, "o", color=PALETTE[-1], alpha=0.35, markersize=2.2, markeredgewidth=0)
    axes.plot(*shown.points[path.incumbents].T, color=INK, linewidth=1.0, zorder=3)
    _dots(axes, shown, path.points, scale, s=22, linewidths=0.5, zorder=4)
    _dots(axes, shown, np.array([path.end]), scale, s=150, marker="*", linewidths=1.0, zorder=5)
    axes.plot(
        *shown.points[shown.best],
        "s",
        markersize=11,
        color=INK,
        markerfacecolor="none",
        markeredgewidth=1.4,
        zorder=6,
    )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.5)
    centre = (shown.points.max(axis=0) + shown.points.min(axis=0)) / 2
    half = 0.54 * np.ptp(shown.points, axis=0).max()
    axes.set(
        xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half), aspect="equal"
    )
    axes.set_title(_title(path), fontsize=10)


def _dots(axes: Axes, shown: SearchMap, rows: Indices, scale: LogNorm, **style: Any) -> None:
    """Architectures in the colours of their ranks."""
    colours = mpl.colormaps[_COLOURS](scale(shown.ranks[rows]))
    axes.scatter(*shown.points[rows].T, color=colours, edgecolors=INK, **style)
