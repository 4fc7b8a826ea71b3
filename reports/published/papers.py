"""Tables of papers as their authors print them, number by number, and which number belongs beside which of ours.

A paper is a YAML file beside this module, named in :data:`PAPERS`::

    paper: ISTS                     # short name, for the head of a column
    title: Instructing the ...
    where: arXiv 2503.17994
    tables:
      - table: Table 2              # as the paper numbers it
        shows: errors on ...        # what its numbers are
        split: test                 # of scores
        runs: 3                     # how many each number is the mean of, where the paper says it
        note: with ...              # what a reader must know to compare them
        columns:                    # as printed, in their order, and what they are called here
          ISTS-COT: {strategy: ists, params: {reasoning: cot}, model: llama-3-8b}
          GraphW.N.: {reference: graph_wavenet}
        rows:
          METR-LA MAE: {dataset: metr-la, measure: MAE, unit: mph, direction: lower, values: [2.88, 2.97]}

A value is a number, or a mean with its spread, ``{mean: 93.76, spread: 0.56}``; ``null`` stands for an empty cell.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Literal
from typing import NamedTuple
from typing import Self

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import model_validator

from harness.yaml_file import YamlFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

PAPERS = ("ists",)

Split = Literal["valid", "test"]
Direction = Literal["lower", "higher", "none"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Subject(_Part):
    """What a column is of, in our names.

    Attributes:
        strategy: Registered name of a strategy.
        params: Parameters that it must have; others may be any.
        model: Part of the name of the language model that it must ask, in small letters; ``None`` is any.
        reference: Registered name of a network that people designed.
        part: Of what is measured in parts, such as seconds, the part.
    """

    strategy: str | None = None
    params: dict[str, bool | int | float | str] = Field(default_factory=dict)
    model: str | None = None
    reference: str | None = None
    part: str | None = None

    def is_strategy(self, spec: Mapping[str, Any]) -> bool:
        """Whether a run of this specification is one of it."""
        strategy = spec["strategy"]
        if strategy["name"] != self.strategy:
            return False
        if any(strategy["params"].get(key) != value for key, value in self.params.items()):
            return False
        return self.model is None or any(
            self.model in str(value).lower() for model in spec["models"].values() for value in model.values()
        )


class Spread(_Part):
    """A mean, and how far its runs lie apart."""

    mean: float
    spread: float


class PrintedRow(_Part):
    """A row of a table.

    Attributes:
        dataset: Name of the published data set; empty for numbers of none.
        measure: What was measured, as benchmarks name it; empty for what none measures.
        unit: Of all its values.
        direction: Which values are better.
        values: One per column.
    """

    dataset: str = ""
    measure: str = ""
    unit: str
    direction: Direction
    values: list[float | Spread | None]


class PrintedTable(_Part):
    """A table; its keys are those of the module's description."""

    table: str
    shows: str
    split: Split | None = None
    runs: Annotated[int, Field(ge=1)] | None = None
    note: str = ""
    columns: Annotated[dict[str, Subject], Field(min_length=1)]
    rows: Annotated[dict[str, PrintedRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _a_value_per_column(self) -> Self:
        for name, row in self.rows.items():
            if len(row.values) != len(self.columns):
                raise ValueError(
                    f"row {name!r} of {self.table} has {len(row.values)} values for {len(self.columns)} columns"
                )
        return self


class Value(NamedTuple):
    """A number of a paper.

    Attributes:
        paper: Short name of the paper.
        table: As the paper numbers it.
        row: As printed.
        column: As printed.
        mean: The number.
        spread: Its deviation over runs; ``None`` where none is printed.
        runs: How many runs it is the mean of; ``None`` where the paper does not say it.
        unit: Its unit.
        direction: Which values are better.
        dataset: The published data set.
        measure: What was measured.
        split: On which split; ``None`` where that says nothing.
        subject: What it is a number of.
        note: What a reader must know to compare it.
    """

    paper: str
    table: str
    row: str
    column: str
    mean: float
    spread: float | None
    runs: int | None
    unit: str
    direction: Direction
    dataset: str
    measure: str
    split: Split | None
    subject: Subject
    note: str


class Paper(_Part):
    """The tables of a paper; its keys are those of the module's description."""

    paper: str
    title: str
    where: str
    tables: Annotated[list[PrintedTable], Field(min_length=1)]

    def values(self) -> Iterator[Value]:
        """All numbers, in the order in which they are printed."""
        for table in self.tables:
            for row_name, row in table.rows.items():
                for (column, subject), value in zip(table.columns.items(), row.values, strict=True):
                    if value is None:
                        continue
                    mean, spread = (value.mean, value.spread) if isinstance(value, Spread) else (value, None)
                    yield Value(
                        self.paper,
                        table.table,
                        row_name,
                        column,
                        mean,
                        spread,
                        table.runs,
                        row.unit,
                        row.direction,
                        row.dataset,
                        row.measure,
                        table.split,
                        subject,
                        table.note,
                    )


@cache
def load_paper(name: str) -> Paper:
    """A paper by the name of its file.

    Raises:
        pydantic.ValidationError: The file is not of the form above.
    """
    return Paper.model_validate(YamlFile(Path(__file__).with_name(f"{name}.yaml")).content)


def of_strategy(
    spec: Mapping[str, Any], *, dataset: str, measure: str, split: Split | None, part: str | None = None
) -> Value | None:
    """What papers report of the strategy of a run: a number of its language model where there is one, else the first.

    Args:
        spec: Specification of the run.
        dataset: Name of the published data set.
        measure: Name of what was measured.
        split: Of scores.
        part: See :class:`Subject`.
    """
    found = [
        value
        for value in _values(dataset, measure, split, part)
        if value.subject.strategy is not None and value.subject.is_strategy(spec)
    ]
    return next((value for value in found if value.subject.model is not None), found[0] if found else None)


def of_reference(
    name: str, *, dataset: str, measure: str, split: Split | None, part: str | None = None
) -> Value | None:
    """What papers report of a network that people designed; arguments as of :func:`of_strategy`."""
    return next((v for v in _values(dataset, measure, split, part) if v.subject.reference == name), None)


def _values(dataset: str, measure: str, split: Split | None, part: str | None) -> Iterator[Value]:
    for name in PAPERS:
        for value in load_paper(name).values():
            if (value.dataset, value.measure, value.split, value.subject.part) == (
                dataset,
                measure,
                split,
                part,
            ):
                yield value
