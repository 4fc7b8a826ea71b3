"""What the checker of published numbers finds, and how it says where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Literal

if TYPE_CHECKING:
    from reports.published.papers import Value

Kind = Literal[
    "impossible value",
    "impossible spread",
    "different numbers",
    "number of another column",
    "same numbers in two spaces",
    "same numbers of two methods",
    "wrong arithmetic",
    "incomparable column",
    "no spread",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about numbers of papers.

    Attributes:
        kind: What.
        values: The numbers, in the order of the papers.
        sentence: What it is, for people.
    """

    kind: Kind
    values: tuple[Value, ...]
    sentence: str

    @property
    def tables(self) -> tuple[str, ...]:
        """Keys of the tables."""
        return tuple(dict.fromkeys(value.key for value in self.values))

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows, as printed."""
        return tuple(dict.fromkeys(value.row for value in self.values))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns, as printed."""
        return tuple(dict.fromkeys(value.column for value in self.values))


def where(value: Value) -> str:
    """Paper, table, row and column."""
    return f"{value.paper}, {value.table}, {value.row}, {value.column}"


def shown(value: Value) -> str:
    """The number, its unit and what was measured."""
    return " ".join(part for part in (value.printed, value.unit, value.measure) if part)
