"""Columns of a table, gathered value by value and checked as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from harness.benchmarks.table import Column
from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from numpy.typing import ArrayLike
    from numpy.typing import NDArray

    from harness.spaces import SearchSpace

    #: Called with how many architectures have been read, and how many there are.
    Progress = Callable[[int, int], None]

LEGAL_COLUMNS = (
    "DATASET/valid/EPOCHS or DATASET/test/EPOCHS (percent, with /SEED after it for one training seed), "
    "DATASET/train_seconds/EPOCHS, DATASET/valid_seconds, DATASET/latency"
)
_SCORE = re.compile(
    r"(?P<column>(?P<dataset>[^/]+)/(?P<split>valid|test)/(?P<epochs>[1-9]\d*))(/(?P<seed>\d+))?"
)
_SECONDS = re.compile(r"[^/]+/(train_seconds/[1-9]\d*|valid_seconds|latency)")


def split_seed(name: str, datasets: Iterable[str]) -> tuple[str, int | None]:
    """Split the name of a column, as a user writes it, into column and training seed.

    Args:
        name: One of the forms of ``LEGAL_COLUMNS``.
        datasets: The legal data sets.

    Raises:
        DataError: No legal name.
    """
    score = _SCORE.fullmatch(name)
    if not (score or _SECONDS.fullmatch(name)) or name.partition("/")[0] not in datasets:
        raise DataError(
            f"{name!r} names no column of a table; legal are {LEGAL_COLUMNS}, "
            f"for the data sets {', '.join(datasets)}."
        )
    if score and score["seed"]:
        return score["column"], int(score["seed"])
    return name, None


class ColumnBuilder:
    """Gathers the columns of one table.

    Args:
        space: The search space; its index orders the rows.
        where: What is read, for messages.
    """

    def __init__(self, space: SearchSpace, where: str) -> None:
        self.space = space
        self.where = where
        self._present = np.zeros(space.size, dtype=bool)
        self._values: dict[str, dict[int | None, NDArray[np.float64]]] = {}

    def claim(self, index: int) -> None:
        """Note that the source has an architecture.

        Raises:
            DataError: It was there before.
        """
        if self._present[index]:
            arch = self.space.format(self.space.from_index(index))
            raise DataError(f"{self.where} has architecture {arch} twice; remove one of them.")
        self._present[index] = True

    def set(self, column: str, indices: int | NDArray[np.int64], values: ArrayLike, seed: int | None) -> None:
        """Set values of a column, for one index or an array of them."""
        by_seed = self._values.setdefault(column, {})
        if seed not in by_seed:
            by_seed[seed] = np.full(self.space.size, np.nan)
        by_seed[seed][indices] = values

    def columns(self, *, allow_partial: bool) -> dict[str, Column]:
        """The finished columns. Those without any value are left out.

        Args:
            allow_partial: Whether architectures, or single scores of some, may be missing.

        Raises:
            DataError: Something is missing, no percentage, no time, or both a mean and single seeds.
        """
        finished = {}
        for name, by_seed in sorted(self._values.items()):
            if None in by_seed and len(by_seed) > 1:
                raise DataError(
                    f"{self.where}: {name} is given both as a mean and by training seed; give one of them."
                )
            seeds = None if None in by_seed else tuple(sorted(s for s in by_seed if s is not None))
            values = np.stack([by_seed[seed] for seed in seeds or (None,)], axis=1)
            if not np.isnan(values).all():
                self._check_range(name, values)
                finished[name] = Column(values, seeds)
        self._check_complete(finished, allow_partial)
        return finished

    def _check_range(self, name: str, values: NDArray[np.float64]) -> None:
        score = _SCORE.fullmatch(name)
        low, high = np.nanmin(values), np.nanmax(values)
        if score and not (low >= 0 and high <= 100):
            raise DataError(f"{self.where}: {name} has scores from {low:g} to {high:g}; legal are percent.")
        if score and high <= 1:
            raise DataError(
                f"{self.where}: {name} has scores from {low:g} to {high:g}, which look like fractions; legal are "
                "percent. Where a mapping names the column, write `COLUMN * 100`."
            )
        if not score and not (low > 0 and high < np.inf):
            raise DataError(
                f"{self.where}: {name} has times from {low:g} to {high:g}; legal are seconds above 0."
            )

    def _check_complete(self, columns: dict[str, Column], allow_partial: bool) -> None:
        scores = [match for match in map(_SCORE.fullmatch, columns) if match]
        if not any(match["split"] == "valid" for match in scores):
            raise DataError(f"{self.where} has no validation scores, so nothing can search on it.")
        for match in scores:
            seconds = f"{match['dataset']}/train_seconds/{match['epochs']}"
            if match["split"] == "valid" and seconds not in columns:
                raise DataError(
                    f"{self.where} has {match['column']} but not {seconds}, so an evaluation would have no cost. "
                    "Where a mapping names the columns, add it; it may be derived, as `COLUMN * 12/200`."
                )
        if allow_partial:
            return
        size = self.space.size
        if missing := size - int(self._present.sum()):
            raise DataError(
                f"{self.where} has {size - missing:,} of {size:,} architectures; {missing:,} are missing. "
                "To import those that are there, allow a partial table with --allow-partial; "
                "asking for any other is then an error."
            )
        for name, column in columns.items():
            if missing := int(np.isnan(column.values).all(axis=1).sum()):
                raise DataError(
                    f"{self.where}: {name} lacks {missing:,} of {size:,} architectures. To import the others, "
                    "allow a partial table with --allow-partial; asking for one of these is then an error."
                )
