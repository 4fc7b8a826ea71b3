"""Runs that ask models: beside each other, in processes or threads, and ended in any way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING
from typing import Any

import psutil
import pytest

from harness.experiment import read_experiments
from harness.sweep import run_sweep
from llm_strategies.models import engines
from llm_strategies.models.reply import Reply
from tests.harness.command import harness
from tests.harness.command import start
from tests.harness.results import record
from tests.harness.results import statuses
from tests.harness.results import trajectories
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from pathlib import Path

    from harness.search import Outcome

SWEEP = """\
results: {results}
tracking: {{uri: null}}
models:
  served: {model}
  other: {other}
sweeps:
  s:
    benchmarks: [{{name: nasbench201, dataset: cifar10}}]
    strategies: [{strategies}]
    seeds: {seeds}
    budget: {{trials: 8}}
"""
ASKING = "{name: lm_searcher, model: served}"


def write(
    path: Path,
    model: str,
    *,
    results: str = "results",
    other: str = "{kind: openai, base_url: 'http://127.0.0.1:9/v1', model: m}",
    strategies: str = ASKING,
    seeds: int = 3,
) -> Path:
    file = path / f"{results}.yaml"
    file.write_text(
        SWEEP.format(results=path / results, model=model, other=other, strategies=strategies, seeds=seeds)
    )
    return file


def served(server: ScriptedServer, **more: Any) -> str:
    return json.dumps({"kind": "openai", "base_url": server.endpoint.base_url, "model": "scripted", **more})


class Quiet:
    """A sweep's progress that keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def begin(self, total: int, earlier: int) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def message(self, text: str) -> None:
        pass


def sweep(path: Path) -> list[Outcome]:
    """Make a sweep in this process."""
    file = read_experiments(path)
    specs = file.plan("s")
    progress = Quiet()
    run_sweep(
        file,
        "s",
        specs,
        planned=specs,
        results=path.parent / file.experiments.results,
        workers=1,
        tracking_uri=None,
        retry_failed=False,
        progress=progress,
    )
    return progress.outcomes


