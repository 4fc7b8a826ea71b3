"""What was measured, number by number, in the terms in which papers report theirs."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.ranking.run import KIND
from harness.ranking.scorer import settings_of
from reports import correlation
from reports import measures
from reports import ranking
from reports import scores
from reports import seconds
from reports import tables
from reports.load import load_results
from reports.papers import conditions
from reports.scorers.load import load_rankings
from reports.scorers.table import TARGETS
from reports.scorers.table import scores_of
from reports.scorers.table import trained_scores

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping
    from pathlib import Path

    from harness.benchmarks import Benchmark
    from reports.load import Results
    from reports.scores import Ceiling

ACCURACY = "accuracy"
ERROR = "error"
TAU = "Kendall's tau"
SPEARMAN = "Spearman's correlation"
SECONDS = "seconds"

_PARTS_WITH_MODEL = {"search": "llm_trial", "simulation": "evaluation_trial", "total": "total_trial"}
_PARTS_WITH_SUPERNET = {"search": "supernet_trial", "projection": "projection_trial"}
_CORRELATIONS = {TAU: correlation.kendall, SPEARMAN: correlation.spearman}


@dataclass(frozen=True)
class Measured:
    """Numbers of one kind that were measured of one thing.

    Attributes:
        sweep: Name of the sweep.
        benchmark: Label of the benchmark.
        label: Of the strategy or scorer in that sweep; registered name of a reference; empty for an optimum.
        space: Search space.
        dataset: Published data set.
        measure: What was measured.
        unit: Its unit.
        split: Of scores.
        values: One per run, or training of a reference.
        part: Of what is measured in parts, the part.
        spec: Specification of the runs; ``None`` where they are none of a strategy.
        scorer: Registered name, of a scorer's rank correlation.
        reference: Registered name of a network that people designed.
        optimum: Whether it is the best of the whole space.
        trials: Mean number of trials of a run; NaN where it is no run.
        gpu_hours: Mean per run, of all that it computed; NaN where it is no run.
        tokens: Mean number of tokens per run; NaN where it is no run.
        absent: How much of the data set it lacks; empty where nothing.
        conditions: What a reader should know of how it was measured, one phrase each.
    """

    sweep: str
    benchmark: str
    label: str
    space: str
    dataset: str
    measure: str
    unit: str
    split: str | None
    values: tuple[float, ...]
    part: str | None = None
    spec: Mapping[str, Any] | None = None
    scorer: str | None = None
    reference: str | None = None
    optimum: bool = False
    trials: float = math.nan
    gpu_hours: float = math.nan
    tokens: float = math.nan
    absent: str = ""
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collected:
    """What some sweeps measured.

    Attributes:
        measured: All of their numbers.
        sweeps: Names of the folders that were read.
        remarks: Why others were not, a sentence each.
    """

    measured: tuple[Measured, ...]
    sweeps: tuple[str, ...]
    remarks: tuple[str, ...]


def collect(folders: Iterable[Path]) -> Collected:
    """All numbers of some sweeps; one that cannot be read is left out as a whole.

    Args:
        folders: Results folders, one per sweep.
    """
    found: dict[str, list[Measured]] = {}
    remarks = []
    for folder in folders:
        try:
            numbers = _of_ranking(folder) if _is_ranking(folder) else of_results(load_results(folder))
            found[folder.name] = list(numbers)
        except HarnessError as error:
            remarks.append(f"Sweep {folder.name} is left out: {error}")
    return Collected(tuple(itertools.chain(*found.values())), tuple(found), tuple(remarks))


def of_results(results: Results, known: Mapping[str, Ceiling] | None = None) -> list[Measured]:
    """All numbers of a sweep of searches.

    Args:
        results: The runs.
        known: Of every benchmark, where that is known already.
    """
    known = scores.ceilings(results) if known is None else known
    benchmarks = _benchmarks(results, known)
    runs = _runs(results, benchmarks)
    found = [
        *_scores(results, benchmarks, runs, known),
        *_references(benchmarks, known),
        *_optima(benchmarks, known),
        *_rankings_by_models(results, runs, known),
        *_seconds(results, runs),
    ]
    return [*found, *(_as_error(m) for m in found if (m.measure, m.unit) == (ACCURACY, "%"))]


def _is_ranking(folder: Path) -> bool:
    try:
        plan = json.loads((folder / "sweep.json").read_bytes())
    except (OSError, ValueError):
        # What is wrong is said by whoever reads all of it.
        return False
    return isinstance(plan, dict) and plan.get("kind") == KIND


def _scores(
    results: Results,
    benchmarks: Mapping[str, _Benchmark],
    runs: Mapping[_Group, _Runs],
    known: Mapping[str, Ceiling],
) -> Iterator[Measured]:
    frame = measures.run_scores(results, known, splits=scores.SPLITS)
    for (label, strategy, split, measure), group in frame.dropna(subset="value").groupby(
        ["benchmark", "strategy", "split", "measure"], sort=False
    ):
        yield runs[label, strategy].measured(
            measure=measure,
            unit=benchmarks[label].units[measure],
            split=split,
            values=tuple(group["value"]),
        )


def _references(benchmarks: Mapping[str, _Benchmark], known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    for on in measures.scored(known):
        frame = measures.reference_scores([on])
        for (name, measure), group in frame.groupby(["reference", "measure"], sort=False):
            yield Measured(
                **benchmarks[on.label].facts,
                label=name,
                measure=measure,
                unit=benchmarks[on.label].units[measure],
                split=on.split,
                values=tuple(group["value"]),
                reference=name,
            )


def _optima(benchmarks: Mapping[str, _Benchmark], known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    for on in measures.scored(known):
        for split, best in known[on.label].optimum.items():
            if not math.isnan(best):
                yield Measured(
                    **benchmarks[on.label].facts,
                    label="",
                    measure=on.benchmark.reported.name,
                    unit=on.benchmark.reported.unit,
                    split=split,
                    values=(best,),
                    optimum=True,
                )


def _rankings_by_models(
    results: Results, runs: Mapping[_Group, _Runs], known: Mapping[str, Ceiling]
) -> Iterator[Measured]:
    taus = ranking.run_taus(results, known).dropna(subset="tau")
    for group, members in taus.groupby(["benchmark", "strategy"], sort=False):
        if group in runs:
            yield runs[group].measured(measure=TAU, unit="", split=None, values=tuple(members["tau"]))


def _seconds(results: Results, runs: Mapping[_Group, _Runs]) -> Iterator[Measured]:
    for group, members in seconds.run_seconds(results).groupby(["benchmark", "strategy"], sort=False):
        if group not in runs:
            continue
        parts = _PARTS_WITH_MODEL if runs[group].spec["models"] else _PARTS_WITH_SUPERNET
        for part, column in parts.items():
            if values := tuple(members[column].dropna()):
                yield runs[group].measured(measure=SECONDS, unit="s", split=None, part=part, values=values)


def _as_error(found: Measured) -> Measured:
    return replace(found, measure=ERROR, values=tuple(100 - value for value in found.values))


def _of_ranking(folder: Path) -> Iterator[Measured]:
    rankings = load_rankings(folder)
    for ranked in rankings.benchmarks:
        for label, scorer in ranked.record.scorers.items():
            if scorer.role != "scorer":
                continue
            scores = scores_of(ranked, label)
            settings = conditions.text(conditions.unusual(settings_of(scorer.name), scorer.params))
            for split in TARGETS:
                trained = trained_scores(ranked, split)
                both = ~np.isnan(scores) & ~np.isnan(trained)
                for measure, correlate in _CORRELATIONS.items():
                    value = correlate(scores[both], trained[both])
                    if math.isnan(value):
                        continue
                    yield Measured(
                        sweep=rankings.plan.name,
                        benchmark=ranked.label,
                        label=label,
                        space=ranked.record.space,
                        dataset=ranked.record.dataset,
                        measure=measure,
                        unit="",
                        split=split,
                        values=(value,),
                        scorer=scorer.name,
                        conditions=tuple(filter(None, (f"{both.sum():,} architectures", settings))),
                    )


@dataclass(frozen=True)
class _Benchmark:
    """What is true of all that was measured on a benchmark.

    Attributes:
        benchmark: What scores.
        facts: Attributes of :class:`Measured`.
        units: Of its measures.
    """

    benchmark: Benchmark
    facts: dict[str, Any]
    units: Mapping[str, str]


_Group = tuple[str, str]


@dataclass(frozen=True)
class _Runs:
    """The finished runs of a strategy on a benchmark.

    Attributes:
        spec: Of one of them.
        facts: Attributes of :class:`Measured`.
    """

    spec: Mapping[str, Any]
    facts: dict[str, Any]

    def measured(self, **number: Any) -> Measured:
        """A number of these runs."""
        return Measured(**(self.facts | number), spec=self.spec)


def _benchmarks(results: Results, known: Mapping[str, Ceiling]) -> dict[str, _Benchmark]:
    """Label to benchmark, of those that can score here."""
    specs = results.runs.groupby("benchmark", sort=False)["spec"].first()
    found = {}
    for on in measures.scored(known):
        extent = on.benchmark.extent
        lacks = ", ".join(f"{have:,} of {whole:,} {kind}" for kind, (have, whole) in extent.part.items())
        facts = {
            "sweep": results.name,
            "benchmark": on.label,
            "space": on.benchmark.space.name,
            "dataset": extent.dataset,
            "absent": lacks,
            "conditions": conditions.of_benchmark(on.benchmark, specs[on.label]),
        }
        units = {measure.name: measure.unit for measure in on.benchmark.measures}
        found[on.label] = _Benchmark(on.benchmark, facts, units)
    return found


def _runs(results: Results, benchmarks: Mapping[str, _Benchmark]) -> dict[_Group, _Runs]:
    """Label of the benchmark and of the strategy to the finished runs, with the means of their costs."""
    finished = results.runs[results.runs["finished"]]
    costs = tables.run_costs(results)[["trials", "gpu_hours", "llm_tokens"]]
    means = costs.loc[finished.index].groupby([finished["benchmark"], finished["strategy"]]).mean()
    specs = finished.groupby(["benchmark", "strategy"], sort=False)["spec"].first()
    found = {}
    for (benchmark, strategy), spec in specs.items():
        if (on := benchmarks.get(benchmark)) is None:
            continue
        cost = means.loc[(benchmark, strategy)]
        facts = {
            "label": strategy,
            "trials": float(cost["trials"]),
            "gpu_hours": float(cost["gpu_hours"]),
            "tokens": float(cost["llm_tokens"]),
            "conditions": (*conditions.of_search(on.benchmark, spec), *on.facts["conditions"]),
        }
        found[benchmark, strategy] = _Runs(spec, on.facts | facts)
    return found
