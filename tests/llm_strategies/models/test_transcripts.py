"""Transcripts: what was answered once is not asked again."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness.errors import ModelError
from harness.errors import StoreError
from llm_strategies.models.client import ChatModel
from llm_strategies.models.client import Reply
from llm_strategies.models.embedded import EmbeddedServer
from llm_strategies.models.transcripts import Transcripts
from llm_strategies.models.transcripts import request_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}], "schema": None, "seed": 1}
REPLY = Reply("hallo", "stop", 3, 1, 0.5)


def silent(request: Mapping[str, Any]) -> Reply:
    raise AssertionError(f"asked again: {request}")


def answering(request: Mapping[str, Any]) -> Reply:
    return REPLY


def test_replay_with_the_server_stopped(tmp_path: Path) -> None:
    if reason := EmbeddedServer.check():
        pytest.skip(reason)
    path = tmp_path / "transcripts.jsonl"
    messages = [{"role": "user", "content": "Say hello."}]
    server = EmbeddedServer()
    try:
        endpoint = server.start()
        model = ChatModel(endpoint, transcripts=Transcripts(path))
        replies = [model.chat(messages, seed=seed, max_tokens=3) for seed in range(2)]
    finally:
        server.stop()

    resumed = ChatModel(endpoint, transcripts=Transcripts(path), max_retries=0)
    assert [resumed.chat(messages, seed=seed, max_tokens=3) for seed in range(2)] == replies
    with pytest.raises(ModelError, match="cannot be reached"):
        resumed.chat(messages, seed=2, max_tokens=3)


@pytest.mark.parametrize(
    "change",
    [{"model": "n"}, {"messages": []}, {"schema": {}}, {"sampling": {"temperature": 1}}, {"seed": 2}],
)
def test_every_part_of_a_request_counts(change: dict[str, Any]) -> None:
    assert request_key(REQUEST | change) != request_key(REQUEST)


def test_order_of_keys_does_not_count() -> None:
    assert request_key(dict(reversed(REQUEST.items()))) == request_key(REQUEST)


def test_layout(tmp_path: Path) -> None:
    path = tmp_path / "transcripts.jsonl"
    Transcripts(path).replay_or_record(REQUEST, answering)
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {
        "key": request_key(REQUEST),
        "request": REQUEST,
        "reply": {
            "text": "hallo",
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "completion_tokens": 1,
            "seconds": 0.5,
        },
    }


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_half_written_last_line(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "transcripts.jsonl"
    Transcripts(path).replay_or_record(REQUEST, answering)
    whole = path.read_bytes()
    Transcripts(path).replay_or_record(REQUEST | {"seed": 2}, answering)
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:kept])

    transcripts = Transcripts(path)
    assert transcripts.replay_or_record(REQUEST, silent) == REPLY
    assert path.read_bytes() == whole
    transcripts.replay_or_record(REQUEST | {"seed": 2}, answering)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_line_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "transcripts.jsonl"
    transcripts = Transcripts(path)
    transcripts.replay_or_record(REQUEST, answering)
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(StoreError, match=r"transcripts\.jsonl, line 1: not a transcript"):
        Transcripts(path).replay_or_record(REQUEST, silent)


def test_folder_absent(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        Transcripts(tmp_path / "absent" / "transcripts.jsonl").replay_or_record(REQUEST, answering)


def test_pickling(tmp_path: Path) -> None:
    transcripts = Transcripts(tmp_path / "transcripts.jsonl")
    transcripts.replay_or_record(REQUEST, answering)
    copy = pickle.loads(pickle.dumps(transcripts))  # noqa: S301
    assert copy.replay_or_record(REQUEST, silent) == REPLY
