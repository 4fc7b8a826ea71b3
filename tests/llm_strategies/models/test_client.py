"""The client against a real server, against one that misbehaves, and against none."""

from __future__ import annotations

import json
import pickle
import socket
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness.errors import ModelError
from harness.errors import ModelUnavailable
from harness.errors import SpecError
from harness.models import Endpoint
from harness.models import ModelGone
from llm_strategies.models import engines
from llm_strategies.models.client import ChatModel
from llm_strategies.models.client import list_models
from llm_strategies.models.external import ExternalServer
from llm_strategies.models.reply import TOO_LONG
from llm_strategies.models.reply import Rejected
from llm_strategies.models.reply import Reply
from llm_strategies.models.transcripts import Transcripts
from llm_strategies.models.transcripts import request_key
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from pathlib import Path

HELLO = [{"role": "user", "content": "Say hello."}]
# The next attempt comes at once.
SOON = {"retry-after-ms": "1"}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": [1, 2]}},
    "required": ["a"],
    "additionalProperties": False,
}


class TestRealModel:
    def test_reply(self, embedded_model: Endpoint) -> None:
        reply = ChatModel(embedded_model).chat(HELLO, sampling={"max_tokens": 4})
        assert reply.finish_reason == "length"
        assert reply.completion_tokens == 4
        assert reply.prompt_tokens > 4
        assert reply.seconds > 0
        with pytest.raises(Rejected, match="truncated"):
            reply.prose()

    def test_no_reply_in_time(self, embedded_model: Endpoint) -> None:
        hasty = replace(embedded_model, timeout=0.05, max_retries=0)
        with pytest.raises(ModelUnavailable, match="did not reply in time"):
            ChatModel(hasty).chat(HELLO, sampling={"max_tokens": 200})

    def test_prompt_longer_than_the_context(self, embedded_model: Endpoint) -> None:
        long = [{"role": "user", "content": "0123456789" * 1000}]
        reply = ChatModel(embedded_model).chat(long)
        assert (reply.text, reply.finish_reason) == ("", TOO_LONG)
        with pytest.raises(Rejected, match="too long"):
            reply.prose()

    def test_wrong_path(self, embedded_model: Endpoint) -> None:
        wrong = replace(embedded_model, base_url=embedded_model.base_url.replace("/v1", "/v7"))
        with pytest.raises(ModelError, match="ends in /v1"):
            ChatModel(wrong).chat(HELLO)

    def test_external_server(self, embedded_model: Endpoint) -> None:
        server = ExternalServer(base_url=f"{embedded_model.base_url}/", model=embedded_model.model)
        assert ExternalServer.check() is None
        assert server.start() == replace(embedded_model, identity={})
        server.stop()
        one = ChatModel(embedded_model).chat(HELLO, sampling={"max_tokens": 1})
        assert one.completion_tokens == 1

    def test_external_model_unknown(self, embedded_model: Endpoint) -> None:
        server = ExternalServer(base_url=embedded_model.base_url, model="SmolLM2-135M-Instruct")
        with pytest.raises(
            ModelError, match=r"unknown model 'SmolLM2-135M-Instruct', did you mean 'SmolLM2-135M"
        ):
            server.start()

    def test_pickling(self, embedded_model: Endpoint) -> None:
        model = ChatModel(embedded_model)
        reply = model.chat(HELLO, sampling={"max_tokens": 3})
        copy = pickle.loads(pickle.dumps(model))  # noqa: S301
        assert copy.chat(HELLO, sampling={"max_tokens": 3}).text == reply.text


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    model = ChatModel(Endpoint(url, "some-model", max_retries=0))
    with pytest.raises(
        ModelUnavailable, match=f"'some-model' at {url} cannot be reached.*check that the server runs"
    ):
        model.chat(HELLO)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        ExternalServer(base_url=url, model="some-model").start()


