"""Drawings of cells: nodes on a line, and their edges with the names of their operations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from reports.figures import DASHES
from reports.figures import INK
from reports.figures import PALETTE
from reports.figures import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.cells import Cell
    from reports.cells import Edge
    from reports.cells import Gallery
    from reports.figures import Drawing

# All in inches, the unit of a drawing: radius of a node; a letter of a label, its height, how far it is from its line.
_RADIUS, _LETTER, _LINE, _ABOVE = 0.16, 0.082, 0.2, 0.035
# Between two nodes: at least, and beside a label. Of the first arc from the nodes, and from one arc to the next.
_SHORTEST, _MARGIN, _FIRST, _STEP = 0.95, 0.36, 0.5, 0.36
# Around a cell, of its title, and of the whole figure.
_GAP, _TITLE, _WIDEST = 0.3, 0.3, 12.5
# Degrees from the line at which arcs leave a node, and of their length how far in their inner points are.
_FLATTEST, _STEEPER, _INNER = 25, 25, 0.12


def draw(shown: Gallery) -> Drawing:
    """The drawings as files."""
    return render(partial(figure, shown))


@dataclass(frozen=True)
class Route:
    """How an edge is drawn: straight (level 0), or as an arc.

    Attributes:
        side: 1 above the nodes, -1 below.
        level: Its distance from them; arcs of one side and level share no place.
    """

    side: int
    level: int


def routes(edges: Sequence[Edge]) -> dict[Edge, Route]:
    """Places for edges between nodes on a line, such that arcs cross as seldom as possible.

    Args:
        edges: Source and target, the source being the smaller.
    """
    placed: dict[Edge, Route] = {}
    for edge in sorted(edges, key=lambda e: (e[1] - e[0], e[0])):
        if edge[1] - edge[0] == 1:
            placed[edge] = Route(1, 0)
            continue
        side = min((1, -1), key=lambda s: (_crossings(edge, _on(placed, s)), len(_on(placed, s)), -s))
        below = [
            placed[other].level for other in _on(placed, side) if other[0] < edge[1] and edge[0] < other[1]
        ]
        placed[edge] = Route(side, 1 + max(below, default=0))
    return placed


def _on(placed: Mapping[Edge, Route], side: int) -> list[Edge]:
    return [edge for edge, route in placed.items() if route.level and route.side == side]


def _crossings(edge: Edge, others: Sequence[Edge]) -> int:
    (first, last) = edge
    return sum(s < first < t < last or first < s < last < t for s, t in others)


def figure(shown: Gallery) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    placed = routes(shown.edges)
    nodes = 1 + max(target for _, target in shown.edges)
    # As far apart as the longest label of a straight edge needs.
    distance = max(_SHORTEST, _LETTER * max(map(len, shown.choices)) + 2 * _RADIUS + _MARGIN)
    above, below = (max((r.level for r in placed.values() if r.side == side), default=0) for side in (1, -1))
    longest = _LETTER * max(len(cell.title) for cell in shown.cells)
    width = max((nodes - 1) * distance + 2 * _RADIUS, longest) + _GAP
    up, down = _height(above) + _LINE, _height(below) + _LINE
    height = up + down + _TITLE + _GAP
    columns = min(len(shown.cells), max(1, int(_WIDEST // width)))
    rows = -(-len(shown.cells) // columns)
    size = (columns * width + _GAP, rows * height + _TITLE + _GAP)
    made = Figure(figsize=size)
    axes = made.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(0, size[1]))
    axes.axis("off")
    axes.text(_GAP, size[1] - _GAP, shown.title, fontsize=12, va="top")
    for number, cell in enumerate(shown.cells):
        row, column = divmod(number, columns)
        left, top = _GAP + column * width, size[1] - _GAP - _TITLE - row * height
        axes.text(left, top, cell.title, fontsize=10, va="top", fontweight="bold")
        _draw_cell(axes, shown, cell, placed, (left + _RADIUS, top - _TITLE - up), distance)
    return made


def _height(level: int) -> float:
    """How far an arc is from the line of the nodes."""
    return _FIRST + (level - 1) * _STEP if level else _RADIUS


def _draw_cell(
    axes: Axes,
    shown: Gallery,
    cell: Cell,
    placed: Mapping[Edge, Route],
    origin: tuple[float, float],
    distance: float,
) -> None:
    x, y = origin
    for node in range(1 + max(target for _, target in shown.edges)):
        axes.add_patch(
            Circle((x + node * distance, y), _RADIUS, facecolor="none", edgecolor=INK, linewidth=1.2)
        )
        axes.text(x + node * distance, y, str(node), ha="center", va="center", fontsize=9)
    for edge, operation in zip(shown.edges, cell.operations, strict=True):
        if operation == shown.absent:
            continue
        number = shown.choices.index(operation)
        route = placed[edge]
        ends = x + edge[0] * distance, x + edge[1] * distance
        axes.add_patch(
            FancyArrowPatch(
                path=_path(ends, y, route),
                arrowstyle="-|>",
                mutation_scale=11,
                shrinkA=0,
                shrinkB=0,
                color=PALETTE[number % len(PALETTE)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.7,
            )
        )
        height = _height(route.level) if route.level else 0.0
        axes.text(
            sum(ends) / 2,
            y + route.side * (height + _ABOVE),
            operation,
            ha="center",
            va="bottom" if route.side > 0 else "top",
            fontsize=9,
        )


def _path(ends: tuple[float, float], y: float, route: Route) -> Path:
    """From the rim of one node to that of the other."""
    left, right = ends
    if not route.level:
        return Path([(left + _RADIUS, y), (right - _RADIUS, y)])
    # The higher an arc, the steeper it leaves, so that arcs of a node are told apart.
    angle = math.radians(min(80, _FLATTEST + _STEEPER * route.level))
    out, rise = _RADIUS * math.cos(angle), route.side * _RADIUS * math.sin(angle)
    start, end = (left + out, y + rise), (right - out, y + rise)
    # A cubic curve reaches three quarters of the way to its two inner points.
    top = y + rise + (route.side * _height(route.level) - rise) / 0.75
    inner = (right - left) * _INNER
    return Path(
        [start, (left + inner, top), (right - inner, top), end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
