"""Whole sweeps on vLLM, with servers and processes that are killed in the middle of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from llm_strategies.models.client import list_models
from tests.harness.command import harness
from tests.harness.command import start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.models import Endpoint

pytestmark = pytest.mark.vllm

OPTIONS = ("--no-track", "--no-report")


def write(folder: Path, kind: str, **parameters: Any) -> Path:
    """An experiments file with a small search on a model."""
    file = folder / "experiments.yaml"
    content = {
        "models": {"tiny": {"kind": kind, **parameters}},
        "sweeps": {
            "small": {
                "benchmarks": ["nasbench201"],
                "strategies": [{"name": "lm_searcher", "model": "tiny", "temperature": 1.0}],
                "budget": {"architectures": 40},
                "seeds": 2,
            }
        },
    }
    folder.mkdir(exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        YAML().dump(content, stream)
    return file


def trajectories(folder: Path) -> dict[str, bytes]:
    files = sorted((folder / "results" / "small").rglob("trajectory.jsonl"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def statuses(folder: Path) -> set[str]:
    files = (folder / "results" / "small").rglob("run.json")
    return {json.loads(file.read_text(encoding="utf-8"))["status"] for file in files}


def calls(folder: Path) -> int:
    return len(list((folder / "results" / "transcripts").glob("??/*.json")))


def wait_for(folder: Path, number: int, process: Any) -> list[psutil.Process]:
    """Wait until as many calls are recorded; returns all that the process has started."""
    deadline = time.monotonic() + 600
    while calls(folder) < number:
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: Iterable[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(list(processes), timeout=60)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_server_and_harness_killed_in_mid_run(
    server: Endpoint, settings: dict[str, Any], tmp_path: Path
) -> None:
    port = int(server.base_url.removesuffix("/v1").rsplit(":", 1)[1])
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    # A server that answers on the declared port is used, and left running.
    write(whole, "vllm", **settings, port=port)
    harness("run", *OPTIONS, cwd=whole)
    assert statuses(whole) == {"complete"}
    assert list_models(server) == ["tiny"]

    # A server of the sweep's own, killed with all its processes.
    write(cut, "vllm", **settings)
    process = start("run", *OPTIONS, cwd=cut)
    started = wait_for(cut, 10, process)
    (watcher,) = (child for child in started if "llm_strategies.models.watched_process" in child.cmdline())
    os.killpg(watcher.pid, signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    assert statuses(cut) == {"parked"}
    assert_gone(started)
    before = calls(cut)
    assert before < calls(whole)

    # The harness killed: its server must not outlive it.
    process = start("run", *OPTIONS, cwd=cut)
    started = wait_for(cut, before + 5, process)
    assert any("EngineCore" in child.name() or "EngineCore" in " ".join(child.cmdline()) for child in started)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert_gone(started)

    write(cut, "vllm", **settings, port=port)
    harness("run", *OPTIONS, cwd=cut)
    assert statuses(cut) == {"complete"}
    assert trajectories(cut) == trajectories(whole)
    assert len(trajectories(cut)) == 2


def test_engine_in_the_process_of_the_sweep(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    write(folder, "vllm_engine", **settings)
    process = start("run", *OPTIONS, cwd=folder)
    started = wait_for(folder, 10, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert_gone(started)

    harness("run", *OPTIONS, cwd=folder)
    assert statuses(folder) == {"complete"}

    # Neither an engine nor vLLM is needed to make the same sweep again.
    again = tmp_path / "again"
    write(again, "vllm_engine", **settings)
    shutil.copytree(folder / "results" / "transcripts", again / "results" / "transcripts")
    harness("run", *OPTIONS, "--replay", "strict", cwd=again)
    assert trajectories(again) == trajectories(folder)
    assert len(trajectories(again)) == 2


def test_model_that_cannot_be_loaded(settings: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "vllm", **{**settings, "max_model_len": 10**6})
    done = harness("run", *OPTIONS, cwd=tmp_path, check=None)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "the vLLM server of 'tiny' ended with code" in said
    assert "max_model_len (1000000) is greater than the derived max_model_len" in said