def test_key_is_missing(scripted_model: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    server = ExternalServer(
        base_url=scripted_model.base_url, model=scripted_model.model, api_key_variable="SOME_KEY"
    )
    with pytest.raises(ModelError, match="environment variable 'SOME_KEY' is not set"):
        server.start()
    monkeypatch.setenv("SOME_KEY", "anything")
    assert server.start().api_key_variable == "SOME_KEY"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpus": -1}, "gpus is -1; it must be at least 0"),
        ({"max_retries": -1}, "max_retries is -1; it must be at least 0"),
        ({"timeout": 0}, "timeout is 0; it must be more than 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"api_key_variable": ""}, "api_key_variable is empty"),
        ({"base_url": "http://127.0.0.1:abc/v1"}, "'http://127.0.0.1:abc/v1', which is no URL"),
        ({"base_url": "http://[::1/v1"}, "which is no URL"),
        ({"base_url": "127.0.0.1:8000/v1"}, "begins with neither http"),
        ({"base_url": "http:///v1"}, "names no host"),
        ({"base_url": "http://a\x00b/v1"}, "control characters"),
    ],
)
def test_external_server_bad_settings(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"base_url": "http://127.0.0.1/v1", "model": "m"}
    with pytest.raises(SpecError, match=f"openai model: .*{message}"):
        ExternalServer(**arguments | change)


@pytest.mark.parametrize(
    "body", [b"<html>a proxy</html>", b"[]", b"null", b'{"data": ["x"]}', b'{"data": 1}', b"{}", b"\xff"]
)
def test_another_program_answers(body: bytes) -> None:
    with ScriptedServer(models=body) as endpoint:
        with pytest.raises(ModelError, match=f"{endpoint.base_url} answered with .* no list of models.*/v1"):
            list_models(endpoint)
        with pytest.raises(ModelError, match="no list of models"):
            ExternalServer(base_url=endpoint.base_url, model=endpoint.model).start()


def test_a_model_that_is_gone_is_told_from_a_request_that_failed() -> None:
    with (
        Scripted(Answer("busy", status=503)).server as endpoint,
        pytest.raises(ModelUnavailable) as failed,
    ):
        ChatModel(replace(endpoint, max_retries=0)).chat(HELLO)
    assert not isinstance(failed.value, ModelGone)
    with ScriptedServer() as endpoint:
        """Its port is free again."""
    silent = replace(endpoint, max_retries=0)
    with pytest.raises(ModelGone, match="cannot be reached") as gone:
        ChatModel(silent).chat(HELLO)
    assert gone.value.endpoint == silent
    with (
        Scripted(Answer("unloaded", status=404)).server as endpoint,
        pytest.raises(ModelGone, match="was not found"),
    ):
        ChatModel(replace(endpoint, model="another")).chat(HELLO)


def test_what_is_sent() -> None:
    server = ScriptedServer()
    with server as endpoint:
        sampling = {"temperature": 0.6, "top_p": 0.9, "max_tokens": 7}
        ChatModel(endpoint).chat(HELLO, schema=SCHEMA, sampling=sampling, seed=5)
        ChatModel(endpoint).chat(HELLO)
    structured, free = server.requests
    assert structured == {
        "model": endpoint.model,
        "messages": HELLO,
        "seed": 5,
        **sampling,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA},
        },
    }
    assert free.keys() == {"model", "messages", "seed"}


class Scripted:
    """A server that gives some answers, one after another, and then the same for ever."""

    def __init__(self, *answers: Answer) -> None:
        self._left = list(answers)
        self.server = ScriptedServer(self._next)

    def _next(self, request: Mapping[str, Any]) -> Answer:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


FINE = Answer("fine")


@pytest.mark.parametrize(
    "fault",
    [
        Answer("slow down", status=429, headers=SOON),
        Answer("oops", status=500, headers=SOON),
        Answer("starting", status=503, headers=SOON),
        Answer(reset=True),
    ],
    ids=lambda answer: str(answer.status) if not answer.reset else "reset",
)
class TestPassingFaults:
    def test_one_is_outlived(self, fault: Answer) -> None:
        script = Scripted(fault, FINE)
        with script.server as endpoint:
            assert ChatModel(endpoint).chat(HELLO).text == "fine"
        assert len(script.server.requests) == 2

    def test_they_end_as_unavailable(self, fault: Answer) -> None:
        script = Scripted(fault)
        with (
            script.server as endpoint,
            pytest.raises(ModelUnavailable, match="model 'scripted' at .*"),
        ):
            ChatModel(replace(endpoint, max_retries=1)).chat(HELLO)
        assert len(script.server.requests) == 2


