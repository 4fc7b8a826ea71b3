"""Spaces whose trainings were made here once, all of them, and written into a table (``harness tabulate``)."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple

from harness import registry
from harness.benchmarks.base import Extent
from harness.benchmarks.base import Metric
from harness.benchmarks.table import open_table
from harness.benchmarks.tabular import TabularBenchmark
from harness.data_folder import data_folder
from harness.data_folder import is_name
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.benchmarks.base import Evaluation
    from harness.benchmarks.table import Table
    from harness.spaces import Architecture

#: Of the benchmark, and of the folder of its tables.
NAME = "tabulated"
#: What a table says of itself beside its columns, as JSON texts.
ABOUT = ("dataset", "description", "measures", "references", "extent", "size")


class About(NamedTuple):
    """What a table says of itself.

    Attributes:
        dataset: Name of the data set.
        description: See :class:`~harness.benchmarks.Benchmark`.
        measures: What was measured; the metric first.
        references: Name of a network that people designed, to fidelity, to split, to measure, to the scores of its
            trainings with the seeds from 0; ``None`` for a training that has none.
        extent: See :class:`~harness.benchmarks.Benchmark`.
        size: See there.
    """

    dataset: str
    description: str
    measures: tuple[Metric, ...]
    references: Mapping[str, Mapping[str, Mapping[str, Mapping[str, list[float | None]]]]]
    extent: Extent
    size: Mapping[str, int] | None

    def texts(self) -> dict[str, str]:
        """For the provenance of the table."""
        measures = [asdict(measure) for measure in self.measures]
        extent = asdict(self.extent)
        values = (self.dataset, self.description, measures, self.references, extent, self.size)
        return {key: json.dumps(value) for key, value in zip(ABOUT, values, strict=True)}


class Tabulated(TabularBenchmark):
    """A table of trainings that were made with this harness (``harness tabulate``), which takes the place of them.

    Seconds are those that the trainings took where they were made. Tables that come with the harness are our own
    measurements; ``docs/ists.md`` says what was run.

    Args:
        table: Name of the table.

    Raises:
        SpecError: There is no table of that name.
        DataError: It is corrupt, or no table of this kind.
    """

    def __init__(self, table: str) -> None:
        opened = open_table(find_table(table))
        about = read_about(opened)
        super().__init__(
            name=NAME,
            source=table,
            dataset=about.dataset,
            space=registry.load("space", opened.space)(),
            metric=about.measures[0],
            table=opened,
            measures=about.measures[1:],
        )
        self.size = about.size
        self.description = about.description
        self._references = about.references
        self._extent = about.extent

    @property
    def extent(self) -> Extent:
        return self._extent

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        """Score an architecture on the ``valid`` split, at the cost of training it once.

        Where some of its trainings had no score, the others count.

        Raises:
            DataError: The table lacks this fidelity, or this architecture.
            ScoreError: None of its trainings had a score.
            SpaceError: ``arch`` is not of this space.
        """
        column = self._search.get(fidelity)
        index = self.space.index(arch)
        # What was not trained has taken no seconds.
        if column is not None and not column.counts[index] and not math.isnan(column.seconds[index]):
            raise ScoreError(
                f"none of its trainings for table {self.table.path} had a score.", column.seconds[index]
            )
        found = super().evaluate(arch, fidelity=fidelity, seed=seed)
        if len(self.measures) == 1:
            return found
        measures = {
            measure.name: self.query(
                arch, split="valid", fidelity=fidelity, seed=found.seed, measure=measure.name
            )
            for measure in self.measures
        }
        return replace(found, measures=measures)

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(
            name
            for name in self._references
            if any(score is not None for score in self._scores_of(name, "valid", self.final_fidelity, None))
        )

    def query_reference(
        self, name: str, *, split: str, fidelity: int, seed: int | None = None, measure: str | None = None
    ) -> float:
        """A score of a network that people designed; see :meth:`query`.

        Raises:
            DataError: The table does not have it.
        """
        self.check_measure(measure)
        scores = self._scores_of(name, split, fidelity, measure)
        known = [
            score for at, score in enumerate(scores) if score is not None and (seed is None or seed == at)
        ]
        if not known:
            raise DataError(
                f"table {self.table.path} has no {split} score of {name} after {fidelity} epochs"
                f"{'' if seed is None else f' with seed {seed}'}."
            )
        return statistics.fmean(known)

    def _scores_of(self, name: str, split: str, fidelity: int, measure: str | None) -> list[float | None]:
        by_measure = self._references.get(name, {}).get(str(fidelity), {}).get(split, {})
        return by_measure.get(measure or self.metric.name, [])


def table_path(name: str) -> Path:
    """Where a table is written."""
    return data_folder() / NAME / f"{name}.npz"


def tables() -> dict[str, Path]:
    """Names and files of all tables; one of the data folder takes the place of one that comes with the harness."""
    folders = (_own_folder(), table_path("*").parent)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.npz"))}


def find_table(name: str) -> Path:
    """A table of the data folder, or one that comes with the harness.

    Raises:
        SpecError: There is none of that name.
    """
    found = tables()
    if not is_name(name) or name not in found:
        raise SpecError(f"{unknown_name('table', str(name), found)} `harness tabulate` makes tables.")
    return found[name]


def _own_folder() -> Path:
    return Path(str(files("harness.benchmarks"))) / "tables"


def read_about(table: Table) -> About:
    """What a table says of itself.

    Raises:
        DataError: It is no table of this kind.
    """
    try:
        values: list[Any] = [json.loads(table.provenance[key]) for key in ABOUT]
        dataset, description, measures, references, extent, size = values
        part = {kind: (int(have), int(whole)) for kind, (have, whole) in extent["part"].items()}
        return About(
            dataset,
            description,
            tuple(Metric(**measure) for measure in measures),
            references,
            Extent(extent["dataset"], part),
            size,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"table {table.path} was not made by `harness tabulate` ({error!r}); delete it, and make it anew."
        ) from None
