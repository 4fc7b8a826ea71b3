"""The cells that strategies recommend (ISTS, Figure 7)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.spaces import CellSpace
from reports.tables import OPTIMUM

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from reports.load import Results
    from reports.scores import Ceiling

Edge = tuple[int, int]

_SPLIT_NAMES = {"valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Cell:
    """A cell to be drawn.

    Attributes:
        title: What it is.
        operations: One per edge.
    """

    title: str
    operations: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """The cells that the strategies recommend on one benchmark.

    Attributes:
        benchmark: Label.
        title: What it is called.
        edges: Source and target of each edge.
        choices: All operations, in the order of the space.
        absent: The operation that stands for no edge; ``None`` where there is none.
        cells: One per strategy with a recommendation, in the order of the sweep; then the best of the space, if known.
    """

    benchmark: str
    title: str
    edges: tuple[Edge, ...]
    choices: tuple[str, ...]
    absent: str | None
    cells: tuple[Cell, ...]


def gallery(results: Results, label: str, ceiling: Ceiling) -> Gallery | None:
    """The recommendations of most runs; of equals, that of the smallest seed.

    Args:
        results: The runs.
        label: Label of the benchmark.
        ceiling: Of this benchmark.

    Returns:
        ``None`` where the search space has no cells, or no run recommends one.
    """
    if ceiling.benchmark is None or not isinstance(ceiling.benchmark.space, CellSpace):
        return None
    space = ceiling.benchmark.space
    runs = results.runs[results.runs["finished"] & (results.runs["benchmark"] == label)].dropna(
        subset="ncode"
    )
    cells = []
    for strategy, own in runs.groupby("strategy", sort=False):
        (ncode, count), *_ = Counter(own.sort_values("seed")["ncode"]).most_common(1)
        of = f"{count} of {len(own)} runs" if len(own) > 1 else "1 run"
        cells.append(Cell(f"{strategy}: {of}", _operations(space, space.from_ncode(ncode))))
    if not cells:
        return None
    if best := _best(ceiling):
        cells.append(Cell(f"{OPTIMUM} on {_SPLIT_NAMES[ceiling.split]}", _operations(space, best)))
    return Gallery(label, ceiling.title, space.edges, space.operations, space.absent, tuple(cells))


def describe(shown: Gallery) -> str:
    """What the figure shows."""
    left_out = f" Edges of {shown.absent} are left out." if shown.absent else ""
    return (
        f"The cells that most runs of each strategy recommend on {shown.title} (of equals, that of the smallest seed). "
        f"Nodes are numbered from the input, and edges have their operations.{left_out}"
    )


def _best(ceiling: Ceiling) -> Architecture | None:
    benchmark = ceiling.benchmark
    # Where it is not known, the split has no scores, or not of all architectures.
    if benchmark is None or math.isnan(ceiling.optimum[ceiling.split]):
        return None
    best = benchmark.optimum(split=ceiling.split, fidelity=benchmark.final_fidelity)
    return best[0] if best else None


def _operations(space: CellSpace, arch: Architecture) -> tuple[str, ...]:
    return tuple(map(str, space.params(arch).values()))
