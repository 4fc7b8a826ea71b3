"""The form of a published table: rows and columns as printed, with facts about their numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Literal
from typing import NamedTuple
from typing import Self

from pydantic import AfterValidator
from pydantic import Field
from pydantic import model_validator

from reports.published.facts import Facts
from reports.published.facts import Part
from reports.published.facts import joined

if TYPE_CHECKING:
    from collections.abc import Mapping

Methods = Literal["rows", "columns", "none"]

_SPREAD = re.compile(r"-?\d+(\.\d+)? ± \d+(\.\d+)?")


def _is_spread(text: str) -> str:
    if not _SPREAD.fullmatch(text):
        raise ValueError(f"{text!r} is no mean with its spread, such as '93.76 ± 0.56'")
    return text


class Cell(Facts):
    """A number that has facts of its own."""

    mean: float
    spread: float | None = None


class Text(Part):
    """Words in a cell."""

    text: str


_Printed = float | Annotated[str, AfterValidator(_is_spread)] | Cell | Text | Literal["ditto"] | None


class Number(NamedTuple):
    """A number of a table.

    Attributes:
        printed: As the paper prints it, but for zeros at the end of one without a spread.
        mean: The number.
        spread: Its spread; ``None`` where none is printed.
    """

    printed: str
    mean: float
    spread: float | None


class PrintedColumn(Facts):
    """A column of a table.

    Attributes:
        sum_of: Columns of which it is the sum.
        ranks: Column by which it ranks the rows; the best is 1.
        counts: Columns of another table, :attr:`PrintedTable.counts_best_of`, of which it counts the best values.
    """

    sum_of: tuple[str, ...] = Field(default=(), strict=False)
    ranks: str | None = None
    counts: tuple[str, ...] = Field(default=(), strict=False)


class PrintedRow(Facts):
    """A row of a table.

    Attributes:
        group: Head of the rows to which it belongs, where they are parted.
        average_of: Rows of which it is the average.
        values: One per column.
    """

    group: str = ""
    average_of: tuple[str, ...] = Field(default=(), strict=False)
    values: list[_Printed]


class PrintedTable(Facts):
    """A table; its keys are those of the module's description.

    Raises:
        ValueError: A row has too many values or too few, a column and a row contradict each other, a number lacks its
            unit or direction, or follows from a row or column that is not there; named by row and column.
    """

    key: Annotated[str, Field(pattern=r"[a-z]+(-[a-z0-9]+)+")]
    table: str
    shows: str
    methods: Methods = "none"
    note: str = ""
    counts_best_of: str | None = None
    columns: Annotated[dict[str, PrintedColumn], Field(min_length=1)]
    rows: Annotated[dict[str, PrintedRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name, row in self.rows.items():
            if len(row.values) != len(self.columns):
                raise ValueError(
                    f"row {name!r} of {self.table} has {len(row.values)} values for {len(self.columns)} columns"
                )
        for (row_name, column), (_, facts) in self.numbers().items():
            for needed in ("unit", "direction"):
                if getattr(facts, needed) is None:
                    raise ValueError(f"row {row_name!r}, column {column!r} of {self.table} has no {needed}")
        return self

    @model_validator(mode="after")
    def _follows_from_what_is_there(self) -> Self:
        for name, row in self.rows.items():
            self._require(name, row.average_of, self.rows)
        for name, column in self.columns.items():
            self._require(name, (*column.sum_of, *([column.ranks] if column.ranks else [])), self.columns)
        return self

    def _require(self, name: str, used: tuple[str, ...], there: Mapping[str, Facts]) -> None:
        for other in used:
            if other not in there:
                raise ValueError(
                    f"{name!r} of {self.table} is computed from {other!r}, which it does not have"
                )

    def numbers(self) -> dict[tuple[str, str], tuple[Number, Facts]]:
        """Row and column to each number and all that is known of it, in the order in which they are printed."""
        found: dict[tuple[str, str], tuple[Number, Facts]] = {}
        above: dict[str, _Printed] = {}
        for row_name, row in self.rows.items():
            for (column, of_column), printed in zip(self.columns.items(), row.values, strict=True):
                value = above.get(column) if printed == "ditto" else printed
                if printed == "ditto" and value is None:
                    raise ValueError(
                        f"row {row_name!r}, column {column!r} of {self.table}: nothing is above this ditto"
                    )
                above[column] = value
                if value is None or isinstance(value, Text):
                    continue
                try:
                    facts = joined(self, of_column, row, value if isinstance(value, Cell) else Facts())
                except ValueError as error:
                    raise ValueError(
                        f"row {row_name!r}, column {column!r} of {self.table}: {error}"
                    ) from None
                found[row_name, column] = _number(value), facts
        return found


def _number(value: float | str | Cell) -> Number:
    if isinstance(value, str):
        mean, _, spread = value.partition(" ± ")
        return Number(value, float(mean), float(spread))
    if isinstance(value, Cell) and value.spread is not None:
        return Number(f"{value.mean:.10g} ± {value.spread:.10g}", value.mean, value.spread)
    mean_alone = value.mean if isinstance(value, Cell) else value
    return Number(f"{mean_alone:.10g}", mean_alone, None)
