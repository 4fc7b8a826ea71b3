"""Benchmarks whose scores are read from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import NamedTuple
from typing import NoReturn
from typing import cast

import numpy as np

from harness.benchmarks.base import Benchmark
from harness.benchmarks.base import Evaluation
from harness.errors import DataError
from harness.errors import SpaceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    from harness.benchmarks.base import Metric
    from harness.benchmarks.table import Column
    from harness.benchmarks.table import Table
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

_SPLITS = ("valid", "test")


class TabularBenchmark(Benchmark):
    """Scores and simulated costs of every architecture of a space, from one data set's columns of a table.

    Args:
        name: Registered name of the benchmark.
        source: Name of the table, for people.
        dataset: Data set; its columns are those of the table that start with it.
        space: The search space whose :meth:`~harness.spaces.SearchSpace.index` orders the rows.
        metric: What the scores are.
        table: The table.
        measures: What else it has scores of: columns ``<data set>/<split>/<epochs>/<measure>``.

    Raises:
        DataError: The table is corrupt, is of another space, or has no scores of this data set.
    """

    def __init__(
        self,
        *,
        name: str,
        source: str,
        dataset: str,
        space: SearchSpace,
        metric: Metric,
        table: Table,
        measures: Sequence[Metric] = (),
    ) -> None:
        self.name = name
        self.dataset = dataset
        self.space = space
        self.metric = metric
        self._measures = (metric, *measures)
        self.table = table
        self.digest = table.digest
        self.source = f"{source} ({table.provenance.get('origin', 'origin not recorded')})"
        if (table.space, table.size) != (space.name, space.size):
            raise DataError(
                f"table {table.path} has {table.size} architectures of space {table.space!r}; "
                f"benchmark {name!r} needs the {space.size} of {space.name!r}."
            )
        columns = table.read(f"{dataset}/")
        self._columns: dict[tuple[str, int], Column] = {}
        self._other_columns: dict[tuple[str, int, str], Column] = {}
        for path, column in columns.items():
            split, *rest = path.removeprefix(f"{dataset}/").split("/")
            match rest if split in _SPLITS else []:
                case [epochs]:
                    self._columns[split, int(epochs)] = column
                case [epochs, measure]:
                    self._other_columns[split, int(epochs), measure] = column
        self.splits = tuple(split for split in _SPLITS if any(key[0] == split for key in self._columns))
        self.fidelities = tuple(sorted(fidelity for split, fidelity in self._columns if split == "valid"))
        if not self.fidelities:
            raise DataError(f"table {table.path} has no validation scores of data set {dataset!r}.")
        self._search = {
            fidelity: _search_column(self._columns["valid", fidelity], _seconds(columns, dataset, fidelity))
            for fidelity in self.fidelities
        }
        self._scores: dict[tuple[str, int, int | None, str | None], NDArray[np.float64]] = {}
        self._views: dict[tuple[str, int, int | None, str | None], memoryview[float]] = {}
        latency = columns.get(f"{dataset}/latency")
        self._latency = None if latency is None else latency.mean()

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        """Score an architecture on the ``valid`` split, at the cost of training it once.

        The cost is the training time at this fidelity plus one pass over the validation images, where the
        table has the time of that pass.

        Args:
            arch: The architecture.
            fidelity: One of :attr:`fidelities`.
            seed: ``None`` for the mean over the training seeds that this architecture has; an integer draws
                one of them, the same for the same integer.

        Raises:
            DataError: The table lacks this fidelity, this architecture, or scores of single seeds.
            SpaceError: ``arch`` is not of this space.
        """
        column = self._search.get(fidelity)
        if column is None:
            self._missing_column("valid", fidelity)
        index = self.space.index(arch)
        if seed is None:
            trained, value = None, column.means[index]
        elif column.seeds is None:
            raise DataError(
                f"table {self.table.path} has no scores of single training seeds for {self.dataset} valid at "
                f"{fidelity} epochs, only means; evaluate with the mean, or use a source that has seeds."
            )
        else:
            count = column.counts[index]
            if not count:
                self._missing_cell(index, "valid", fidelity, None)
            position = column.positions[index * column.stride + seed % count]
            trained, value = column.seeds[position], column.values[index * column.stride + position]
        seconds = column.seconds[index]
        if value != value:
            self._missing_cell(index, "valid", fidelity, None)
        if seconds != seconds:
            raise DataError(
                f"table {self.table.path} has no training time at {fidelity} epochs of architecture "
                f"{self.space.format(arch)} on {self.dataset}, so its evaluation has no cost."
            )
        if len(self._measures) == 1:
            return Evaluation(value, fidelity, trained, seconds, "simulated")
        measures = {self.metric.name: value}
        for measure in self._measures[1:]:
            measures[measure.name] = self.query(
                arch, split="valid", fidelity=fidelity, seed=trained, measure=measure.name
            )
        return Evaluation(value, fidelity, trained, seconds, "simulated", measures)

    @property
    def measures(self) -> tuple[Metric, ...]:
        return self._measures

    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        """A score by name, for reports. There is no default split.

        Args:
            arch: The architecture.
            split: ``"valid"`` or ``"test"``.
            fidelity: Epochs.
            seed: A training seed of :meth:`seeds`, or ``None`` for the mean over those that ``arch`` has.
            measure: Name of one of :attr:`measures`; the metric without.

        Raises:
            DataError: The table lacks this column, this architecture, or this seed of it.
            SpaceError: ``arch`` is not of this space.
        """
        view = self._views.get((split, fidelity, seed, measure))
        if view is None:
            view = _view(self.scores(split=split, fidelity=fidelity, seed=seed, measure=measure))
            self._views[split, fidelity, seed, measure] = view
        index = self.space.index(arch)
        value = view[index]
        if value != value:
            self._missing_cell(index, split, fidelity, seed)
        return value

    def query_many(
        self, architectures: ArrayLike, *, split: str, fidelity: int, seed: int | None = None
    ) -> NDArray[np.float64]:
        """Scores of many architectures at once.

        Args:
            architectures: Integers of shape (n, decisions), one choice per decision, or of shape (n,), the
                :meth:`~harness.spaces.SearchSpace.index` of each.
            split: See :meth:`query`.
            fidelity: See :meth:`query`.
            seed: See :meth:`query`.

        Returns:
            Shape (n,).

        Raises:
            DataError: As :meth:`query`.
            SpaceError: Not integers of one of these shapes, or outside this space.
        """
        indices = self._indices(np.asarray(architectures))
        scores = self.scores(split=split, fidelity=fidelity, seed=seed)[indices]
        if np.isnan(scores).any():
            self._missing_cell(int(indices[np.isnan(scores)][0]), split, fidelity, seed)
        return scores

    def scores(
        self, *, split: str, fidelity: int, seed: int | None = None, measure: str | None = None
    ) -> NDArray[np.float64]:
        """The whole column, read-only, in the order of the space's index; NaN where the table has no value.

        Args:
            split: See :meth:`query`.
            fidelity: See :meth:`query`.
            seed: See :meth:`query`.
            measure: See :meth:`query`.

        Returns:
            Shape (architectures,).

        Raises:
            DataError: The table lacks this column.
        """
        key = (split, fidelity, seed, measure)
        if key not in self._scores:
            self.check_measure(measure)
            column = (
                self._columns.get((split, fidelity))
                if measure is None or measure == self.metric.name
                else self._other_columns.get((split, fidelity, measure))
            )
            if column is None:
                self._missing_column(split, fidelity)
            if seed is None:
                scores = column.mean()
            elif column.seeds is None or seed not in column.seeds:
                has = "only means over seeds" if column.seeds is None else f"seeds {_listed(column.seeds)}"
                raise DataError(
                    f"table {self.table.path}: {self.dataset} {split} at {fidelity} epochs has no training "
                    f"seed {seed}; it has {has}."
                )
            else:
                scores = np.ascontiguousarray(column.values[:, column.seeds.index(seed)])
            scores.flags.writeable = False
            self._scores[key] = scores
        return self._scores[key]

    def has(self, *, split: str, fidelity: int) -> bool:
        """Whether the table has this column."""
        return (split, fidelity) in self._columns

    def seeds(self, *, split: str, fidelity: int) -> tuple[int, ...]:
        """The training seeds of a column, ascending; empty where the table has means alone.

        Raises:
            DataError: The table lacks this column.
        """
        column = self._columns.get((split, fidelity))
        if column is None:
            self._missing_column(split, fidelity)
        return column.seeds or ()

    def draws_seeds(self, fidelity: int) -> bool:
        return bool(self.seeds(split="valid", fidelity=fidelity))

    def optimum(self, *, split: str, fidelity: int) -> tuple[Architecture, float] | None:
        """The best architecture and its seed-mean score; of equals, the one of smallest index.

        ``None`` where the table lacks some architecture, for the best may be among those.

        Raises:
            DataError: The table lacks this column.
        """
        scores = self.scores(split=split, fidelity=fidelity)
        if np.isnan(scores).any():
            return None
        best = int(scores.argmax() if self.metric.higher_is_better else scores.argmin())
        return self.space.from_index(best), float(scores[best])

    def latency(self, arch: Architecture) -> float:
        """Seconds that the trained network takes for one batch, as the source measured it.

        Raises:
            DataError: The table has no latency, or none of this architecture.
            SpaceError: ``arch`` is not of this space.
        """
        index = self.space.index(arch)
        if self._latency is None or np.isnan(self._latency[index]):
            raise DataError(f"table {self.table.path} has no latency of {self.space.format(arch)}.")
        return float(self._latency[index])

    def _indices(self, architectures: NDArray[np.generic]) -> NDArray[np.int64]:
        radices = self.space.radices
        if not np.issubdtype(architectures.dtype, np.integer):
            raise SpaceError(f"architectures are {architectures.dtype}; legal are integers.")
        if architectures.ndim == 2 and architectures.shape[1] == len(radices):
            codes = architectures
        elif architectures.ndim == 1:
            codes, radices = architectures[:, None], (self.space.size,)
        else:
            raise SpaceError(
                f"architectures have shape {architectures.shape}; legal are (n, {len(radices)}) and (n,)."
            )
        indices = np.zeros(len(codes), dtype=np.int64)
        # Column by column: integer matrix products have no fast path.
        for column, limit in zip(codes.T, radices, strict=True):
            if len(column) and not (column.min() >= 0 and column.max() < limit):
                raise SpaceError(f"an architecture is outside {self.space.name}: legal are 0 to {limit - 1}.")
            indices *= limit
            indices += column
        return indices

    def _missing_column(self, split: str, fidelity: int) -> NoReturn:
        if split not in _SPLITS:
            raise DataError(f"unknown split {split!r}; legal are {_listed(_SPLITS)}.")
        has = "; ".join(
            f"{known} at {_listed(sorted(f for s, f in self._columns if s == known))} epochs"
            for known in self.splits
        )
        raise DataError(
            f"table {self.table.path} has no {split} scores of {self.dataset} at {fidelity} epochs; "
            f"it has {has}. {self.where_else(split, fidelity)}".rstrip()
        )

    def where_else(self, split: str, fidelity: int) -> str:
        """Which source has a column that this one lacks, as a sentence for a message; empty if not known."""
        return ""

    def _missing_cell(self, index: int, split: str, fidelity: int, seed: int | None) -> NoReturn:
        arch = self.space.from_index(index)
        trained = ""
        if seed is not None:
            values = self._columns[split, fidelity].values[index]
            has = [
                s for s, v in zip(self.seeds(split=split, fidelity=fidelity), values, strict=True) if v == v
            ]
            trained = f" of training seed {seed} (it has {_listed(has) or 'none'})"
        raise DataError(
            f"table {self.table.path} has no {split} score{trained} at {fidelity} epochs of architecture "
            f"{self.space.format(arch)} on {self.dataset}."
        )


class _SearchColumn(NamedTuple):
    """A validation column laid out for :meth:`TabularBenchmark.evaluate`; every view is flat."""

    seeds: tuple[int, ...] | None
    stride: int
    values: memoryview[float]
    means: memoryview[float]
    seconds: memoryview[float]
    counts: memoryview[int]
    positions: memoryview[int]


def _search_column(column: Column, seconds: NDArray[np.float64]) -> _SearchColumn:
    missing = np.isnan(column.values)
    # Per architecture, the positions of the seeds that it has come first.
    positions = np.argsort(missing, axis=1, kind="stable")
    return _SearchColumn(
        column.seeds,
        column.values.shape[1],
        _view(column.values.ravel()),
        _view(column.mean()),
        _view(seconds),
        (~missing).sum(axis=1).data,
        positions.ravel().data,
    )


def _view(values: NDArray[np.float64]) -> memoryview[float]:
    # Indexing a memory view gives a Python float, several times as fast as indexing the array.
    return cast("memoryview[float]", values.data)


def _seconds(columns: Mapping[str, Column], dataset: str, fidelity: int) -> NDArray[np.float64]:
    """Seconds of training plus one validation pass where known; NaN where the training time is not."""
    train = columns.get(f"{dataset}/train_seconds/{fidelity}")
    validation = columns.get(f"{dataset}/valid_seconds")
    if train is None:
        raise DataError(f"the table has no {dataset}/train_seconds/{fidelity}; import the data again.")
    seconds = train.mean()
    return seconds if validation is None else seconds + validation.mean()


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
