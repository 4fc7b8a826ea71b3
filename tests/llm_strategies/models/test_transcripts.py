"""Transcripts: what was answered once is not asked again."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import resource
import signal
import stat
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
    with pytest.raises(StoreError, match="Not a directory; a file is where a folder must be"):
        Transcripts(tmp_path / "file" / "transcripts").put(REQUEST, REPLY)


def test_others_may_read_them(transcripts: Transcripts, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        transcripts.put(REQUEST, REPLY)
        transcripts.export(tmp_path / "out.jsonl")
    finally:
        os.umask(before)
    for file in (*transcripts.folder.rglob("*.json"), tmp_path / "out.jsonl"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o644


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_system_without_links(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def link(*_: object) -> None:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "link", link)
    test_the_first_reply_stays_unless_it_is_asked_again(transcripts)
    assert not list(transcripts.folder.rglob("*.tmp"))


class TestNamedFiles:
    """What a user is told of the files of ``export`` and ``import``: their names, not those of the store."""

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none.jsonl", "No such file or directory; check the path"),
            ("file/none.jsonl", "Not a directory; check the path"),
            (".", "Is a directory; this is a folder"),
        ],
    )
    def test_import(self, transcripts: Transcripts, tmp_path: Path, name: str, message: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=f"{re.escape(str(tmp_path / name))}: {message}") as refused:
            transcripts.load(tmp_path / name)
        assert "--results" not in str(refused.value)

    def test_export_to_no_folder(self, transcripts: Transcripts, tmp_path: Path) -> None:
        transcripts.put(REQUEST, REPLY)
        file = tmp_path / "none" / "out.jsonl"
        with pytest.raises(StoreError, match=f"{file}: No such file or directory; check the path"):
            transcripts.export(file)

    def test_a_full_disk_leaves_the_old_export(self, transcripts: Transcripts, tmp_path: Path) -> None:
        transcripts.put(REQUEST, REPLY)
        file = tmp_path / "out.jsonl"
        file.write_text("old")
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        try:
            with pytest.raises(StoreError, match=f"{file}: File too large; free some space"):
                transcripts.export(file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        assert file.read_text() == "old"
        assert not list(tmp_path.glob("*.tmp"))


def test_pickling(transcripts: Transcripts) -> None:
    transcripts.put(REQUEST, REPLY)
    copy = pickle.loads(pickle.dumps(transcripts))  # noqa: S301
    assert copy.get(REQUEST) == transcripts.get(REQUEST)