def test_time_out_is_tried_again() -> None:
    script = Scripted(Answer("late", delay=0.6), FINE)
    with script.server as endpoint:
        assert ChatModel(replace(endpoint, timeout=0.3)).chat(HELLO).text == "fine"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer("no such model", status=404), ModelUnavailable, "was not found; check its name"),
        (Answer("bad grammar", status=400), ModelError, "refused the request.*bad grammar"),
        (Answer("who are you", status=401), ModelUnavailable, "refused access; .*`api_key_variable`"),
        (Answer("not for you", status=403), ModelUnavailable, "refused access"),
        (Answer(raw=b"<html>a proxy</html>"), ModelUnavailable, "is no chat completion"),
        (Answer(raw=b'"text"'), ModelUnavailable, "is no chat completion"),
        (Answer(raw=b"[1, 2]"), ModelUnavailable, "is no chat completion"),
        (Answer(raw=b"null"), ModelUnavailable, "is no chat completion"),
        (Answer(raw=b"{}"), ModelUnavailable, "is no chat completion"),
        (Answer(raw=b'{"id": "x", "choices": [{"ind'), ModelUnavailable, "is no chat completion"),
    ],
)
def test_answers_that_are_no_chat_completions(answer: Answer, error: type[Exception], message: str) -> None:
    with Scripted(answer).server as endpoint, pytest.raises(error, match=message):
        ChatModel(replace(endpoint, max_retries=0)).chat(HELLO)


