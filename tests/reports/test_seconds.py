"""Where the seconds of a search go, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import pytest

from reports import scores
from reports import seconds
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

if TYPE_CHECKING:
    from reports.formats import Sheet

ROADS = {"name": "roads", "params": {}}
ONE_STEP = {"fidelity": 1, "noise": "mean"}
# As the seconds of an evaluation of a measured benchmark stand in a trajectory; a search with a supernet pays nothing.
TEN = {"gpu_seconds": 10.0}
FREE = {"gpu_seconds": 0.0}


def sheet_of(folder: Folder) -> Sheet | None:
    results = load_results(folder.path)
    return seconds.second_sheet(results, scores.ceilings(results))


def shown(folder: Folder) -> Sheet:
    sheet = sheet_of(folder)
    assert sheet is not None
    return sheet


def cells(sheet: Sheet, row: int = 0) -> dict[str, str]:
    """Full head to text of the wide form."""
    return dict(zip(sheet.wide.full_heads, (cell.text for cell in sheet.wide.rows[row]), strict=True))


def projecting(*decided: float | None) -> dict[int, Any]:
    """Trials of a search with a supernet: how many edges are decided in each; ``None`` where none ever is."""
    return {n: FREE | {"attributes": {} if d is None else {"decided": d}} for n, d in enumerate(decided)}


def test_rounds_of_a_search_with_a_language_model(tmp_path):
    folder = Folder(tmp_path / "s", ["clever"], objective=ONE_STEP, benchmark=ROADS)
    # Three calls of two seconds each, over two rounds of ten.
    (one, first), (two, second) = llm(call()), llm(call(), call())
    folder.run(
        "clever",
        0,
        "000000 100000",
        changes={0: one | TEN, 1: two | TEN},
        timings={0: first, 1: second},
        record={"settle_seconds": 100.0},
    )
    row = shown(folder).frame.iloc[0]
    assert (row["llm_run_mean"], row["evaluation_run_mean"], row["total_run_mean"]) == (6, 20, 26)
    assert (row["llm_trial_mean"], row["evaluation_trial_mean"], row["total_trial_mean"]) == (3, 10, 13)
    # For the report: no part of the search.
    assert row["settle_mean"] == 100
    text = cells(shown(folder))
    assert (text["Seconds per trial: LLM"], text["Seconds per run: Total"]) == ("3.00", "26.0")
    assert text["Seconds per run: Trained afterwards"] == "100"
    assert "Seconds per trial: Supernet" not in text


def test_epochs_of_a_supernet_and_of_a_projection(tmp_path):
    folder = Folder(tmp_path / "s", ["darts", "darts_pt"], objective=ONE_STEP, benchmark=ROADS)
    spent = {n: {"strategy_gpu_seconds": s, "llm_seconds": 0.0} for n, s in enumerate((30.0, 50.0, 8.0, 4.0))}
    folder.run(
        "darts", 0, "000000 100000", changes=projecting(None, None), timings={0: spent[0], 1: spent[1]}
    )
    folder.run(
        "darts_pt", 0, "000000 100000 200000 210000", changes=projecting(0.0, 0.0, 1.0, 3.0), timings=spent
    )
    darts, projected = (row for _, row in shown(folder).frame.iterrows())
    assert (darts["supernet_run_mean"], darts["supernet_trial_mean"]) == (80, 40)
    assert darts["projection_run_mean"] == 0
    assert (projected["supernet_run_mean"], projected["supernet_trial_mean"]) == (80, 40)
    assert (projected["projection_run_mean"], projected["projection_trial_mean"]) == (12, 6)
    assert (projected["total_run_mean"], projected["total_trial_mean"]) == (92, 23)


def test_means_are_over_finished_runs(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], range(3), objective=ONE_STEP, benchmark=ROADS)
    folder.run("random_search", 0, "000000", changes={0: TEN})
    folder.run("random_search", 1, "000000", changes={0: {"gpu_seconds": 20.0}})
    folder.run("random_search", 2, "000000", changes={0: {"gpu_seconds": 999.0}}, status="running")
    row = shown(folder).frame.iloc[0]
    assert row["evaluation_run_mean"] == 15
    assert row["evaluation_run_std"] == pytest.approx(50**0.5)


def test_seconds_of_a_paper_stand_beside_ours(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "darts", "ists"], objective=ONE_STEP, benchmark=ROADS)
    cot = {"strategy": {"name": "ists", "params": {"reasoning": "cot"}}}
    for strategy in ("random_search", "darts"):
        folder.run(strategy, 0, "000000", changes={0: TEN})
    folder.run("ists", 0, "000000", changes={0: TEN}, spec=cot)
    sheet = shown(folder)
    # METR-LA in Table 4: an epoch of DARTS, a round of ISTS-COT in all.
    found = [cells(sheet, row)["Seconds per trial: ISTS¹"] for row in range(3)]
    assert found == ["–", "4,018", "196"]
    assert "ISTS, Table 4: on an NVIDIA V100" in sheet.notes[0]
    assert "other machines, data and networks" in sheet.notes[0]


def test_simulated_seconds_of_evaluations_alone_need_no_table(compared):
    results = load_results(compared)
    assert seconds.second_sheet(results, scores.ceilings(results)) is None
