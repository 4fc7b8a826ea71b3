"""A table of trainings: every architecture of a space, or a sample, trained once and for all (``harness tabulate``)."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import NamedTuple

import numpy as np
from pydantic import BeforeValidator
from pydantic import Field

from harness import scoring
from harness import seeding
from harness.benchmarks.table import Column
from harness.benchmarks.table import content_digest
from harness.benchmarks.table import open_table
from harness.benchmarks.table import write_table
from harness.benchmarks.tabulated import About
from harness.benchmarks.tabulated import table_path
from harness.benchmarks.trained import SPLITS
from harness.benchmarks.trained import Subject
from harness.benchmarks.trained import TrainedBenchmark
from harness.benchmarks.trained import Training
from harness.entries import BenchmarkEntry
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.executors import workers as worker_processes
from harness.section import Section

if TYPE_CHECKING:
    from pathlib import Path

    from harness.benchmarks.table import Table
    from harness.experiment import ExperimentsFile
    from harness.experiment import Location

Progress = Callable[[int, int], None]


def _sample_size(value: object) -> object:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise ValueError("architectures are a number of at least 1, or `all`")


class Tabulation(Section):
    """One entry of ``tables`` in ``experiments.yaml``.

    Attributes:
        description: For people.
        benchmark: A benchmark that trains what it scores.
        fidelities: Epochs; those of the benchmark without.
        seeds: Trainings of each, with the seeds from 0.
        architectures: How many are drawn, as a ranking draws them; ``all`` takes the whole space.
        seed: Of the sample. A larger sample of one seed holds the smaller ones.
        references: Registered names of networks that people designed, to be trained beside them.
    """

    hints: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "benchmarks": "a table is of one benchmark: `benchmark`.",
            "strategies": "a table searches nothing; name it as `table` of the benchmark `tabulated` in a sweep.",
        }
    )

    description: str = ""
    benchmark: BenchmarkEntry
    fidelities: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    seeds: Annotated[int, Field(ge=1)] = 1
    architectures: Annotated[int | Literal["all"], BeforeValidator(_sample_size)] = "all"
    seed: Annotated[int, Field(ge=0)] = 0
    references: list[str] = Field(default_factory=list)


class Job(NamedTuple):
    """A training of a table."""

    subject: Subject
    fidelity: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """A table that is to be made.

    Attributes:
        name: Of the table.
        benchmark: What trains.
        spec: Its registered name and arguments.
        fidelities: Epochs, ascending.
        seeds: Training seeds.
        architectures: Subjects that are architectures, in the order of the space's index.
        references: Subjects that people designed.
    """

    name: str
    benchmark: TrainedBenchmark
    spec: tuple[str, dict[str, Any]]
    fidelities: tuple[int, ...]
    seeds: tuple[int, ...]
    architectures: tuple[Subject, ...]
    references: tuple[Subject, ...]

    @property
    def jobs(self) -> list[Job]:
        """All trainings, cheap ones first: what is cut off has something of every architecture."""
        return [
            Job(subject, fidelity, seed)
            for fidelity in self.fidelities
            for seed in self.seeds
            for subject in (*self.references, *self.architectures)
        ]


def plan_table(file: ExperimentsFile, name: str) -> Plan:
    """What an entry of ``tables`` wants, every part of it checked.

    Raises:
        SpecError: Names file, line and key of the first thing that cannot be made.
        DataError: Data that the benchmark needs are missing.
    """
    at: Location = ("tables", name)
    entry = file.table(name)
    named, benchmark = file.benchmark((*at, "benchmark"), entry.benchmark)
    with file.locate((*at, "benchmark")):
        if not isinstance(benchmark, TrainedBenchmark):
            raise SpecError(
                f"benchmark {named.name!r} trains nothing: a table is made of one that does, such as forecasting."
            )
    fidelities = tuple(sorted(set(entry.fidelities or benchmark.fidelities)))
    with file.locate((*at, "fidelities")):
        if unknown := [fidelity for fidelity in fidelities if fidelity not in benchmark.fidelities]:
            raise SpecError(
                f"{unknown[0]} epochs are no fidelity of this benchmark; it has "
                f"{', '.join(map(str, benchmark.fidelities))}."
            )
    with file.locate((*at, "references")):
        for reference in entry.references:
            benchmark.network(Subject(reference, None))
        if twice := [name for name, count in Counter(entry.references).items() if count > 1]:
            raise SpecError(f"{twice[0]!r} is listed twice.")
    space = benchmark.space
    wanted = space.size if entry.architectures == "all" else entry.architectures
    with file.locate((*at, "architectures")):
        if wanted > space.size:
            raise SpecError(
                f"{wanted:,} architectures are more than the {space.size:,} of {space.name!r}; write all."
            )
    # As a ranking draws them: one of as many architectures has those of the table.
    drawn = seeding.generator(entry.seed, "sample").permutation(space.size)[:wanted]
    chosen = [space.from_index(int(index)) for index in sorted(drawn)]
    return Plan(
        name,
        benchmark,
        (named.name, named.params),
        fidelities,
        tuple(range(entry.seeds)),
        tuple(Subject(space.ncode(arch), arch) for arch in chosen),
        tuple(Subject(reference, None) for reference in entry.references),
    )


def make_table(plan: Plan, *, workers: int, progress: Progress) -> Table:
    """Make all trainings that are not made yet, and write the table.

    Trainings are kept as they are made: what is cut off goes on where it stopped. The table is that of any number of
    processes, but for the seconds, which are measured.

    Args:
        plan: What is wanted.
        workers: Number of processes.
        progress: Called with the number of trainings that are there and their total.

    Raises:
        DataError: A table of this name and other content exists.
        ScoreError: A process died.
        StoreError: What is kept cannot be read or written.
    """
    jobs = plan.jobs
    trainings: dict[Job, Training | ScoreError] = {}
    progress(0, len(jobs))
    for job, outcome in _made(plan, jobs, workers):
        trainings[job] = outcome
        progress(len(trainings), len(jobs))
    columns = _columns(plan, trainings)
    path = table_path(plan.name)
    _refuse_other(path, plan, columns)
    return write_table(path, plan.benchmark.space.name, columns, _provenance(plan, trainings))


def _refuse_other(path: Path, plan: Plan, columns: Mapping[str, Column]) -> None:
    if not path.is_file():
        return
    try:
        found = open_table(path).digest
    except DataError:
        # A damaged one is written anew.
        return
    if found != content_digest(plan.benchmark.space.name, columns):
        raise DataError(
            f"table {plan.name!r} exists with other content, and results may depend on it. Give the entry of `tables` "
            f"another name, or delete {path} first."
        )


def _made(plan: Plan, jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Training | ScoreError]]:
    """Each training with what came of it, in the order in which they end."""
    if workers == 1:
        yield from ((job, _train(plan.benchmark, job)) for job in jobs)
        return
    worker_processes.limit_threads()
    waiting = iter(jobs)
    with ProcessPoolExecutor(
        min(workers, len(jobs)),
        mp_context=multiprocessing.get_context("forkserver"),
        initializer=_start,
        initargs=(dict(os.environ), plan.spec),
    ) as pool:
        flying = {pool.submit(_work, job): job for job in islice(waiting, 2 * workers)}
        try:
            while flying:
                ended, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = flying.pop(future)
                    flying |= {pool.submit(_work, new): new for new in islice(waiting, 1)}
                    yield job, future.result()
        except BrokenProcessPool:
            raise ScoreError(
                "a process that trained died (killed, out of memory, or a crash in native code). What was finished is "
                "kept; the same command goes on."
            ) from None
        finally:
            for process in multiprocessing.active_children():
                # Trainings in flight are gone on with from their checkpoints, or made again.
                if flying:
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


_benchmark: TrainedBenchmark


def _start(environment: Mapping[str, str], spec: tuple[str, dict[str, Any]]) -> None:
    """Set up a process."""
    global _benchmark
    worker_processes.prepare(environment)
    made = scoring.make_benchmark(*spec)
    assert isinstance(made, TrainedBenchmark)
    _benchmark = made


def _work(job: Job) -> Training | ScoreError:
    return _train(_benchmark, job)


def _train(benchmark: TrainedBenchmark, job: Job) -> Training | ScoreError:
    try:
        return benchmark.training(job.subject, fidelity=job.fidelity, seed=job.seed)
    except ScoreError as error:
        return error


def _columns(plan: Plan, trainings: Mapping[Job, Training | ScoreError]) -> dict[str, Column]:
    benchmark = plan.benchmark
    measures = [measure.name for measure in benchmark.measures]
    shape = (benchmark.space.size, len(plan.seeds))
    columns: dict[str, Column] = {}
    for fidelity in plan.fidelities:
        before = f"{benchmark.dataset}/"
        paths = {
            (split, measure): f"{before}{split}/{fidelity}" + (f"/{measure}" if number else "")
            for split in SPLITS
            for number, measure in enumerate(measures)
        }
        values = {path: np.full(shape, np.nan) for path in paths.values()}
        seconds = np.full(shape, np.nan)
        for subject in plan.architectures:
            assert subject.architecture is not None
            index = benchmark.space.index(subject.architecture)
            for position, seed in enumerate(plan.seeds):
                made = trainings[Job(subject, fidelity, seed)]
                seconds[index, position] = made.seconds
                if isinstance(made, Training):
                    for (split, measure), path in paths.items():
                        values[path][index, position] = made.scores[split][measure]
        columns |= {path: Column(array, plan.seeds) for path, array in values.items()}
        columns[f"{before}train_seconds/{fidelity}"] = Column(seconds, plan.seeds)
    return columns


def _provenance(plan: Plan, trainings: Mapping[Job, Training | ScoreError]) -> dict[str, str]:
    benchmark = plan.benchmark
    references: dict[str, Any] = {}
    for subject in plan.references:
        for fidelity in plan.fidelities:
            made = [trainings[Job(subject, fidelity, seed)] for seed in plan.seeds]
            references.setdefault(subject.name, {})[str(fidelity)] = {
                split: {
                    measure.name: [
                        training.scores[split][measure.name] if isinstance(training, Training) else None
                        for training in made
                    ]
                    for measure in benchmark.measures
                }
                for split in SPLITS
            }
    about = About(
        dataset=benchmark.dataset,
        description=benchmark.description,
        measures=benchmark.measures,
        references=references,
        extent=benchmark.extent,
        size=benchmark.size,
    )
    name, params = plan.spec
    return {
        "origin": benchmark.source,
        "made by": "harness tabulate",
        "benchmark": json.dumps({"name": name, **params}),
        **about.texts(),
    }
