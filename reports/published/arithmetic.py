"""Published numbers that follow from others, computed anew: averages, sums, ranks, and how often one is the best."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from reports.published.comparable import EPS
from reports.published.comparable import decimals
from reports.published.finding import Finding
from reports.published.finding import where

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from reports.published.comparable import Scores
    from reports.published.papers import Value

    # Row and column to number.
    Numbers = Mapping[tuple[str, str], Value]


def wrong_arithmetic(scores: Scores) -> Iterator[Finding]:
    """Averages, sums, ranks and counts that are not those of the numbers that they are said to be of."""
    tables: dict[str, dict[tuple[str, str], Value]] = defaultdict(dict)
    for score in scores.all:
        tables[score.value.key][score.value.row, score.value.column] = score.value
    for table in (table for paper in scores.papers for table in paper.tables):
        numbers = tables[table.key]
        for (row, column), value in numbers.items():
            averaged, facts = table.rows[row].average_of, table.columns[column]
            if averaged:
                yield from _average(scores, value, _there(numbers, [(name, column) for name in averaged]))
            if facts.sum_of:
                yield from _sum(scores, value, _there(numbers, [(row, name) for name in facts.sum_of]))
            if facts.ranks:
                yield from _rank(value, numbers, facts.ranks)
            if facts.counts and table.counts_best_of:
                yield from _count(value, tables[table.counts_best_of], facts.counts)


def _there(numbers: Numbers, cells: list[tuple[str, str]]) -> list[Value]:
    """The numbers of these cells; none where one of them is empty, so that nothing can be computed."""
    return [numbers[cell] for cell in cells] if all(cell in numbers for cell in cells) else []


def _average(scores: Scores, given: Value, parts: list[Value]) -> Iterator[Finding]:
    if not parts:
        return
    average = sum(part.mean for part in parts) / len(parts)
    # An average may be printed with fewer digits than its parts.
    slack = 0.5 * 10.0 ** -decimals(given) + max(scores.slack(part) for part in parts) + EPS
    if abs(given.mean - average) > slack:
        yield _finding(given, parts, f"the average is {average:.4g}")


def _sum(scores: Scores, given: Value, parts: list[Value]) -> Iterator[Finding]:
    if not parts:
        return
    total = sum(part.mean for part in parts)
    # Each is rounded on its own.
    if abs(given.mean - total) > sum(scores.slack(value) for value in (given, *parts)):
        yield _finding(given, parts, f"the sum is {total:.10g}")


def _rank(given: Value, numbers: Numbers, by: str) -> Iterator[Finding]:
    ranked = numbers[given.row, by]
    better = [value for (_, column), value in numbers.items() if column == by and _is_better(value, ranked)]
    if given.mean != len(better) + 1:
        yield _finding(given, [ranked], f"{len(better)} are better by {by}")


def _count(given: Value, of: Numbers, columns: tuple[str, ...]) -> Iterator[Finding]:
    """Rows of which one of the columns has the best number; of equals, all have."""
    rows: dict[str, list[Value]] = defaultdict(list)
    for (row, _), value in of.items():
        rows[row].append(value)
    won = [
        value
        for values in rows.values()
        for value in values
        if value.column in columns and not any(_is_better(other, value) for other in values)
    ]
    count = len({value.row for value in won})
    if given.mean != count:
        yield _finding(
            given, won, f"{', '.join(columns)} are the best in {count} of {len(rows)} rows, equals included"
        )


def _is_better(value: Value, than: Value) -> bool:
    return value.mean < than.mean if value.direction == "lower" else value.mean > than.mean


def _finding(given: Value, others: list[Value], truth: str) -> Finding:
    return Finding("wrong arithmetic", (given, *others), f"{where(given)}: {given.printed}, but {truth}.")
