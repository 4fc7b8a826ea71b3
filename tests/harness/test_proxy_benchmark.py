"""The proxy benchmark: the search sees a proxy, reports read trained scores."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness import experiment
from harness import scoring
from harness import search
from harness.benchmarks import Metric
from harness.benchmarks.nasbench201 import NASBench201
from harness.benchmarks.proxy import ProxyBenchmark
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.models import Models
from harness.store import JsonLines
from harness.task import Task
from tests.harness.command import harness
from tests.harness.command import refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CELL = "341203"

# Takes its time, wants few, and cannot score one cell.
SKIPS = """
import time
from harness.proxies import Proxy
from harness.errors import ScoreError

class Skips(Proxy):
    description = "The number of skip connections."
    unit = "edges"
    higher_is_better = False

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def score(self, space, arch, dataset):
        time.sleep(0.01)
        if space.ncode(arch) == "000000":
            raise ScoreError("this cell has no output.")
        return float("nan") if space.ncode(arch) == "444444" else self.weight * arch.count(1)
"""

PICKY = """
from harness.errors import ScoreError
from harness.proxies import Proxy

class Picky(Proxy):
    description = "The number of convolutions."

    def __init__(self, refused: str = "01"):
        self.refused = refused

    def score(self, space, arch, dataset):
        if space.ncode(arch)[0] in self.refused:
            raise ScoreError(f"it begins with {' or '.join(self.refused)}.")
        return float(sum(i in (2, 3) for i in arch))
"""

YAML = """
tracking: {uri: null}
sweeps:
  s:
    benchmarks: [%s]
    strategies: [regularized_evolution]
    seeds: 1
    budget: {trials: %d}
    objective: {%s}
