"""First proposals, rankings, and plain minus blind: by hand, on nine architectures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

import pytest

from reports import by_heart
from reports import first_proposals
from reports import ranking
from reports import scores
from reports import statistics
from reports import tables
from reports.build import build_report
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

MODELS = {"m": {"kind": "embedded"}}


def asked(name: str, **params: Any) -> dict[str, Any]:
    return {"strategy": {"name": name, "params": {"model": "m", **params}}, "models": MODELS}


def attributed(*attributes: dict[str, Any]) -> dict[int, Any]:
    return {number: {"attributes": a} for number, a in enumerate(attributes)}


def proposals(path: Path) -> pd.DataFrame:
    results = load_results(path)
    sheet = first_proposals.proposal_sheet(results, scores.ceilings(results))
    assert sheet is not None
    return sheet.frame.set_index("strategy")


def rankings(path: Path) -> pd.DataFrame:
    results = load_results(path)
    sheet = ranking.ranking_sheet(results, scores.ceilings(results))
    assert sheet is not None
    return sheet.frame.set_index("strategy")


@pytest.fixture
def audited(tmp_path: Path) -> Folder:
    """The best two architectures with names, the worst two without; random search proposes the middle one."""
    folder = Folder(tmp_path / "s", ["random_search", "plain", "blind"], [0, 1])
    for seed in (0, 1):
        folder.run("random_search", seed, "11")
        folder.run("plain", seed, "22 21 22", spec=asked("first_proposal", names="plain"))
        folder.run("blind", seed, "00 01", spec=asked("first_proposal", names="permuted"))
    return folder


def test_percentiles_of_first_proposals(audited):
    frame = proposals(audited.path)
    # Of nine, the best stands above 8.5 (one half for itself), the second above 7.5.
    assert frame.loc["plain", "percentile_mean"] == pytest.approx(100 * (8.5 + 7.5 + 8.5) / 27)
    assert frame.loc["blind", "percentile_mean"] == pytest.approx(100 * (0.5 + 1.5) / 18)
    assert frame.loc["random_search", "percentile_mean"] == pytest.approx(50)
    assert frame.loc["plain", ["proposals", "distinct"]].tolist() == [6, 2]
    assert frame.loc["blind", "by_heart"] == pytest.approx(
        frame.loc["plain", "percentile_mean"] - frame.loc["blind", "percentile_mean"]
    )
    assert math.isnan(frame.loc["plain", "by_heart"])
    # Both runs of each propose the same.
    assert frame.loc["blind", "by_heart_low"] == pytest.approx(frame.loc["blind", "by_heart"])


def test_the_mean_percentile_of_all_architectures_is_50():
    every = [3.0, 1.0, 2.0, 2.0, 2.0, 7.0]
    for better in (True, False):
        assert statistics.percentiles(every, every, higher_is_better=better).mean() == pytest.approx(50)


def test_what_was_drawn_at_random_is_none_of_the_models(tmp_path):
    folder = Folder(tmp_path / "s", ["plain"])
    attributes = attributed({"source": "model"}, {"source": "fallback"})
    folder.run("plain", 0, "22 00", spec=asked("first_proposal", names="plain"), changes=attributes)
    row = proposals(folder.path).loc["plain"]
    assert (row["proposals"], row["percentile_mean"]) == (1, pytest.approx(100 * 8.5 / 9))


def test_one_run_is_resampled_by_its_proposals(tmp_path):
    folder = Folder(tmp_path / "s", ["plain"])
    folder.run("plain", 0, "22 00 11", spec=asked("first_proposal", names="plain"))
    row = proposals(folder.path).loc["plain"]
    assert row["percentile_low"] < row["percentile_mean"] < row["percentile_high"]


def test_runs_without_a_table_of_the_space_have_no_percentiles(audited):
    for path in audited.path.rglob("run.json"):
        path.write_text(path.read_text().replace("d" * 64, "e" * 64))
    report = build_report(audited.path)
    assert "No percentiles on toy-a" in report.markdown


def ranked(*ranks: int, of: int = 3) -> dict[int, Any]:
    return attributed(*({"rank": rank, "of": of} for rank in ranks))


def test_taus_of_rankings(tmp_path):
    folder = Folder(tmp_path / "s", ["ranks", "blind"], [0, 1, 2])
    spec = asked("llm_ranking", names="plain")
    folder.run("ranks", 0, "22 11 00", spec=spec, changes=ranked(1, 2, 3))
    folder.run("ranks", 1, "11 22 00", spec=spec, changes=ranked(1, 2, 3))
    # The model gave no ranking.
    folder.run("ranks", 2, "", status="exhausted", spec=spec)
    for seed in range(3):
        folder.run(
            "blind",
            seed,
            "00 11 22",
            status="exhausted",
            spec=asked("llm_ranking", names="permuted"),
            changes=ranked(1, 2, 3),
        )
    frame = rankings(folder.path)
    assert frame.loc["ranks", "tau_mean"] == pytest.approx((1 + 1 / 3) / 2)
    assert frame.loc["ranks", "tau_std"] == pytest.approx(math.sqrt(2) / 3)
    assert frame.loc["ranks", ["rankings", "of", "finished"]].tolist() == [2, 3, 3]
    assert frame.loc["blind", "tau_mean"] == -1
    assert frame.loc["blind", "by_heart"] == pytest.approx(1 + 2 / 3)
    # The second training seed turns the order round; this space knows neither parameters nor FLOPs.
    assert frame.loc["ranks", "tau_seeds_mean"] == -1
    assert frame.loc["ranks", ["tau_parameters_mean", "tau_flops_mean"]].isna().all()


def test_a_ranking_that_was_cut_short_counts_in_no_mean(tmp_path):
    folder = Folder(tmp_path / "s", ["ranks"], [0, 1])
    spec = asked("llm_ranking")
    folder.run("ranks", 0, "22 11", spec=spec, changes=ranked(1, 2, of=3))
    folder.run("ranks", 1, "22", status="parked", spec=spec, changes=ranked(1, of=3))
    row = rankings(folder.path).loc["ranks"]
    assert row["rankings"] == 0
    assert math.isnan(row["tau_mean"])
    assert row["parked"] == 1
    assert "1 parked" in build_report(folder.path).markdown


def test_only_unfinished_rankings_and_proposals_still_make_tables(tmp_path):
    folder = Folder(tmp_path / "s", ["ranks", "plain"])
    folder.run("ranks", 0, "", status="parked", spec=asked("llm_ranking"))
    folder.run("plain", 0, "22", status="running", spec=asked("first_proposal", names="plain"))
    report = build_report(folder.path)
    assert "## Ranking by a model" in report.markdown
    assert "## First proposals" in report.markdown


def test_lower_scores_may_be_better(tmp_path):
    folder = Folder(tmp_path / "s", ["ranks"])
    metric = {"name": "error", "unit": "", "higher_is_better": False}
    folder.run(
        "ranks", 0, "00 11 22", spec=asked("llm_ranking"), changes=ranked(1, 2, 3), record={"metric": metric}
    )
    assert rankings(folder.path).loc["ranks", "tau_mean"] == 1


def test_final_scores_plain_minus_blind(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "plain", "blind", "other"], [0, 1])
    for seed in (0, 1):
        folder.run("random_search", seed, "00")
        folder.run("plain", seed, "22", spec=asked("clever", names="plain", temperature=0.5))
        folder.run("blind", seed, "11", spec=asked("clever", names="permuted", temperature=0.5))
        # Differs in more than the names, so it has no partner.
        folder.run("other", seed, "11", spec=asked("clever", names="permuted", temperature=0.6))
    results = load_results(folder.path)
    known = scores.ceilings(results)
    table = tables.run_table(results, scores.final_scores(results, known))
    sheet = by_heart.by_heart_sheet(results, table, known)
    assert sheet is not None
    assert sheet.frame["strategy"].tolist() == ["blind"]
    row = sheet.frame.iloc[0]
    assert (row["partner"], row["split"], row["plain_mean"], row["blind_mean"]) == ("plain", "test", 62, 51)
    assert row[["by_heart", "by_heart_low", "by_heart_high"]].tolist() == [11, 11, 11]
    assert "+11.00" in [cell.text for cell in sheet.wide.rows[0]]


def test_the_interval_of_a_difference_holds_what_it_should():
    low, high = statistics.difference_interval([3.0, 5.0, 4.0, 4.0], [1.0, 2.0, 3.0, 2.0])
    assert low < 2 < high
    assert all(map(math.isnan, statistics.difference_interval([1.0], [1.0, 2.0])))


def frequencies(path: Path) -> Any:
    (heat_map,) = ranking.consistency_maps(load_results(path))
    return heat_map.values.tolist()


def test_consistency_of_rankings(tmp_path):
    folder = Folder(tmp_path / "s", ["ranks"], [0, 1, 2, 3])
    spec = asked("llm_ranking", names="plain")
    # The order of the trials is no matter, their ranks are.
    folder.run("ranks", 0, "00 22 11", spec=spec, changes=ranked(3, 1, 2))
    folder.run("ranks", 1, "11 22 00", spec=spec, changes=ranked(1, 2, 3))
    # Neither of these is a whole ranking.
    folder.run("ranks", 2, "22 11", spec=spec, changes=ranked(1, 2, of=3))
    folder.run("ranks", 3, "22", status="parked", spec=spec, changes=ranked(1, of=3))
    assert frequencies(folder.path) == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    report = build_report(folder.path)
    names = {file.name for file in report.files}
    assert {"consistency-toy-a-ranks.png", "consistency-toy-a-ranks.svg"} <= names
    assert "(consistency-toy-a-ranks.svg)" in report.markdown
    assert "relative frequency over 2 rankings" in report.page.read_text()


def test_equal_scores_share_their_true_ranks(tmp_path):
    folder = Folder(tmp_path / "s", ["ranks"])
    equal = {number: row | {"valid": 60.0} for number, row in ranked(1, 2, 3).items() if number < 2}
    folder.run("ranks", 0, "00 11 22", spec=asked("llm_ranking"), changes=ranked(1, 2, 3) | equal)
    assert frequencies(folder.path) == [[0, 0.5, 0.5], [0, 0.5, 0.5], [1, 0, 0]]
