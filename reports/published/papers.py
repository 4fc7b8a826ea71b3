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

Facts (:class:`~reports.published.facts.Facts`) stand wherever they hold: for the table, a column, a row, or one cell.
A column and a row must not say different things; both go before the table, and a cell before all. Names of data sets,
search spaces, strategies, references and proxies are ours where we have them, else those of the field; rows and columns
have the paper's.

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

from functools import cache
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import NamedTuple
from typing import Self

from pydantic import Field
from pydantic import model_validator

from harness.errors import DataError
from harness.errors import unknown_name
from harness.yaml_file import YamlFile
from reports.published.facts import Part
from reports.published.facts import Subject
from reports.published.printed import PrintedTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from reports.published.facts import Direction
    from reports.published.facts import Split
    from reports.published.facts import SpreadKind

PAPERS = ("collm_nas", "rz_nas", "lm_searcher", "ists")


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
        printed: The number as printed, but for zeros at the end of one without a spread.
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
    printed: str
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


class Paper(Part):
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
        if unknown := {table.counts_best_of for table in self.tables} - {None, *keys}:
            raise ValueError(
                f"{self.paper} counts the best of {unknown.pop()!r}, which is none of its tables"
            )
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


@cache
def own_model(strategy: str) -> str | None:
    """The language model that the paper of a strategy asks; ``None`` where it is none of these papers."""
    return next((p.model for p in map(load_paper, PAPERS) if p.strategy == strategy), None)


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


def _values_of(paper: str, table: PrintedTable) -> Iterator[Value]:
    for (row, column), (number, facts) in table.numbers().items():
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
            printed=number.printed,
            mean=number.mean,
            spread=number.spread,
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
