"""What two arguments of a strategy do together, and how little it may matter (CoLLM-NAS, Figure 5)."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from reports import statistics
from reports.formats import decimals
from reports.heatmaps import HeatMap
from reports.variation import is_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    import pandas as pd

    from harness.benchmarks import Metric
    from reports.load import Results
    from reports.measures import Scored
    from reports.statistics import Floats

FEWEST = 2
"""Values of each of the two arguments that make a grid."""


@dataclass(frozen=True)
class Grid:
    """The entries of one strategy that differ in two numeric arguments alone, on one benchmark.

    Attributes:
        benchmark: Label.
        title: What it is called.
        split: On which split.
        strategy: Registered name.
        arguments: Names of both, that of the rows first.
        values: Values of both, ascending.
        labels: The entries of its pairs, in the order of the sweep.
        measure: What is scored.
        mean: ``(rows, columns)``: mean over runs; NaN without a scored run.
        std: ``(rows, columns)``: their sample standard deviation; NaN for fewer than two.
    """

    benchmark: str
    title: str
    split: str
    strategy: str
    arguments: tuple[str, str]
    values: tuple[tuple[float, ...], tuple[float, ...]]
    labels: tuple[str, ...]
    measure: Metric
    mean: Floats
    std: Floats

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"grid-{self.benchmark}-{self.labels[0]}-{'-'.join(self.arguments)}"

    @property
    def variation(self) -> Floats:
        """``(rows, columns)``: coefficient of variation over runs: standard deviation in percent of the mean."""
        return 100 * self.std / np.abs(self.mean)

    @property
    def robustness(self) -> float:
        """Coefficient of variation, in percent, of the means of all pairs: how much the two arguments matter.

        The one number that CoLLM-NAS gives for its grid (appendix E), which does not say whether its deviation divides
        by the number of pairs or by one less; here it is the latter.
        """
        means = self.mean[~np.isnan(self.mean)]
        return 100 * statistics.std(means) / abs(statistics.mean(means))


def grids(results: Results, on: Scored, runs: pd.DataFrame) -> list[Grid]:
    """Every two arguments that a sweep varies together, others being equal.

    Args:
        results: The runs.
        on: The benchmark; its first measure is shown.
        runs: What :func:`reports.measures.run_scores` gives.
    """
    mine = results.runs[results.runs["benchmark"] == on.label]
    specs = {str(label): spec for label, spec in mine.groupby("strategy", sort=False)["spec"].first().items()}
    measure = on.benchmark.measures[0]
    scores = runs[(runs["benchmark"] == on.label) & (runs["measure"] == measure.name)].dropna(subset="value")
    samples = {
        str(label): group.to_numpy(dtype=float)
        for label, group in scores.groupby("strategy", sort=False)["value"]
    }
    made = []
    for arguments, entries in _varied(specs):
        values = tuple(tuple(sorted({pair[axis] for pair in entries})) for axis in (0, 1))
        labels = [[entries.get((row, column)) for column in values[1]] for row in values[0]]
        cells = [[samples.get(label or "", np.empty(0)) for label in row] for row in labels]
        made.append(
            Grid(
                on.label,
                on.title,
                on.split,
                specs[next(iter(entries.values()))]["strategy"]["name"],
                arguments,
                (values[0], values[1]),
                tuple(entries.values()),
                measure,
                np.array([[statistics.mean(cell) for cell in row] for row in cells]),
                np.array([[statistics.std(cell) for cell in row] for row in cells]),
            )
        )
    return [grid for grid in made if not np.isnan(grid.mean).all()]


def heat_maps(grid: Grid) -> list[HeatMap]:
    """A grid as heat maps: mean, and coefficient of variation where any pair has two runs."""
    split = {"valid": "validation", "test": "test"}[grid.split]
    measure = f"{split} {grid.measure.name}" + (f" ({grid.measure.unit})" if grid.measure.unit else "")
    better = "higher" if grid.measure.higher_is_better else "lower"
    what = f"what {grid.strategy} recommends on {grid.title} by {grid.arguments[0]} and {grid.arguments[1]}"
    maps = [
        _heat_map(
            grid,
            "mean",
            f"{grid.title}: mean {measure}",
            grid.mean,
            (float(np.nanmin(grid.mean)), float(np.nanmax(grid.mean))),
            decimals(grid.measure.unit),
            f"Mean {measure} over runs of {what}; {better} is better. The coefficient of variation of these means is "
            f"{grid.robustness:.3g} %: how much the two arguments matter.",
        )
    ]
    if not np.isnan(grid.variation).all():
        maps.append(
            _heat_map(
                grid,
                "variation",
                f"{grid.title}: coefficient of variation (%)",
                grid.variation,
                (0.0, float(np.nanmax(grid.variation)) or 1.0),
                2,
                f"Coefficient of variation (standard deviation in percent of the mean) over runs of the {measure} of "
                f"{what}.",
            )
        )
    return maps


def _heat_map(
    grid: Grid,
    kind: str,
    title: str,
    values: Floats,
    limits: tuple[float, float],
    digits: int,
    caption: str,
) -> HeatMap:
    rows, columns = ([f"{value:g}" for value in axis] for axis in grid.values)
    return HeatMap(
        name=f"{grid.name}-{kind}",
        title=title,
        rows=rows,
        columns=columns,
        values=values,
        limits=limits,
        caption=caption,
        row_title=grid.arguments[0],
        column_title=grid.arguments[1],
        decimals=digits,
    )


def _varied(
    specs: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[tuple[str, str], dict[tuple[float, float], str]]]:
    """Each two arguments with the entries of their pairs of values."""
    arguments = dict.fromkeys(
        key
        for spec in specs.values()
        for key, value in spec["strategy"]["params"].items()
        if is_number(value)
    )
    for first, second in itertools.combinations(arguments, 2):
        groups: dict[str, dict[tuple[float, float], str]] = defaultdict(dict)
        for label, spec in specs.items():
            params = dict(spec["strategy"]["params"])
            pair = params.pop(first, None), params.pop(second, None)
            if is_number(pair[0]) and is_number(pair[1]):
                rest = json.dumps([spec["strategy"]["name"], params, spec["models"]], sort_keys=True)
                groups[rest].setdefault(pair, label)
        for entries in groups.values():
            rows, columns = (len({pair[axis] for pair in entries}) for axis in (0, 1))
            # One row and one column would be two arguments varied one at a time.
            if min(rows, columns) >= FEWEST and len(entries) > rows + columns - 1:
                yield (first, second), entries
