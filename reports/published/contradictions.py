"""Published numbers beside each other: of one method that differ, of several that do not."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

from reports.published.comparable import EPS
from reports.published.finding import Finding
from reports.published.finding import shown
from reports.published.finding import where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reports.published.comparable import Score
    from reports.published.comparable import Scores
    from reports.published.comparable import Target
    from reports.published.papers import Value

# Numbers of methods that are round and few: that two have the same says nothing.
_COARSE = {"GPU days", "architectures", "rank", "seconds"}


def different_numbers(scores: Scores) -> Iterator[Finding]:
    """One method, measured on the same, with different numbers; and those of them that belong into another column."""
    same: dict[tuple[int, Target], list[Score]] = defaultdict(list)
    for score in scores.all:
        if score.method is not None and score.of.measure:
            same[score.method, score.of].append(score)
    for (_, of), found in same.items():
        distinct: list[Score] = []
        for score in found:
            if not any(scores.agree(score, other) for other in distinct):
                distinct.append(score)
        if len(distinct) > 1:
            values = tuple(score.value for score in distinct)
            numbers = "; ".join(f"{shown(value)} ({where(value)})" for value in values)
            yield Finding("different numbers", values, f"{values[0].method} on {of}: {numbers}.")
            for score in distinct:
                yield from _of_another_column(scores, score)


def _of_another_column(scores: Scores, score: Score) -> Iterator[Finding]:
    """A number that is the method's number on another split or data set of the same space."""
    for other in scores.all:
        if (other.method, other.of.space, other.of.measure) != (
            score.method,
            score.of.space,
            score.of.measure,
        ):
            continue
        if other.of != score.of and scores.agree(other, score):
            value = score.value
            yield Finding(
                "number of another column",
                (value, other.value),
                f"{where(value)}: {value.printed} is the number of {value.method} on {other.of}, not on {score.of} "
                f"({where(other.value)}).",
            )
            return


def same_numbers_in_two_spaces(scores: Scores) -> Iterator[Finding]:
    """Equal numbers, with equal spreads, of one method in two search spaces."""
    found: dict[tuple[str, str], list[tuple[Value, Value]]] = defaultdict(list)
    named = [
        score for score in scores.all if score.method is not None and score.value.spread and score.of.space
    ]
    for a, b in combinations(named, 2):
        if (
            a.method == b.method
            and a.of.space != b.of.space
            and a.of == b.of._replace(space=a.of.space)
            and _equal(a, b)
        ):
            found[a.value.key, b.value.key].append((a.value, b.value))
    for pairs in found.values():
        first, second = pairs[0]
        numbers = ", ".join(f"{value.printed} ({value.row}, {value.column})" for value, _ in pairs)
        yield Finding(
            "same numbers in two spaces",
            tuple(value for pair in pairs for value in pair),
            f"{first.paper}, {first.table} ({first.space}) and {second.paper}, {second.table} ({second.space}) "
            f"have the same: {numbers}.",
        )


def same_numbers_of_two_methods(scores: Scores) -> Iterator[Finding]:
    """Methods that share two numbers with their spreads, or three and half of those that both have.

    Spreads of zero count as none. The number of the best architecture does not count, for several may find it.
    """
    methods: dict[int, dict[Target, Score]] = defaultdict(dict)
    for score in scores.all:
        if score.method is not None and score.of.dataset and score.of.measure not in _COARSE:
            methods[score.method].setdefault(score.of, score)
    for first, second in combinations(methods.values(), 2):
        both = [(score, second[of]) for of, score in first.items() if of in second]
        both = [(a, b) for a, b in both if not (scores.is_best(a) and scores.is_best(b))]
        equal = [(a, b) for a, b in both if _equal(a, b)]
        with_spread = sum(bool(a.value.spread) for a, _ in equal)
        if with_spread < 2 and (len(equal) < 3 or 2 * len(equal) < len(both)):
            continue
        a, b = equal[0]
        numbers = ", ".join(f"{score.value.printed} ({score.of})" for score, _ in equal)
        yield Finding(
            "same numbers of two methods",
            tuple(score.value for pair in equal for score in pair),
            f"{_method(a.value)} and {_method(b.value)} share {len(equal)} of {len(both)} numbers: {numbers}.",
        )


def incomparable_columns(scores: Scores) -> Iterator[Finding]:
    """Columns with numbers of several search spaces, one of which is known to hold nothing better than some number."""
    columns: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for score in scores.all:
        if score.of.space:
            columns[score.value.key, score.value.column].append(score)
    for found in columns.values():
        spaces = dict.fromkeys(score.of.space for score in found)
        bounds = {score.of.space: best.mean for score in found if (best := scores.best(score.of)) is not None}
        if len(spaces) < 2 or not bounds:
            continue
        first = found[0].value
        limits = "; ".join(
            f"in {space} no error is below {100 - best:.2f}"
            if first.measure == "error"
            else f"in {space} no accuracy is above {best:.2f}"
            for space, best in bounds.items()
        )
        yield Finding(
            "incomparable column",
            tuple(score.value for score in found),
            f"{first.paper}, {first.table}, {first.column}: numbers of {' and '.join(spaces)}; {limits}.",
        )


def _equal(a: Score, b: Score) -> bool:
    return abs(a.mean - b.mean) <= EPS and a.value.spread == b.value.spread


def _method(value: Value) -> str:
    model = f", {value.subject.model}" if value.subject.model else ""
    return f"{value.method} ({value.paper}, {value.table}{model})"
