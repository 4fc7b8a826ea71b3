"""One run: budgets, duplicates, noise, determinism, resuming, failures."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import optuna
import pytest

from harness import registry
from harness import scoring
from harness import search
from harness.benchmarks.nasbench201 import NASBench201
from harness.errors import StoreError
from harness.models import Models
from harness.task import Task
from harness.totals import Totals
from tests.harness.results import record
from tests.harness.results import rows
from tests.harness.results import trajectory
from tests.strategy_checks import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.experiment import RunSpec
    from tests.harness.conftest import MakeSpec

NEEDS_MODEL = [
    name for name in registry.names("strategy") if registry.load("strategy", name).model_parameters
]

CASES = {case.name: case for case in STRATEGIES}
#: Those that train a supernet: trials are its epochs, and scores are for the report.
TRAINS = [name for name in registry.names("strategy") if not registry.load("strategy", name).uses_scores]
#: Those whose defaults need more than a fresh machine has: images.
NEEDS_PARAMS = {name: dict(CASES[name].params) for name in ["proxy_ensemble", *TRAINS]}


class Subject:
    """A registered strategy, with what it needs to run: a table with several fidelities, or a real model."""

    def __init__(self, strategy: str, make_spec: MakeSpec, request: pytest.FixtureRequest) -> None:
        self.strategy = strategy
        self.cls = registry.load("strategy", strategy)
        self._make_spec = make_spec
        self._changes: dict[str, Any] = {"noise": "drawn", "params": NEEDS_PARAMS.get(strategy, {})}
        self.models = Models()
        self.size = 35 if self.cls.uses_scores else CASES[strategy].trials
        if self.cls.model_parameters:
            # The prompts of some strategies grow with the history, and some end by their own rules.
            case = CASES[strategy]
            self.size = min(12, case.trials)
            self._changes |= {
                "params": {**case.params, **dict.fromkeys(self.cls.model_parameters, "small")},
                "models": {"small": {"kind": "openai"}},
            }
            self.models = Models({"small": request.getfixturevalue("scripted_model")})
        if self.cls.multi_fidelity:
            # Its means alone are there at 12 epochs.
            self._changes = {"noise": "mean", "source": request.getfixturevalue("core_table")}

    def spec(self, **changes: Any) -> RunSpec:
        return self._make_spec(self.strategy, **self._changes | changes)

    def run(self, spec: RunSpec, folder: Path) -> search.Outcome:
        outcome = search.run(spec, folder, models=self.models)
        assert outcome.status == "complete", outcome.error
        return outcome


@pytest.fixture
def subject(strategy: str, make_spec: MakeSpec, request: pytest.FixtureRequest) -> Subject:
    return Subject(strategy, make_spec, request)


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(name, marks=[pytest.mark.llm] if name in NEEDS_MODEL else [])
        for name in registry.names("strategy")
    ],
)
class TestEveryStrategy:
    def test_budget_of_architectures_is_exact(self, subject: Subject, tmp_path: Path) -> None:
        # Epochs may end with few architectures, and the search with them.
        size = subject.size if subject.cls.uses_scores else 1
        subject.run(subject.spec(architectures=size), tmp_path)
        trials = rows(tmp_path)
        assert len({t["ncode"] for t in trials}) == size
        assert not trials[-1]["duplicate"], "the run ends with the last new architecture"
        assert record(tmp_path)["totals"]["architectures"] == size

    def test_budget_of_trials_is_exact(self, subject: Subject, tmp_path: Path) -> None:
        subject.run(subject.spec(trials=subject.size), tmp_path)
        assert [t["trial"] for t in rows(tmp_path)] == list(range(subject.size))

    def test_simulated_seconds_are_never_overspent(self, subject: Subject, tmp_path: Path) -> None:
        subject.run(subject.spec(trials=subject.size), tmp_path / "trials")
        costs = [t["gpu_seconds"] for t in rows(tmp_path / "trials")]
        budget = sum(costs[:-2]) + 0.5 * sum(costs[-2:]) + 1.0
        subject.run(subject.spec(gpu_seconds=budget), tmp_path / "seconds")
        spent = [t["gpu_seconds"] for t in rows(tmp_path / "seconds")]
        assert spent == costs[: len(spent)], "a budget cuts a run, it does not change it"
        assert sum(spent) <= budget
        if len(spent) < len(costs):
            assert sum(costs[: len(spent) + 1]) > budget

    def test_scores_are_those_of_the_table(self, subject: Subject, tmp_path: Path) -> None:
        spec = subject.spec(trials=subject.size)
        subject.run(spec, tmp_path)
        benchmark = NASBench201(**spec.benchmark.params)
        for trial in rows(tmp_path):
            arch = benchmark.space.from_ncode(trial["ncode"])
            score = benchmark.query(arch, split="valid", fidelity=trial["fidelity"], seed=trial["seed"])
            assert trial["valid"] == score

    def test_duplicates_cost_nothing_and_are_counted(self, subject: Subject, tmp_path: Path) -> None:
        subject.run(subject.spec(trials=2 * subject.size), tmp_path)
        paid: dict[tuple[str, int], float] = {}
        seen = set()
        for trial in rows(tmp_path):
            assert trial["duplicate"] == (trial["ncode"] in seen)
            seen.add(trial["ncode"])
            known = (trial["ncode"], trial["fidelity"]) in paid
            assert (trial["gpu_seconds"] == 0) == (known or not subject.cls.uses_scores)
            assert paid.setdefault((trial["ncode"], trial["fidelity"]), trial["valid"]) == trial["valid"]
        totals = record(tmp_path)["totals"]
        assert totals["architectures"] == len(seen)
        assert totals["duplicates"] == len(rows(tmp_path)) - len(seen)

    def test_equal_specs_give_equal_bytes(self, subject: Subject, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            subject.run(subject.spec(seed=3), tmp_path / folder)
        assert trajectory(tmp_path / "a") == trajectory(tmp_path / "b")
        subject.run(subject.spec(seed=4), tmp_path / "c")
        assert trajectory(tmp_path / "c") != trajectory(tmp_path / "a")

    def test_a_cut_trajectory_goes_on_to_the_same_bytes(self, subject: Subject, tmp_path: Path) -> None:
        spec = subject.spec(seed=5, trials=subject.size)
        subject.run(spec, tmp_path / "whole")
        whole = trajectory(tmp_path / "whole")
        inside = np.random.default_rng(0).integers(len(whole), size=subject.size // 5).tolist()
        for n, cut in enumerate([0, 1, len(whole) - 1, *inside]):
            folder = cut_run(tmp_path / "whole", tmp_path / f"cut{n}", cut)
            subject.run(spec, folder)
            assert trajectory(folder) == whole
            assert stable(record(folder)) == stable(record(tmp_path / "whole"))

    def test_a_bare_study_makes_the_same_trials(self, subject: Subject, tmp_path: Path) -> None:
        if subject.cls.multi_fidelity:
            pytest.skip("a bare study has no fidelities unless its objective reports them")
        spec = subject.spec(seed=6, noise="mean", trials=subject.size)
        subject.run(spec, tmp_path)
        benchmark = NASBench201(dataset="cifar10")
        params = spec.strategy.params
        sampler = subject.cls(**params, space=benchmark.space, seed=search.strategy_seed(spec))
        sampler.connect(Task.of(benchmark, 200), subject.models)
        study = optuna.create_study(sampler=sampler, direction="maximize", study_name=spec.id)

        def objective(trial: optuna.Trial) -> float:
            params = {
                name: trial.suggest_categorical(name, choices)
                for name, choices in benchmark.space.decisions.items()
            }
            arch = benchmark.space.architecture(params)
            return benchmark.evaluate(arch, fidelity=200, seed=None).value

        study.optimize(objective, n_trials=subject.size)
        bare = [benchmark.space.ncode(benchmark.space.architecture(t.params)) for t in study.trials]
        assert bare == [trial["ncode"] for trial in rows(tmp_path)]

    def test_the_test_split_is_never_read(
        self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: object, **kwargs: object) -> float:
            raise AssertionError("a search asked for a score by name")

        for name in ("query", "query_many", "scores", "optimum"):
            monkeypatch.setattr(NASBench201, name, refuse)
        subject.run(subject.spec(), tmp_path)


def test_strategies_of_one_seed_draw_independently(make_spec: MakeSpec, tmp_path: Path) -> None:
    first = {}
    for strategy in ("random_search", "regularized_evolution", "local_search"):
        for dataset in ("cifar10", "cifar100"):
            folder = tmp_path / f"{strategy}-{dataset}"
            search.run(make_spec(strategy, dataset=dataset, trials=1), folder)
            first[strategy, dataset] = rows(folder)[0]["ncode"]
    assert len(set(first.values())) == 6


def test_a_longer_run_begins_as_a_shorter_one(make_spec: MakeSpec, tmp_path: Path) -> None:
    for trials in (10, 20):
        search.run(make_spec("regularized_evolution", noise="drawn", trials=trials), tmp_path / str(trials))
    assert rows(tmp_path / "20")[:10] == rows(tmp_path / "10")


def test_the_recommendation_is_the_best_by_validation(make_spec: MakeSpec, tmp_path: Path) -> None:
    search.run(make_spec(trials=50), tmp_path)
    best = max(rows(tmp_path), key=lambda t: t["valid"])
    assert record(tmp_path)["recommendation"]["ncode"] == best["ncode"]
    assert record(tmp_path)["recommendation"]["trial"] == best["trial"]


def test_measured_seconds_end_with_the_trial_that_spends_the_last(
    make_spec: MakeSpec, tmp_path: Path, plugin: Callable[..., None]
) -> None:
    plugin(
        "import dataclasses\n"
        "from harness.benchmarks.nasbench201 import NASBench201\n"
        "class Timed(NASBench201):\n"
        "    cost_kind = 'measured'\n"
        "    def evaluate(self, arch, *, fidelity, seed):\n"
        "        score = super().evaluate(arch, fidelity=fidelity, seed=seed)\n"
        "        return dataclasses.replace(score, cost_seconds=30.0, cost_kind='measured')\n",
        {"timed": "Timed"},
        group="harness.benchmarks",
    )
    spec = make_spec(benchmark="timed", gpu_seconds=100.0)
    assert search.run(spec, tmp_path / "run").status == "complete"
    assert [t["gpu_seconds"] for t in rows(tmp_path / "run")] == [30.0] * 4
    assert record(tmp_path / "run")["cost_kind"] == "measured"
    # What was measured is not measured again.
    folder = cut_run(tmp_path / "run", tmp_path / "cut", len(trajectory(tmp_path / "run")) // 2)
    search.run(spec, folder)
    assert trajectory(folder) == trajectory(tmp_path / "run")


def test_drawn_noise_is_one_training_seed_per_architecture(make_spec: MakeSpec, tmp_path: Path) -> None:
    search.run(make_spec("regularized_evolution", noise="drawn", trials=60), tmp_path)
    benchmark = NASBench201(dataset="cifar10")
    drawn = set()
    for trial in rows(tmp_path):
        arch = benchmark.space.from_ncode(trial["ncode"])
        assert trial["valid"] == benchmark.query(arch, split="valid", fidelity=200, seed=trial["seed"])
        drawn.add(trial["seed"])
    assert len(drawn) > 1


def test_a_run_that_only_repeats_itself_ends_as_stalled(
    make_spec: MakeSpec, tmp_path: Path, plugin: Callable[[str, dict[str, str]], None]
) -> None:
    plugin(
        "from harness.strategy import Strategy\n"
        "class Stubborn(Strategy):\n"
        "    '''Always the same.'''\n"
        "    def propose(self, history):\n"
        "        return history.space.from_index(7)\n",
        {"stubborn": "Stubborn"},
    )
    outcome = search.run(make_spec("stubborn", architectures=5, duplicates_in_a_row=12), tmp_path / "run")
    assert outcome.status == "stalled"
    assert (
        record(tmp_path / "run")["totals"] | {"duplicates": 12, "trials": 13}
        == record(tmp_path / "run")["totals"]
    )


@pytest.mark.parametrize(("end", "status"), [("Exhausted", "exhausted"), ("Finished", "complete")])
def test_a_strategy_may_end_the_run(
    end: str,
    status: str,
    make_spec: MakeSpec,
    tmp_path: Path,
    plugin: Callable[[str, dict[str, str]], None],
) -> None:
    plugin(
        f"from harness.history import {end}, Usage\n"
        "from harness.strategy import Strategy\n"
        "class Short(Strategy):\n"
        "    '''Three, then none.'''\n"
        "    def propose(self, history):\n"
        "        if len(history) == 3:\n"
        f"            raise {end}('done', usage=Usage(calls=2), rejected={{'empty': 2}})\n"
        "        return history.space.from_index(history.number)\n",
        {"short": "Short"},
    )
    outcome = search.run(make_spec("short", architectures=5), tmp_path / "run")
    assert outcome.status == status
    assert record(tmp_path / "run")["end"] == "done"
    totals = record(tmp_path / "run")["totals"]
    assert (totals["trials"], totals["llm_calls"], totals["rejected"]) == (3, 2, {"empty": 2})
    assert record(tmp_path / "run")["recommendation"] is not None


def test_a_failure_is_recorded_and_can_be_retried(
    make_spec: MakeSpec, tmp_path: Path, plugin: Callable[[str, dict[str, str]], None]
) -> None:
    marker = tmp_path / "mended"
    plugin(
        "from pathlib import Path\n"
        "from harness.strategy import Strategy\n"
        "class Fragile(Strategy):\n"
        "    '''Breaks at its sixth proposal until it is mended.'''\n"
        "    def propose(self, history):\n"
        f"        if history.number == 5 and not Path({str(marker)!r}).exists():\n"
        "            raise RuntimeError('the sixth proposal')\n"
        "        return history.space.random(history.rng)\n",
        {"fragile": "Fragile"},
    )
    spec = make_spec("fragile", trials=10)
    outcome = search.run(spec, tmp_path / "run")
    assert (outcome.status, outcome.trials) == ("failed", 5)
    assert "RuntimeError: the sixth proposal" in (tmp_path / "run" / "error.txt").read_text()
    assert record(tmp_path / "run")["totals"]["trials"] == 5, "what was done is kept"
    marker.touch()
    assert search.run(spec, tmp_path / "run").status == "complete"
    assert not (tmp_path / "run" / "error.txt").exists()
    search.run(spec, tmp_path / "at_once")
    assert trajectory(tmp_path / "run") == trajectory(tmp_path / "at_once")


def test_the_same_bytes_in_another_process(make_spec: MakeSpec, tmp_path: Path) -> None:
    # One of those that train is enough here; the others are held to it in their own tests.
    strategies = set(registry.names("strategy")) - {"bohb", *NEEDS_MODEL, *TRAINS} | {"darts"}
    for strategy in sorted(strategies):
        spec = make_spec(strategy, seed=8, noise="drawn", params=NEEDS_PARAMS.get(strategy, {}))
        search.run(spec, tmp_path / "here" / strategy)
        code = (
            "import sys, pathlib\n"
            "from harness import search\n"
            "from harness.experiment import RunSpec\n"
            "spec = RunSpec.model_validate_json(sys.argv[1])\n"
            "search.run(spec, pathlib.Path(sys.argv[2]))\n"
        )
        there = tmp_path / "there" / strategy
        subprocess.run(
            [sys.executable, "-c", code, spec.model_dump_json(), str(there)],
            check=True,
            env={"PATH": "", "PYTHONHASHSEED": "123", **_data_variable()},
        )
        assert trajectory(there) == trajectory(tmp_path / "here" / strategy)


def test_a_finished_run_is_left_alone(make_spec: MakeSpec, tmp_path: Path) -> None:
    search.run(make_spec(), tmp_path)
    before = {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in tmp_path.iterdir()}
    assert search.run(make_spec(), tmp_path).status == "complete"
    assert {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in tmp_path.iterdir()} == before


def test_lost_timings_lose_no_trial(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trials=20)
    search.run(spec, tmp_path / "whole")
    folder = cut_run(tmp_path / "whole", tmp_path / "cut", len(trajectory(tmp_path / "whole")))
    (folder / "timings.jsonl").write_bytes(b"")
    search.run(spec, folder)
    assert trajectory(folder) == trajectory(tmp_path / "whole")
    assert len((folder / "timings.jsonl").read_text().splitlines()) == 20
    assert record(folder)["totals"]["search_seconds"] == 0


def test_a_strategy_that_exits_fails_alone(
    make_spec: MakeSpec, tmp_path: Path, plugin: Callable[[str, dict[str, str]], None]
) -> None:
    plugin(
        "from harness.strategy import Strategy\n"
        "class Rude(Strategy):\n"
        "    def propose(self, history):\n"
        "        raise SystemExit(3)\n",
        {"rude": "Rude"},
    )
    outcome = search.run(make_spec("rude"), tmp_path / "run")
    assert outcome.status == "failed"
    assert "SystemExit" in (tmp_path / "run" / "error.txt").read_text()


def test_another_spec_in_the_folder_is_refused(make_spec: MakeSpec, tmp_path: Path) -> None:
    search.run(make_spec(architectures=20), tmp_path)
    with pytest.raises(StoreError, match=r"budget.architectures is 20 there and 30 now"):
        search.run(make_spec(architectures=30), tmp_path)
    assert len(rows(tmp_path)) == 20


def test_other_data_in_the_folder_are_refused(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(trials=10)
    search.run(spec, tmp_path)
    cut_run(tmp_path, tmp_path / "cut", 100)
    benchmark = scoring.make_benchmark(spec.benchmark.name, spec.benchmark.params)
    monkeypatch.setattr(benchmark, "digest", "0" * 64)
    with pytest.raises(StoreError, match="made with other data"):
        search.run(spec, tmp_path / "cut")


def test_several_fidelities_are_paid_for_honestly(
    make_spec: MakeSpec, tmp_path: Path, core_table: str
) -> None:
    spec = make_spec("bohb", trials=60, source=core_table)
    outcome = search.run(spec, tmp_path / "whole")
    assert outcome.status == "complete", outcome.error
    trials = rows(tmp_path / "whole")
    assert {t["state"] for t in trials} == {"complete", "pruned"}
    benchmark = NASBench201(dataset="cifar10", source=core_table)
    paid: set[tuple[str, int]] = set()
    for trial in trials:
        arch = benchmark.space.from_ncode(trial["ncode"])
        assert trial["fidelity"] == (12 if trial["state"] == "pruned" else 200)
        cost = 0.0
        for fidelity, valid, seconds, _ in trial["rungs"]:
            evaluation = benchmark.evaluate(arch, fidelity=fidelity, seed=None)
            assert valid == evaluation.value
            expected = 0.0 if (trial["ncode"], fidelity) in paid else evaluation.cost_seconds
            assert seconds == expected
            paid.add((trial["ncode"], fidelity))
            cost += seconds
        assert trial["gpu_seconds"] == cost
    best = max((t for t in trials if t["state"] == "complete"), key=lambda t: t["valid"])
    assert record(tmp_path / "whole")["recommendation"]["ncode"] == best["ncode"]
    whole = trajectory(tmp_path / "whole")
    for n, cut in enumerate(np.random.default_rng(1).integers(len(whole), size=5).tolist()):
        folder = cut_run(tmp_path / "whole", tmp_path / f"cut{n}", cut)
        search.run(spec, folder)
        assert trajectory(folder) == whole


def stable(content: dict[str, Any]) -> dict[str, Any]:
    """What of ``run.json`` no clock decides."""
    totals = {k: v for k, v in content["totals"].items() if not k.endswith("_seconds")}
    kept = ("id", "status", "spec", "recommendation", "data")
    return {key: content[key] for key in kept} | {"totals": totals}


def cut_run(whole: Path, folder: Path, size: int) -> Path:
    """The folder as a kill leaves it that struck when ``size`` bytes of the trajectory were written."""
    folder.mkdir()
    lines = trajectory(whole)[:size].count(b"\n")
    (folder / "trajectory.jsonl").write_bytes(trajectory(whole)[:size])
    # A trial's timing is written before the trial.
    timings = (whole / "timings.jsonl").read_bytes().splitlines(keepends=True)[: lines + 1]
    (folder / "timings.jsonl").write_bytes(b"".join(timings))
    running = record(whole) | {
        "status": "running",
        "ended": None,
        "totals": Totals().record(),
        "recommendation": None,
    }
    (folder / "run.json").write_text(json.dumps(running))
    return folder


def _data_variable() -> dict[str, str]:
    import os

    return {k: v for k, v in os.environ.items() if k in {"HARNESS_DATA", "HOME"}}
