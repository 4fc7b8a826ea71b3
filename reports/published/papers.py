"""Tables of papers as their authors print them, number by number, and which number belongs beside which of ours.

A paper is a YAML file beside this module, named in :data:`PAPERS`::

    paper: ISTS                     # short name, for the head of a column
    title: Instructing the ...
    where: arXiv 2503.17994
    year: 2025
    strategy: ists                  # its own method, by its registered name,
    model: llama-3-8b               # and the language model that it asks where a table names none
    tables:
      - key: ists-table2            # what the table is called here, unique among all papers
        table: Table 2              # as the paper numbers it
        shows: errors on ...        # what its numbers are
        methods: columns            # what its methods are: rows, columns or none
        split: test                 # facts about all of its numbers
        runs: 3
        note: with ...              # what a reader must know to compare them
        columns:                    # as printed, in their order, with facts about their numbers
          ISTS-COT: {strategy: ists, params: {reasoning: cot}, model: llama-3-8b}
          GraphW.N.: {reference: graph_wavenet}
        rows:
          METR-LA MAE: {dataset: metr-la, measure: MAE, unit: mph, direction: lower, values: [2.88, 2.97]}

Facts (:class:`Facts`) stand wherever they hold: for the table, a column, a row, or a single cell. A column and a row
must not say different things; both go before the table, and a cell before all. Names of data sets, search spaces,
strategies, references and proxies are ours where we have them, else those of the field; rows and columns have the
paper's.

Where numbers follow from others the file says so, and :mod:`reports.published.check` computes them anew: ``average_of``
of a row, ``sum_of`` and ``ranks`` of a column, ``counts`` of a column with ``counts_best_of`` of its table.

A value is one of

- a number,
- ``93.76 ± 0.56``: a mean with its spread,
- ``{mean: 5.63, space: nasbench201}``: a number with facts of its own,
- ``{text: MS}``: words,
- ``ditto``: one printed cell spans this row and the one above,
- ``null``: an empty cell.
"""

from __future__ import annotations

import re
from functools import cache
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Literal
from typing import NamedTuple
from typing import Self

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import model_validator

from harness.errors import DataError
from harness.errors import unknown_name
from harness.yaml_file import YamlFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

PAPERS = ("collm_nas", "rz_nas", "lm_searcher", "ists")

Split = Literal["valid", "test"]
Direction = Literal["lower", "higher", "none"]
SpreadKind = Literal["standard deviation", "standard error"]
Methods = Literal["rows", "columns", "none"]

_SPREAD = re.compile(r"(?P<mean>-?\d+(\.\d+)?) ± (?P<spread>\d+(\.\d+)?)")


def _is_spread(text: str) -> str:
    if not _SPREAD.fullmatch(text):
        raise ValueError(f"{text!r} is no mean with its spread, such as '93.76 ± 0.56'")
    return text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Subject(_Part):
    """What a number is of, in our names; nothing where we have no such method.

    Attributes:
        strategy: Registered name of a strategy.
        params: Parameters that it must have; others may be any.
        model: Part of the name of the language model that it must ask, in small letters; ``None`` is any.
        proxy: Registered name of the zero-cost proxy that the search has as its objective; without a strategy, of the
            proxy itself.
        reference: Registered name of a network that people designed.
        part: Of what is measured in parts, such as seconds, the part.
        optimum: Whether it is the best architecture of the whole space.
    """

    strategy: str | None = None
    params: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    model: str | None = None
    proxy: str | None = None
    reference: str | None = None
    part: str | None = None
    optimum: bool = False

    def is_strategy(self, spec: Mapping[str, Any]) -> bool:
        """Whether a run of this specification is one of it."""
        strategy = spec["strategy"]
        if strategy["name"] != self.strategy or spec["benchmark"]["params"].get("proxy") != self.proxy:
            return False
        if any(strategy["params"].get(key) != value for key, value in self.params.items()):
            return False
        return self.model is None or any(
            self.model in str(value).lower() for model in spec["models"].values() for value in model.values()
        )


