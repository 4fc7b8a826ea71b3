"""From an entry of ``experiments.yaml`` to what is to be scored, every part of it checked."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

from harness import seeding
from harness.benchmarks.tabular import TabularBenchmark
from harness.errors import SpecError
from harness.experiment import Named
from harness.experiment import Ranking
from harness.ranking.entry import ScorerEntry
from harness.ranking.scorer import FLOORS
from harness.ranking.scorer import Scorer
from harness.ranking.scorer import make_scorer
from harness.ranking.scorer import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.experiment import ExperimentsFile
    from harness.experiment import Location
    from harness.spaces import Architecture


@dataclass(frozen=True)
class PlannedScorer:
    """A scorer on a benchmark.

    Attributes:
        named: Registered name and settings.
        scorer: The scorer.
        missing: Why it has no scores on this benchmark; ``None`` where it has.
        models: The language models that it names, without what only says where they run.
    """

    named: Named
    scorer: Scorer
    missing: str | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedBenchmark:
    """A benchmark of a ranking.

    Attributes:
        label: Names its folder.
        named: Registered name and parameters.
        benchmark: The benchmark.
        architectures: The sample, in the order of the space's index.
        seed: Of the sample; ``None`` where it is the whole space.
        scorers: What is to be scored, by label, in the order of the file; then the floors that it does not list.
    """

    label: str
    named: Named
    benchmark: TabularBenchmark
    architectures: tuple[Architecture, ...]
    seed: int | None
    scorers: Mapping[str, PlannedScorer]


@dataclass(frozen=True)
class Plan:
    """A ranking.

    Attributes:
        name: Name of the sweep.
        ranking: What the file says.
        benchmarks: Its benchmarks.
    """

    name: str
    ranking: Ranking
    benchmarks: tuple[PlannedBenchmark, ...]

    @property
    def scorers(self) -> list[str]:
        """Labels of all scorers."""
        return list(self.benchmarks[0].scorers)

    @property
    def asks(self) -> bool:
        """Whether a scorer asks language models."""
        return any(scorer.models for scorer in self.benchmarks[0].scorers.values())


def plan_ranking(file: ExperimentsFile, name: str) -> Plan:
    """What a sweep of kind ``ranking`` has to score.

    Args:
        file: The file.
        name: The sweep.

    Raises:
        SpecError: Names file, line and key of the first thing that cannot run.
        DataError: Data that a benchmark needs are missing.
    """
    ranking = file.experiments.sweeps[name]
    at: Location = ("sweeps", name)
    if not isinstance(ranking, Ranking):
        with file.locate(at):
            raise SpecError(f"this sweep is of kind {ranking.kind!r}, and no ranking.")
    scorers = _scorers(file, ranking, at)
    planned = []
    for here, label, named, benchmark in file.benchmarks(name):
        with file.locate(here):
            if not isinstance(benchmark, TabularBenchmark):
                raise SpecError(
                    f"benchmark {named.name!r} is no table of trained scores, which a ranking is compared with; name "
                    "one that is, such as nasbench201."
                )
        with file.locate((*at, "architectures")):
            architectures = _sample(benchmark, ranking)
        planned.append(
            PlannedBenchmark(
                label=label,
                named=named,
                benchmark=benchmark,
                architectures=architectures,
                seed=ranking.seed if len(architectures) < benchmark.space.size else None,
                scorers=_on(benchmark, file, scorers),
            )
        )
    return Plan(name, ranking, tuple(planned))


def select(plan: Plan, only: Sequence[str]) -> Plan:
    """The part of a plan that fits one of the patterns; the floors are always part of it.

    Args:
        plan: All of it.
        only: Shell patterns on a scorer's label, a benchmark's label, or ``benchmark/scorer``. None takes all.

    Raises:
        SpecError: A pattern fits nothing.
    """
    if not only:
        return plan
    fitted: set[str] = set()
    benchmarks = []
    for benchmark in plan.benchmarks:
        chosen = {}
        hit = False
        for label, scorer in benchmark.scorers.items():
            names = (label, benchmark.label, f"{benchmark.label}/{label}")
            hits = {p for p in only if any(fnmatch.fnmatchcase(name, p) for name in names)}
            fitted |= hits
            hit |= bool(hits)
            if hits or scorer.scorer.role == "floor":
                chosen[label] = scorer
        if hit:
            benchmarks.append(replace(benchmark, scorers=chosen))
    if missed := [pattern for pattern in only if pattern not in fitted]:
        raise SpecError(
            f"--only {missed[0]!r} fits nothing of this ranking. Its scorers: {', '.join(plan.scorers)}; its "
            f"benchmarks: {', '.join(b.label for b in plan.benchmarks)}."
        )
    return replace(plan, benchmarks=tuple(benchmarks))


@dataclass(frozen=True)
class _Listed:
    """A scorer with where the file says it; floors that it does not list stand nowhere."""

    at: Location | None
    planned: PlannedScorer


def _scorers(file: ExperimentsFile, ranking: Ranking, at: Location) -> dict[str, _Listed]:
    scorers: dict[str, _Listed] = {}
    for s, entry in enumerate(ranking.scorers):
        here: Location = (*at, "scorers", s)
        with file.locate(here):
            cls = settings_of(entry.name)
        file.check_models(cls, f"scorer {entry.name!r}", entry.params, here)
        params = file.arguments(cls, f"scorer {entry.name!r}", entry.params, here, ScorerEntry)
        label = entry.label or entry.name
        with file.locate(here):
            if label in scorers:
                raise SpecError(f"two scorers have the label {label!r}; set `label` on one.")
            scorer = make_scorer(entry.name, params)
        models = file.models_of(cls, params)
        named = Named(name=entry.name, params=params)
        scorers[label] = _Listed(here, PlannedScorer(named, scorer, models=models))
    listed = {scorer.planned.named.name for scorer in scorers.values()}
    for floor in FLOORS:
        if floor in listed:
            continue
        if floor in scorers:
            with file.locate(scorers[floor].at or at):
                raise SpecError(
                    f"{floor!r} is the label of the floor that every ranking has; set another `label`."
                )
        scorers[floor] = _Listed(None, PlannedScorer(Named(name=floor, params={}), make_scorer(floor, {})))
    return scorers


def _on(
    benchmark: TabularBenchmark, file: ExperimentsFile, scorers: Mapping[str, _Listed]
) -> dict[str, PlannedScorer]:
    """The scorers on a benchmark, after checks that need it."""
    planned: dict[str, PlannedScorer] = {}
    first: dict[str, str] = {}
    for label, listed in scorers.items():
        scorer = listed.planned.scorer
        missing: str | None
        if listed.at is not None:
            with file.locate(listed.at):
                scorer.check(benchmark)
                missing = scorer.missing(benchmark)
                other = first.setdefault(_identity(listed.planned, missing, benchmark), label)
                if other != label:
                    raise SpecError(
                        f"{label!r} and {other!r} are the same scorer; drop one, or change a setting."
                    )
        else:
            # Nobody has asked for it, so that its absence is no error.
            missing = _refusal(scorer, benchmark)
        planned[label] = replace(listed.planned, missing=missing)
    return planned


def _identity(planned: PlannedScorer, missing: str | None, benchmark: TabularBenchmark) -> str:
    """What two scorers have in common that are the same, however their settings are spelled."""
    # What has no scores may have no digest either.
    decides = planned.named.params if missing is not None else planned.scorer.digest(benchmark)
    return json.dumps([planned.named.name, decides, dict(planned.models)], sort_keys=True)


def _refusal(scorer: Scorer, benchmark: TabularBenchmark) -> str | None:
    try:
        scorer.check(benchmark)
    except SpecError as error:
        return str(error)
    return None


def _sample(benchmark: TabularBenchmark, ranking: Ranking) -> tuple[Architecture, ...]:
    space = benchmark.space
    wanted = space.size if ranking.architectures == "all" else ranking.architectures
    if wanted > space.size:
        raise SpecError(
            f"{wanted:,} architectures are more than the {space.size:,} of {space.name!r}; lower the number, or "
            "write all."
        )
    # The first of one permutation, so that a larger sample adds to a smaller one.
    drawn = seeding.generator(ranking.seed, "sample").permutation(space.size)[:wanted]
    return tuple(space.from_index(int(index)) for index in sorted(drawn))


__all__ = ["Plan", "PlannedBenchmark", "PlannedScorer", "plan_ranking", "select"]
