"""The client against a real server, and against none."""

from __future__ import annotations

import pickle
import socket

import pytest

from harness.errors import ModelError
from harness.models import Endpoint
from llm_strategies.models.client import ChatModel
from llm_strategies.models.client import Rejected
from llm_strategies.models.client import Reply
from llm_strategies.models.external import ExternalServer

HELLO = [{"role": "user", "content": "Say hello."}]


def test_reply(embedded_model: Endpoint) -> None:
    reply = ChatModel(embedded_model).chat(HELLO, max_tokens=4)
    assert reply.finish_reason == "length"
    assert reply.completion_tokens == 4
    assert reply.prompt_tokens > 4
    assert reply.seconds > 0
    with pytest.raises(Rejected, match="truncated"):
        reply.json()


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("", "stop", "empty"),
        (" \n", "stop", "empty"),
        ("{'a': 1}", "stop", "not JSON"),
        ('{"a": 1}', "length", "truncated"),
        ("", "length", "truncated"),
        ("No.", "content_filter", "refused"),
    ],
)
def test_rejected(text: str, finish_reason: str, reason: str) -> None:
    with pytest.raises(Rejected) as rejection:
        Reply(text, finish_reason, 1, 1, 0.0).json()
    assert rejection.value.reason == reason


def test_json() -> None:
    assert Reply(' {"a": [1]}\n', "stop", 1, 1, 0.0).json() == {"a": [1]}


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    model = ChatModel(Endpoint(url, "some-model"), max_retries=0)
    with pytest.raises(
        ModelError, match=f"'some-model' at {url} cannot be reached.*check that the server runs"
    ):
        model.chat(HELLO)
    with pytest.raises(ModelError, match="cannot be reached"):
        ExternalServer(base_url=url, model="some-model").start()


def test_no_reply_in_time(embedded_model: Endpoint) -> None:
    with pytest.raises(ModelError, match="did not reply in time"):
        ChatModel(embedded_model, timeout=0.05, max_retries=0).chat(HELLO, max_tokens=200)


def test_prompt_longer_than_the_context(embedded_model: Endpoint) -> None:
    long = [{"role": "user", "content": "0123456789" * 1000}]
    with pytest.raises(ModelError, match=r"refused the request.*context.*larger context"):
        ChatModel(embedded_model).chat(long)


def test_wrong_path(embedded_model: Endpoint) -> None:
    wrong = Endpoint(embedded_model.base_url.replace("/v1", "/v7"), embedded_model.model)
    with pytest.raises(ModelError, match="ends in /v1"):
        ChatModel(wrong).chat(HELLO)


def test_external_server(embedded_model: Endpoint) -> None:
    server = ExternalServer(base_url=f"{embedded_model.base_url}/", model=embedded_model.model)
    assert ExternalServer.check() is None
    assert server.start() == embedded_model
    server.stop()
    assert ChatModel(embedded_model).chat(HELLO, max_tokens=1).completion_tokens == 1


def test_external_model_unknown(embedded_model: Endpoint) -> None:
    server = ExternalServer(base_url=embedded_model.base_url, model="SmolLM2-135M-Instruct")
    with pytest.raises(
        ModelError, match=r"unknown model 'SmolLM2-135M-Instruct', did you mean 'SmolLM2-135M"
    ):
        server.start()


def test_key_is_missing(embedded_model: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    server = ExternalServer(
        base_url=embedded_model.base_url, model=embedded_model.model, api_key_variable="SOME_KEY"
    )
    with pytest.raises(ModelError, match="environment variable 'SOME_KEY' is not set"):
        server.start()
    monkeypatch.setenv("SOME_KEY", "anything")
    assert server.start().api_key_variable == "SOME_KEY"


def test_pickling(embedded_model: Endpoint) -> None:
    model = ChatModel(embedded_model)
    reply = model.chat(HELLO, max_tokens=3)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert copy.chat(HELLO, max_tokens=3).text == reply.text
