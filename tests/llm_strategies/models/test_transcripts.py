"""Transcripts: what was answered once is not asked again."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness.errors import StoreError
from llm_strategies.models.reply import Reply
from llm_strategies.models.transcripts import Transcripts
from llm_strategies.models.transcripts import request_key

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = {
    "model": {"name": "m"},
    "messages": [{"role": "user", "content": "Grüße"}],
    "schema": None,
    "sampling": {"temperature": 0.0},
    "seed": 1,
}
KEY = request_key(REQUEST)
REPLY = Reply("hallo", "stop", 3, 1, reasoning="hm", started=1.5, seconds=0.5, gpu_seconds=0.25)


@pytest.fixture
def transcripts(tmp_path: Path) -> Transcripts:
    return Transcripts(tmp_path / "transcripts")


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "n"}},
        {"model": {"name": "m", "threads": 2}},
        {"messages": []},
        {"schema": {}},
        {"sampling": {"temperature": 1.0}},
        {"seed": 2},
    ],
)
def test_every_part_of_a_request_counts(change: dict[str, Any]) -> None:
    assert request_key(REQUEST | change) != KEY


def test_order_of_keys_does_not_count() -> None:
    assert request_key(dict(reversed(REQUEST.items()))) == KEY


def test_what_is_put_is_got(transcripts: Transcripts) -> None:
    assert transcripts.get(REQUEST) is None
    stored = transcripts.put(REQUEST, REPLY)
    assert stored == Reply(**{**vars(REPLY), "key": KEY})
    assert transcripts.get(REQUEST) == stored
    assert transcripts.get(REQUEST | {"seed": 2}) is None
    assert list(transcripts.keys()) == [KEY]


def test_layout(transcripts: Transcripts) -> None:
    transcripts.put(REQUEST, REPLY)
    (file,) = transcripts.folder.rglob("*.*")
    assert file == transcripts.folder / KEY[:2] / f"{KEY}.json"
    reply = {name: value for name, value in vars(REPLY).items() if name != "key"}
    assert json.loads(file.read_text()) == {"key": KEY, "request": REQUEST, "reply": reply}
    assert transcripts.entry(KEY) == json.loads(file.read_text())


def test_the_first_reply_stays_unless_it_is_asked_again(transcripts: Transcripts) -> None:
    transcripts.put(REQUEST, REPLY)
    other = Reply("servus", "stop", 3, 1)
    assert transcripts.put(REQUEST, other).text == "hallo"
    assert transcripts.put(REQUEST, other, again=True).text == "servus"
    read = transcripts.get(REQUEST)
    assert read is not None
    assert read.text == "servus"


def _put(job: tuple[Path, int]) -> list[str]:
    folder, worker = job
    store = Transcripts(folder)
    return [store.put(REQUEST | {"seed": seed}, Reply(f"{worker}", "stop", 1, 1)).text for seed in range(100)]


def test_many_processes_get_the_same_replies(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        got = list(pool.map(_put, [(tmp_path, worker) for worker in range(4)]))
    assert got[1:] == got[:-1]
    assert len(list(Transcripts(tmp_path).keys())) == 100
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("damage", [b"", b"garbage", b"{}", b"[]"])
def test_damaged_file(transcripts: Transcripts, damage: bytes) -> None:
    transcripts.put(REQUEST, REPLY)
    (file,) = transcripts.folder.rglob("*.json")
    file.write_bytes(damage)
    with pytest.raises(StoreError, match=f"{KEY}.json: not an intact transcript: .*; delete the file"):
        transcripts.get(REQUEST)


def test_changed_request_is_noticed(transcripts: Transcripts) -> None:
    transcripts.put(REQUEST, REPLY)
    (file,) = transcripts.folder.rglob("*.json")
    file.write_text(file.read_text().replace('"seed":1', '"seed":2'))
    with pytest.raises(StoreError, match="not an intact transcript"):
        transcripts.get(REQUEST)


def test_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory; make it writable"):
        Transcripts(tmp_path / "file" / "transcripts").put(REQUEST, REPLY)


def test_pickling(transcripts: Transcripts) -> None:
    transcripts.put(REQUEST, REPLY)
    copy = pickle.loads(pickle.dumps(transcripts))  # noqa: S301
    assert copy.get(REQUEST) == transcripts.get(REQUEST)
