"""Replies and costs as stacked bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reports import cost_bars
from reports import costs
from reports import reply_bars
from reports import scores
from reports import tables
from reports.build import build_report
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

if TYPE_CHECKING:
    from pathlib import Path

    from reports.stacked import StackedBars


def cost_bars_of(path: Path) -> list[StackedBars]:
    results = load_results(path)
    known = scores.ceilings(results)
    sheet = costs.cost_sheet(results, tables.run_table(results, scores.final_scores(results, known)))
    assert sheet is not None
    return cost_bars.cost_bars(sheet, known)


@pytest.fixture
def asked(tmp_path) -> Path:
    folder = Folder(tmp_path / "s", ["random_search", "sharp", "clever"], [0, 1])
    folder.run("random_search", 0, "00 11")
    one, timed = llm(call(), call("not JSON"))
    other, other_timed = llm(call(model="n"), call("odd", model="n"))
    folder.run("clever", 0, "00 11", changes={0: one, 1: other}, timings={0: timed, 1: other_timed})
    # Not finished, so it has no costs, but replies.
    folder.run("clever", 1, "00", status="running", changes={0: one}, timings={0: timed})
    folder.run("sharp", 0, "00", timings={0: {"strategy_gpu_seconds": 1800.0}})
    return folder.path


def test_shares_of_replies(asked):
    bars = reply_bars.reply_bars(load_results(asked))
    assert bars is not None
    assert bars.rows == ["clever, m", "clever, n"]
    (stack,) = bars.stacks
    # A reason that is none of ours stands behind those that are.
    assert {verdict: shares.tolist() for verdict, shares in stack.parts.items()} == {
        "used": [50, 50],
        "not JSON": [50, 0],
        "odd": [0, 50],
    }
    assert list(stack.parts) == ["used", "not JSON", "odd"]
    assert stack.ends == ["4 calls", "2 calls"]


def test_costs_in_parts(asked):
    (bars,) = cost_bars_of(asked)
    assert bars.rows == ["random_search", "sharp", "clever"]
    hours, tokens = bars.stacks
    assert {part: amounts.tolist() for part, amounts in hours.parts.items()} == {
        "evaluation": [0.5, 0.25, 0.5],
        "strategy": [0, 0.5, 0],
        # Four calls, a second each.
        "language models": [0, 0, pytest.approx(4 / 3600)],
    }
    assert {part: amounts.tolist() for part, amounts in tokens.parts.items()} == {
        "tokens read": [0, 0, 0.4],
        "tokens written": [0, 0, 0.04],
    }
    assert tokens.ends == ["none", "none", "440 tokens"]


def test_without_a_model_there_are_no_tokens(tmp_path):
    folder = Folder(tmp_path / "s", ["sharp"])
    folder.run("sharp", 0, "00", timings={0: {"strategy_gpu_seconds": 1800.0}})
    (bars,) = cost_bars_of(folder.path)
    (hours,) = bars.stacks
    assert list(hours.parts) == ["evaluation", "strategy"]
    assert reply_bars.reply_bars(load_results(folder.path)) is None


def test_they_stand_at_their_tables(asked):
    report = build_report(asked)
    names = {file.name for file in report.files}
    assert {"costs-toy-a.pdf", "validity-replies.png"} <= names
    costs_at, figure, validity_at = (
        report.markdown.index(text) for text in ("## Costs", "(costs-toy-a.svg)", "## Validity")
    )
    assert costs_at < figure < validity_at
