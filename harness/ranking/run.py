"""A sweep of kind ``ranking``: every scorer on every benchmark, and what a report needs of it in one folder."""

from __future__ import annotations

import datetime
import multiprocessing
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Protocol

import numpy as np

from harness import environment
from harness import store
from harness.errors import ModelError
from harness.meter import SharedMeter
from harness.models import ModelGone
from harness.models import Models
from harness.ranking.folder import PROBLEMS
from harness.ranking.folder import SCORES
from harness.ranking.folder import SECONDS
from harness.ranking.folder import Columns
from harness.ranking.folder import Data
from harness.ranking.folder import Metric
from harness.ranking.folder import Named
from harness.ranking.folder import RankingFolder
from harness.ranking.folder import Record
from harness.ranking.folder import Sample
from harness.ranking.folder import ScorerRecord
from harness.ranking.scorer import Resources
from harness.serving import concurrency
from harness.serving import serving
from harness.store import TRANSCRIPTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from harness.experiment import ExperimentsFile
    from harness.models import Replay
    from harness.proxies import ProxyScore
    from harness.ranking.plan import Plan
    from harness.ranking.plan import PlannedBenchmark
    from harness.ranking.plan import PlannedScorer
    from harness.ranking.scorer import Scorer

KIND = "ranking"
SESSIONS = "sessions.jsonl"
_SPLITS = ("valid", "test")
_FORGET = "delete it: what earlier calls took and ran on is lost, and no score is"


class Progress(Protocol):
    """Who is told how a ranking goes on."""

    def begin(self, what: str) -> None:
        """The scores of a benchmark come next, or those of one scorer on it (``benchmark/scorer``)."""

    def scored(self, done: int, total: int) -> None:
        """So many of its scores are there."""

    def message(self, text: str) -> None:
        """Something that a person should know now."""


@dataclass(frozen=True)
class RankingResult:
    """How a ranking ended.

    Attributes:
        folder: The sweep's folder.
        parked: Scorers that wait for a model, as ``benchmark/scorer``, with what it said; the next call goes on
            with them.
    """

    folder: Path
    parked: Mapping[str, str]


def run_ranking(
    file: ExperimentsFile,
    plan: Plan,
    chosen: Plan,
    *,
    results: Path,
    workers: int,
    progress: Progress,
    replay: Replay = "auto",
) -> RankingResult:
    """Score what is not scored yet, and write it down beside the trained scores.

    Scores go to the tables of the data folder as they are made (:func:`~harness.proxies.score_all`), and replies of
    models to the transcripts, so that what was cut off goes on where it stopped. When all of a benchmark are there,
    its folder is written, and the report needs neither any more. Scores that are in the folder already are taken
    from it.

    Scorers that ask language models come after all others, which may need the memory that a model takes, and each is
    written down by itself: where a model does not answer, its scorers are parked, and the rest is there.

    Args:
        file: Where the models are declared.
        plan: The whole ranking, so that a report knows what is missing.
        chosen: What to score now.
        results: Folder of all results; the sweep's folder is made in it.
        workers: Number of processes.
        progress: Who is told.
        replay: How transcripts are used; ``strict`` starts no model.

    Raises:
        StoreError: The folder is in use, holds something else, or cannot be written. Finished scores are kept.
        ScoreError: A process died.
    """
    folder = results / plan.name
    store.check_format(folder, KIND)
    with store.locked(folder):
        planned = {benchmark.label: benchmark for benchmark in plan.benchmarks}
        folders = {}
        for label, benchmark in planned.items():
            folders[label] = RankingFolder(folder / label)
            if (before := folders[label].record) is not None:
                before.check(_record(benchmark, benchmark.scorers), folders[label].path)
        _write_sweep(folder, plan)
        jobs = [_Job(b, planned[b.label], folders[b.label], progress) for b in chosen.benchmarks]
        for job in jobs:
            job.rank(job.silent, job.label, Resources(workers, message=progress.message))
        parked = _ask(file, jobs, results / TRANSCRIPTS, workers, replay, progress)
    return RankingResult(folder, parked)


