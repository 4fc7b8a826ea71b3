"""Models that are served for longer than one sweep."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_strategies.models.embedded import EmbeddedServer
from llm_strategies.models.server_process import free_port
from tests.harness.command import HARNESS
from tests.harness.command import environment
from tests.harness.command import harness
from tests.harness.command import kill
from tests.harness.command import refused
from tests.harness.results import statuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = """\
tracking: {{uri: null}}
models:
  small: {{kind: embedded, port: {port}}}
  hosted: {{kind: openai, base_url: "http://127.0.0.1:9/v1", model: m}}
sweeps:
  s:
    benchmarks: [{{name: nasbench201, dataset: cifar10}}]
    strategies: [{{name: lm_searcher, model: small}}]
    seeds: 1
    budget: {{trials: 6}}
"""


@contextlib.contextmanager
def serving(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*HARNESS, "serve", "small"],
        cwd=path,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            kill(process, group=True)  # type: ignore[arg-type]


def heard(process: subprocess.Popen[str], text: str) -> str:
    """Everything it says up to a line with this text."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


@pytest.fixture
def port(tmp_path: Path) -> int:
    port = free_port("127.0.0.1")
    (tmp_path / "experiments.yaml").write_text(FILE.format(port=port))
    return port


@pytest.mark.llm
def test_runs_use_a_model_that_is_served(tmp_path: Path, port: int) -> None:
    if reason := EmbeddedServer.check():
        pytest.skip(reason)
    with serving(tmp_path) as process:
        said = heard(process, "Ctrl-C")
        assert f"Model small answers at http://127.0.0.1:{port}/v1 as 'SmolLM2" in said
        servers = psutil.Process(process.pid).children(recursive=True)
        harness("run", "--no-report", cwd=tmp_path)
        assert set(statuses(tmp_path / "results").values()) == {"complete"}
        assert all(server.is_running() for server in servers), (
            "a sweep stops what it has started, and no more"
        )
        said = harness("serve", "small", cwd=tmp_path).stdout
        assert "nothing to do here" in said
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 0
        _, alive = psutil.wait_procs(servers, timeout=10)
        assert not alive
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


@pytest.mark.llm
def test_a_model_that_ends_by_itself_is_no_longer_served(tmp_path: Path, port: int) -> None:
    if reason := EmbeddedServer.check():
        pytest.skip(reason)
    with serving(tmp_path) as process:
        heard(process, "Ctrl-C")
        time.sleep(0.1)
        for server in psutil.Process(process.pid).children(recursive=True):
            server.kill()
        assert "ended by itself" in heard(process, "Error:")
        assert process.wait(timeout=30) == 2


def test_what_cannot_be_served(tmp_path: Path, port: int) -> None:
    assert "unknown model 'smal', did you mean 'small'" in refused("serve", "smal", cwd=tmp_path)
    assert "nothing to serve: its server is somebody else's" in refused("serve", "hosted", cwd=tmp_path)
