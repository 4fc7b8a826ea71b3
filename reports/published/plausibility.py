"""Single published numbers: what no run can have had."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from reports.published.finding import Finding
from reports.published.finding import shown
from reports.published.finding import where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reports.published.comparable import Score
    from reports.published.comparable import Scores
    from reports.published.comparable import Target
    from reports.published.papers import Value

# Measures whose numbers lie in a range, whatever is measured.
_RANGES = {
    "error": (0.0, 100.0),
    "exceptions": (0.0, 100.0),
    "p-value": (0.0, 1.0),
    "Kendall's tau": (-1.0, 1.0),
    "Spearman's correlation": (-1.0, 1.0),
    "Pearson's correlation": (-1.0, 1.0),
}


def impossible_values(scores: Scores) -> Iterator[Finding]:
    """Numbers out of the range of what was measured, and accuracies above the best of the whole search space."""
    for value in (score.value for score in scores.all):
        low, high = _range(value)
        if not low <= value.mean <= high:
            yield Finding("impossible value", (value,), f"{where(value)}: {shown(value)}.")
    for alike in _printed_alike(scores.all):
        value, of, mean, _ = alike[0]
        best = scores.best(of)
        if best is None or mean <= best.mean + scores.slack(value):
            continue
        side = "below" if value.measure == "error" else "above"
        bounds = (100 - number if side == "below" else number for number in best)
        yield Finding(
            "impossible value",
            tuple(score.value for score in alike),
            f"{_places(alike)}: {shown(value)}, but no architecture of {of.space} is {side} {next(bounds):.2f} "
            f"({of.dataset}, {of.split}, mean over training seeds); the best single training has {next(bounds):.2f}.",
        )


def impossible_spreads(scores: Scores) -> Iterator[Finding]:
    """Spreads that no scores below the best have around their mean.

    Of n scores with mean m, none above b, the standard deviation (with n - 1) is largest where all but one are b: it is
    (b - m) √n then. A paper that does not say n has the most runs that it says of any number. Means that are impossible
    themselves are left out.
    """
    most = {
        paper.paper: max((value.runs for value in paper.values() if value.runs is not None), default=None)
        for paper in scores.papers
    }
    for alike in _printed_alike(scores.all):
        value, of, mean, _ = alike[0]
        best, runs = scores.best(of), value.runs or most[value.paper]
        if not value.spread or best is None or runs is None or mean > best.training + scores.slack(value):
            continue
        # A standard error is smaller by √n.
        factor = 1 if value.spreads == "standard error" else math.sqrt(runs)
        largest = (best.training + scores.slack(value) - mean) * factor
        if value.spread - scores.slack(value) > largest:
            said = "" if value.runs else ", the most that the paper says of any number,"
            yield Finding(
                "impossible spread",
                tuple(score.value for score in alike),
                f"{_places(alike)}: {shown(value)}, but {runs} runs{said} have a {value.spreads} of {largest:.2f} at "
                f"most around this mean, for no training is above {best.training:.2f} ({of.dataset}, {of.split}).",
            )


def no_spread(scores: Scores) -> Iterator[Finding]:
    """Rows with spreads of zero over several runs, unless all runs have found the best architecture."""
    rows: dict[tuple[str, str], list[Value]] = defaultdict(list)
    for score in scores.all:
        value = score.value
        if value.spread == 0 and (value.runs or 0) > 1 and not scores.is_best(score):
            rows[value.key, value.row].append(value)
    for values in rows.values():
        first = values[0]
        numbers = ", ".join(f"{value.printed} ({value.column})" for value in values)
        yield Finding(
            "no spread",
            tuple(values),
            f"{first.paper}, {first.table}, {first.row}: {first.runs} runs with the same result, {numbers}.",
        )


def _range(value: Value) -> tuple[float, float]:
    if value.measure in _RANGES:
        return _RANGES[value.measure]
    if value.unit == "%":
        # Errors in percent of what was to be predicted have no upper end.
        return 0.0, 100.0 if value.direction == "higher" else math.inf
    return -math.inf, math.inf


def _printed_alike(scores: list[Score]) -> list[list[Score]]:
    """Scores by paper, what they are of and how they are printed: a number that a paper repeats is one."""
    alike: dict[tuple[str, int | str, Target, str], list[Score]] = defaultdict(list)
    for score in scores:
        value = score.value
        method = f"{value.key} {value.row}" if score.method is None else score.method
        alike[value.paper, method, score.of, value.printed].append(score)
    return list(alike.values())


def _places(scores: list[Score]) -> str:
    return " and ".join(where(score.value) for score in scores)