def _ask(
    file: ExperimentsFile,
    jobs: Sequence[_Job],
    transcripts: Path,
    workers: int,
    replay: Replay,
    progress: Progress,
) -> dict[str, str]:
    """Score by those scorers that ask models; returns those that are parked, and why."""
    parked = {}
    names = sorted({name for job in jobs for scorer in job.asking.values() for name in scorer.models})
    with serving(file, names, replay=replay, message=progress.message) as served:
        gone = dict(served.failed)
        for job in jobs:
            for label, scorer in job.asking.items():
                what = f"{job.label}/{label}"
                if lost := [gone[name] for name in scorer.models if name in gone]:
                    parked[what] = lost[0]
                    continue
                models = Models(
                    {name: served.endpoints[name] for name in scorer.models},
                    transcripts,
                    replay,
                    {name: SharedMeter(multiprocessing.get_context()) for name in scorer.models},
                )
                limits = {name: concurrency(file, name) for name in scorer.models}
                try:
                    job.rank({label: scorer}, what, Resources(workers, models, limits, progress.message))
                except ModelError as error:
                    parked[what] = str(error)
                    if isinstance(error, ModelGone):
                        # The next scorer would find out anew, and wait for the model through all retries.
                        lost_at = error.endpoint
                        gone |= {name: str(error) for name, at in served.endpoints.items() if at == lost_at}
    return parked


class _Job:
    """What is to be scored on one benchmark.

    Args:
        chosen: What to score now.
        planned: All of it.
        folder: Where it goes.
        progress: Who is told.

    Attributes:
        label: The benchmark's.
        silent: Scorers without scores that ask no model, or have nothing to ask for.
        asking: Those that ask models.
    """

    def __init__(
        self, chosen: PlannedBenchmark, planned: PlannedBenchmark, folder: RankingFolder, progress: Progress
    ) -> None:
        self.label = chosen.label
        new = {label: scorer for label, scorer in chosen.scorers.items() if label not in _known(folder)}
        self.asking = {
            label: scorer for label, scorer in new.items() if scorer.models and scorer.missing is None
        }
        self.silent = {label: scorer for label, scorer in new.items() if label not in self.asking}
        self._planned = planned
        self._folder = folder
        self._progress = progress

    def rank(self, new: Mapping[str, PlannedScorer], what: str, resources: Resources) -> None:
        """Bring the folder up to date.

        Args:
            new: What to score.
            what: It, for people.
            resources: For the scorers.

        Raises:
            ModelError: A model does not answer, or refuses; the folder is as it was.
        """
        known = _known(self._folder)
        shown = {label: s for label, s in self._planned.scorers.items() if label in {*new, *known}}
        if not new and known == list(shown):
            if not self.asking:
                self._progress.message(f"{self.label}: all of it is there already.")
            return
        self._progress.begin(what)
        for label, scorer in new.items():
            if scorer.missing is not None:
                self._progress.message(f"{self.label}: no scores of {label}: {scorer.missing}.")
        # Before the work, for a damaged file would be found after it.
        log = store.JsonLines(self._folder.path.parent / SESSIONS, _FORGET)
        began = _now()
        scores = self._score({k: s for k, s in new.items() if s.missing is None}, resources)
        _write(self._folder, self._planned, shown, scores)
        session = {"benchmark": self.label, "started": began, "ended": _now(), "workers": resources.workers}
        log.append(session | {"scorers": list(new)} | environment.describe())
        log.close()

    def _score(
        self, scorers: Mapping[str, PlannedScorer], resources: Resources
    ) -> dict[str, Sequence[ProxyScore]]:
        """Scores by label; those of one class together, for they may share work."""
        together: dict[type[Scorer], dict[str, Scorer]] = defaultdict(dict)
        for label, planned in scorers.items():
            together[type(planned.scorer)][label] = planned.scorer
        architectures = self._planned.architectures
        total = len(scorers) * len(architectures)
        before = 0
        scores: dict[str, Sequence[ProxyScore]] = {}
        for cls, group in together.items():

            def report(done: int, _: int, before: int = before) -> None:
                self._progress.scored(before + done, total)

            scores |= cls.score_together(
                group, self._planned.benchmark, architectures, resources, progress=report
            )
            before += len(group) * len(architectures)
        return scores


def _known(folder: RankingFolder) -> list[str]:
    """Labels of the scorers that a folder has."""
    return [] if folder.record is None else list(folder.record.scorers)


