"""The headline: ranks, normalised regret and the probability of beating random search, by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from reports import headline
from reports import scores
from reports import tables
from reports.build import build_report
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from reports.formats import Sheet

SEEDS = range(4)
# Test scores are 40 + a + 10 b of an architecture ab, 62 at most.
RANDOM = "00", "01", "11", "02"  # 40, 50, 51, 60: 50.25 on average
CLEVER = "02", "12", "12", "22"  # 60, 61, 61, 62


def sheet_of(path: Path) -> Sheet | None:
    results = load_results(path)
    known = scores.ceilings(results)
    runs = tables.run_table(results, scores.final_scores(results, known))
    return headline.headline_sheet(results, headline.score_table(results, runs, known), known)


def shown(path: Path) -> Sheet:
    sheet = sheet_of(path)
    assert sheet is not None
    return sheet


def frame_of(path: Path) -> pd.DataFrame:
    return shown(path).frame.set_index("strategy")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two benchmarks with the same runs, but that both strategies find the best of the second."""
    folder = Folder(tmp_path / "s", ["random_search", "clever"], SEEDS, labels=["toy-a", "toy-b"])
    for seed in SEEDS:
        folder.run("random_search", seed, RANDOM[seed])
        folder.run("clever", seed, CLEVER[seed])
        folder.run("random_search", seed, RANDOM[seed], on="toy-b")
        folder.run("clever", seed, "22", on="toy-b")
    return folder


def test_by_hand(folder):
    frame = frame_of(folder.path)
    assert frame["rank"].to_dict() == {"random_search": 2, "clever": 1}
    assert frame["benchmarks"].tolist() == [2, 2]
    assert frame["runs"].tolist() == [8, 8]
    # Of 16 pairs on toy-a, 60 is no better than 60 in one; on toy-b all 16 are won.
    assert frame.loc["clever", "better"] == pytest.approx((15.5 / 16 + 1) / 2)
    assert math.isnan(frame.loc["random_search", "better"])
    # From the best, 62, to the floor, 50.25, it is 11.75: of the eight regrets 2, 1, 1, 0, 0, 0, 0, 0 the middle four.
    assert frame.loc["clever", "regret"] == pytest.approx(0.25 / 11.75)
    # 22, 22, 12, 12, 11, 11, 2, 2.
    assert frame.loc["random_search", "regret"] == pytest.approx(11.5 / 11.75)
    for measure in ("rank", "regret", "better"):
        assert frame.loc["clever", f"{measure}_low"] <= frame.loc["clever", measure]
        assert frame.loc["clever", measure] <= frame.loc["clever", f"{measure}_high"]


def test_as_shown(folder):
    sheet = shown(folder.path)
    assert [cell.text for cell in sheet.wide.rows[1]][:2] == ["clever", "1.00"]
    assert [cell.text for cell in sheet.narrow.rows[1]] == ["clever", "1.00", "0.021", "0.98", "8"]
    # The lowest rank and regret and the highest probability are best.
    assert [cell.rank for cell in sheet.narrow.rows[1]] == [0, 1, 1, 1, 0]
    assert [cell.rank for cell in sheet.narrow.rows[0]] == [0, 2, 2, 0, 0]
    assert "Normalised regret is 0 at the best architecture" in sheet.caption
    markdown = build_report(folder.path).markdown
    # Before what is said of each benchmark on the page, and in the text as well.
    assert markdown.count("## Headline") == 1


def test_lower_scores_may_be_better(tmp_path):
    folder = Folder(
        tmp_path / "s",
        ["random_search", "clever"],
        [0, 1],
        objective={"fidelity": 1, "noise": "mean"},
        benchmark={"name": "roads", "params": {}},
    )
    for seed, (found, better) in enumerate((("110000", "000000"), ("100000", "100000"))):
        folder.run("random_search", seed, found)
        folder.run("clever", seed, better)
    frame = frame_of(folder.path)
    # One of four pairs is equal, and none is lost.
    assert frame.loc["clever", "better"] == 3.5 / 4
    # Of a space whose best is not known there is no regret, and of one benchmark no rank.
    assert frame["regret"].isna().all()
    sheet = shown(folder.path)
    assert sheet.wide.heads[:2] == ("Strategy", "Probability of beating random search")
    assert "regret" not in sheet.caption
    assert "toy-a is left out of normalised scores" in sheet.closing


def test_a_sweep_without_random_search_has_ranks_alone(tmp_path):
    folder = Folder(tmp_path / "s", ["local_search", "clever"], labels=["toy-a", "toy-b"])
    for on in ("toy-a", "toy-b"):
        folder.run("local_search", 0, "00", on=on)
        folder.run("clever", 0, "22", on=on)
    sheet = shown(folder.path)
    assert sheet.wide.heads == ("Strategy", "Mean rank", "Benchmarks", "Runs")
    assert "random search" not in sheet.caption


@pytest.mark.parametrize("strategies", [["random_search"], ["local_search", "clever"]])
def test_what_cannot_be_compared_has_no_headline(tmp_path, strategies):
    folder = Folder(tmp_path / "s", strategies)
    for strategy in strategies:
        folder.run(strategy, 0, "00")
    assert sheet_of(folder.path) is None
    assert "Headline" not in build_report(folder.path).markdown


def test_random_search_is_known_by_its_name_and_not_by_its_label(tmp_path):
    folder = Folder(tmp_path / "s", ["floor", "clever"])
    folder.run("floor", 0, "00", spec={"strategy": {"name": "random_search", "params": {}}})
    folder.run("clever", 0, "22")
    assert frame_of(folder.path)["better"].dropna().to_dict() == {"clever": 1}


def test_ranks_are_of_benchmarks_that_all_have_and_it_is_said(folder):
    for seed in SEEDS:
        file = folder.path / "toy-b" / "clever" / f"seed-{seed}" / "run.json"
        file.write_text(file.read_text().replace('"complete"', '"failed"'))
    for on in ("toy-a", "toy-b"):
        for seed in SEEDS:
            folder.run("local_search", seed, "11", on=on)
    sheet = shown(folder.path)
    frame = sheet.frame.set_index("strategy")
    # On toy-a alone: 61, 51 and 50.25.
    assert frame["rank"].to_dict() == {"clever": 1, "local_search": 2, "random_search": 3}
    assert frame["benchmarks"].to_dict() == {"clever": 1, "local_search": 2, "random_search": 2}
    assert "toy-b" in sheet.closing


def test_validation_counts_where_there_is_no_test(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"], splits=["valid"])
    # By validation 20 (70) beats 02 (52); by test it would be the other way round.
    folder.run("random_search", 0, "02")
    folder.run("clever", 0, "20")
    assert frame_of(folder.path).loc["clever", "better"] == 1
