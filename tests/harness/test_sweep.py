"""Sweeps: any number of workers, kills at any moment, failures, retries, what is missing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from harness import registry
from tests.harness.command import harness
from tests.harness.command import kill
from tests.harness.command import refused
from tests.harness.command import start
from tests.harness.results import statuses
from tests.harness.results import trajectories
from tests.strategy_checks import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SWEEP = """\
results: {results}
tracking: {{uri: null}}
models:
  small: {{kind: embedded}}
sweeps:
  s:
    benchmarks: [{{name: nasbench201, dataset: [cifar10, cifar100]}}]
    objective: {{noise: drawn}}
    strategies: [{strategies}]
    seeds: {seeds}
    budget: {{{budget}}}
"""


def write(
    path: Path,
    results: str,
    *,
    strategies: str = "random_search, regularized_evolution",
    seeds: int = 2,
    budget: str = "architectures: 15",
) -> Path:
    file = path / f"{results}.yaml"
    file.write_text(SWEEP.format(results=results, strategies=strategies, seeds=seeds, budget=budget))
    return file


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    harness("run", "--no-report", write(tmp_path, "one"), "--workers", "1", cwd=tmp_path)
    harness("run", "--no-report", write(tmp_path, "three"), "--workers", "3", cwd=tmp_path)
    assert len(trajectories(tmp_path / "one")) == 8
    assert trajectories(tmp_path / "one") == trajectories(tmp_path / "three")


def strike(file: Path, results: Path, longest: float, *, group: bool, seed: int) -> bool:
    """Start a sweep and kill it at a random moment while a run is under way.

    Returns:
        Whether the kill left an unfinished run with some of its trials.
    """
    process = start("run", "--no-report", file, cwd=file.parent)
    deadline = time.monotonic() + 60
    before = trajectories(results)
    while trajectories(results) == before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(np.random.default_rng(seed).uniform(0, longest))
    kill(process, group=group)
    for record in results.rglob("run.json"):
        if json.loads(record.read_text())["status"] == "running":
            trajectory = record.with_name("trajectory.jsonl")
            if trajectory.exists() and trajectory.stat().st_size:
                return True
    return False


def test_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    # Those that need a model have a test of their own, and `bohb` needs a table with several fidelities. The proxies of
    # `proxy_ensemble`, and those that train a supernet, need images.
    strategies = []
    for name in registry.names("strategy"):
        cls = registry.load("strategy", name)
        if name not in {"bohb", "proxy_ensemble"} and not cls.model_parameters and cls.uses_scores:
            strategies.append(name)
    strategies.append("{name: proxy_ensemble, proxies: [flops]}")
    tiny = next(case.params for case in STRATEGIES if case.name == "darts")
    strategies.append(json.dumps({"name": "darts", **tiny}))
    size = {"strategies": ", ".join(strategies), "seeds": 2, "budget": "trials: 250"}
    whole = write(tmp_path, "whole", **size)  # type: ignore[arg-type]
    cut = write(tmp_path, "cut", **size)  # type: ignore[arg-type]
    harness("run", "--no-report", whole, cwd=tmp_path)
    seed = int(np.random.default_rng().integers(2**31))
    struck = [
        strike(cut, tmp_path / "cut", 0.3, group=attempt % 2 == 0, seed=seed + attempt)
        for attempt in range(6)
    ]
    assert any(struck), f"no kill struck a run (seed {seed})"
    harness("run", "--no-report", cut, cwd=tmp_path)
    assert trajectories(tmp_path / "cut" / "s") == trajectories(tmp_path / "whole" / "s"), f"seed {seed}"


@pytest.mark.llm
def test_kills_at_random_moments_change_nothing_with_a_model(tmp_path: Path) -> None:
    size = {"strategies": "{name: lm_searcher, model: small}", "seeds": 1, "budget": "architectures: 11"}
    whole = write(tmp_path, "whole", **size)  # type: ignore[arg-type]
    cut = write(tmp_path, "cut", **size)  # type: ignore[arg-type]
    began = time.monotonic()
    harness("run", "--no-report", whole, cwd=tmp_path)
    duration = time.monotonic() - began
    seed = int(np.random.default_rng().integers(2**31))
    struck = [
        strike(cut, tmp_path / "cut", 0.3 * duration, group=attempt % 2 == 0, seed=seed + attempt)
        for attempt in range(3)
    ]
    assert any(struck), f"no kill struck a run (seed {seed})"
    harness("run", "--no-report", cut, cwd=tmp_path)
    assert trajectories(tmp_path / "cut" / "s") == trajectories(tmp_path / "whole" / "s"), f"seed {seed}"


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    file = write(tmp_path, "results", strategies="tpe", seeds=8, budget="trials: 5000")
    process = start("run", "--no-report", file, cwd=tmp_path)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 30
    while len(children) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
    kill(process, group=False)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children
    assert not alive


def test_ctrl_c_ends_at_once_and_the_same_command_goes_on(tmp_path: Path) -> None:
    size = {"strategies": "tpe", "budget": "trials: 400"}
    cut = write(tmp_path, "cut", **size)  # type: ignore[arg-type]
    whole = write(tmp_path, "whole", **size)  # type: ignore[arg-type]
    process = start("run", "--no-report", cut, cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not trajectories(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    harness("run", "--no-report", cut, cwd=tmp_path)
    harness("run", "--no-report", whole, cwd=tmp_path)
    assert trajectories(tmp_path / "cut") == trajectories(tmp_path / "whole")


def test_running_again_runs_nothing_again(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, cwd=tmp_path)
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "results").rglob("seed-*/*")}
    said = harness("run", "--no-report", file, cwd=tmp_path).stdout
    assert "8 of 8 runs are finished already" in said
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "results").rglob("seed-*/*")} == before


def test_more_seeds_keep_the_runs_that_are_there(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, cwd=tmp_path)
    before = trajectories(tmp_path / "results")
    harness("run", "--no-report", file, "--seeds", "0:3", cwd=tmp_path)
    after = trajectories(tmp_path / "results")
    assert len(after) == 12
    assert before.items() <= after.items()


def test_fewer_seeds_now_are_not_fewer_seeds_of_the_sweep(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, "--seeds", "1:2", cwd=tmp_path)
    assert len(trajectories(tmp_path / "results")) == 4
    assert json.loads((tmp_path / "results" / "s" / "sweep.json").read_text())["seeds"] == [0, 1]


def test_a_damaged_record_costs_no_other_run(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, "--only", "*cifar10/random*", cwd=tmp_path)
    record = next((tmp_path / "results").rglob("run.json"))
    for damage in (b"", b"[1]", b"\xff\x00", b'{"format": 1}'):
        record.write_bytes(damage)
        said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
        assert "delete the run's folder" in said
        assert len(trajectories(tmp_path / "results")) == 8
    shutil.rmtree(record.parent)
    harness("run", "--no-report", file, cwd=tmp_path)


def test_only_makes_some_runs_and_the_sweep_knows_the_rest(tmp_path: Path) -> None:
    file = write(tmp_path, "results")
    harness("run", "--no-report", file, "--only", "*cifar100/random*", cwd=tmp_path)
    assert len(trajectories(tmp_path / "results")) == 2
    assert len(json.loads((tmp_path / "results" / "s" / "sweep.json").read_text())["runs"]) == 8
    assert "fits no run" in refused("run", file, "--only", "randm", cwd=tmp_path)


FRAGILE = """\
import os, signal
from pathlib import Path
from harness.strategy import Strategy

