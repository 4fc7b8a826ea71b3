"""How soon: areas under curves and architectures until random search is matched, by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from reports import anytime
from reports import scores
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from reports.formats import Sheet

ROADS = {"name": "roads", "params": {}}
ONE_STEP = {"fidelity": 1, "noise": "mean"}


def sheet_of(path: Path) -> Sheet | None:
    results = load_results(path)
    return anytime.anytime_sheet(results, scores.ceilings(results))


def shown(path: Path) -> Sheet:
    sheet = sheet_of(path)
    assert sheet is not None
    return sheet


def test_by_hand(compared):
    frame = shown(compared).frame.set_index("strategy")
    # In the end random search had seen 61, 62 and 70; the best that any run saw is 72.
    target, best = 193 / 3, 72
    assert frame["target"].tolist() == [pytest.approx(target)] * 2
    # The best so far after one, two and three distinct architectures, of each run.
    seen = {
        "random_search": [[50, 61, 61], [62, 62, 62], [50, 51, 70]],
        "regularized_evolution": [[50, 71, 71], [71, 71, 71], [70, 71, 72]],
    }
    for strategy, values in seen.items():
        areas = ((best - np.array(values)) / (best - target)).mean(axis=1)
        assert frame.loc[strategy, "area_mean"] == pytest.approx(areas.mean())
        assert frame.loc[strategy, "area_std"] == pytest.approx(areas.std(ddof=1))
    random = frame.loc["random_search"]
    # One of three got there, with its third; the others had three as well.
    assert (random["share"], random["median"], random["expected"]) == (pytest.approx(1 / 3), math.inf, 9)
    evolution = frame.loc["regularized_evolution"]
    # After two, one and one.
    assert (evolution["share"], evolution["median"], evolution["expected"]) == (1, 1, pytest.approx(4 / 3))
    assert 0 <= random["share_low"] < random["share"] < random["share_high"] <= 1


def test_as_shown(compared):
    rows = [[cell.text for cell in row] for row in shown(compared).wide.rows]
    assert rows == [
        ["toy-a", "random_search", "1.725 ± 0.365", "33%", "∞", "9.0", "3"],
        ["toy-a", "regularized_evolution", "0.435 ± 0.527", "100%", "1.0", "1.3", "3"],
    ]


def test_lower_scores_may_be_better(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"], objective=ONE_STEP, benchmark=ROADS)
    # Validation is 3 and a tenth of the sum of the digits.
    folder.run("random_search", 0, "222220 220000")
    folder.run("clever", 0, "200000 000000")
    frame = shown(folder.path).frame.set_index("strategy")
    assert frame["target"].tolist() == [pytest.approx(3.4)] * 2
    # From 3.0 to 3.4: 4.0 and 3.4, and 3.2 and 3.0.
    assert frame["area_mean"].tolist() == pytest.approx([(2.5 + 1) / 2, 0.25])
    assert frame["expected"].tolist() == [2, 1]


def test_what_a_trial_cut_short_or_failed_saw_does_not_count(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "11 00 00")
    # 72 at a lower fidelity, then a failure; 60 comes with the third architecture.
    cut = {0: {"state": "pruned", "fidelity": 10}, 1: {"state": "failed", "valid": None}}
    folder.run("clever", 0, "22 21 11 12", changes=cut, recommend="12")
    frame = shown(folder.path).frame.set_index("strategy")
    assert frame.loc["clever", ["share", "median"]].tolist() == [1, 3]
    # Best 62, target 61: after 1, 2, 3, 4 architectures nothing, nothing, 61 and 62.
    assert frame.loc["clever", "area_mean"] == pytest.approx((1 + 1 + 1 + 0) / 4)
    # A duplicate moves nothing on, and a run that ended early keeps what it has.
    assert frame.loc["random_search", "area_mean"] == pytest.approx(1)


def test_where_all_see_the_same_there_is_no_area(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "11")
    folder.run("clever", 0, "11")
    row = shown(folder.path).frame.iloc[1]
    assert math.isnan(row["area_mean"])
    assert (row["share"], row["expected"]) == (1, 1)


def test_only_finished_runs_count_and_the_others_are_said(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"], [0, 1])
    folder.run("random_search", 0, "11")
    folder.run("random_search", 1, "22", status="running")
    folder.run("clever", 0, "12")
    sheet = shown(folder.path)
    assert sheet.frame["target"].tolist() == [61, 61]
    heads = dict(zip(sheet.wide.heads, (cell.text for cell in sheet.wide.rows[0]), strict=True))
    assert heads["Runs"] == "1/2"


@pytest.mark.parametrize("strategies", [["random_search"], ["local_search", "clever"]])
def test_it_takes_random_search_and_another(tmp_path, strategies):
    folder = Folder(tmp_path / "s", strategies)
    for strategy in strategies:
        folder.run(strategy, 0, "00 11")
    assert sheet_of(folder.path) is None


def test_it_takes_a_score_of_random_search(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "00", changes={0: {"state": "failed", "valid": None}})
    folder.run("clever", 0, "11")
    assert sheet_of(folder.path) is None