"""


@pytest.fixture
def skips(plugin: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    scoring._make_benchmark.cache_clear()
    plugin(SKIPS, {"skips": "Skips"}, group="harness.proxies")


@pytest.fixture
def picky(plugin: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    scoring._make_benchmark.cache_clear()
    plugin(PICKY, {"picky": "Picky"}, group="harness.proxies")


def plan(
    folder: Path, benchmark: str, trials: int = 5, objective: str = "noise: mean"
) -> list[experiment.RunSpec]:
    file = folder / "experiments.yaml"
    file.write_text(YAML % (benchmark, trials, objective))
    return experiment.read_experiments(file).plan("s")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]


def test_a_search_sees_the_proxy_at_no_cost() -> None:
    benchmark = ProxyBenchmark("parameters", dataset="cifar100")
    arch = benchmark.space.from_ncode(CELL)
    evaluation = benchmark.evaluate(arch, fidelity=0, seed=None)
    assert evaluation.value == benchmark.space.cost(arch, "cifar100").parameters
    assert (evaluation.fidelity, evaluation.seed) == (0, None)
    assert (evaluation.cost_seconds, evaluation.cost_kind) == (0.0, "measured")
    assert benchmark.metric == Metric("parameters", "")
    assert benchmark.fidelities == (0,)


def test_reports_read_the_trained_scores() -> None:
    benchmark, trained = ProxyBenchmark("flops"), NASBench201()
    arch = benchmark.space.from_ncode(CELL)
    assert benchmark.reported == Metric("accuracy", "%")
    assert benchmark.splits == trained.splits
    score = scoring.final_score(benchmark, arch, "valid")
    assert score.value == trained.query(arch, split="valid", fidelity=200)
    best = trained.optimum(split="valid", fidelity=200)
    assert best is not None
    assert score.optimum == best[1]
    missing = scoring.final_score(benchmark, arch, "test")
    assert missing.value is None
    assert "has no test scores of cifar10" in (missing.missing or "")


def test_test_scores_are_those_of_the_table(core_table: str) -> None:
    benchmark, trained = (
        ProxyBenchmark("flops", dataset="cifar100", source=core_table),
        NASBench201("cifar100", core_table),
    )
    arch = benchmark.space.from_ncode(CELL)
    assert scoring.final_score(benchmark, arch, "test").value == trained.query(
        arch, split="test", fidelity=200
    )


@pytest.mark.parametrize(("fidelity", "seed"), [(200, None), (0, 3)])
def test_nothing_is_trained(fidelity: int, seed: int | None) -> None:
    benchmark = ProxyBenchmark("flops")
    with pytest.raises(DataError, match="'flops' trains nothing: it has fidelity 0 alone"):
        benchmark.evaluate(benchmark.space.from_ncode(CELL), fidelity=fidelity, seed=seed)


def test_a_strategy_knows_the_proxy() -> None:
    task = Task.of(ProxyBenchmark("flops", dataset="cifar100"), 0)
    assert (task.proxy, task.dataset, task.metric.name) == ("flops", "cifar100", "flops")
    assert Task.of(NASBench201(), 200).proxy is None


def test_digest_is_of_the_proxy_and_of_the_table(skips: None) -> None:
    digests = [
        ProxyBenchmark(proxy, settings=settings).digest
        for proxy, settings in (
            ("flops", None),
            ("parameters", None),
            ("skips", None),
            ("skips", {"weight": 2.0}),
        )
    ]
    assert len(set(digests)) == 4
    assert NASBench201().digest not in digests
    assert ProxyBenchmark("flops", settings={}).digest == digests[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"proxy": "flop"}, "unknown proxy 'flop', did you mean 'flops'?"),
        ({"proxy": "flops", "of": "proxy"}, "`of` names a benchmark with trained scores"),
        (
            {"proxy": "flops", "of": "forecasting"},
            "`of` names .* a `dataset` and a `source`.* 'forecasting' has not",
        ),
        ({"proxy": "flops", "of": "nasbench"}, "unknown benchmark 'nasbench', did you mean 'nasbench201'"),
        ({"proxy": "flops", "dataset": "cifar"}, "unknown data set 'cifar', did you mean 'cifar10'"),
        ({"proxy": "flops", "settings": {"seed": 1}}, "unknown setting of proxy 'flops' 'seed'. Known: none"),
        ({"proxy": "skips", "settings": {"wait": 1}}, "unknown setting of proxy 'skips' 'wait'.*weight"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, Any], message: str, skips: None) -> None:
    with pytest.raises(SpecError, match=message):
        ProxyBenchmark(**arguments)


def test_another_proxy_with_settings_and_a_price(skips: None) -> None:
    benchmark = ProxyBenchmark("skips", settings={"weight": 3.0})
    evaluation = benchmark.evaluate(benchmark.space.from_ncode("110100"), fidelity=0, seed=None)
    assert evaluation.value == 9.0
    assert evaluation.cost_seconds >= 0.01
    assert benchmark.metric == Metric("skips", "edges", higher_is_better=False)


def test_what_cannot_be_scored_gets_no_number(skips: None) -> None:
    benchmark = ProxyBenchmark("skips")
    with pytest.raises(ScoreError, match="this cell has no output"):
        benchmark.evaluate(benchmark.space.from_ncode("000000"), fidelity=0, seed=None)
    with pytest.raises(ScoreError, match=r"'skips' cannot score this architecture: the score is nan"):
        benchmark.evaluate(benchmark.space.from_ncode("444444"), fidelity=0, seed=None)


def test_a_score_is_computed_once_and_costs_the_same_ever_after(tmp_path: Path, skips: None) -> None:
    (spec,) = plan(tmp_path, "{name: proxy, proxy: skips}", trials=20)
    trajectories = []
    for folder in ("a", "b"):
        scoring._make_benchmark.cache_clear()
        search.run(spec, tmp_path / folder)
        trajectories.append((tmp_path / folder / "trajectory.jsonl").read_bytes())
    assert trajectories[0] == trajectories[1]
    assert any(row["gpu_seconds"] > 0.01 for row in rows(tmp_path / "b"))


def test_a_trial_without_a_score_fails_and_the_run_goes_on(tmp_path: Path, picky: None) -> None:
    (spec,) = plan(tmp_path, "{name: proxy, proxy: picky}", trials=40)
    assert search.run(spec, tmp_path / "run").status == "complete"
    trials = rows(tmp_path / "run")
    failed = [row for row in trials if row["state"] == "failed"]
    assert {row["ncode"][0] in "01" for row in failed} == {True}
    assert {row["ncode"][0] in "01" for row in trials if row not in failed} == {False}
    assert 0 < len(failed) < 40
    assert all(row["valid"] is None and row["problem"].endswith("it begins with 0 or 1.") for row in failed)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["totals"]["trials"] == 40
    assert record["recommendation"]["ncode"][0] not in "01"
    # Cut off anywhere, it goes on to the same bytes.
    whole = (tmp_path / "run/trajectory.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "run/trajectory.jsonl").write_bytes(b"".join(lines[:17]))
    (tmp_path / "run/run.json").write_text(json.dumps(record | {"status": "running"}))
    assert search.run(spec, tmp_path / "run").status == "complete"
    assert (tmp_path / "run/trajectory.jsonl").read_bytes() == whole


def test_a_strategy_learns_why_a_trial_failed(tmp_path: Path, picky: None) -> None:
    (spec,) = plan(tmp_path, "{name: proxy, proxy: picky}", trials=40)
    benchmark = scoring.make_benchmark(spec.benchmark.name, spec.benchmark.params)
    made = search.Search(spec, benchmark, Models())
    with closing(JsonLines(tmp_path / "t")) as trajectory, closing(JsonLines(tmp_path / "s")) as timings:
        made.go(trajectory, timings)
    history = made.strategy.history(made.study, made.space)
    failed = [row for row in JsonLines(tmp_path / "t").rows if row["state"] == "failed"]
    assert [(f.number, f.problem) for f in history.failures] == [(r["trial"], r["problem"]) for r in failed]
    assert len(history.trials) + len(history.failures) == 40
    assert {f.architecture for f in history.failures} <= history.seen


def test_a_run_of_which_nothing_can_be_scored_ends(tmp_path: Path, picky: None) -> None:
    (spec,) = plan(tmp_path, "{name: proxy, proxy: picky, settings: {refused: '01234'}}", trials=12)
    assert search.run(spec, tmp_path / "run").status == "complete"
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["recommendation"] is None
    assert {row["state"] for row in rows(tmp_path / "run")} == {"failed"}


def test_reports_and_mlflow_tell_of_failed_trials(tmp_path: Path, picky: None) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML % ("{name: proxy, proxy: picky}", 40, "noise: mean"))
    harness("run", cwd=tmp_path)
    failed = sum(
        row["state"] == "failed" for row in rows(tmp_path / "results/s/proxy/regularized_evolution/seed-0")
    )
    report = (tmp_path / "results/s/report/report.md").read_text()
    assert f"cannot be scored: regularized_evolution {failed} of 40." in report
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert "1 logged" in harness("track", "results/s", "--uri", uri, cwd=tmp_path).stdout


def test_a_list_makes_a_benchmark_of_each_proxy(tmp_path: Path) -> None:
    specs = plan(tmp_path, "{name: proxy, proxy: [parameters, flops], dataset: [cifar10, cifar100]}")
    assert [spec.labels.benchmark for spec in specs] == [
        "proxy-parameters-cifar10",
        "proxy-parameters-cifar100",
        "proxy-flops-cifar10",
        "proxy-flops-cifar100",
    ]
    assert {spec.objective.fidelity for spec in specs} == {0}


def test_a_run_is_repeated_to_the_byte(tmp_path: Path) -> None:
    (spec,) = plan(tmp_path, "{name: proxy, proxy: flops}", trials=30)
    for folder in ("a", "b"):
        assert search.run(spec, tmp_path / folder).status == "complete"
    assert (tmp_path / "a/trajectory.jsonl").read_bytes() == (tmp_path / "b/trajectory.jsonl").read_bytes()
    trials = rows(tmp_path / "a")
    record = json.loads((tmp_path / "a/run.json").read_text())
    best = max(trials, key=lambda row: row["valid"])
    assert record["recommendation"]["ncode"] == best["ncode"]
    assert record["metric"]["name"] == "flops"
    assert record["cost_kind"] == "measured"
    assert {row["fidelity"] for row in trials} == {0}
    assert sum(row["gpu_seconds"] for row in trials) == 0.0


def test_lower_may_be_better_and_seconds_are_paid(tmp_path: Path, skips: None) -> None:
    (spec,) = plan(tmp_path, "{name: proxy, proxy: skips, settings: {weight: 0.5}}", trials=40)
    assert search.run(spec, tmp_path / "run").status == "complete"
    trials = rows(tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["recommendation"]["ncode"] == min(trials, key=lambda row: row["valid"])["ncode"]
    space = ProxyBenchmark("flops").space
    assert all(row["valid"] == 0.5 * space.from_ncode(row["ncode"]).count(1) for row in trials)
    # What is known costs nothing.
    assert all((row["gpu_seconds"] >= 0.01) != row["duplicate"] for row in trials)


def test_budget_of_seconds_ends_a_run_with_a_price(tmp_path: Path, skips: None) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text(
        (YAML % ("{name: proxy, proxy: skips}", 1, "noise: mean")).replace("trials: 1", "gpu_seconds: 0.05")
    )
    (spec,) = experiment.read_experiments(file).plan("s")
    outcome = search.run(spec, tmp_path / "run")
    assert outcome.status == "complete"
    assert 1 <= outcome.trials <= 5


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("fidelity: 200", "no validation score at fidelity 200; legal are 0"),
        ("noise: drawn", "none can be drawn"),
    ],
)
def test_objectives_that_need_training_are_refused(tmp_path: Path, objective: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        plan(tmp_path, "{name: proxy, proxy: flops}", objective=objective)


def test_zero_epochs_are_no_default_of_other_benchmarks(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no validation score at fidelity 0; legal are 200"):
        plan(tmp_path, "nasbench201", objective="fidelity: 0")


def test_from_the_command_line_to_the_report(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML % ("{name: proxy, proxy: parameters}", 40, "noise: mean"))
    said = harness("run", cwd=tmp_path).stdout
    assert "Optimum" in said
    assert "91.61" in said
    report = (tmp_path / "results/s/report/report.md").read_text()
    assert "Search: highest parameters, without training" in report
    assert "Reported: validation, 200 epochs" in report
    assert "Validation %" in report


def test_the_proxy_is_needed(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML % ("proxy", 5, "noise: mean"))
    assert "benchmarks[0]: `proxy` is missing; it is required." in refused("run", cwd=tmp_path)
