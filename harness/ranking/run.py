"""A sweep of kind ``ranking``: every scorer on every benchmark, and what a report needs of it in one folder."""

from __future__ import annotations

import datetime
from collections import defaultdict
from typing import TYPE_CHECKING
from typing import Protocol

import numpy as np

from harness import environment
from harness import store
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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from harness.proxies import ProxyScore
    from harness.ranking.plan import Plan
    from harness.ranking.plan import PlannedBenchmark
    from harness.ranking.plan import PlannedScorer
    from harness.ranking.scorer import Scorer

KIND = "ranking"
SESSIONS = "sessions.jsonl"
_SPLITS = ("valid", "test")


class Progress(Protocol):
    """Who is told how a ranking goes on."""

    def begin(self, benchmark: str) -> None:
        """The scores of a benchmark come next."""

    def scored(self, done: int, total: int) -> None:
        """So many of its scores are there."""

    def message(self, text: str) -> None:
        """Something that a person should know now."""


def run_ranking(plan: Plan, chosen: Plan, *, results: Path, workers: int, progress: Progress) -> Path:
    """Score what is not scored yet, and write it down beside the trained scores.

    Scores go to the tables of the data folder as they are made (:func:`~harness.proxies.score_all`), so that what was
    cut off goes on where it stopped. When all of a benchmark are there, its folder is written, and the report needs
    the tables no more. Scores that are in the folder already are taken from it.

    Args:
        plan: The whole ranking, so that a report knows what is missing.
        chosen: What to score now.
        results: Folder of all results; the sweep's folder is made in it.
        workers: Number of processes.
        progress: Who is told.

    Returns:
        The sweep's folder.

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
        for benchmark in chosen.benchmarks:
            _rank(benchmark, planned[benchmark.label], folders[benchmark.label], workers, progress)
    return folder


def _rank(
    chosen: PlannedBenchmark,
    planned: PlannedBenchmark,
    folder: RankingFolder,
    workers: int,
    progress: Progress,
) -> None:
    """Bring the folder of one benchmark up to date."""
    known = folder.record.scorers if folder.record is not None else {}
    kept = [label for label in planned.scorers if label in known]
    new = {label: scorer for label, scorer in chosen.scorers.items() if label not in kept}
    shown = {label: s for label, s in planned.scorers.items() if label in new or label in kept}
    if folder.record is not None and not new and list(known) == list(shown):
        progress.message(f"{chosen.label}: all of it is there already.")
        return
    progress.begin(chosen.label)
    for label, scorer in new.items():
        if scorer.missing is not None:
            progress.message(f"{chosen.label}: no scores of {label}: {scorer.missing}.")
    began = _now()
    scores = _score({k: s for k, s in new.items() if s.missing is None}, chosen, workers, progress)
    _write(folder, planned, shown, scores)
    session = {"benchmark": chosen.label, "started": began, "ended": _now(), "workers": workers}
    log = store.JsonLines(folder.path.parent / SESSIONS)
    log.append(session | {"scorers": list(new)} | environment.describe())
    log.close()


def _score(
    scorers: Mapping[str, PlannedScorer], chosen: PlannedBenchmark, workers: int, progress: Progress
) -> dict[str, Sequence[ProxyScore]]:
    """Scores by label; those of one class together, for they may share work."""
    together: dict[type[Scorer], dict[str, Scorer]] = defaultdict(dict)
    for label, planned in scorers.items():
        together[type(planned.scorer)][label] = planned.scorer
    total = len(scorers) * len(chosen.architectures)
    before = 0
    scores: dict[str, Sequence[ProxyScore]] = {}
    for cls, group in together.items():

        def report(done: int, _: int, before: int = before) -> None:
            progress.scored(before + done, total)

        scores |= cls.score_together(
            group, chosen.benchmark, chosen.architectures, workers=workers, progress=report
        )
        before += len(group) * len(chosen.architectures)
    return scores


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
        higher_is_better=scorer.higher_is_better,
        seconds=scorer.seconds,
        identity={} if missing else dict(scorer.identity(on.benchmark)),
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
