"""Reading a results folder: finished, unfinished, damaged, foreign."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from harness.errors import StoreError
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.reports.conftest import Row


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
    folder.run("random_search", 1, "00 01 02")
    file = folder.run("random_search", 0, "00 01 02") / "trajectory.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], line, lines[2]]) + "\n")
    results = load_results(folder.path)
    assert list(results.runs["seed"]) == [1], "a damaged run costs no other one"
    (reason,) = results.left_out.values()
    assert str(file) in reason
    assert says in reason
    assert reason in results.remarks


def _no_folder(path: Path) -> Path:
    return path / "nowhere"


def _no_sweep(path: Path) -> Path:
    return path


def _above(path: Path) -> Path:
    Folder(path / "results" / "mine")
    return path / "results"


def _other_format(path: Path) -> Path:
    folder = Folder(path / "s").path
    (folder / "sweep.json").write_text(json.dumps({"format": 2, "name": "s"}))
    return folder


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


def _odd_runs(path: Path) -> Path:
    folder = Folder(path / "s").path
    _change(folder / "sweep.json", {"runs": [1, 2]})
    return folder


def _runs_elsewhere(path: Path) -> Path:
    folder = Folder(path / "s").path
    _change(folder / "sweep.json", {"runs": ["toy-a"]})
    return folder


def _odd_benchmarks(path: Path) -> Path:
    folder = Folder(path / "s").path
    _change(folder / "sweep.json", {"benchmarks": [1, [2]]})
    return folder


def _no_budget(path: Path) -> Path:
    folder = Folder(path / "s").path
    _change(folder / "sweep.json", {"budget": {}})
    return folder


def _a_list(path: Path) -> Path:
    folder = Folder(path / "s").path
    (folder / "sweep.json").write_text("[]")
    return folder


def _only_damaged(path: Path) -> Path:
    folder = Folder(path / "s")
    folder.run("random_search", 0, "00", status="odd")
    return folder.path


def _change(file: Path, keys: Row) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_no_folder, "there is no such folder"),
        (_a_file, "this is a file"),
        (_no_sweep, "no results folder of a sweep"),
        (_above, "It holds the sweeps mine"),
        (_other_format, "layout 2; this one reads 1"),
        (_no_run, "no run yet"),
        (_binary, r"sweep\.json: this file is no JSON"),
        (_a_list, r"damaged \(no JSON object\)"),
        (_no_strategies, r"damaged \(benchmarks: Field required\)"),
        (_odd_runs, r"damaged \(runs\.0: "),
        (_runs_elsewhere, r"damaged \(runs\.0: "),
        (_odd_benchmarks, r"damaged \(benchmarks\.0: "),
        (_no_budget, r"damaged \(budget: .*a budget needs at least one"),
        (_only_damaged, r"no run that counts\. toy-a/random_search/seed-0 has a run\.json that is damaged"),
    ],
)
def test_what_is_no_results_folder_is_refused(tmp_path, make, says):
    with pytest.raises(StoreError, match=says):
        load_results(make(tmp_path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no JSON"),
        (b'{"format": 1, "id": "a', "is no JSON"),
        (b"\xff\x00\x12", "is no JSON"),
        (b'{"format": 1, "id": "\xff"}', "is no JSON"),
        (b"[1]", "is damaged (no JSON object)"),
        (b'{"format": 1}', "is damaged (id: Field required)"),
        (b'{"format": 2}', "was made by another version of the harness (layout 2; this one reads 1)"),
        ({"data": {}}, "is damaged (data.source: Field required)"),
        ({"metric": {}}, "is damaged (metric.name: Field required)"),
        ({"spec": {}}, "is damaged (spec.strategy: Field required)"),
        ({"totals": [1]}, "is damaged (totals: "),
        ({"totals": {"rejected": 3}}, "is damaged (totals.rejected: "),
        ({"recommendation": [1]}, "is damaged (recommendation: "),
        ({"recommendation": {"ncode": 12, "text": ""}}, "is damaged (recommendation.ncode: "),
        ({"status": "odd"}, "is damaged (status: "),
        ({"versions": 3}, "is damaged (versions: "),
        ({"git": "c0ffee"}, "is damaged (git: "),
        ({"host": {}}, "is damaged (host.cpus: "),
        ({"sessions": 1}, "is damaged (sessions: "),
        ({"started": 5}, "is damaged (started: "),
        ({"id": None}, "is damaged (id: "),
    ],
)
def test_a_damaged_run_is_left_out_and_named(tmp_path, content, says):
    folder = Folder(tmp_path / "s", seeds=[0, 1])
    folder.run("random_search", 0, "00 11")
    file = folder.run("random_search", 1, "22") / "run.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        _change(file, content)
    results = load_results(folder.path)
    assert list(results.runs["seed"]) == [0]
    (sentence,) = results.remarks
    assert sentence.startswith(f"toy-a/random_search/seed-1 has a run.json that {says}")
    assert sentence.endswith("; it is left out.")
    assert results.left_out == {"toy-a/random_search/seed-1": sentence}
    # It is there, so `harness run` would not make it.
    assert results.missing == ()


def test_a_copy_is_left_out(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0, 1])
    original = folder.run("random_search", 0, "00 11")
    folder.run("random_search", 1, "22")
    for name in ("random_search/seed-9", "random_search/seed-00", "random_search/seed-0.bak", "other/seed-0"):
        shutil.copytree(original, folder.path / "toy-a" / name)
    results = load_results(folder.path)
    assert list(results.runs["seed"]) == [0, 1]
    assert results.strategies == ("random_search",)
    assert results.remarks == (
        "toy-a/other/seed-0 is a copy of toy-a/random_search/seed-0; it is left out.",
        "toy-a/random_search/seed-0.bak is a copy of seed-0; it is left out.",
        "toy-a/random_search/seed-00 is a copy of seed-0; it is left out.",
        "toy-a/random_search/seed-9 is a copy of seed-0; it is left out.",
    )


def test_a_renamed_run_is_left_out(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0, 1])
    folder.run("random_search", 0, "00 11")
    folder.run("random_search", 5, "22").rename(folder.path / "toy-a" / "random_search" / "seed-1")
    results = load_results(folder.path)
    assert results.remarks == ("toy-a/random_search/seed-1 holds the run seed-5; it is left out.",)


def test_no_run_counts_twice_although_its_labels_were_changed(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[3])
    folder.run("random_search", 3, "00 11")
    folder.run("random_search", 1, "00 11", record={"id": "random_search-3"})
    results = load_results(folder.path)
    # The planned one counts, although the other comes first by its seed.
    assert list(results.runs["seed"]) == [3]
    assert results.remarks == ("toy-a/random_search/seed-1 is a copy of seed-3; it is left out.",)


def test_a_run_beside_the_plan_counts(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0])
    folder.run("random_search", 0, "00")
    folder.run("random_search", 4, "11")
    folder.run("later", 0, "11")
    results = load_results(folder.path)
    assert list(results.runs["path"]) == [
        "toy-a/random_search/seed-0",
        "toy-a/random_search/seed-4",
        "toy-a/later/seed-0",
    ]
    assert results.remarks == ()


_BUDGET = {"architectures": 3, "trials": None, "gpu_seconds": None, "duplicates_in_a_row": 1000}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"budget": _BUDGET | {"architectures": 500}},
            "holds a run of another budget (architectures 500, not 3)",
        ),
        (
            {"budget": _BUDGET | {"duplicates_in_a_row": 7}},
            "holds a run of another budget (duplicates_in_a_row 7, not 1000)",
        ),
        (
            {"objective": {"fidelity": 10, "noise": "drawn"}},
            "holds a run of another objective (fidelity 10, not 100, noise 'drawn', not 'mean')",
        ),
        (
            {"strategy": {"name": "random_search", "params": {"sample": 3}}},
            "holds a run of another strategy than seed-1 (params.sample 3, not None)",
        ),
        (
            {"benchmark": {"name": "toy", "params": {"splits": ["valid"]}}},
            "holds a run of another benchmark than seed-1 (params.splits ['valid'], not ['valid', 'test'])",
        ),
        (
            {"models": {"m": {"size": 1}}},
            "holds a run of other models than seed-1 (m {'size': 1}, not None)",
        ),
    ],
)
def test_a_run_of_another_specification_is_left_out(tmp_path, spec, says):
    folder = Folder(tmp_path / "s", seeds=[0, 1, 2])
    folder.run("random_search", 0, "22", spec=spec)
    folder.run("random_search", 1, "00")
    folder.run("random_search", 2, "00")
    results = load_results(folder.path)
    assert list(results.runs["seed"]) == [1, 2]
    assert results.remarks == (f"toy-a/random_search/seed-0 {says}; it is left out.",)


def test_another_benchmark_under_the_same_label_is_left_out(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "a"])
    folder.run("random_search", 0, "00")
    folder.benchmark = {"name": "toy", "params": {"splits": ["valid"]}}
    folder.run("a", 0, "00")
    assert (
        load_results(folder.path)
        .remarks[0]
        .startswith("toy-a/a/seed-0 holds a run of another benchmark than toy-a/random_search/seed-0")
    )


def test_planned_runs_say_what_the_strategy_is(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[3])
    folder.run("random_search", 3, "00")
    for seed in (0, 1):
        folder.run(
            "random_search", seed, "22", spec={"strategy": {"name": "random_search", "params": {"a": 1}}}
        )
    assert list(load_results(folder.path).runs["seed"]) == [3]


def test_a_sweep_that_leaves_the_fidelity_to_the_benchmark(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0, 1, 2])
    _change(folder.path / "sweep.json", {"objective": {"fidelity": None, "noise": "mean"}})
    folder.run("random_search", 0, "00", spec={"objective": {"fidelity": 10, "noise": "mean"}})
    folder.run("random_search", 1, "00")
    folder.run("random_search", 2, "00")
    results = load_results(folder.path)
    assert list(results.runs["seed"]) == [1, 2]
    assert "another objective than seed-1 (fidelity 10, not 100)" in results.remarks[0]


def test_totals_of_a_run_that_goes_on_are_those_of_its_trials(tmp_path):
    folder = Folder(tmp_path / "s")
    zeros = dict.fromkeys(("trials", "llm_calls", "prompt_tokens", "completion_tokens"), 0)
    seconds = dict.fromkeys(("search_seconds", "llm_seconds", "evaluation_seconds"), 0.0)
    llm = {"calls": 1, "prompt_tokens": 100, "completion_tokens": 7}
    folder.run(
        "random_search",
        0,
        "00 01",
        status="running",
        changes={1: {"llm": llm, "rejected": {"a": 2}}},
        record={"ended": None, "sessions": [{}], "totals": {**zeros, **seconds, "rejected": {}}},
    )
    results = load_results(folder.path)
    run = results.runs.iloc[0]
    assert run["search_seconds"] == 1.0
    assert (run["llm_calls"], run["prompt_tokens"], run["rejected"]) == (1, 100, 2)
    assert results.remarks == ()


def test_hundreds_of_runs_load_in_a_moment(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], range(200))
    for seed in range(200):
        folder.run("random_search", seed, " ".join(["00", "11", "21", "20"] * 25))
    began = time.perf_counter()
    results = load_results(folder.path)
    assert len(results.trials) == 20_000
    # Measured 0.2 s; the limit is for a busy machine.
    assert time.perf_counter() - began < 2
