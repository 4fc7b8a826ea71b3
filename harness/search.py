"""One run: ask, evaluate, tell, until the budget is spent."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
import traceback
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from harness import registry
from harness import scoring
from harness import seeding
from harness.benchmarks import Evaluation
from harness.benchmarks.base import CostKind
from harness.errors import ModelUnavailable
from harness.errors import ScoreError
from harness.errors import StoreError
from harness.history import Exhausted
from harness.history import Finished
from harness.history import Proposal
from harness.history import Usage
from harness.models import ModelGone
from harness.models import Models
from harness.store import FORMAT
from harness.store import JsonLines
from harness.store import Row
from harness.store import RunFolder
from harness.store import StorageError
from harness.store import Timing
from harness.store import locked
from harness.store import storage_errors
from harness.strategy import ATTRIBUTES
from harness.strategy import MEASURES
from harness.strategy import PROBLEM
from harness.task import Task
from harness.totals import TOKENS
from harness.totals import Totals

if TYPE_CHECKING:
    from harness.benchmarks import Benchmark
    from harness.experiment import RunSpec
    from harness.spaces import Architecture
    from harness.strategy import Strategy

# A killed sweep's workers end within moments; a run waits so long for one of them to let go of its folder.
_OTHER_PROCESS_ENDS = 10.0
# Optuna stamps every trial; a trajectory must not depend on a clock.
_NO_TIME = datetime.datetime.fromtimestamp(0, datetime.UTC)


# As ``trajectory.jsonl`` calls them.
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True, slots=True)
class Unscored:
    """What came of an evaluation where the benchmark cannot score the architecture.

    The trial fails, and the run goes on: it counts against the budget as any other, and its strategy learns why.

    Attributes:
        problem: Why there is no score.
        fidelity: As of an :class:`~harness.benchmarks.Evaluation`.
        cost_seconds: As there.
        cost_kind: As there.
        value: None.
        seed: None.
        measures: None.
    """

    problem: str
    fidelity: int
    cost_seconds: float
    cost_kind: CostKind
    value: None = None
    seed: None = None
    measures: None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        path: The run's folder.
        status: As in ``run.json``.
        trials: Trials in its trajectory.
        error: One line that says why it failed or is parked; ``None`` otherwise.
        storage_failed: The folder could not be written, so no other run should be started.
        gone: Names of models that do not answer at all any more, so that no other run should ask them.
    """

    path: Path
    status: str
    trials: int
    error: str | None = None
    storage_failed: bool = False
    gone: frozenset[str] = frozenset()