class Fragile(Strategy):
    '''Breaks in a way of its own until it is mended.'''

    def __init__(self, *, way: str = "raise", space=None, seed=None):
        super().__init__(space=space, seed=seed)
        self.way = way

    def propose(self, history):
        if history.number == 4 and not Path({marker!r}).exists():
            if self.way == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("broken on purpose")
        return history.space.random(history.rng)
"""


@pytest.mark.parametrize("way", ["raise", "die"])
def test_a_failed_run_takes_no_other_with_it_and_can_be_retried(
    tmp_path: Path, plugin: Callable[[str, dict[str, str]], None], way: str
) -> None:
    marker = tmp_path / "mended"
    plugin(FRAGILE.format(marker=str(marker)), {"fragile": "Fragile"})
    strategies = f"random_search, {{name: fragile, way: {way}}}"
    file = write(tmp_path, "results", strategies=strategies, seeds=3, budget="trials: 15")
    said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
    assert said.count("failed ") >= 6
    found = statuses(tmp_path / "results")
    assert {s for run, s in found.items() if "random_search" in run} == {"complete"}
    assert {s for run, s in found.items() if "fragile" in run} == {"failed"}
    errors = [f.read_text() for f in (tmp_path / "results").rglob("error.txt")]
    assert len(errors) == 6
    assert all(("broken on purpose" if way == "raise" else "worker process died") in e for e in errors)

    again = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
    assert "--retry-failed" in again, "a failed run is not made again unasked"
    before = trajectories(tmp_path / "results")
    marker.touch()
    harness("run", "--no-report", file, "--retry-failed", cwd=tmp_path)
    assert not list((tmp_path / "results").rglob("error.txt"))
    after = trajectories(tmp_path / "results")
    assert all(after[run].startswith(content) for run, content in before.items())
    assert {content.count(b"\n") for content in after.values()} == {15}
