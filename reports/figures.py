"""What all figures share: style, forms of lines and areas, legends; and how they become files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1c1c1c"
"""Colour of text and axes; the page turns it into that of its own text."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#7a7a7a")
"""Colours of Okabe and Ito (2008), which people with any colour vision tell apart, and a grey."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "\\\\\\\\", "xxxx", "----", "||||", "++++", "//", "\\\\", "--")
"""Fillings of areas, which stay apart in grey."""

# Letters of a measure and its unit, from which on there is no more space beside them.
_LONG = 20
# In inches, of a legend: a letter, the mark before it with the gap behind it, and a line.
_LETTER, _HANDLE, _LINE = 0.085, 0.85, 0.24

STYLE: dict[Any, Any] = {
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
    "hatch.linewidth": 0.7,
    "svg.hashsalt": "nas-harness",
    "svg.fonttype": "path",
    # TrueType: many journals take no fonts of type 3.
    "pdf.fonttype": 42,
}
"""Settings of matplotlib, on top of its defaults."""


class Drawing(NamedTuple):
    """A figure as files.

    Attributes:
        png: For everywhere.
        svg: For pages; its background is transparent.
        pdf: For papers; its background is transparent, its fonts are inside.
    """

    png: bytes
    svg: bytes
    pdf: bytes

    def files(self, name: str) -> dict[str, bytes]:
        """Contents by the names of the files.

        Args:
            name: What they are called.
        """
        return {f"{name}.{ending}": content for ending, content in self._asdict().items()}


def render(make: Callable[[], Figure]) -> Drawing:
    """Make a figure in the style of all figures.

    Args:
        make: Draws it; called once, while that style is set.

    Returns:
        Equal bytes for equal figures, in any process.
    """
    with mpl.rc_context():
        # Not on top of a user's own style, which would make other figures of equal results.
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = make()
        png = _png(figure)
        # Everything stays where the first file has it: laying out takes as long as drawing, and figures take most of
        # the time of a report.
        figure.set_layout_engine(None)
        return Drawing(png, _svg(figure), _pdf(figure))


def line_style(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of a line; no two of the first 42 are alike, also without colours.

    Args:
        number: Which line of its figure it is.
    """
    again = number // len(PALETTE)
    return {
        "color": PALETTE[(number + again) % len(PALETTE)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def legend_width(names: Iterable[str]) -> float:
    """Inches that a legend below a figure needs at least, in one column.

    Args:
        names: What it lists.
    """
    return _LETTER * max(map(len, names), default=0) + _HANDLE


def legend_height(names: Iterable[str], width: float) -> float:
    """Inches that a legend below a figure takes.

    Args:
        names: What it lists.
        width: Inches of the figure.
    """
    names = list(names)
    return _LINE * -(-len(names) // _columns(names, width))


def legend_below(
    figure: Figure, axes: Sequence[Axes] | None = None, handles: Sequence[Artist] | None = None
) -> None:
    """A legend below a figure with a constrained layout, in as many columns as there is space for.

    Args:
        figure: It must be :func:`legend_height` higher than without.
        axes: Whose lines it lists, each name once; all of the figure without.
        handles: What it lists in their place.
    """
    named: dict[str, Artist] = {}
    for one in figure.axes if axes is None else axes:
        for handle, name in zip(*one.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    if handles is not None:
        named = {str(handle.get_label()): handle for handle in handles}
    if not named:
        return
    figure.legend(
        list(named.values()),
        list(named),
        loc="outside lower center",
        ncols=min(_columns(list(named), figure.get_figwidth()), len(named)),
        frameon=False,
        fontsize=10,
        handlelength=3.2,
    )


def _columns(names: Sequence[str], width: float) -> int:
    return max(1, int(width // legend_width(names)))


def measure_label(name: str, unit: str, *, higher_is_better: bool, before: str = "") -> str:
    """A measure at an axis, in two lines where it is long."""
    measured = f"{before}{name} ({unit})" if unit else f"{before}{name}"
    better = "higher is better" if higher_is_better else "lower is better"
    return f"{measured},{chr(10) if len(measured) > _LONG else ' '}{better}"


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


def _pdf(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasPdf(figure)
    metadata = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    figure.savefig(buffer, format="pdf", transparent=True, metadata=metadata)
    return buffer.getvalue()