def run(
    spec: RunSpec,
    folder: Path,
    *,
    models: Models | None = None,
    environment: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run a spec in a folder, from where an earlier call left off, and record how it ended.

    A failure of the strategy or the benchmark is recorded with its traceback, not raised. Where a model does not
    answer, the run is parked: the next call goes on with it.

    Args:
        spec: What to run.
        folder: The run's folder; made where it is missing.
        models: The language models that the spec names.
        environment: What to record of versions and machine.
        facts: :func:`facts_of` the spec, where they are known already.

    Raises:
        StoreError: The folder belongs to another spec or other data, or it cannot be read or written.
    """
    facts = facts or facts_of(spec)
    with locked(folder, seconds=_OTHER_PROCESS_ENDS):
        store = RunFolder(folder)
        store.check(spec, facts["data"])
        if store.record is not None and store.is_finished:
            return Outcome(folder, store.record["status"], store.record["totals"]["trials"])
        return _go_on(spec, store, models or Models(), environment or {}, facts)


def facts_of(spec: RunSpec) -> dict[str, Any]:
    """What ``run.json`` says of what a spec runs on (:func:`harness.scoring.facts`)."""
    benchmark = scoring.make_benchmark(spec.benchmark.name, spec.benchmark.params)
    return scoring.facts(benchmark, _strategy(spec, benchmark))


def park(
    spec: RunSpec, folder: Path, reason: str, *, environment: Mapping[str, Any], facts: Mapping[str, Any]
) -> Outcome:
    """Record that a run cannot go on now, without trying: a model that it needs did not start, or is gone.

    Args:
        spec: What is to be run.
        folder: The run's folder; made where it is missing.
        reason: Why it is parked.
        environment: What to record of versions and machine.
        facts: :func:`facts_of` the spec.

    Raises:
        StoreError: The folder cannot be read or written.
    """
    with locked(folder, seconds=_OTHER_PROCESS_ENDS):
        store = RunFolder(folder)
        record = _record(spec, store, environment, facts)
        store.write(record | {"status": "parked", "parked": reason, "ended": _now()})
        store.clear_error()
    return Outcome(folder, "parked", record["totals"]["trials"], reason)


def record_death(folder: Path, reason: str) -> Outcome:
    """Record that the process of a run died.

    Args:
        folder: The run's folder.
        reason: What is known of it.
    """
    with storage_errors(folder):
        # The process may have died before it came to make it.
        folder.mkdir(parents=True, exist_ok=True)
    store = RunFolder(folder)
    store.write_error(f"{reason}\n")
    totals = Totals()
    if store.record is not None:
        rows = JsonLines(folder / "trajectory.jsonl").rows
        timings = JsonLines(folder / "timings.jsonl").rows
        for row, timing in zip(rows, timings, strict=False):
            totals.add(row, timing)
        store.write(store.record | {"status": "failed", "ended": _now(), "totals": totals.record()})
    return Outcome(folder, "failed", totals.spent.trials, reason)


def strategy_seed(spec: RunSpec) -> int:
    """Seed of a run's strategy, which also draws its training seeds.

    Runs of one seed with another strategy, other hyper-parameters or another benchmark draw independently:
    otherwise strategies that begin with random architectures would begin with the same ones, and a comparison
    of them would not be one of independent samples. It does not depend on the budget, so that a longer run
    begins as a shorter one does.
    """
    identity = spec.model_dump(mode="json", include={"strategy", "benchmark", "models"})
    return seeding.integer(spec.seed, json.dumps(identity, sort_keys=True))


def _go_on(
    spec: RunSpec,
    store: RunFolder,
    models: Models,
    environment: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Outcome:
    record = _record(spec, store, environment, facts)
    store.write(record)
    store.clear_error()
    began = time.perf_counter()
    error = None
    gone: frozenset[str] = frozenset()
    totals = Totals()
    try:
        benchmark = scoring.make_benchmark(spec.benchmark.name, spec.benchmark.params)
        search = Search(spec, benchmark, models)
        # What this process reads may have changed since the sweep was planned.
        store.check(spec, scoring.facts(benchmark, search.strategy)["data"])
        totals = search.totals
        with (
            closing(JsonLines(store.path / "trajectory.jsonl")) as trajectory,
            closing(JsonLines(store.path / "timings.jsonl")) as timings,
        ):
            status = search.go(trajectory, timings)
        record["recommendation"] = search.recommendation()
        if record["recommendation"] is not None:
            # What reports will read of it, which is no part of the search and of its cost.
            found = search.space.from_ncode(record["recommendation"]["ncode"])
            record |= _settled(benchmark, found)
        if search.end is not None:
            record["end"] = search.end
        if search.last_calls:
            record["last_calls"] = search.last_calls
    except StorageError:
        raise
    except ModelUnavailable as reason:
        status, error = "parked", str(reason)
        record["parked"] = error
        if isinstance(reason, ModelGone):
            gone = frozenset(name for name, at in models.endpoints.items() if at == reason.endpoint)
    except (Exception, SystemExit) as failure:  # noqa: BLE001  (whatever a plug-in does ends this run alone)
        status, error = "failed", f"{type(failure).__name__}: {failure}"
        store.write_error(traceback.format_exc())
    record |= {
        "status": status,
        "ended": _now(),
        "seconds": record["seconds"] + time.perf_counter() - began,
        "totals": totals.record(),
    }
    store.write(record)
    return Outcome(store.path, status, totals.spent.trials, error, gone=gone)


def _settled(benchmark: Benchmark, arch: Architecture) -> dict[str, Any]:
    """What ``run.json`` says of the scores that reports will read of a recommendation."""
    try:
        seconds = benchmark.settle(arch)
    except ScoreError as error:
        return {"unsettled": str(error), "settle_seconds": round(error.seconds, 6)}
    return {"settle_seconds": round(seconds, 6)} if seconds else {}


def _record(
    spec: RunSpec, store: RunFolder, environment: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """``run.json`` of a session that begins."""
    earlier = store.record or {}
    session = {"started": _now(), **environment}
    return {
        "format": FORMAT,
        "id": spec.id,
        "status": "running",
        "spec": spec.model_dump(mode="json"),
        **facts,
        **environment,
        "sessions": [*earlier.get("sessions", []), session],
        "started": earlier.get("started", session["started"]),
        "ended": None,
        "seconds": earlier.get("seconds", 0.0),
        "totals": earlier.get("totals", Totals().record()),
        "recommendation": None,
    }


class Search:
    """A run in memory: an Optuna study with the strategy as its sampler.

    Args:
        spec: What to run.
        benchmark: What scores.
        models: The language models that the spec names.

    Attributes:
        totals: What the run has spent so far.
        end: Why the strategy ended the run; ``None`` where it did not.
        last_calls: Model calls of the last proposal, where it became no trial.
    """

    def __init__(self, spec: RunSpec, benchmark: Benchmark, models: Models) -> None:
        self.spec = spec
        self.benchmark = benchmark
        self.space = benchmark.space
        self.totals = Totals()
        self.end: str | None = None
        self.last_calls: list[dict[str, Any]] = []
        self._seed = strategy_seed(spec)
        # What has been paid for, by architecture and fidelity: asking again costs nothing.
        self._paid: dict[tuple[Architecture, int], Evaluation | Unscored] = {}
        self._first_trial: dict[Architecture, int] = {}

        self.strategy = _strategy(spec, benchmark)
        assert spec.objective.fidelity is not None
        self.strategy.connect(Task.of(benchmark, spec.objective.fidelity), models)

        self.fidelities: tuple[int, ...] = (spec.objective.fidelity,)
        self.pruner = None
        if self.strategy.multi_fidelity:
            self.fidelities = tuple(f for f in benchmark.fidelities if f <= spec.objective.fidelity)
            self.pruner = self.strategy.pruner(self.fidelities)
        self._storage = InMemoryStorage()
        self.study = optuna.create_study(
            storage=self._storage,
            sampler=self.strategy,
            pruner=self.pruner or optuna.pruners.NopPruner(),
            # Hyperband assigns brackets by a hash of the study's name.
            study_name=f"run-{self._seed}",
            direction="maximize" if benchmark.metric.higher_is_better else "minimize",
        )

    def go(self, trajectory: JsonLines, timings: JsonLines) -> str:
        """Replay what the trajectory holds, then go on until the budget is spent.

        Returns:
            The run's status: ``complete``, ``exhausted`` or ``stalled``.
        """
        self._replay(trajectory, timings)
        budget = self.spec.budget
        spent = self.totals.spent
        while True:
            if spent.exhausts(budget):
                return "complete"
            if spent.stalls(budget):
                return "stalled"
            began = time.perf_counter()
            try:
                proposal = _as_stored(self.strategy.ask(self.study, self._asked(), self.space))
            except Exhausted as end:
                self._count_attempt(end.usage, end.rejected, time.perf_counter() - began)
                self.end = str(end)
                return "complete" if isinstance(end, Finished) else "exhausted"
            asked = time.perf_counter()
            usage = proposal.usage or Usage()
            row = self._tell(proposal, {})
            if row is None:
                self._count_attempt(usage, proposal.rejected, asked - began)
                return "complete"
            timing = Timing(
                trial=row["trial"],
                search_seconds=round(asked - began - usage.waited, 6),
                llm_seconds=round(usage.seconds, 6),
                evaluation_seconds=round(time.perf_counter() - asked, 6),
            )
            if proposal.gpu_seconds:
                timing["strategy_gpu_seconds"] = round(proposal.gpu_seconds, 6)
            if usage.log:
                timing["llm_gpu_seconds"] = round(usage.gpu_seconds, 6)
                timing["calls"] = _calls(usage)
            # Timings first: a trajectory never holds a trial whose seconds are lost.
            timings.append(timing)
            trajectory.append(row)
            self._count(row, proposal.architecture, timing)

    def recommendation(self) -> dict[str, Any] | None:
        """The architecture that the run returns; ``None`` when no trial was completed."""
        history = self.strategy.history(self.study, self.space)
        if not len(history):
            return None
        arch = self.strategy.recommend(history)
        return {
            "ncode": self.space.ncode(arch),
            "text": self.space.format(arch),
            "trial": self._first_trial.get(arch),
        }

    def _replay(self, trajectory: JsonLines, timings: JsonLines) -> None:
        """Tell the study what earlier sessions of this run evaluated, without evaluating it again."""
        count = len(trajectory.rows)
        if len(timings.rows) > count:
            timings.keep(count)
        for number in range(len(timings.rows), count):
            # Lost with the machine, perhaps. Evaluating the trial again would cost more than its seconds tell.
            lost = Timing(trial=number, search_seconds=0.0, llm_seconds=0.0, evaluation_seconds=0.0)
            timings.append(lost)
            timings.rows.append(lost)
        for number, (row, timing) in enumerate(zip(trajectory.rows, timings.rows, strict=True)):
            if row.get("trial") != number:
                raise StoreError(
                    f"{trajectory.path}:{number + 1}: trial {row.get('trial')!r} stands where trial {number} "
                    "belongs; delete the run's folder to run it anew."
                )
            proposal = Proposal(
                self.space.from_ncode(row["ncode"]),
                attributes=row.get("attributes", {}),
                usage=Usage(**row["llm"]) if "llm" in row else None,
                rejected=row.get("rejected", {}),
            )
            again = self._tell(proposal, self._recorded(row))
            assert again is not None
            self._count(again, proposal.architecture, timing)

    def _recorded(self, row: Row) -> dict[int, Evaluation | Unscored]:
        rungs = row.get("rungs") or [(row["fidelity"], row["valid"], row["gpu_seconds"], row["seed"])]
        kind = self.benchmark.cost_kind
        return {
            fidelity: Unscored(row["problem"], fidelity, cost, kind)
            if value is None
            else Evaluation(
                value,
                fidelity,
                seed,
                cost,
                kind,
                row.get("measures") if fidelity == row["fidelity"] else None,
            )
            for fidelity, value, cost, seed in rungs
        }

    def _asked(self) -> FrozenTrial:
        return self._trial(self.totals.spent.trials, {}, {})

    def _tell(self, proposal: Proposal, recorded: Mapping[int, Evaluation | Unscored]) -> Row | None:
        """Evaluate at one fidelity after the other, as far as the pruner lets it, and tell the study.

        Args:
            proposal: What to evaluate.
            recorded: What was paid for this trial in an earlier session of the run, by fidelity; empty for
                a new trial.

        Returns:
            The row of the trajectory; ``None`` when the budget does not reach for this trial.
        """
        number, arch = self.totals.spent.trials, proposal.architecture
        rungs: list[Evaluation | Unscored] = []
        trial_id = None
        state = TrialState.COMPLETE
        for fidelity in self.fidelities:
            rung = recorded.get(fidelity) or self._score(arch, fidelity, number)
            if not recorded and self.totals.spent.overspends(
                self.spec.budget, sum(r.cost_seconds for r in rungs) + rung.cost_seconds, rung.cost_kind
            ):
                return None
            rungs.append(rung)
            if isinstance(rung, Unscored):
                state = TrialState.FAIL
                break
            if self.pruner is not None:
                trial_id = self._start(number, proposal) if trial_id is None else trial_id
                self._storage.set_trial_intermediate_value(trial_id, fidelity, rung.value)
                started = self._storage.get_trial(trial_id)
                if fidelity != self.fidelities[-1] and self.pruner.prune(self.study, started):
                    state = TrialState.PRUNED
                    break
        for rung in rungs:
            # Kept as free: asking for what is paid for costs nothing.
            self._paid[arch, rung.fidelity] = dataclasses.replace(rung, cost_seconds=0.0)
        trial_id = self._start(number, proposal) if trial_id is None else trial_id
        last = rungs[-1]
        if isinstance(last, Unscored):
            self._storage.set_trial_system_attr(trial_id, PROBLEM, last.problem)
        if last.measures:
            self._storage.set_trial_system_attr(trial_id, MEASURES, dict(last.measures))
        self._storage.set_trial_state_values(trial_id, state, None if last.value is None else [last.value])
        return self._row(number, proposal, rungs, state)

    def _score(self, arch: Architecture, fidelity: int, number: int) -> Evaluation | Unscored:
        if paid := self._paid.get((arch, fidelity)):
            return paid
        drawn = self.spec.objective.noise == "drawn"
        seed = seeding.integer(self._seed, "training seed", number) if drawn else None
        scored: Evaluation | Unscored
        try:
            scored = self.benchmark.evaluate(arch, fidelity=fidelity, seed=seed)
        except ScoreError as error:
            scored = Unscored(str(error), fidelity, error.seconds, self.benchmark.cost_kind)
        return scored if self.strategy.uses_scores else dataclasses.replace(scored, cost_seconds=0.0)

    def _start(self, number: int, proposal: Proposal) -> int:
        attributes = {ATTRIBUTES: dict(proposal.attributes)} if proposal.attributes else {}
        params = self.space.params(proposal.architecture)
        return self._storage.create_new_trial(
            self.study._study_id, template_trial=self._trial(number, params, attributes)
        )

    def _trial(self, number: int, params: dict[str, Any], attributes: dict[str, Any]) -> FrozenTrial:
        return _NewTrial(
            number=number,
            trial_id=number,
            state=TrialState.RUNNING,
            value=None,
            values=None,
            datetime_start=_NO_TIME,
            datetime_complete=None,
            params=params,
            distributions=dict(self.space.distributions) if params else {},
            user_attrs={},
            system_attrs=attributes,
            intermediate_values={},
        )

    def _row(
        self, number: int, proposal: Proposal, rungs: list[Evaluation | Unscored], state: TrialState
    ) -> Row:
        last = rungs[-1]
        row = Row(
            trial=number,
            ncode=self.space.ncode(proposal.architecture),
            state=_STATES[state],
            valid=last.value,
            fidelity=last.fidelity,
            seed=last.seed,
            gpu_seconds=sum(rung.cost_seconds for rung in rungs),
            duplicate=proposal.architecture in self._first_trial,
        )
        if self.pruner is not None:
            row["rungs"] = [(r.fidelity, r.value, r.cost_seconds, r.seed) for r in rungs]
        if isinstance(last, Unscored):
            row["problem"] = last.problem
        if last.measures:
            row["measures"] = dict(last.measures)
        if proposal.rejected:
            row["rejected"] = dict(sorted(proposal.rejected.items()))
        if proposal.usage is not None:
            row["llm"] = {key: getattr(proposal.usage, key) for key in TOKENS}
        if proposal.attributes:
            row["attributes"] = dict(proposal.attributes)
        return row

    def _count_attempt(self, usage: Usage, rejected: Mapping[str, int], seconds: float) -> None:
        """Count a proposal that became no trial, made in so many seconds."""
        self.totals.add_attempt(usage, rejected, seconds - usage.waited)
        self.last_calls = _calls(usage)

    def _count(self, row: Row, arch: Architecture, timing: Timing) -> None:
        self.totals.add(row, timing)
        self._first_trial.setdefault(arch, row["trial"])


def _strategy(spec: RunSpec, benchmark: Benchmark) -> Strategy:
    cls: type[Strategy] = registry.load("strategy", spec.strategy.name)
    return cls(**spec.strategy.params, space=benchmark.space, seed=strategy_seed(spec))


def _calls(usage: Usage) -> list[dict[str, Any]]:
    return [dataclasses.asdict(call) for call in usage.log]


def _as_stored(proposal: Proposal) -> Proposal:
    """The proposal with its attributes as a resumed run reads them: lists for tuples, text for keys."""
    if not proposal.attributes:
        return proposal
    return dataclasses.replace(proposal, attributes=json.loads(json.dumps(dict(proposal.attributes))))


class _NewTrial(FrozenTrial):
    """A trial made for one study, which takes it as it is: a deep copy costs as much as all the rest."""

    def __deepcopy__(self, memo: object) -> Self:
        return self


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
