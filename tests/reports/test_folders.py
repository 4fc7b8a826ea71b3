"""What is no results folder, or cannot be read: one message that says so, and exit code 2."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.cli import main
from tests.harness.command import harness
from tests.harness.command import obey_permissions
from tests.harness.command import refused
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def call(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """``harness`` in this process: exit code, and what it says on both streams, each in one line."""

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["harness", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), " ".join(said.out.split()), " ".join(said.err.split())

    return called


def _nothing(path: Path) -> Path:
    return path / "nowhere"


def _empty(path: Path) -> Path:
    return path


def _foreign(path: Path) -> Path:
    (path / "photos").mkdir()
    (path / "photos" / "sweep.json").mkdir()
    (path / "notes.txt").write_text("not ours")
    return path


def _file(path: Path) -> Path:
    (path / "file").write_text("")
    return path / "file"


def _run(path: Path) -> Path:
    return Folder(path / "s").run("random_search", 0, "00")


def _foreign_json(path: Path) -> Path:
    (path / "sweep.json").write_text(json.dumps({"command": "train.py", "method": "bayes"}))
    return path


def _half_written(path: Path) -> Path:
    folder = Folder(path / "s").path
    (folder / "sweep.json").write_text('{"format": 1, "na')
    return folder


def _without_runs(path: Path) -> Path:
    return Folder(path / "s").path


def _only_missing_records(path: Path) -> Path:
    folder = Folder(path / "s")
    (folder.run("random_search", 0, "00") / "run.json").unlink()
    return folder.path


NO_FOLDER_OF_RESULTS = [
    (_nothing, "there is no such folder"),
    (_empty, "this is no results folder"),
    (_foreign, "this is no results folder"),
    (_file, "this is a file"),
    (_run, "this is no results folder"),
]
NO_SWEEP_WITH_RUNS = [
    (_foreign_json, "sweep.json: this file is none of the harness"),
    (_half_written, "sweep.json: this file is no JSON"),
    (_without_runs, "this sweep has no run yet. Make one first"),
    (_only_missing_records, "this sweep has no run yet. Make one first"),
]


@pytest.mark.parametrize(
    ("make", "says", "table"),
    [
        *((make, says, ()) for make, says in NO_FOLDER_OF_RESULTS + NO_SWEEP_WITH_RUNS),
        *((make, says, ("--table", "collm-table3")) for make, says in NO_FOLDER_OF_RESULTS),
    ],
)
def test_what_is_no_results_folder_is_refused(tmp_path, call, make, says, table):
    folder = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, _, error = call("report", folder, *table)
    assert code == 2
    assert error.startswith(f"Error: {folder}")
    assert says in error
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written there"


@pytest.mark.parametrize(("make", "says"), NO_SWEEP_WITH_RUNS)
def test_a_table_of_a_paper_says_which_sweeps_are_not_in_it(tmp_path, call, make, says):
    folder = make(tmp_path)
    code, printed, _ = call("report", folder, "--table", "collm-table3")
    assert code == 0
    assert f"Sweep {folder.name} is left out" in printed
    assert says.partition(": ")[2] in printed


def test_an_unknown_table_names_those_that_there_are(compared, call):
    code, _, error = call("report", compared, "--table", "collm-table33")
    assert code == 2
    assert error.startswith("Error: ")
    assert "collm-table33" in error
    assert "collm-table3," in error


@pytest.mark.parametrize("locked", [".", "s", "s/sweep.json", "s/toy-a"])
def test_what_cannot_be_read_is_told(tmp_path, locked):
    top = tmp_path / "top"
    folder = Folder(top / "s")
    folder.run("random_search", 0, "00")
    (top / locked).chmod(0)
    try:
        said = refused("report", folder.path, cwd=tmp_path, preexec=obey_permissions)
    finally:
        (top / locked).chmod(0o700)
    assert "cannot be read: Permission denied" in said
    assert "make it readable" in said
    assert str(top / locked) in said
    assert "delete" not in said


def test_runs_that_cannot_be_read_are_left_out_and_named(tmp_path):
    folder = Folder(tmp_path / "s", seeds=range(6))
    runs = [folder.run("random_search", seed, "00 11") for seed in range(5)]
    runs.append(folder.run("random_search", 5, "00", status="failed", error="Traceback: it broke"))
    locked = [
        runs[1],
        runs[2] / "run.json",
        runs[3] / "trajectory.jsonl",
        runs[4] / "timings.jsonl",
        runs[5] / "error.txt",
    ]
    for path in locked:
        path.chmod(0)
    try:
        harness("report", folder.path, "--out", "out", cwd=tmp_path, preexec=obey_permissions)
    finally:
        for path in locked:
            path.chmod(0o700)
    told = (tmp_path / "out" / "report.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    for seed, file in ((1, "run.json"), (2, "run.json"), (3, "trajectory.jsonl"), (4, "timings.jsonl")):
        (line,) = (
            line for line in told.splitlines() if line.startswith(f"- toy-a/random_search/seed-{seed} ")
        )
        assert file in line
        assert "cannot be read" in line
        assert "Permission denied" in line
        assert line.endswith("it is left out.")
    assert "- toy-a/random_search/seed-5 failed." in told
    assert "error.txt cannot be read: Permission denied" in page
    assert "1/6" in told


def test_a_folder_of_runs_that_is_gone_is_missing(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "other"], [0, 1])
    for strategy in ("random_search", "other"):
        for seed in (0, 1):
            folder.run(strategy, seed, "00")
    shutil.rmtree(folder.path / "toy-a" / "other")
    harness("report", folder.path, "--out", "out", cwd=tmp_path)
    told = (tmp_path / "out" / "report.md").read_text()
    assert "- toy-a/other/seed-0 is missing." in told
    assert "- toy-a/other/seed-1 is missing." in told