@pytest.mark.parametrize(
    ("raw", "text", "reason"),
    [
        ({"choices": []}, "", "empty"),
        ({"choices": None}, "", "empty"),
        ({"choices": [{"message": {"content": ""}}], "usage": {"prompt_tokens": "many"}}, "", "empty"),
        ({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}, "", "empty"),
        ({"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}, "", "empty"),
        ({"choices": [{"message": {}, "finish_reason": None}]}, "", "empty"),
        ({"choices": [{"finish_reason": "stop"}]}, "", "empty"),
        ({"choices": [{"message": None}]}, "", "empty"),
        ({"choices": ["text"]}, "", "empty"),
        ({"choices": "text"}, "", "empty"),
        ({"choices": [{"message": {"refusal": "I will not."}, "finish_reason": "stop"}]}, "", "refused"),
        ({"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}, "x", "refused"),
    ],
)
def test_completions_that_hold_nothing(raw: dict[str, Any], text: str, reason: str) -> None:
    body = json.dumps({"id": "x", "object": "chat.completion", **raw}).encode()
    with Scripted(Answer(raw=body)).server as endpoint:
        reply = ChatModel(endpoint).chat(HELLO)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (text, 0, 0)
    with pytest.raises(Rejected, match=reason):
        reply.prose()


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart(key: str) -> None:
    with Scripted(Answer("yes", message={key: "let me see"})).server as endpoint:
        reply = ChatModel(endpoint).chat(HELLO)
    assert (reply.text, reply.reasoning) == ("yes", "let me see")


def test_half_characters_are_replaced() -> None:
    with Scripted(Answer("a\ud800b")).server as endpoint:
        assert ChatModel(endpoint).chat(HELLO).text == "a?b"


def test_ten_megabytes() -> None:
    with Scripted(Answer("x" * 10**7 + '{"a": 1}')).server as endpoint:
        assert ChatModel(endpoint).chat(HELLO).read(dict) == {"a": 1}


class TestReplay:
    def test_auto_asks_once(self, tmp_path: Path) -> None:
        server = ScriptedServer()
        with server as endpoint:
            model = ChatModel(endpoint, transcripts=Transcripts(tmp_path))
            once = model.chat(HELLO)
            assert model.chat(HELLO) == once
            assert once.key
            model.chat(HELLO, seed=1)
        assert len(server.requests) == 2

    def test_off_asks_again_and_replaces(self, tmp_path: Path) -> None:
        script = Scripted(Answer("first"), Answer("second"))
        with script.server as endpoint:
            model = ChatModel(endpoint, transcripts=Transcripts(tmp_path), replay="off")
            assert [model.chat(HELLO).text for _ in range(2)] == ["first", "second"]
        strict = ChatModel(Endpoint("", endpoint.model), transcripts=Transcripts(tmp_path), replay="strict")
        assert strict.chat(HELLO).text == "second"

    def test_a_damaged_one_is_no_answer_and_no_failure(self, tmp_path: Path) -> None:
        server = ScriptedServer()
        with server as endpoint:
            model = ChatModel(endpoint, transcripts=Transcripts(tmp_path))
            model.chat(HELLO)
            (file,) = tmp_path.rglob("*.json")
            file.write_text("{}")
            with pytest.raises(ModelUnavailable, match="not an intact transcript.*delete the file"):
                model.chat(HELLO)
        assert len(server.requests) == 1

    def test_strict_never_asks(self, tmp_path: Path) -> None:
        server = ScriptedServer()
        with server as endpoint:
            recorded = ChatModel(endpoint, transcripts=Transcripts(tmp_path)).chat(HELLO)
            strict = ChatModel(endpoint, transcripts=Transcripts(tmp_path), replay="strict")
            assert strict.chat(HELLO) == recorded
            key = request_key(strict.request(HELLO, seed=1))
            with pytest.raises(
                ModelError, match=rf"strict replay.*hold no reply.*{key}.*transcripts import.*prompts"
            ):
                strict.chat(HELLO, seed=1)
        assert len(server.requests) == 1

    def test_other_weights_are_another_model(self, tmp_path: Path) -> None:
        server = ScriptedServer()
        with server as endpoint:
            for identity in ({}, {"sha256": "a"}, {"sha256": "b"}):
                model = ChatModel(replace(endpoint, identity=identity), transcripts=Transcripts(tmp_path))
                model.chat(HELLO)
        assert len(server.requests) == 3

    def test_what_came_before_a_fault_is_kept(self, tmp_path: Path) -> None:
        def answer(request: Mapping[str, Any]) -> Answer:
            return Answer("bad", status=400) if request["seed"] == 1 else FINE

        with ScriptedServer(answer) as endpoint:
            model = ChatModel(endpoint, transcripts=Transcripts(tmp_path))
            with pytest.raises(ModelError, match="refused"):
                model.chat_all([model.request(HELLO, seed=seed) for seed in range(3)])
        assert len(list(Transcripts(tmp_path).keys())) == 2


def test_side_by_side() -> None:
    server = ScriptedServer(lambda request: Answer(str(request["seed"]), delay=0.2))
    with server as endpoint:
        model = ChatModel(endpoint)
        replies = model.chat_all([model.request(HELLO, seed=seed) for seed in range(8)])
    assert [reply.text for reply in replies] == [str(seed) for seed in range(8)]
    assert server.most_in_flight == 8


class _Ledger:
    """A meter that gives every request two seconds."""

    def __init__(self) -> None:
        self.open = 0

    def begin(self) -> float:
        self.open += 1
        return 3.0

    def end(self, mark: float) -> float:
        self.open -= 1
        return mark - 1.0


def test_gpu_seconds_are_the_share_times_the_gpus(scripted_model: Endpoint) -> None:
    meter = _Ledger()
    reply = ChatModel(replace(scripted_model, gpus=4), meter=meter).chat(HELLO)
    assert reply.gpu_seconds == 8.0
    assert meter.open == 0


def test_share_is_given_back_after_a_fault() -> None:
    meter = _Ledger()
    with Scripted(Answer("no", status=400)).server as endpoint, pytest.raises(ModelError):
        ChatModel(endpoint, meter=meter).chat(HELLO)
    assert meter.open == 0


class _Echo:
    async def chat(self, request: Mapping[str, Any]) -> Reply:
        return Reply(request["messages"][0]["content"], "stop", 1, 2)


@pytest.fixture
def engine() -> Iterator[str]:
    engines.register("echo", _Echo())
    yield "echo"
    engines.remove("echo")


def test_engine_in_this_process(engine: str, tmp_path: Path) -> None:
    model = ChatModel(Endpoint("", "m", in_process=engine), transcripts=Transcripts(tmp_path))
    reply = model.chat(HELLO)
    assert (reply.text, reply.completion_tokens) == ("Say hello.", 2)
    engines.remove(engine)
    assert model.chat(HELLO) == reply
    with pytest.raises(ModelError, match="engine 'echo' does not run in this process"):
        model.chat(HELLO, seed=1)