class Facts(Subject):
    """What is known of numbers, besides what they are of.

    Attributes:
        space: Search space; empty where the paper names none.
        dataset: Published data set; empty for numbers of none.
        measure: What was measured, as benchmarks name it, or as the field does; empty for what has no name.
        unit: Its unit.
        direction: Which values are better.
        split: Of scores; ``None`` where that says nothing, or the paper does not say it.
        runs: How many runs a number is the mean of, where the paper says it.
        spreads: What stands behind ±.
    """

    space: str = ""
    dataset: str = ""
    measure: str = ""
    unit: str | None = None
    direction: Direction | None = None
    split: Split | None = None
    runs: Annotated[int, Field(ge=1)] | None = None
    spreads: SpreadKind = "standard deviation"


class Cell(Facts):
    """A number that has facts of its own."""

    mean: float
    spread: float | None = None


class Text(_Part):
    """Words in a cell."""

    text: str


_Printed = float | Annotated[str, AfterValidator(_is_spread)] | Cell | Text | Literal["ditto"] | None


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


class Value(NamedTuple):
    """A number of a paper.

    Attributes:
        paper: Short name of the paper.
        key: What the table is called here.
        table: As the paper numbers it.
        group: Head of the rows to which it belongs; empty where they are not parted.
        row: As printed.
        column: As printed.
        method: Row or column, whichever is the method; empty where neither is.
        mean: The number.
        spread: Its deviation over runs; ``None`` where none is printed.
        spreads: What the spread is.
        runs: How many runs it is the mean of; ``None`` where the paper does not say it.
        unit: Its unit.
        direction: Which values are better.
        space: The search space; empty where the paper names none.
        dataset: The published data set.
        measure: What was measured.
        split: On which split; ``None`` where that says nothing.
        subject: What it is a number of.
        note: What a reader must know to compare it.
    """

    paper: str
    key: str
    table: str
    group: str
    row: str
    column: str
    method: str
    mean: float
    spread: float | None
    spreads: SpreadKind
    runs: int | None
    unit: str
    direction: Direction
    space: str
    dataset: str
    measure: str
    split: Split | None
    subject: Subject
    note: str

    def __str__(self) -> str:
        return f"{self.mean:g}" if self.spread is None else f"{self.mean:g} ± {self.spread:g}"


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

    def numbers(self) -> dict[tuple[str, str], tuple[Cell, Facts]]:
        """Row and column to each number and all that is known of it, in the order in which they are printed."""
        found: dict[tuple[str, str], tuple[Cell, Facts]] = {}
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
                cell = _number(value)
                try:
                    facts = _joined(self, of_column, row, cell)
                except ValueError as error:
                    raise ValueError(
                        f"row {row_name!r}, column {column!r} of {self.table}: {error}"
                    ) from None
                found[row_name, column] = cell, facts
        return found


