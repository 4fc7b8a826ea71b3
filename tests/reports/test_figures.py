"""What holds of every figure: equal bytes in any process, and texts that can be read."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from functools import cache
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.benchmarks import Metric
from reports import ablations
from reports import curve_figures
from reports import figures
from reports import heatmaps
from reports import search_maps
from reports import sources
from reports import stacked
from reports import variation
from reports.curves import Curve
from reports.curves import Panel

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

    from matplotlib.text import Text

ROOT = Path(__file__).parents[2]


def labels(count: int) -> tuple[str, ...]:
    """Names of strategies; the second is as long as they get."""
    long = "-with-a-very-long-label-and-free-form-replies"
    return tuple(f"strategy-{n}" + (long if n == 1 else "") for n in range(count))


def curves_of(names: tuple[str, ...]) -> tuple[Curve, ...]:
    x = np.arange(1.0, 41.0)
    rising = [90 + number / 10 - 5 / x for number in range(len(names))]
    return tuple(Curve(name, x, y, y - 0.5, y + 0.5, 3) for name, y in zip(names, rising, strict=True))


def panel_of(count: int, axis: str = "architectures") -> Panel:
    names = labels(count)
    metric = {"name": "accuracy", "unit": "%", "higher_is_better": True}
    common = {"optimum": 95.0, "final": True, "fidelity": 200, "cost_kind": "simulated", "llm_gpus": True}
    drawn = curves_of(names)
    asked, levels = (drawn[1:], drawn[:1]) if axis == "llm-tokens" else (drawn, ())
    return Panel(
        "b", "nasbench201-ImageNet16-120", axis, names, asked, levels=levels, metric=metric, **common
    )


def ablation_of(count: int) -> ablations.Ablation:
    panel = panel_of(count)
    original, *others = panel.curves
    sizes = [others[i : i + 4] for i in range(0, len(others), 4)]
    changes = [
        ablations.Change(
            (f"argument_{n}",), tuple((curve, f"argument_{n}: {curve.strategy}") for curve in group)
        )
        for n, group in enumerate(sizes)
    ]
    return ablations.Ablation(panel, "collm_nas", original, tuple(changes), ())


def sources_of(count: int) -> sources.SourcePanels:
    model = np.linspace(0, 0.5, 20)
    shares = {"model: evolution": model, "random": model[::-1], "fallback": np.full(20, 0.5)}
    edges = np.arange(0.0, 101.0, 5.0)
    panels = tuple(sources.Sources(name, 10, edges, shares, np.full(20, 0.4)) for name in labels(count))
    return sources.SourcePanels("b", "nasbench201-cifar10", panels, tuple(shares))


@cache
def _places() -> np.ndarray:
    return search_maps.embed(np.random.default_rng(0).integers(0, 4, (120, 5)))


def map_of(count: int) -> search_maps.SearchMap:
    rng = np.random.default_rng(1)
    points = _places()
    paths = tuple(
        search_maps.Path(name, 0, np.arange(n, n + 20), np.arange(n, n + 20, 6), n + 18)
        for n, name in enumerate(labels(count))
    )
    ranks = rng.permutation(120) + 1.0
    return search_maps.SearchMap(
        "b", "nasbench201-cifar10", points, ranks, np.arange(40, 120), 39, 120, paths, thinned=False
    )


def bars_of(count: int) -> stacked.StackedBars:
    parts = {f"reason {n}": np.arange(count) + float(n) for n in range(9)}
    whole = stacked.Stack("GPU hours per run", parts, [f"{n * 1000:,} calls" for n in range(count)])
    return stacked.StackedBars("n", "What became of replies", labels(count), [whole, whole], "")


def heat_map_of(count: int) -> heatmaps.HeatMap:
    values = np.arange(2.0 * count).reshape(2, count) + 12345.678
    return heatmaps.HeatMap(
        "n", "title", labels(2), labels(count), values, (12345.0, 12360.0), "", decimals=3
    )


def variation_of(count: int) -> variation.Variation:
    metric = Metric("accuracy", "%")
    others = dict.fromkeys(labels(count), 90.0)
    curve = variation.Curve(metric, np.array([90.0, 91.0, 92.0]), np.ones(3), others)
    return variation.Variation(
        "b", "t", "test", "collm_nas", "temperature", (0.0, 0.5, 1.0), ("a",), (curve,)
    )


KINDS: dict[str, Callable[[int], Figure]] = {
    "curves": lambda count: curve_figures.figure(panel_of(count)),
    "curves over tokens": lambda count: curve_figures.figure(panel_of(count, "llm-tokens")),
    "ablation": lambda count: ablations.figure(ablation_of(count)),
    "sources": lambda count: sources.figure(sources_of(count)),
    "paths": lambda count: search_maps.figure(map_of(count)),
    "bars": lambda count: stacked.figure(bars_of(count)),
    "heat map": lambda count: heatmaps.figure(heat_map_of(count)),
    "variation": lambda count: variation.figure(variation_of(count)),
}


def digests() -> dict[str, list[str]]:
    """Of the files of a figure of each kind."""
    return {
        kind: [hashlib.sha256(content).hexdigest() for content in figures.render(partial(make, 2))]
        for kind, make in KINDS.items()
    }


def test_equal_bytes_in_another_process():
    script = "import json; from tests.reports.test_figures import digests; print(json.dumps(digests()))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    other = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(other.stdout) == digests()


def texts(figure: Figure) -> Iterator[Text]:
    """Every text that is seen."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        if not axes.axison:
            continue
        yield from (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts)  # type: ignore[attr-defined]
        if axes.get_legend():
            yield from axes.get_legend().get_texts()
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            yield from (tick.label1 for tick in ticks if tick.label1.get_visible())


@pytest.mark.parametrize("count", [2, pytest.param(7, marks=pytest.mark.slow), 15])
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_cut_or_lies_on_another(kind, count):
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(figures.STYLE)
        figure = KINDS[kind](count)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        shown = [text for text in texts(figure) if text.get_text().strip() and text.get_visible()]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    width, height = canvas.get_width_height()
    cut = [
        text for text, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    assert cut == []
    # A pixel less on each side, for a box is a little higher than its letters.
    over = [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes, 2)
        if a.x0 + 1 < b.x1 - 1 and b.x0 + 1 < a.x1 - 1 and a.y0 + 1 < b.y1 - 1 and b.y0 + 1 < a.y1 - 1
    ]
    assert over == []


def test_files_of_a_drawing():
    drawing = figures.render(lambda: Figure(figsize=(1, 1)))
    files = drawing.files("name")
    assert list(files) == ["name.png", "name.svg", "name.pdf"]
    assert [files["name.png"][1:4], files["name.pdf"][:4]] == [b"PNG", b"%PDF"]


def test_pdfs_have_no_fonts_that_journals_refuse():
    figure = figures.render(partial(KINDS["curves"], 2))
    assert b"/TrueType" in figure.pdf or b"/CIDFontType2" in figure.pdf
    assert b"/Type3" not in figure.pdf


def test_lines_and_areas_are_told_apart():
    lines = {str(figures.line_style(number)) for number in range(42)}
    assert len(lines) == 42
    # Without their colours, too.
    assert len({str(figures.line_style(number) | {"color": None}) for number in range(42)}) == 42
    assert len({str(stacked.area_style(number)) for number in range(70)}) == 70
    assert len({stacked.area_style(number)["hatch"] for number in range(10)}) == 10
