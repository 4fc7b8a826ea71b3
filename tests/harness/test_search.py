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
from harness import seeding
from harness.benchmarks.nasbench201 import NASBench201
from harness.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.conftest import MakeSpec

STRATEGIES = [
    "random_search",
    "regularized_evolution",
    "genetic_algorithm",
    "reinforce",
    "local_search",
    "tpe",
]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestEveryStrategy:
    def test_budget_of_architectures_is_exact(
        self, strategy: str, make_spec: MakeSpec, tmp_path: Path
    ) -> None:
        outcome = search.run(make_spec(strategy, architectures=35), tmp_path)
        trials = rows(tmp_path)
        assert outcome.status == "complete", outcome.error
        assert len({t["ncode"] for t in trials}) == 35
        assert not trials[-1]["duplicate"], "the run ends with the last new architecture"
        assert record(tmp_path)["totals"]["architectures"] == 35

    def test_budget_of_trials_is_exact(self, strategy: str, make_spec: MakeSpec, tmp_path: Path) -> None:
        search.run(make_spec(strategy, trials=35), tmp_path)
        assert [t["trial"] for t in rows(tmp_path)] == list(range(35))

    def test_scores_are_those_of_the_table(self, strategy: str, make_spec: MakeSpec, tmp_path: Path) -> None:
        search.run(make_spec(strategy), tmp_path)
        benchmark = NASBench201(dataset="cifar10")
        for trial in rows(tmp_path):
            arch = benchmark.space.from_ncode(trial["ncode"])
            assert trial["valid"] == benchmark.query(arch, split="valid", fidelity=200)

    def test_duplicates_cost_nothing_and_are_counted(
        self, strategy: str, make_spec: MakeSpec, tmp_path: Path
    ) -> None:
        search.run(make_spec(strategy, trials=80), tmp_path)
        seen: dict[str, float] = {}
        for trial in rows(tmp_path):
            assert trial["duplicate"] == (trial["ncode"] in seen)
            assert (trial["gpu_seconds"] == 0) == trial["duplicate"]
            assert seen.setdefault(trial["ncode"], trial["valid"]) == trial["valid"]
        totals = record(tmp_path)["totals"]
        assert totals["architectures"] == len(seen)
        assert totals["duplicates"] == 80 - len(seen)

    def test_equal_specs_give_equal_bytes(self, strategy: str, make_spec: MakeSpec, tmp_path: Path) -> None:
        for folder in ("a", "b"):
            search.run(make_spec(strategy, seed=3), tmp_path / folder)
        assert trajectory(tmp_path / "a") == trajectory(tmp_path / "b")
        search.run(make_spec(strategy, seed=4), tmp_path / "c")
        assert trajectory(tmp_path / "c") != trajectory(tmp_path / "a")

    def test_a_cut_trajectory_goes_on_to_the_same_bytes(
        self, strategy: str, make_spec: MakeSpec, tmp_path: Path
    ) -> None:
        spec = make_spec(strategy, seed=5, noise="drawn", trials=60)
        search.run(spec, tmp_path / "whole")
        whole = trajectory(tmp_path / "whole")
        rng = np.random.default_rng(0)
        for n, cut in enumerate([0, 1, len(whole) - 1, *rng.integers(len(whole), size=7).tolist()]):
            folder = cut_run(tmp_path / "whole", tmp_path / f"cut{n}", cut)
            outcome = search.run(spec, folder)
            assert outcome.status == "complete"
            assert trajectory(folder) == whole
            assert record(folder)["totals"].keys() == record(tmp_path / "whole")["totals"].keys()
            assert stable(record(folder)) == stable(record(tmp_path / "whole"))

    def test_a_bare_study_makes_the_same_trials(
        self, strategy: str, make_spec: MakeSpec, tmp_path: Path
    ) -> None:
        spec = make_spec(strategy, seed=6, trials=30)
        search.run(spec, tmp_path)
        benchmark = NASBench201(dataset="cifar10")
        sampler = registry.load("strategy", strategy)(
            space=benchmark.space, seed=seeding.integer(6, "strategy")
        )
        study = optuna.create_study(sampler=sampler, direction="maximize", study_name=spec.id)

        def objective(trial: optuna.Trial) -> float:
            params = {
                name: trial.suggest_categorical(name, choices)
                for name, choices in benchmark.space.decisions.items()
            }
            arch = benchmark.space.architecture(params)
            return benchmark.evaluate(arch, fidelity=200, seed=None).value

        study.optimize(objective, n_trials=30)
        bare = [benchmark.space.ncode(benchmark.space.architecture(t.params)) for t in study.trials]
        assert bare == [trial["ncode"] for trial in rows(tmp_path)]

    def test_the_test_split_is_never_read(
        self,
        strategy: str,
        make_spec: MakeSpec,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(*args: object, **kwargs: object) -> float:
            raise AssertionError("a search asked for a score by name")

        monkeypatch.setattr(NASBench201, "query", refuse)
        monkeypatch.setattr(NASBench201, "optimum", refuse)
        outcome = search.run(make_spec(strategy), tmp_path)
        assert outcome.status == "complete", outcome.error


def test_the_recommendation_is_the_best_by_validation(make_spec: MakeSpec, tmp_path: Path) -> None:
    search.run(make_spec(trials=50), tmp_path)
    best = max(rows(tmp_path), key=lambda t: t["valid"])
    assert record(tmp_path)["recommendation"]["ncode"] == best["ncode"]
    assert record(tmp_path)["recommendation"]["trial"] == best["trial"]


def test_simulated_seconds_are_never_overspent(make_spec: MakeSpec, tmp_path: Path) -> None:
    budget = 20_000.0
    search.run(make_spec(gpu_seconds=budget), tmp_path / "bounded")
    spent = sum(t["gpu_seconds"] for t in rows(tmp_path / "bounded"))
    assert 0 < spent <= budget
    # One trial more than the bounded run made would not have fitted.
    count = len(rows(tmp_path / "bounded"))
    search.run(make_spec(trials=count + 1), tmp_path / "longer")
    longer = rows(tmp_path / "longer")
    assert longer[:count] == rows(tmp_path / "bounded")
    assert spent + longer[count]["gpu_seconds"] > budget


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


def test_a_strategy_with_nothing_left_ends_as_exhausted(
    make_spec: MakeSpec, tmp_path: Path, plugin: Callable[[str, dict[str, str]], None]
) -> None:
    plugin(
        "from harness.history import Exhausted, Usage\n"
        "from harness.strategy import Strategy\n"
        "class Short(Strategy):\n"
        "    '''Three, then none.'''\n"
        "    def propose(self, history):\n"
        "        if len(history) == 3:\n"
        "            raise Exhausted('done', usage=Usage(calls=2), rejected={'empty': 2})\n"
        "        return history.space.from_index(history.number)\n",
        {"short": "Short"},
    )
    outcome = search.run(make_spec("short", architectures=5), tmp_path / "run")
    assert outcome.status == "exhausted"
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
    for strategy in STRATEGIES:
        spec = make_spec(strategy, seed=8, noise="drawn")
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
    outcome = search.run(spec, tmp_path / "cut")
    assert "made with other data" in str(outcome.error)


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


def trajectory(folder: Path) -> bytes:
    return (folder / "trajectory.jsonl").read_bytes()


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
    running = {k: v for k, v in record(whole).items() if k not in {"totals", "ended"}} | {
        "status": "running",
        "recommendation": None,
    }
    (folder / "run.json").write_text(json.dumps(running))
    return folder


def _data_variable() -> dict[str, str]:
    import os

    return {k: v for k, v in os.environ.items() if k in {"HARNESS_DATA", "HOME"}}
