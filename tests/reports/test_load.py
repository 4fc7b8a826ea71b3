"""Reading a results folder: finished, unfinished, damaged, foreign."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from harness.errors import DataError
from harness.errors import HarnessError
from harness.errors import StoreError
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path


def test_frames(compared):
    results = load_results(compared)
    assert results.name == "handmade"
    assert results.benchmarks == ("toy-a",)
    assert results.strategies == ("random_search", "regularized_evolution")
    assert list(results.runs["seed"]) == [0, 1, 2, 0, 1, 2]
    run = results.runs.iloc[3]
    assert (run["trials"], run["architectures"], run["duplicates"]) == (4, 3, 1)
    assert run["gpu_seconds"] == 2700
    assert run["search_seconds"] == 2.0
    assert list(results.trials.query("run == 3")["valid"]) == [50, 71, 50, 70]
    assert len(results.timings) == len(results.trials) == 19
    assert results.missing == results.remarks == ()


def test_the_order_is_that_of_the_sweep(tmp_path):
    folder = Folder(tmp_path / "s", ["zebra", "ant"], [10, 9])
    for strategy in ("ant", "zebra"):
        for seed in (9, 10):
            folder.run(strategy, seed, "00")
    runs = load_results(folder.path).runs
    assert list(zip(runs["strategy"], runs["seed"], strict=True)) == [
        ("zebra", 9),
        ("zebra", 10),
        ("ant", 9),
        ("ant", 10),
    ]


def test_model_use_and_rejected_replies_are_summed(tmp_path):
    folder = Folder(tmp_path / "s")
    llm = {"calls": 1, "prompt_tokens": 100, "completion_tokens": 7}
    folder.run(
        "random_search",
        0,
        "00 01 02",
        changes={0: {"llm": llm}, 2: {"llm": llm, "rejected": {"a": 2, "b": 1}}},
    )
    run = load_results(folder.path).runs.iloc[0]
    assert (run["llm_calls"], run["prompt_tokens"], run["completion_tokens"], run["rejected"]) == (
        2,
        200,
        14,
        3,
    )


def test_what_was_spent_after_the_last_trial_counts(tmp_path):
    folder = Folder(tmp_path / "s")
    totals = {"trials": 1, "rejected": {"illegal choice": 5}, "prompt_tokens": 900, "llm_seconds": 3.5}
    folder.run("random_search", 0, "00", status="exhausted", record={"totals": totals})
    run = load_results(folder.path).runs.iloc[0]
    assert (run["rejected"], run["prompt_tokens"], run["llm_seconds"]) == (5, 900, 3.5)


def test_missing_and_unfinished_runs_are_told(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], [0, 1, 2])
    folder.run("random_search", 0, "00 01")
    folder.run("random_search", 1, "00", status="running")
    results = load_results(folder.path)
    assert results.missing == ("toy-a/random_search/seed-2",)
    assert list(results.runs["finished"]) == [True, False]
    assert results.runs["ncode"].iloc[1] is None


def test_a_run_that_has_no_trial_yet(tmp_path):
    folder = Folder(tmp_path / "s")
    path = folder.run("random_search", 0, "", status="running")
    (path / "trajectory.jsonl").unlink()
    (path / "timings.jsonl").unlink()
    assert load_results(folder.path).runs["trials"].tolist() == [0]


@pytest.mark.parametrize("tail", [b'{"trial":2,"nco', b'{"trial":2,"nco\n'])
def test_a_half_written_last_line_is_left_out(tmp_path, tail):
    folder = Folder(tmp_path / "s")
    path = folder.run("random_search", 0, "00 01", status="running")
    with (path / "trajectory.jsonl").open("ab") as file:
        file.write(tail)
    results = load_results(folder.path)
    assert len(results.trials) == 2
    assert "last line of trajectory.jsonl" in results.remarks[0]


def test_lost_trials_of_a_finished_run_are_remarked(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "00 01", record={"totals": {"trials": 3}})
    assert "ended after 3 trials, but its trajectory holds 2" in load_results(folder.path).remarks[0]


def test_a_folder_without_run_json_is_remarked(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0, 1])
    folder.run("random_search", 0, "00")
    (folder.run("random_search", 1, "00") / "run.json").unlink()
    results = load_results(folder.path)
    assert "seed-1 has no run.json" in results.remarks[0]
    assert results.missing == ("toy-a/random_search/seed-1",)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("not json", "line 2: no JSON"),
        ('{"trial": 1}', "line 2: 'ncode' is missing or of a wrong type"),
        (
            '{"trial":1,"ncode":"00","state":"complete","valid":"high","fidelity":1,"gpu_seconds":1,"duplicate":false}',
            "line 2: 'valid' is missing or of a wrong type",
        ),
        ("[1, 2]", "line 2: 'trial' is missing or of a wrong type"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, says):
    folder = Folder(tmp_path / "s")
    file = folder.run("random_search", 0, "00 01 02") / "trajectory.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], line, lines[2]]) + "\n")
    with pytest.raises(DataError) as error:
        load_results(folder.path)
    assert str(error.value).startswith(str(file))
    assert says in str(error.value)


def _no_folder(path: Path) -> Path:
    return path / "nowhere"


def _no_sweep(path: Path) -> Path:
    return path


def _above(path: Path) -> Path:
    Folder(path / "results" / "mine")
    return path / "results"


def _other_format(path: Path) -> Path:
    folder = Folder(path / "s")
    folder.run("random_search", 0, "00", record={"format": 2})
    return folder.path


def _no_run(path: Path) -> Path:
    return Folder(path / "s").path


def _a_file(path: Path) -> Path:
    (path / "f").write_text("")
    return path / "f"


def _binary(path: Path) -> Path:
    folder = Folder(path / "s").path
    (folder / "sweep.json").write_bytes(b"\xff\x00\x12")
    return folder


def _no_strategies(path: Path) -> Path:
    folder = Folder(path / "s").path
    (folder / "sweep.json").write_text(json.dumps({"format": 1, "name": "s"}))
    return folder


def _unknown_status(path: Path) -> Path:
    folder = Folder(path / "s")
    folder.run("random_search", 0, "00", status="odd")
    return folder.path


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (_no_folder, StoreError, "there is no such folder"),
        (_a_file, StoreError, "there is no such folder"),
        (_no_sweep, StoreError, "no results folder of a sweep"),
        (_above, StoreError, "It holds the sweeps mine"),
        (_other_format, StoreError, "layout 2; this one reads 1"),
        (_no_run, StoreError, "no run yet"),
        (_binary, DataError, "no JSON"),
        (_no_strategies, DataError, "'benchmarks' is missing"),
        (_unknown_status, DataError, "unknown status 'odd'"),
    ],
)
def test_what_is_no_results_folder_is_refused(tmp_path, make, kind, says):
    with pytest.raises(kind, match=says) as error:
        load_results(make(tmp_path))
    assert isinstance(error.value, HarnessError)


def test_hundreds_of_runs_load_in_a_moment(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], range(200))
    for seed in range(200):
        folder.run("random_search", seed, " ".join(["00", "11", "21", "20"] * 25))
    began = time.perf_counter()
    results = load_results(folder.path)
    assert len(results.trials) == 20_000
    # Measured 0.2 s; the limit is for a busy machine.
    assert time.perf_counter() - began < 2
