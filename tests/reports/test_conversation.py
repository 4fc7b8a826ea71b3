"""What was said: the first calls of one run, as its transcripts have them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import pytest

from llm_strategies.models.reply import Reply
from llm_strategies.models.transcripts import Transcripts
from llm_strategies.models.transcripts import request_key
from reports.build import build_report
from reports.conversation import MOST_CALLS
from reports.conversation import conversation
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm
from tests.reports.test_build import Page

if TYPE_CHECKING:
    from pathlib import Path


def request(text: str) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "system", "content": "You design cells."}, {"role": "user", "content": text}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A run that asked five times in three trials; the transcript of the third call is gone."""
    store = Transcripts(tmp_path / "results" / "transcripts")
    keys = []
    for number in range(5):
        asked = request(f"Propose <one> & only one, {number}.")
        store.put(asked, Reply(f'{{"a": "x{number}"}}', "stop", 1, 1))
        keys.append(request_key(asked))
    (store.folder / keys[2][:2] / f"{keys[2]}.json").unlink()
    verdicts = ["not JSON", "used", "used", "duplicate", "used"]
    calls = [call(verdict, key=key) for key, verdict in zip(keys, verdicts, strict=True)]
    folder = Folder(tmp_path / "results" / "s", ["random_search", "clever"], [0, 1])
    folder.run("random_search", 0, "00")
    changes, timings = {}, {}
    for trial, part in enumerate((calls[:2], calls[2:3], calls[3:])):
        changes[trial], timings[trial] = llm(*part)
    folder.run("clever", 1, "00 11 22", changes=changes, timings=timings)
    return folder


def test_the_first_calls_in_their_order(folder):
    said = conversation(load_results(folder.path))
    assert said is not None
    assert (said.path, said.of, len(said.calls)) == ("toy-a/clever/seed-1", 5, MOST_CALLS)
    assert [call.verdict for call in said.calls] == ["not JSON", "used", "used", "duplicate"]
    first = said.calls[0]
    assert first.messages == (("system", "You design cells."), ("user", "Propose <one> & only one, 0."))
    assert (first.model, first.reply) == ("m", '{"a": "x0"}')


def test_a_transcript_that_is_gone_is_said(folder):
    said = conversation(load_results(folder.path))
    assert said is not None
    assert (said.calls[2].messages, said.calls[2].reply) == ((), None)
    text = build_report(folder.path).page.read_text()
    assert text.count("Its transcript is gone.") == 1


def test_the_page_shows_it_as_text(folder):
    text = build_report(folder.path).page.read_text()
    page = Page(text)
    assert "conversation" in page.ids
    assert "#conversation" in page.links
    assert "The first 4 of 5 calls of toy-a/clever/seed-1." in text
    assert "Propose &lt;one&gt; &amp; only one, 0." in text
    assert "<one>" not in text


def test_a_finished_run_is_shown_before_one_that_is_not(folder):
    changes, timings = llm(call(key="0" * 64))
    folder.run("clever", 0, "00", status="running", changes={0: changes}, timings={0: timings})
    said = conversation(load_results(folder.path))
    assert said is not None
    assert said.path == "toy-a/clever/seed-1"


def test_one_that_is_not_finished_is_better_than_none(tmp_path):
    folder = Folder(tmp_path / "results" / "s", ["clever"])
    changes, timings = llm(call(key="0" * 64))
    folder.run("clever", 0, "00", status="running", changes={0: changes}, timings={0: timings})
    said = conversation(load_results(folder.path))
    assert said is not None
    assert [call.reply for call in said.calls] == [None]


def test_where_no_model_was_asked_nothing_was_said(compared):
    assert conversation(load_results(compared)) is None
    assert "What was said?" not in build_report(compared).page.read_text()
