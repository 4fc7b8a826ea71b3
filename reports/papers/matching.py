"""Which measured numbers belong beside a published one, and what sets the two apart."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import registry
from reports.papers import conditions
from reports.papers.measured import SECONDS
from reports.papers.measured import SPEARMAN
from reports.papers.measured import TAU
from reports.published import papers
from reports.published.facts import asks
from reports.statistics import compare_with_published

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from reports.papers.measured import Measured
    from reports.published.papers import Value
    from reports.statistics import PublishedComparison

Key = tuple[str, str, str, str | None, str | None]


@dataclass(frozen=True)
class Beside:
    """A published number, with what was measured of the same.

    Attributes:
        value: The published number.
        measured: Those measured runs that come closest to it; ``None`` where there are none.
        others: Further ones, as ``sweep: label``.
        comparison: Of the two; ``None`` where nothing was measured, where it cannot be compared, and where there is no
            chance in it, as in the best of a space.
        incomparable: Why the two cannot be compared; empty where they can.
        conditions: How it was measured, one phrase each.
    """

    value: Value
    measured: Measured | None
    others: tuple[str, ...] = ()
    comparison: PublishedComparison | None = None
    incomparable: str = ""
    conditions: tuple[str, ...] = ()


def by_key(measured: Iterable[Measured]) -> dict[Key, list[Measured]]:
    """What was measured, by what has to be equal: data set, measure, unit, split and part."""
    found = defaultdict(list)
    for m in measured:
        found[m.dataset, m.measure, m.unit, m.split, m.part].append(m)
    return dict(found)


def beside(value: Value, measured: Mapping[Key, list[Measured]]) -> Beside:
    """Find what was measured of a published number.

    Where several sweeps have it, those on the whole data set come first, then those that asked the paper's language
    model, then those of a strategy with the settings of its paper, then those with the most runs, then by name.

    Args:
        value: A number of a paper.
        measured: All that was measured, as :func:`by_key` gives it.
    """
    same = measured.get((value.dataset, value.measure, value.unit, value.split, value.subject.part), ())
    fitting = [m for m in same if is_of(value, m)]
    if not fitting:
        return Beside(value, None)
    first, *rest = sorted(
        fitting,
        key=lambda m: (
            bool(m.absent),
            bool(_other_model(value, m)),
            bool(_settings(value, m)),
            -len(m.values),
            m.sweep,
            m.benchmark,
            m.label,
        ),
    )
    incomparable = _incomparable(first)
    return Beside(
        value,
        first,
        others=tuple(dict.fromkeys(f"{m.sweep}: {m.label}" for m in rest)),
        comparison=None if incomparable or value.subject.optimum else _compare(value, first),
        incomparable=incomparable,
        conditions=_conditions(value, first),
    )


def is_of(value: Value, measured: Measured) -> bool:
    """Whether what was measured is of the method that a published number is of.

    Data set, measure, unit, split and part are taken to be equal. A number of a method belongs to a search space; one
    of a network that people designed does not.
    """
    subject = value.subject
    if subject.reference is not None:
        return measured.reference == subject.reference
    if value.space != measured.space:
        return False
    if subject.optimum:
        return measured.optimum
    if subject.strategy is not None:
        return measured.spec is not None and subject.is_strategy(measured.spec)
    if subject.proxy is not None:
        return measured.scorer == subject.proxy and measured.measure in {TAU, SPEARMAN}
    return False


def rounding(value: Value) -> float:
    """Half a unit of the last digit that is printed."""
    _, point, decimals = value.printed.partition(" ±")[0].partition(".")
    return 0.5 * 10.0 ** -len(decimals) if point else 0.5


def _incomparable(measured: Measured) -> str:
    if measured.absent:
        return "Not of the same data."
    return "Seconds of another machine." if measured.measure == SECONDS else ""


def _compare(value: Value, measured: Measured) -> PublishedComparison:
    spread = value.spread
    if spread is not None and value.spreads == "standard error":
        spread = spread * math.sqrt(value.runs) if value.runs else None
    return compare_with_published(
        value.mean, measured.values, spread=spread, runs=value.runs, rounding=rounding(value)
    )


def _conditions(value: Value, measured: Measured) -> tuple[str, ...]:
    """What a reader must know before believing the difference."""
    phrases = [
        measured.absent and f"{measured.absent} only",
        _other_model(value, measured),
        *measured.conditions,
        _settings(value, measured),
    ]
    return tuple(phrase for phrase in phrases if phrase)


def _settings(value: Value, measured: Measured) -> str:
    """Parameters of the strategy that are neither its paper's nor those of the published number."""
    if measured.spec is None:
        return ""
    strategy = measured.spec["strategy"]
    unusual = conditions.unusual(registry.load("strategy", strategy["name"]), strategy["params"])
    return conditions.text({key: v for key, v in unusual.items() if key not in value.subject.params})


def _other_model(value: Value, measured: Measured) -> str:
    """Which language model was asked, where it is not the paper's; empty where it is, or where none was asked."""
    if measured.spec is None or not measured.spec["models"]:
        return ""
    theirs = value.subject.model or papers.own_model(str(value.subject.strategy))
    if theirs is not None and asks(measured.spec["models"], theirs):
        return ""
    asked = ", ".join(measured.spec["models"])
    return f"{asked}, not {theirs}" if theirs else f"asked {asked}"