def test_as_many_runs_ask_as_the_model_takes(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def answer(request: Mapping[str, Any]) -> Answer:
        # The first three wait for each other; nobody would come if runs were made one by one.
        if len(server.requests) <= 3:
            together.wait(timeout=60)
        return legal(request)

    server = ScriptedServer(answer)
    with server:
        file = write(tmp_path, served(server, concurrency=3, gpus=1.0), seeds=6)
        began = time.perf_counter()
        outcomes = sweep(file)
        elapsed = time.perf_counter() - began
    assert [outcome.status for outcome in outcomes] == ["complete"] * 6
    assert server.most_in_flight == 3
    paid = sum(record(outcome.path)["totals"]["llm_gpu_seconds"] for outcome in outcomes)
    assert 0 < paid <= elapsed, "nobody pays for a second that another one pays"
    with ScriptedServer() as plain:
        alone = write(
            tmp_path,
            json.dumps({"kind": "openai", "base_url": plain.base_url, "model": "scripted", "concurrency": 1}),
            results="alone",
            seeds=6,
        )
        sweep(alone)
    assert trajectories(tmp_path / "results" / "s") == trajectories(tmp_path / "alone" / "s")


IN_PROCESS = """\
from harness.models import Endpoint
from llm_strategies.models import engines

class Inside:
    '''Lives in the process of the sweep.'''

    operational_parameters = frozenset()
    concurrency = 4

    def describe(self):
        return Endpoint("", "scripted")

    def start(self):
        return Endpoint("", "scripted", gpus=1.0, in_process="test")

    def stop(self):
        engines.remove("test")

    @classmethod
    def check(cls):
        return None
"""


class Inside:
    """An engine that answers when ``together`` requests wait for it."""

    def __init__(self, together: int) -> None:
        self.together = together
        self.threads: set[str] = set()
        self._waiting = 0

    async def chat(self, request: Mapping[str, Any]) -> Reply:
        self._waiting += 1
        while self._waiting < self.together:
            await asyncio.sleep(0.001)
        text = legal(
            {"response_format": {"json_schema": {"schema": request["schema"]}}, "seed": request["seed"]}
        ).text
        return Reply(text, "stop", 1, 1)


def test_a_model_in_this_process_is_asked_by_threads_of_it(
    tmp_path: Path, plugin: Callable[..., None]
) -> None:
    plugin(IN_PROCESS, {"inside": "Inside"}, group="harness.models")
    for results, together in (("results", 4), ("again", 1)):
        engines.register("test", Inside(together))
        outcomes = sweep(write(tmp_path, "{kind: inside}", results=results, seeds=4))
        assert [outcome.status for outcome in outcomes] == ["complete"] * 4
    assert trajectories(tmp_path / "results" / "s") == trajectories(tmp_path / "again" / "s")
    # The engine was stopped after the sweep.
    outcomes = sweep(write(tmp_path, "{kind: inside}", results="gone", seeds=1))
    assert [outcome.status for outcome in outcomes] == ["parked"]


@pytest.mark.llm
def test_a_model_that_does_not_start_blocks_no_other_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no weights")
    strategies = f"random_search, {ASKING}, {{name: lm_searcher, model: other, label: other}}"
    server = ScriptedServer()
    with server:
        file = write(
            tmp_path, served(server), other=f"{{kind: embedded, path: {broken}}}", strategies=strategies
        )
        said = harness("run", file, "--no-report", cwd=tmp_path, check=1).stdout
        assert "parked 3 runs: model 'other': the embedded model server ended" in said
        assert "llama" in said, "the tail of its log"
        found = statuses(tmp_path / "results" / "s")
        assert {run: status for run, status in found.items() if "other" in run} == {
            f"nasbench201-cifar10/other/seed-{seed}": "parked" for seed in range(3)
        }
        assert sum(status == "complete" for status in found.values()) == 6
        # Mended, it is made by the same command.
        file.write_text(file.read_text().replace(f"{{kind: embedded, path: {broken}}}", served(server)))
        said = harness("run", file, "--no-report", cwd=tmp_path, check=2).stderr
        assert "another specification" in said, "another model is another run"


@pytest.mark.llm
def test_a_port_in_use_parks(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = write(tmp_path, f"{{kind: embedded, port: {port}}}", seeds=1)
        said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
    assert f"port {port}" in said
    assert "in use" in said


DYING = """\
import os, signal
from llm_strategies.lm_searcher import LMSearcher

class Dying(LMSearcher):
    '''Kills its process when it asks for the third time.'''

    def suggest(self, history, view):
        if history.number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().suggest(history, view)
"""


def test_a_worker_that_dies_takes_no_other_run_with_it(tmp_path: Path, plugin: Callable[..., None]) -> None:
    plugin(DYING, {"dying": "Dying"})
    server = ScriptedServer()
    with server:
        file = write(
            tmp_path, served(server), strategies=f"{{name: dying, model: served}}, {ASKING}", seeds=2
        )
        harness("run", "--no-report", file, cwd=tmp_path, check=1)
    found = statuses(tmp_path / "results" / "s")
    assert {s for run, s in found.items() if "dying" in run} == {"failed"}
    assert {s for run, s in found.items() if "lm_searcher" in run} == {"complete"}
    # What was answered is in the transcripts, and is not asked twice. What was in flight when a process died is:
    # each of two deaths takes at most the three other runs with it.
    bodies = [json.dumps(request, sort_keys=True) for request in server.requests]
    assert len(bodies) - len(set(bodies)) <= 6


WATCHED = """\
from pathlib import Path
from harness.models import Endpoint

class Watched:
    '''Says when it is started and stopped.'''

    operational_parameters = frozenset({{"base_url"}})

    def __init__(self, *, base_url: str) -> None:
        self.base_url = base_url

    def describe(self):
        return Endpoint("", "scripted")

    def start(self):
        Path({started!r}).touch()
        return Endpoint(self.base_url, "scripted")

    def stop(self):
        Path({stopped!r}).touch()

    @classmethod
    def check(cls):
        return None
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_however_it_is_ended_nothing_is_left_running(
    tmp_path: Path, plugin: Callable[..., None], number: signal.Signals, code: int
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here (nohup?), and so by what is started here")
    started, stopped = tmp_path / "started", tmp_path / "stopped"
    plugin(
        WATCHED.format(started=str(started), stopped=str(stopped)),
        {"watched": "Watched"},
        group="harness.models",
    )
    release = threading.Event()

    def answer(request: Mapping[str, Any]) -> Answer:
        release.wait(timeout=120)
        return legal(request)

    server = ScriptedServer(answer)
    with server as endpoint:
        file = write(tmp_path, f"{{kind: watched, base_url: '{endpoint.base_url}'}}", seeds=2)
        process = start("run", "--no-report", file, cwd=tmp_path)
        deadline = time.monotonic() + 60
        while len(server.requests) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
        assert started.exists()
        assert len(children) >= 2
        # To this process alone; on a terminal, Ctrl-C reaches its workers as well.
        os.kill(process.pid, number)
        assert process.wait(timeout=30) == code
        assert stopped.exists()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        release.set()
    assert set(statuses(tmp_path / "results" / "s").values()) == {"running"}, "as a kill leaves them"
