"""A report made from what a tracking server holds is that of the results folder, byte for byte."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.errors import TrackingError
from harness.tracking import fetch_sweep
from harness.tracking import track_results
from harness.tracking.connection import connect
from reports.build import build_report
from tests.harness.command import harness
from tests.harness.command import refused
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

EXPERIMENTS = """
tracking: {{uri: "sqlite:///mlflow.db"}}
models:
  scripted: {{kind: openai, base_url: "{url}", model: scripted}}
sweeps:
  small:
    benchmarks: [nasbench201]
    strategies: [random_search, {{name: lm_searcher, model: scripted}}]
    budget: {{trials: 5}}
    seeds: 2
"""

ENDED = {
    "ended": "2025-01-01T00:01:00+00:00",
    "totals": {
        "trials": 3,
        "architectures": 3,
        "duplicates": 0,
        "rejected": {},
        "search_seconds": 1.5,
        "llm_seconds": 0.75,
        "evaluation_seconds": 0.0,
        "llm_calls": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    },
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, because making MLflow's tables takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    (tmp_path / "server").mkdir()
    shutil.copyfile(empty_database, tmp_path / "server" / "mlflow.db")
    return f"sqlite:///{tmp_path}/server/mlflow.db"


def sweep_of(results: Path, budget: int = 3) -> Folder:
    """A sweep whose strategies have ended with both seeds, but for one run that failed and one that was not made."""
    folder = Folder(results / "handmade", ["random_search", "clever", "weak"], [0, 1])
    if budget != 3:
        plan = json.loads((folder.path / "sweep.json").read_text())
        (folder.path / "sweep.json").write_text(json.dumps(plan | {"budget": {"architectures": budget}}))
    spent = {"architectures": budget, "trials": None, "gpu_seconds": None, "duplicates_in_a_row": 1000}

    def run(strategy: str, seed: int, ncodes: str, **details: Any) -> None:
        details["record"] = ENDED | {"id": f"{strategy}-{seed}-{budget}"} | details.get("record", {})
        folder.run(strategy, seed, ncodes, spec={"budget": spent}, **details)

    run("random_search", 0, "00 11 01")
    run("random_search", 1, "12 00 01")
    trial, seconds = llm(call(key=transcript(results, "Which?")))
    asked = ENDED["totals"] | {"llm_calls": 1, "prompt_tokens": 100, "completion_tokens": 10}  # type: ignore[operator]
    run("clever", 0, "00 21 22", changes={1: trial}, timings={1: seconds}, record={"totals": asked})
    run("clever", 1, "00", status="failed", error="Traceback: é\n")
    run("weak", 0, "00 01 02")
    return folder


def transcript(results: Path, question: str) -> str:
    """Store a call as the client of models does, and give its key."""
    from llm_strategies.models.reply import Reply
    from llm_strategies.models.transcripts import Transcripts
    from llm_strategies.models.transcripts import request_key

    messages = [{"role": "user", "content": question}]
    request = {"model": {"name": "m"}, "messages": messages, "schema": None, "sampling": {}, "seed": 1}
    Transcripts(results / "transcripts").put(
        request,
        Reply(text="This <one>.", finish_reason="stop", prompt_tokens=100, completion_tokens=10, seconds=2.0),
    )
    return request_key(request)


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_the_command_line_makes_the_same_report_without_the_folder(tmp_path: Path) -> None:
    with ScriptedServer(legal) as endpoint:
        (tmp_path / "experiments.yaml").write_text(EXPERIMENTS.format(url=endpoint.base_url))
        harness("run", cwd=tmp_path)
    original = bytes_of(tmp_path / "results" / "small" / "report")
    (tmp_path / "results").rename(tmp_path / "away")
    said = harness("report", "--from-mlflow", "sqlite:///mlflow.db", cwd=tmp_path).stdout
    assert "Report: small-report/report.html" in said
    assert bytes_of(tmp_path / "small-report") == original
    assert b"lm_searcher" in original["report.html"]
    # Nothing else is left behind.
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "away",
        "experiments.yaml",
        "mlartifacts",
        "mlflow.db",
        "small-report",
    ]


def test_the_command_line_refuses_in_one_message(tmp_path: Path, uri: str) -> None:
    track_results(sweep_of(tmp_path / "results").path, uri)
    said = refused("report", "--from-mlflow", uri, "other", cwd=tmp_path)
    assert "there is no sweep 'other'" in said
    assert "There: handmade." in said
    said = refused("report", "--from-mlflow", uri, "--table", "collm-table3", cwd=tmp_path)
    assert "--table reads a folder of results" in said


def test_failed_and_missing_runs_and_calls_are_in_it(tmp_path: Path, uri: str) -> None:
    folder = sweep_of(tmp_path / "results")
    track_results(folder.path, uri)
    fetched = fetch_sweep(uri, "handmade", tmp_path / "fetched")
    assert (fetched.name, fetched.folder, fetched.remarks) == ("handmade", tmp_path / "fetched/handmade", ())
    assert bytes_of(tmp_path / "fetched") == bytes_of(tmp_path / "results")
    ours, theirs = (
        build_report(one, tmp_path / out) for one, out in ((folder.path, "a"), (fetched.folder, "b"))
    )
    assert bytes_of(ours.page.parent) == bytes_of(theirs.page.parent)
    page = theirs.page.read_text()
    for text in ("Traceback: é", "toy-a/weak/seed-1", "This &lt;one&gt;."):
        assert text in page


def test_of_a_sweep_with_several_budgets_the_newest_is_taken(tmp_path: Path, uri: str) -> None:
    for budget in (3, 7):
        folder = sweep_of(tmp_path / f"results{budget}", budget)
        for file in folder.path.rglob("run.json"):
            run = json.loads(file.read_text())
            file.write_text(json.dumps(run | {"ended": f"2025-01-01T00:0{budget}:00+00:00"}))
        track_results(folder.path, uri)
    fetched = fetch_sweep(uri, None, tmp_path / "fetched")
    assert bytes_of(tmp_path / "fetched") == bytes_of(tmp_path / "results7")
    assert fetched.remarks == (
        "handmade: the server has this sweep 2 times; the one whose runs ended last is taken.",
    )


def test_of_a_run_that_was_made_anew_with_other_arguments_the_last_is_taken(tmp_path: Path, uri: str) -> None:
    folder = sweep_of(tmp_path / "results")
    track_results(folder.path, uri)
    shutil.rmtree(folder.path / "toy-a/random_search/seed-0")
    record = ENDED | {"id": "another", "ended": "2025-01-01T00:05:00+00:00"}
    spec = {"strategy": {"name": "random_search", "params": {"more": 1}}}
    folder.run("random_search", 0, "22 21 20", record=record, spec=spec)
    track_results(folder.path, uri)
    fetched = fetch_sweep(uri, None, tmp_path / "fetched")
    assert bytes_of(tmp_path / "fetched") == bytes_of(tmp_path / "results")
    assert [remark.partition(":")[0] for remark in fetched.remarks] == ["toy-a/random_search/seed-0"]


def test_of_several_sweeps_one_must_be_named(tmp_path: Path, uri: str) -> None:
    folder = sweep_of(tmp_path / "results").path
    track_results(folder, uri)
    file = folder / "sweep.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": "again"}))
    track_results(folder, uri)
    with pytest.raises(
        TrackingError, match=r"which sweep\? Name one behind the URI. There: again, handmade\."
    ):
        fetch_sweep(uri, None, tmp_path / "fetched")
    assert fetch_sweep(uri, "again", tmp_path / "fetched").folder.name == "again"


@pytest.mark.parametrize("name", [None, "handmade"])
def test_a_server_without_sweeps_says_how_one_gets_there(tmp_path: Path, uri: str, name: str | None) -> None:
    with pytest.raises(
        TrackingError, match=r"there is no sweep.*; `harness track RESULTS --uri URI` logs one"
    ):
        fetch_sweep(uri, name, tmp_path / "fetched")
    folder = sweep_of(tmp_path / "results").path
    track_results(folder, uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name("handmade").experiment_id
    (run,) = client.search_runs([experiment], "tags.role = 'sweep'")
    client.delete_run(run.info.run_id)
    with pytest.raises(
        TrackingError, match="runs of the sweep 'handmade' are there, and not the sweep itself"
    ):
        fetch_sweep(uri, name, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_sweep_whose_runs_were_deleted_says_so(tmp_path: Path, uri: str) -> None:
    track_results(sweep_of(tmp_path / "results").path, uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name("handmade").experiment_id
    for run in client.search_runs([experiment], "params.seed LIKE '%'"):
        if "harness.run_id" in run.data.tags:
            client.delete_run(run.info.run_id)
    with pytest.raises(TrackingError, match="none of its runs: they were deleted"):
        fetch_sweep(uri, None, tmp_path / "fetched")


def test_a_server_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE letters (a)")
    before = other.read_bytes()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for uri, why in (
        (f"sqlite:///{tmp_path}/none/mlflow.db", "there is no such database"),
        (f"sqlite:///{other}", "this database is none of MLflow's"),
        (f"{tmp_path}/none", "there is no such folder"),
        (f"file://{tmp_path}/none", "there is no such folder"),
        (f"http://127.0.0.1:{port}", "MLflow at http"),
        ("sqlite://", "names no file or server"),
    ):
        with pytest.raises(TrackingError, match=why):
            fetch_sweep(uri, None, tmp_path / "fetched")
    assert list(tmp_path.iterdir()) == [other]
    assert other.read_bytes() == before


def test_artifacts_that_are_gone_are_named_with_their_place(tmp_path: Path, uri: str) -> None:
    track_results(sweep_of(tmp_path / "results").path, uri)
    artifacts = tmp_path / "server" / "mlartifacts"
    (of_run,) = (
        file
        for file in artifacts.rglob("run.json")
        if json.loads(file.read_text())["id"].startswith("weak-0")
    )
    of_run.unlink()
    with pytest.raises(
        TrackingError, match=r"run 'weak on toy-a, seed 0' has no artifact 'run.json' any more"
    ):
        fetch_sweep(uri, None, tmp_path / "fetched")
    artifacts.rename(tmp_path / "elsewhere")
    with pytest.raises(TrackingError) as error:
        fetch_sweep(uri, None, tmp_path / "fetched")
    assert "run 'sweep handmade' has no artifact 'sweep.json' any more" in str(error.value)
    assert str(artifacts) in str(error.value)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("benchmark", "../../out"), ("strategy", "/out"), ("seed", "0/../..")],
)
def test_no_file_is_written_outside_the_folder(tmp_path: Path, uri: str, tag: str, value: str) -> None:
    track_results(sweep_of(tmp_path / "results").path, uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name("handmade").experiment_id
    run = client.search_runs([experiment], "params.seed = '0'")[0]
    client.set_tag(run.info.run_id, tag, value)
    there = set(tmp_path.rglob("*"))
    with pytest.raises(TrackingError, match="is no name of a folder that the harness makes"):
        fetch_sweep(uri, None, tmp_path / "a" / "fetched")
    assert {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - there} <= {"a"}


def test_the_name_of_an_experiment_leads_nowhere_else(tmp_path: Path, uri: str) -> None:
    track_results(sweep_of(tmp_path / "results").path, uri)
    client = connect(uri)
    client.rename_experiment(client.get_experiment_by_name("handmade").experiment_id, "../out")
    with pytest.raises(TrackingError, match="is no name of a folder that the harness makes"):
        fetch_sweep(uri, None, tmp_path / "a" / "fetched")
    assert not (tmp_path / "a").exists()


def test_calls_that_were_changed_on_the_server_are_refused(tmp_path: Path, uri: str) -> None:
    track_results(sweep_of(tmp_path / "results").path, uri)
    (calls,) = (tmp_path / "server" / "mlartifacts").rglob("transcripts.jsonl")
    calls.write_text(calls.read_text().replace("Which?", "What?"))
    with pytest.raises(StoreError, match=r"transcripts\.jsonl:1: not an intact transcript"):
        fetch_sweep(uri, None, tmp_path / "fetched")
