"""A sweep is made again from its transcripts, with no model at all."""

from __future__ import annotations

import dataclasses
import json
import socket
from typing import TYPE_CHECKING

import pytest

from harness import search
from harness.errors import StoreError
from llm_strategies.models.reply import Reply
from llm_strategies.models.transcripts import Transcripts
from tests.harness.command import harness
from tests.harness.command import refused
from tests.harness.results import record
from tests.harness.results import rows
from tests.harness.results import statuses
from tests.harness.results import trajectories
from tests.harness.results import trajectory
from tests.harness.test_parking import asking
from tests.harness.test_parking import models
from tests.harness.test_parking import write
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from tests.harness.conftest import MakeSpec


def test_a_sweep_from_its_transcripts_alone(tmp_path: Path) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        # Another reply to the same question each time: a replay that asked again would show.
        return (
            Answer("No idea.")
            if len(server.requests) % 5 == 0
            else legal({**request, "n": len(server.requests)})
        )

    server = ScriptedServer(answer)
    with server as endpoint:
        file = write(tmp_path, endpoint)
        harness("run", "--no-report", file, cwd=tmp_path)
    asked = len(server.requests)
    exported = tmp_path / "transcripts.jsonl"
    said = harness("transcripts", "export", exported, "--file", file, cwd=tmp_path).stdout
    assert f"{asked} transcripts" in said
    lines = exported.read_text().splitlines()
    assert len(lines) == asked
    assert lines == sorted(lines, key=lambda line: json.loads(line)["key"])

    fresh = ("--results", tmp_path / "fresh")
    assert (
        f"{asked} transcripts imported, 0 known"
        in harness("transcripts", "import", exported, *fresh, cwd=tmp_path).stdout
    )
    assert (
        f"0 transcripts imported, {asked} known"
        in harness("transcripts", "import", exported, *fresh, cwd=tmp_path).stdout
    )
    harness("run", "--no-report", file, "--replay", "strict", *fresh, cwd=tmp_path)
    assert trajectories(tmp_path / "fresh") == trajectories(tmp_path / "results")
    assert len(server.requests) == asked


def test_a_reply_that_is_missing_parks_the_run(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with ScriptedServer() as endpoint:
        file = write(tmp_path, dataclasses.replace(endpoint, base_url=f"http://127.0.0.1:{port}/v1"))
        file.write_text(f"replay: strict\n{file.read_text()}")
        said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
        assert "parked 2 runs: strict replay: the transcripts" in said
        assert "harness transcripts import" in said
        assert sorted(statuses(tmp_path / "results").values()) == ["complete"] * 2 + ["parked"] * 2
        # The command line has the last word.
        said = harness("run", "--no-report", file, "--replay", "auto", cwd=tmp_path, check=1).stdout
        assert "cannot be reached" in said
        write(tmp_path, endpoint)
        harness("run", "--no-report", file, cwd=tmp_path)
    assert set(statuses(tmp_path / "results").values()) == {"complete"}


def test_replay_decides_who_is_asked(make_spec: MakeSpec, tmp_path: Path) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        return legal({**request, "n": len(server.requests)})

    server = ScriptedServer(answer)
    with server as endpoint:
        given = models(endpoint, tmp_path / "transcripts")
        search.run(asking(make_spec), tmp_path / "first", models=given)
        assert len(server.requests) == 7
        for replay, calls in (("auto", 7), ("strict", 7), ("off", 14), ("strict", 14)):
            folder = tmp_path / f"{replay}-{calls}"
            search.run(asking(make_spec), folder, models=dataclasses.replace(given, replay=replay))
            assert len(server.requests) == calls
    assert (
        trajectory(tmp_path / "auto-7") == trajectory(tmp_path / "first") == trajectory(tmp_path / "strict-7")
    )
    assert trajectory(tmp_path / "off-14") != trajectory(tmp_path / "first")
    assert trajectory(tmp_path / "strict-14") == trajectory(tmp_path / "off-14"), (
        "off replaces what is stored"
    )
    assert [row["llm"]["calls"] for row in rows(tmp_path / "strict-14")[5:]] == [1] * 7
    assert record(tmp_path / "strict-14")["totals"]["llm_seconds"] > 0


REQUEST = {"model": {"name": "m"}, "messages": [], "schema": None, "sampling": {}, "seed": 0}


def stored(folder: Path, *texts: str) -> Transcripts:
    transcripts = Transcripts(folder)
    for seed, text in enumerate(texts):
        transcripts.put(
            REQUEST | {"seed": seed}, Reply(text, "stop", 1, 2, started=3.0, seconds=4.0, gpu_seconds=5.0)
        )
    return transcripts


def test_equal_stores_export_equal_bytes(tmp_path: Path) -> None:
    one = stored(tmp_path / "one", "a", "b", "Grüße \ud83d\ude00")
    one.export(tmp_path / "one.jsonl")
    other = Transcripts(tmp_path / "other")
    other.load(tmp_path / "one.jsonl")
    assert other.export(tmp_path / "other.jsonl") == 3
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "other.jsonl").read_bytes()
    for seed in range(3):
        assert other.get(REQUEST | {"seed": seed}) == one.get(REQUEST | {"seed": seed})