class Paper(_Part):
    """The tables of a paper; its keys are those of the module's description."""

    paper: str
    title: str
    where: str
    year: int
    strategy: str | None = None
    model: str | None = None
    tables: Annotated[list[PrintedTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        keys = [table.key for table in self.tables]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{self.paper} has two tables of the key {twice[0]!r}")
        return self

    def cite(self, table: PrintedTable) -> str:
        """Where a table of it is found, for a footnote."""
        return f"{self.paper} ({self.year}), {table.table}"

    def values(self) -> Iterator[Value]:
        """All numbers, in the order in which they are printed."""
        return iter(self._values)

    @cached_property
    def _values(self) -> tuple[Value, ...]:
        return tuple(value for table in self.tables for value in _values_of(self.paper, table))


@cache
def load_paper(name: str) -> Paper:
    """A paper by the name of its file.

    Raises:
        pydantic.ValidationError: The file is not of the form above.
    """
    return Paper.model_validate(YamlFile(Path(__file__).with_name(f"{name}.yaml")).content)


def table_keys() -> list[str]:
    """What the tables of all papers are called here."""
    return [table.key for name in PAPERS for table in load_paper(name).tables]


def find_table(key: str) -> tuple[Paper, PrintedTable]:
    """A table, and the paper that it is in.

    Raises:
        DataError: There is no such table; names those that there are.
    """
    for name in PAPERS:
        paper = load_paper(name)
        for table in paper.tables:
            if table.key == key:
                return paper, table
    raise DataError(unknown_name("published table", key, table_keys()))


def of_strategy(
    spec: Mapping[str, Any],
    *,
    space: str,
    dataset: str,
    measure: str,
    split: Split | None,
    part: str | None = None,
) -> Value | None:
    """What papers report of the strategy of a run: a number of its language model where there is one, else the first.

    Args:
        spec: Specification of the run.
        space: Name of the search space.
        dataset: Name of the published data set.
        measure: Name of what was measured.
        split: Of scores.
        part: See :class:`Subject`.
    """
    found = [
        value
        for value in _matching(dataset, measure, split, part)
        if value.space == space and value.subject.strategy is not None and value.subject.is_strategy(spec)
    ]
    return next((value for value in found if value.subject.model is not None), found[0] if found else None)


def of_reference(
    name: str, *, dataset: str, measure: str, split: Split | None, part: str | None = None
) -> Value | None:
    """What papers report of a network that people designed; arguments as of :func:`of_strategy`."""
    return next((v for v in _matching(dataset, measure, split, part) if v.subject.reference == name), None)


def _matching(dataset: str, measure: str, split: Split | None, part: str | None) -> Iterator[Value]:
    for name in PAPERS:
        for value in load_paper(name).values():
            if (value.dataset, value.measure, value.split, value.subject.part) == (
                dataset,
                measure,
                split,
                part,
            ):
                yield value


def _number(printed: float | str | Cell) -> Cell:
    if isinstance(printed, Cell):
        return printed
    if isinstance(printed, str):
        match = _SPREAD.fullmatch(printed)
        assert match is not None, "validated on load"
        return Cell(mean=float(match["mean"]), spread=float(match["spread"]))
    return Cell(mean=printed)


def _joined(table: Facts, column: Facts, row: Facts, cell: Facts) -> Facts:
    """What a table, a column, a row and a cell say together of a number."""
    of_column, of_row = _said(column), _said(row)
    for name in sorted(of_column.keys() & of_row.keys()):
        if of_column[name] != of_row[name]:
            raise ValueError(f"its row and its column each have {name}, and not the same")
    flat = _said(table) | of_column | of_row | _said(cell)
    params = {key.removeprefix(_PARAM): value for key, value in flat.items() if key.startswith(_PARAM)}
    facts = {key: value for key, value in flat.items() if not key.startswith(_PARAM)}
    return Facts(**facts, params=params)


# Before the name of a parameter where facts are written as one flat mapping.
_PARAM = "params."


def _said(facts: Facts) -> dict[str, Any]:
    """The facts that were written down, each parameter as one of its own."""
    said = {name: getattr(facts, name) for name in Facts.model_fields if name in facts.model_fields_set}
    params = said.pop("params", {})
    return said | {f"{_PARAM}{key}": value for key, value in params.items()}


def _values_of(paper: str, table: PrintedTable) -> Iterator[Value]:
    for (row, column), (cell, facts) in table.numbers().items():
        assert facts.unit is not None, "validated on load"
        assert facts.direction is not None, "validated on load"
        yield Value(
            paper=paper,
            key=table.key,
            table=table.table,
            group=table.rows[row].group,
            row=row,
            column=column,
            method={"rows": row, "columns": column, "none": ""}[table.methods],
            mean=cell.mean,
            spread=cell.spread,
            spreads=facts.spreads,
            runs=facts.runs,
            unit=facts.unit,
            direction=facts.direction,
            space=facts.space,
            dataset=facts.dataset,
            measure=facts.measure,
            split=facts.split,
            subject=Subject(**{name: getattr(facts, name) for name in Subject.model_fields}),
            note=table.note,
        )
