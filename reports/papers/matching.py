"""Which measured numbers belong beside a published one, and what sets the two apart."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from harness.budget import Budget
from reports.papers.measured import SPEARMAN
from reports.papers.measured import TAU
from reports.statistics import compare_with_published

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from reports.papers.measured import Measured
    from reports.published.papers import Paper
    from reports.published.papers import Value
    from reports.statistics import PublishedComparison

_FULL_FIELDS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Beside:
    """A published number, with what was measured of the same.

    Attributes:
        value: The published number.
        measured: Those measured runs that come closest to it; ``None`` where there are none.
        others: Further ones, as ``sweep: label``.
        comparison: Of the two; ``None`` where nothing was measured, not of the same data, or where there is no chance
            in it, as in the best of a space.
        apart: What was different, one phrase each.
    """

    value: Value
    measured: Measured | None
    others: tuple[str, ...] = ()
    comparison: PublishedComparison | None = None
    apart: tuple[str, ...] = ()


def beside(paper: Paper, value: Value, measured: Sequence[Measured]) -> Beside:
    """Find what was measured of a published number.

    Where several sweeps have it, those on the whole data set come first, then those that asked the paper's language
    model, then those with the most runs, then by name.

    Args:
        paper: The paper.
        value: A number of it.
        measured: All that was measured.
    """
    fitting = [m for m in measured if is_of(value, m)]
    if not fitting:
        return Beside(value, None)
    first, *rest = sorted(
        fitting,
        key=lambda m: (bool(m.absent), bool(_other_model(paper, value, m)), -len(m.values), m.sweep, m.label),
    )
    return Beside(
        value,
        first,
        others=tuple(dict.fromkeys(f"{m.sweep}: {m.label}" for m in rest)),
        comparison=None if first.absent or value.subject.optimum else _compare(value, first),
        apart=_apart(paper, value, first),
    )


def is_of(value: Value, measured: Measured) -> bool:
    """Whether what was measured is what a published number is of, whatever its settings."""
    subject = value.subject
    if (value.space, value.dataset, value.measure, value.split, subject.part) != (
        measured.space,
        measured.dataset,
        measured.measure,
        measured.split,
        measured.part,
    ):
        return False
    if subject.optimum:
        return measured.optimum
    if subject.reference is not None:
        return measured.reference == subject.reference
    if subject.strategy is not None:
        return measured.spec is not None and subject.is_strategy(measured.spec)
    if subject.proxy is not None:
        return measured.scorer == subject.proxy and measured.measure in {TAU, SPEARMAN}
    return False


def _compare(value: Value, measured: Measured) -> PublishedComparison:
    spread = value.spread
    if spread is not None and value.spreads == "standard error":
        spread = spread * math.sqrt(value.runs) if value.runs else None
    return compare_with_published(
        value.mean, measured.values, spread=spread, runs=value.runs, rounding=rounding(value)
    )


def rounding(value: Value) -> float:
    """Half a unit of the last digit that is printed."""
    _, point, decimals = value.printed.partition(" ±")[0].partition(".")
    return 0.5 * 10.0 ** -len(decimals) if point else 0.5


def _apart(paper: Paper, value: Value, measured: Measured) -> tuple[str, ...]:
    """What a reader must know before believing the difference."""
    phrases = [measured.absent and f"{measured.absent} only", measured.settings]
    if measured.spec is not None:
        phrases += [_other_model(paper, value, measured), str(Budget.model_validate(measured.spec["budget"]))]
    return tuple(phrase for phrase in phrases if phrase)


def _other_model(paper: Paper, value: Value, measured: Measured) -> str:
    """Which language model was asked, where it is not the paper's; empty where it is, or where none was asked."""
    if measured.spec is None or not measured.spec["models"]:
        return ""
    theirs = value.subject.model or (paper.model if value.subject.strategy == paper.strategy else None)
    if theirs is not None and _is_model(theirs, measured.spec):
        return ""
    asked = ", ".join(measured.spec["models"])
    return f"{asked}, not {theirs}" if theirs else f"asked {asked}"


def _is_model(name: str, spec: Mapping[str, Any]) -> bool:
    wanted = _FULL_FIELDS.sub("", name.lower())
    return any(
        wanted in _FULL_FIELDS.sub("", str(text).lower())
        for model in spec["models"].values()
        for text in model.values()
    )