def test_what_is_stored_stays(tmp_path: Path) -> None:
    stored(tmp_path / "one", "a", "b", "c").export(tmp_path / "one.jsonl")
    mine = stored(tmp_path / "mine", "a", "other")
    loaded = mine.load(tmp_path / "one.jsonl")
    assert (loaded.added, loaded.known, loaded.different) == (1, 1, 1)
    kept = mine.get(REQUEST | {"seed": 1})
    assert kept is not None
    assert kept.text == "other"
    said = harness(
        "transcripts", "import", tmp_path / "one.jsonl", "--results", tmp_path / "r", cwd=tmp_path
    ).stdout
    assert "3 transcripts imported" in said
    stored(tmp_path / "two", "other").export(tmp_path / "two.jsonl")
    said = harness(
        "transcripts", "import", tmp_path / "two.jsonl", "--results", tmp_path / "r", cwd=tmp_path
    ).stdout
    assert "1 have another reply here, which stays" in said


def swap(entry: dict[str, Any], **changes: Any) -> str:
    return json.dumps(entry | changes)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda entry: "{half", "this is no JSON"),
        (lambda entry: "[1]", "is missing"),
        (lambda entry: swap(entry, key="0" * 64), "the key is not that of the request"),
        (
            lambda entry: swap(entry, request={**entry["request"], "seed": 77}),
            "the key is not that of the request",
        ),
        (lambda entry: swap(entry, reply={}), "no reply of a model"),
        (lambda entry: swap(entry, reply={**entry["reply"], "text": 5}), "no reply of a model"),
        (lambda entry: swap(entry, reply={**entry["reply"], "more": 5}), "no reply of a model"),
    ],
)
def test_a_damaged_line_is_named_and_those_before_it_are_kept(tmp_path: Path, damage: Any, said: str) -> None:
    stored(tmp_path / "one", "a", "b", "c").export(tmp_path / "one.jsonl")
    lines = (tmp_path / "one.jsonl").read_text().splitlines()
    (tmp_path / "bad.jsonl").write_text("\n".join([lines[0], damage(json.loads(lines[1])), lines[2]]))
    fresh = Transcripts(tmp_path / "fresh")
    with pytest.raises(StoreError, match=rf"bad\.jsonl:2: not an intact transcript: .*{said}"):
        fresh.load(tmp_path / "bad.jsonl")
    assert len(list(fresh.keys())) == 1
    assert fresh.load(tmp_path / "one.jsonl").added == 2


def test_nothing_to_export_and_nothing_to_import(tmp_path: Path) -> None:
    target = tmp_path / "t.jsonl"
    assert "no transcripts" in refused(
        "transcripts", "export", target, "--results", tmp_path / "none", cwd=tmp_path
    )
    assert not list(tmp_path.iterdir())
    said = refused("transcripts", "import", target, "--results", tmp_path / "none", cwd=tmp_path)
    assert "t.jsonl: No such file or directory; check the path" in said
