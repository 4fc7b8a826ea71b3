"""What one argument of a strategy does to its scores (ISTS, Figures 5 and 6)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.ticker import NullLocator

from reports import statistics
from reports.figures import DASHES
from reports.figures import INK
from reports.figures import MARKERS
from reports.figures import PALETTE
from reports.figures import legend_below
from reports.figures import legend_height
from reports.figures import legend_width
from reports.figures import measure_label
from reports.figures import render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from harness.benchmarks import Metric
    from reports.figures import Drawing
    from reports.load import Results
    from reports.measures import Scored
    from reports.statistics import Floats

FEWEST = 3
"""Values of an argument that make a curve."""

# In inches: a panel.
_WIDTH, _HEIGHT = 4.2, 3.4
# From this ratio of the largest to the smallest value on, they stand on a logarithmic axis.
_WIDE = 50


@dataclass(frozen=True)
class Curve:
    """One measure over the values of the argument.

    Attributes:
        measure: What is scored.
        mean: ``(values,)``: mean over the runs of the strategy with this value; NaN without a scored run.
        std: ``(values,)``: their deviation; NaN for fewer than two.
        others: Label of every other strategy to its mean.
    """

    measure: Metric
    mean: Floats
    std: Floats
    others: Mapping[str, float]


@dataclass(frozen=True)
class Variation:
    """The entries of one strategy that differ in one numeric argument alone, on one benchmark.

    Attributes:
        benchmark: Label.
        title: What it is called.
        split: On which split.
        strategy: Registered name.
        argument: Name of the argument.
        values: Its values, ascending.
        labels: The entry of each value.
        curves: One per measure.
    """

    benchmark: str
    title: str
    split: str
    strategy: str
    argument: str
    values: tuple[float, ...]
    labels: tuple[str, ...]
    curves: tuple[Curve, ...]

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"varied-{self.benchmark}-{self.labels[0]}-{self.argument}"


def variations(results: Results, on: Scored, runs: pd.DataFrame) -> list[Variation]:
    """Every argument that a sweep varies, others being equal, over at least :data:`FEWEST` values.

    Args:
        results: The runs.
        on: The benchmark.
        runs: What :func:`reports.measures.run_scores` gives.
    """
    mine = results.runs[results.runs["benchmark"] == on.label]
    specs = {str(label): spec for label, spec in mine.groupby("strategy", sort=False)["spec"].first().items()}
    scores = runs[runs["benchmark"] == on.label]
    return [
        Variation(
            on.label,
            on.title,
            on.split,
            specs[labels[0]]["strategy"]["name"],
            argument,
            tuple(values),
            tuple(labels),
            tuple(_curve(scores, measure, labels) for measure in on.benchmark.measures),
        )
        for argument, values, labels in _varied(specs)
    ]


def draw(shown: Variation) -> Drawing:
    """The curves as files, side by side."""
    return render(partial(figure, shown))


def describe(shown: Variation) -> str:
    """What the figure shows."""
    split = {"valid": "Validation", "test": "Test"}[shown.split]
    others = ", the other strategies as lines across" if shown.curves[0].others else ""
    return (
        f"{split} scores of what {shown.strategy} recommends on {shown.title} over its {shown.argument}, all other "
        f"arguments equal: mean ± standard deviation over runs{others}."
    )


def _varied(specs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[float], list[str]]]:
    """Each argument with its values and the labels of their entries."""
    arguments = dict.fromkeys(
        key
        for spec in specs.values()
        for key, value in spec["strategy"]["params"].items()
        if is_number(value)
    )
    for argument in arguments:
        groups: dict[str, dict[float, str]] = {}
        for label, spec in specs.items():
            params = dict(spec["strategy"]["params"])
            value = params.pop(argument, None)
            if is_number(value):
                rest = json.dumps([spec["strategy"]["name"], params, spec["models"]], sort_keys=True)
                groups.setdefault(rest, {}).setdefault(value, label)
        for entries in groups.values():
            if len(entries) >= FEWEST:
                values = sorted(entries)
                yield argument, values, [entries[value] for value in values]


def is_number(value: object) -> bool:
    """Whether an argument's value has a place on an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve(scores: pd.DataFrame, measure: Metric, labels: list[str]) -> Curve:
    values = scores[scores["measure"] == measure.name].dropna(subset="value")
    samples = {
        str(label): group.to_numpy() for label, group in values.groupby("strategy", sort=False)["value"]
    }
    varied = [samples.get(label, np.empty(0)) for label in labels]
    return Curve(
        measure,
        np.array([statistics.mean(sample) for sample in varied]),
        np.array([statistics.std(sample) for sample in varied]),
        {label: statistics.mean(sample) for label, sample in samples.items() if label not in labels},
    )


def figure(shown: Variation) -> Figure:
    """The same as a figure, while the style of all figures is set (:func:`reports.figures.render`)."""
    names = [_own(shown), *shown.curves[0].others]
    width = max(_WIDTH * len(shown.curves), legend_width(names))
    made = Figure(figsize=(width, _HEIGHT + legend_height(names, width)), layout="constrained")
    for axes, curve in zip(made.subplots(1, len(shown.curves), squeeze=False)[0], shown.curves, strict=True):
        _panel(axes, shown, curve)
    made.suptitle(shown.title, x=0.02, ha="left", fontsize=12)
    legend_below(made)
    return made


def _own(shown: Variation) -> str:
    return f"{shown.strategy}, by {shown.argument}"


def _panel(axes: Axes, shown: Variation, curve: Curve) -> None:
    axes.errorbar(
        shown.values,
        curve.mean,
        yerr=np.nan_to_num(curve.std),
        color=PALETTE[0],
        ecolor=PALETTE[0],
        marker=MARKERS[0],
        markersize=5.5,
        linewidth=1.7,
        capsize=4,
        label=_own(shown),
    )
    colours = PALETTE[1:]
    for i, (label, mean) in enumerate(curve.others.items()):
        # Where colours begin again, they have other dashes.
        dashes = DASHES[1:][(i + i // len(colours)) % (len(DASHES) - 1)]
        axes.axhline(mean, color=colours[i % len(colours)], linestyle=dashes, linewidth=1.5, label=label)
    if min(shown.values) > 0 and max(shown.values) / min(shown.values) >= _WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(shown.values, [f"{value:g}" for value in shown.values])
    axes.set_xlabel(shown.argument)
    measure = curve.measure
    axes.set_ylabel(measure_label(measure.name, measure.unit, higher_is_better=measure.higher_is_better))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    axes.grid(visible=True, color=INK, alpha=0.12, linewidth=0.6)