def _write(
    folder: RankingFolder,
    planned: PlannedBenchmark,
    shown: Mapping[str, PlannedScorer],
    scores: Mapping[str, Sequence[ProxyScore]],
) -> None:
    space = planned.benchmark.space
    ncodes = [space.ncode(arch) for arch in planned.architectures]
    before: dict[str, Columns] = {}
    if folder.record is not None:
        before = {name: folder.columns(name) for name in (SCORES, PROBLEMS, SECONDS)}
    numbers = {"ncode": ncodes, **_trained(planned)}
    seconds = {"ncode": ncodes}
    problems: Columns = {"ncode": [], "scorer": [], "problem": []}
    for label, scorer in shown.items():
        if scorer.missing is not None:
            continue
        if label in scores:
            numbers[label] = [_text(score.value) for score in scores[label]]
            seconds[label] = [_text(round(score.seconds, 6)) for score in scores[label]]
            failed = [(n, label, s.problem) for n, s in zip(ncodes, scores[label], strict=True) if s.problem]
        else:
            numbers[label], seconds[label] = before[SCORES][label], before[SECONDS][label]
            failed = [row for row in zip(*before[PROBLEMS].values(), strict=True) if row[1] == label]
        for row in failed:
            for column, value in zip(problems.values(), row, strict=True):
                column.append(value)
    folder.write(_record(planned, shown), {SCORES: numbers, PROBLEMS: problems, SECONDS: seconds})


def _trained(planned: PlannedBenchmark) -> Columns:
    """The scores that the others are compared with, and those of single training seeds."""
    benchmark = planned.benchmark
    at = np.array([benchmark.space.index(arch) for arch in planned.architectures])
    columns = {}
    for split in _splits(planned):
        fidelity = benchmark.final_fidelity
        columns[split] = benchmark.scores(split=split, fidelity=fidelity)[at]
        for seed in benchmark.seeds(split=split, fidelity=fidelity):
            columns[f"{split}/{seed}"] = benchmark.scores(split=split, fidelity=fidelity, seed=seed)[at]
    return {
        name: ["" if np.isnan(v) else _text(float(v)) for v in values] for name, values in columns.items()
    }


def _splits(planned: PlannedBenchmark) -> list[str]:
    benchmark = planned.benchmark
    return [split for split in _SPLITS if benchmark.has(split=split, fidelity=benchmark.final_fidelity)]


def _record(planned: PlannedBenchmark, scorers: Mapping[str, PlannedScorer]) -> Record:
    benchmark = planned.benchmark
    fidelity = benchmark.final_fidelity
    splits = _splits(planned)
    return Record(
        format=1,
        benchmark=Named(**planned.named.model_dump(mode="json")),
        dataset=benchmark.dataset,
        space=benchmark.space.name,
        metric=Metric(
            name=benchmark.metric.name,
            unit=benchmark.metric.unit,
            higher_is_better=benchmark.metric.higher_is_better,
        ),
        fidelity=fidelity,
        data=Data(source=benchmark.source, digest=benchmark.digest),
        sample=Sample(architectures=len(planned.architectures), of=benchmark.space.size, seed=planned.seed),
        seeds={split: list(benchmark.seeds(split=split, fidelity=fidelity)) for split in splits},
        missing={
            split: f"source {benchmark.source!r} has none after {fidelity} epochs; `harness data status` lists "
            "what each table holds"
            for split in _SPLITS
            if split not in splits
        },
        scorers={label: _scorer_record(scorer, planned) for label, scorer in scorers.items()},
        versions=environment.versions(),
        digests={},
    )


def _scorer_record(planned: PlannedScorer, on: PlannedBenchmark) -> ScorerRecord:
    scorer = planned.scorer
    # What cannot be scored may have no identity either.
    missing = planned.missing is not None
    return ScorerRecord(
        name=planned.named.name,
        params=planned.named.params,
        role=scorer.role,
        unit=scorer.unit,
        higher_is_better=scorer.prefers_higher(on.benchmark),
        seconds=scorer.seconds,
        identity={} if missing else dict(scorer.identity(on.benchmark)),
        models={name: dict(model) for name, model in planned.models.items()},
        digest="" if missing else scorer.digest(on.benchmark),
        missing=planned.missing,
    )


def _write_sweep(folder: Path, plan: Plan) -> None:
    content = {
        "format": store.FORMAT,
        "kind": KIND,
        "name": plan.name,
        "description": plan.ranking.description,
        "benchmarks": [benchmark.label for benchmark in plan.benchmarks],
        "scorers": plan.scorers,
        "architectures": plan.ranking.architectures,
        "seed": plan.ranking.seed,
    }
    store.write_json(folder / "sweep.json", content)


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
