"""Benchmarks that train what they score, once, and keep what came of it."""

from __future__ import annotations

import statistics
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

from filelock import FileLock

from harness import registry
from harness.benchmarks.base import Benchmark
from harness.benchmarks.base import Evaluation
from harness.data_folder import data_folder
from harness.errors import DataError
from harness.errors import ScoreError
from harness.ledger import Ledger
from harness.ledger import head_digest
from harness.store import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from harness.spaces import Architecture

FORMAT = 1
SPLITS = ("valid", "test")


@dataclass(frozen=True)
class Training:
    """What one training came to.

    Attributes:
        scores: Split (``valid``, ``test``) to the name of a measure to its value.
        seconds: What the training and the validation took, measured: what a search pays.
        details: Whatever else is worth keeping, as JSON values.
    """

    scores: Mapping[str, Mapping[str, float]]
    seconds: float
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is trained: an architecture, or a network that people designed.

    Attributes:
        name: Its NCode, or the registered name of the reference.
        architecture: ``None`` for a reference.
    """

    name: str
    architecture: Architecture | None


class TrainedBenchmark(Benchmark):
    """A benchmark whose evaluations are trainings, made here.

    A training is made once, for its architecture, fidelity and seed, and kept in the data folder: later runs, other
    strategies and reports read it. So a repeated or resumed run has the same bytes, its measured seconds among them.
    Of processes that want the same training one makes it, and the others wait.

    A search sees validation scores, after as many epochs as its fidelity. When a run ends, what it recommends is
    trained with the highest fidelity, :attr:`repeats` times; reports read these scores, and train nothing.

    Attributes:
        measures: What is measured of each training, by name; the first one is the benchmark's metric.
        repeats: Trainings of a recommendation, with the seeds from 0; a report has their mean.
        search_repeats: Trainings of an evaluation whose seed is not drawn.
    """

    cost_kind = "measured"
    splits = SPLITS
    repeats: int
    search_repeats: int
    _kept: _Kept

    @abstractmethod
    def train(self, subject: Subject, *, fidelity: int, seed: int, checkpoint: Path) -> Training:
        """Train, and measure.

        Args:
            subject: What.
            fidelity: Epochs.
            seed: Of everything random.
            checkpoint: Where a training that is cut off may leave what it needs to go on.

        Raises:
            ScoreError: It has no score, for instance because it diverges.
        """

    @abstractmethod
    def network(self, subject: Subject) -> Callable[[], nn.Module]:
        """What makes the network of a subject.

        Raises:
            SpecError: There is no reference of that name.
        """

    def keep_in(self, identity: Mapping[str, Any]) -> None:
        """Set up where trainings are kept; a subclass calls it before anything is trained.

        Args:
            identity: Everything that decides what a training comes to, besides its subject, fidelity and seed.

        Raises:
            StoreError: What is kept cannot be read.
        """
        head = {"format": FORMAT, "space": self.space.name, "dataset": self.dataset, **identity}
        self.digest = head_digest(head)
        self._kept = _Kept(
            data_folder() / "trained" / self.space.name / self.dataset / self.digest[:16], head, self.name
        )

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        """Train an architecture, unless that was done before, and score it on the ``valid`` split.

        Args:
            arch: The architecture.
            fidelity: One of :attr:`fidelities`.
            seed: ``None`` for the mean over :attr:`search_repeats` trainings; an integer draws one of the
                :attr:`repeats` training seeds of which a report has the mean.

        Raises:
            DataError: There is no such fidelity.
            ScoreError: The training has no score.
            StoreError: What is kept cannot be read or written.
        """
        self._check_fidelity(fidelity)
        subject = Subject(self.space.ncode(arch), arch)
        drawn = None if seed is None else seed % self.repeats
        seeds = range(self.search_repeats) if drawn is None else [drawn]
        trainings = self._trainings(subject, fidelity, seeds)
        measures = {
            measure.name: statistics.fmean(training.scores["valid"][measure.name] for training in trainings)
            for measure in self.measures
        }
        return Evaluation(
            measures[self.metric.name],
            fidelity,
            drawn,
            sum(training.seconds for training in trainings),
            "measured",
            measures if len(measures) > 1 else None,
        )

    def training(self, subject: Subject, *, fidelity: int, seed: int) -> Training:
        """A training, made now unless it was made before.

        Raises:
            ScoreError: It has no score.
            StoreError: What is kept cannot be read or written.
        """
        return self._kept.get_or_make(
            subject.name,
            fidelity,
            seed,
            lambda checkpoint: self.train(subject, fidelity=fidelity, seed=seed, checkpoint=checkpoint),
        )

    def settle(self, arch: Architecture) -> float:
        """Train what a run recommends as reports want it; see :meth:`Benchmark.settle`."""
        subject = Subject(self.space.ncode(arch), arch)
        trainings = self._trainings(subject, self.final_fidelity, range(self.repeats))
        return sum(training.seconds for training in trainings)

    def _trainings(self, subject: Subject, fidelity: int, seeds: Sequence[int]) -> list[Training]:
        """The trainings with some seeds.

        Raises:
            ScoreError: One of them has no score; its seconds are those of all that were made.
            StoreError: See :meth:`training`.
        """
        made: list[Training] = []
        for seed in seeds:
            try:
                made.append(self.training(subject, fidelity=fidelity, seed=seed))
            except ScoreError as error:
                spent = sum(training.seconds for training in made)
                raise ScoreError(str(error), spent + error.seconds) from None
        return made

    def reference(self, name: str, *, fidelity: int, seed: int) -> Training:
        """The training of a network that people designed, by its registered name; made now where it was not before."""
        return self.training(Subject(name, None), fidelity=fidelity, seed=seed)

    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        """A score that is kept, for reports; nothing is trained.

        Args:
            arch: The architecture.
            split: ``"valid"`` or ``"test"``.
            fidelity: Epochs.
            seed: A training seed, or ``None`` for the mean: over :attr:`repeats` trainings at the highest fidelity, and
                over :attr:`search_repeats` below.
            measure: One of :attr:`measures`; the metric without.

        Raises:
            DataError: It was not trained, or there is no such split or measure.
        """
        return self._query(self.space.ncode(arch), split, fidelity, seed, measure)

    @property
    def references(self) -> tuple[str, ...]:
        """Those registered whose trainings are kept as reports want them; ``harness tabulate`` makes some."""
        seeds = range(self.repeats)
        return tuple(
            name
            for name in registry.names("reference")
            if all(self._kept.get(name, self.final_fidelity, seed) for seed in seeds)
        )

    def query_reference(
        self, name: str, *, split: str, fidelity: int, seed: int | None = None, measure: str | None = None
    ) -> float:
        """The same of a network that people designed.

        Raises:
            DataError: See :meth:`query`.
        """
        return self._query(name, split, fidelity, seed, measure)

    def _query(self, name: str, split: str, fidelity: int, seed: int | None, measure: str | None) -> float:
        measure = self.metric.name if measure is None else measure
        self._check_fidelity(fidelity)
        self.check_measure(measure)
        if split not in SPLITS:
            raise DataError(f"unknown split {split!r}; legal are {', '.join(SPLITS)}.")
        seeds: Sequence[int] = [seed] if seed is not None else range(self.repeats)
        if seed is None and fidelity != self.final_fidelity:
            seeds = range(self.search_repeats)
        values = []
        for each in seeds:
            training = self._kept.get(name, fidelity, each)
            if training is None:
                self._untrained(name, fidelity, each)
            values.append(training.scores[split][measure])
        return statistics.fmean(values)

    def _check_fidelity(self, fidelity: int) -> None:
        if fidelity not in self.fidelities:
            raise DataError(
                f"benchmark {self.name!r} has no fidelity of {fidelity} epochs here; it has "
                f"{', '.join(map(str, self.fidelities))}."
            )

    def _untrained(self, name: str, fidelity: int, seed: int) -> NoReturn:
        raise DataError(
            f"{name} was not trained for {fidelity} epochs with seed {seed} on {self.dataset}, or its training had no "
            f"score ({self._kept.folder}). `harness run` trains what a run recommends when the run ends; where that "
            "was lost, delete the run's folder and run it anew."
        )


class _Kept:
    """Trainings on disk, by what was trained, fidelity and seed.

    Args:
        folder: Where.
        head: What all have in common.
        name: Of the benchmark, for messages.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any], name: str) -> None:
        self.folder = folder
        self._ledger = Ledger(folder / "trainings.jsonl", head, f"record of trainings of benchmark {name!r}")
        self._trainings: dict[tuple[str, int, int], Training | ScoreError] = {}
        self._refresh()

    def get(self, name: str, fidelity: int, seed: int) -> Training | None:
        """A training; ``None`` where it was not made, or has no score."""
        key = name, fidelity, seed
        if key not in self._trainings:
            self._refresh()
        found = self._trainings.get(key)
        return found if isinstance(found, Training) else None

    def get_or_make(self, name: str, fidelity: int, seed: int, make: Any) -> Training:
        """A training, made with the path of its checkpoint where nobody has made it.

        Raises:
            ScoreError: It has no score.
            StoreError: The folder cannot be read or written.
        """
        key = name, fidelity, seed
        if key not in self._trainings:
            self._refresh()
        if key not in self._trainings:
            label = f"{name}-{fidelity}-{seed}"
            with storage_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = FileLock(self.folder / f".{label}.lock")
            with lock:
                # Somebody may have been faster.
                self._refresh()
                if key not in self._trainings:
                    self._make(key, self.folder / f"{label}.checkpoint", make)
        found = self._trainings[key]
        if isinstance(found, ScoreError):
            raise ScoreError(str(found), found.seconds)
        return found

    def _make(self, key: tuple[str, int, int], checkpoint: Path, make: Any) -> None:
        made: Training | ScoreError
        try:
            made = make(checkpoint)
        except ScoreError as error:
            made = error
        self._ledger.add([_row(key, made)])
        self._refresh()
        # Unless somebody has deleted the file since.
        self._trainings.setdefault(key, made)

    def _refresh(self) -> None:
        for row in self._ledger.new_rows():
            try:
                key = str(row["subject"]), int(row["fidelity"]), int(row["seed"])
                self._trainings.setdefault(key, _outcome(row))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._ledger.damaged(error)


def _row(key: tuple[str, int, int], made: Training | ScoreError) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(("subject", "fidelity", "seed"), key, strict=True))
    if isinstance(made, ScoreError):
        return row | {"problem": str(made), "seconds": round(made.seconds, 6)}
    kept: dict[str, Any] = asdict(made)
    return row | kept


def _outcome(row: Mapping[str, Any]) -> Training | ScoreError:
    if "problem" in row:
        return ScoreError(str(row["problem"]), float(row["seconds"]))
    scores = {
        split: {str(measure): float(value) for measure, value in row["scores"][split].items()}
        for split in SPLITS
    }
    return Training(scores, float(row["seconds"]), dict(row["details"]))
