"""The table of valid replies: counted by hand."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from reports import formats
from reports import validity
from reports.build import build_report
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

if TYPE_CHECKING:
    from pathlib import Path

    from reports.formats import Sheet
    from tests.reports.conftest import Row

BY_MODEL = {"name": "clever", "params": {"model": "m", "judge": "j", "structured": "none", "names": "ncode"}}


def sheet_of(folder: Folder) -> Sheet:
    sheet = validity.validity_sheet(load_results(folder.path))
    assert sheet is not None
    return sheet


def shown(sheet: Sheet, row: int = 0) -> dict[str, str]:
    return dict(zip(sheet.wide.heads, (cell.text for cell in sheet.wide.rows[row]), strict=True))


def trials(*proposals: tuple[Row, Row]) -> dict[str, dict[int, Row]]:
    return {
        "changes": {n: change for n, (change, _) in enumerate(proposals)},
        "timings": {n: timing for n, (_, timing) in enumerate(proposals)},
    }


@pytest.fixture
def judged(tmp_path: Path) -> Folder:
    """Two models. Trial 0: two replies thrown away, one used, with two known architectures in it; trial 1 is a
    fallback after two refusals of the judge; then the run ends with one reply that is no JSON."""
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "00 01")
    first, timed = llm(call("not JSON"), call("illegal choice"), call(), call(model="j"))
    rejected = {"not JSON": 1, "illegal choice": 1, "duplicate": 2}
    second, later = llm(call("refused", model="j"), call("refused", model="j"))
    fallback = {"rejected": {"refused": 2}, "attributes": {"source": "fallback"}}
    folder.run(
        "clever",
        0,
        "00 11",
        status="exhausted",
        spec={"strategy": BY_MODEL, "models": {"m": {}, "j": {}}},
        **trials((first | {"rejected": rejected}, timed), (second | fallback, later)),
        record={
            "last_calls": [call("not JSON")],
            "totals": {
                "llm_calls": 7,
                "rejected": {"not JSON": 2, "illegal choice": 1, "duplicate": 2, "refused": 2},
            },
        },
    )
    return folder


def test_replies_are_counted_by_model_and_reason(judged):
    frame = sheet_of(judged).frame.set_index("model")
    assert list(frame.index) == ["m", "j"]
    assert frame.loc["m", ["calls", "used", "not JSON", "illegal choice", "refused"]].tolist() == [
        4,
        1,
        2,
        1,
        0,
    ]
    assert frame.loc["j", ["calls", "used", "not JSON", "illegal choice", "refused"]].tolist() == [
        3,
        1,
        0,
        0,
        2,
    ]
    # Five replies were thrown away, and two architectures of a reply that was used.
    assert frame.loc["m", ["thrown_away", "fallbacks", "trials", "gave_up"]].tolist() == [2, 1, 2, 1]
    assert frame.loc["j", ["thrown_away", "fallbacks", "trials", "gave_up"]].isna().all()


def test_as_shown(judged):
    sheet = sheet_of(judged)
    row = shown(sheet)
    assert (row["Reply form"], row["Names"], row["Used %"]) == ("none", "ncode", "25.0")
    assert (row["Not JSON"], row["Illegal choice"], row["At random"], row["Exhausted"]) == (
        "2",
        "1",
        "1 of 2",
        "1",
    )
    assert shown(sheet, 1)["At random"] == ""
    assert "Truncated" not in sheet.narrow.heads
    assert "truncated" not in sheet.narrow.heads
    assert len(pd.read_csv(io.StringIO(formats.to_csv(sheet)))) == 2


def test_names_shared_by_all_rows_stand_in_the_title_on_a_terminal(judged):
    table = formats.to_console(sheet_of(judged))
    assert table.title == "Validity of replies (toy-a, clever)"
    assert [str(column.header) for column in table.columns][:2] == ["Model", "Names"]
    assert [str(cell) for cell in table.columns[0].cells] == ["m", "j"]


def test_no_table_hides_that_a_strategy_drew_at_random(judged):
    report = build_report(judged.path)
    for text in (
        report.markdown,
        report.page.read_text(),
        report.page.with_name("table-toy-a.tex").read_text(),
    ):
        plain = text.replace("\\", "")
        assert "clever drew 1 of its 2 trials (50.0%) at random" in plain
    row = pd.read_csv(report.page.with_name("table-toy-a.csv")).set_index("strategy").loc["clever"]
    assert row["fallbacks_mean"] == 1
    assert {"validity.csv", "validity.tex", "costs.csv", "costs.tex"} <= {file.name for file in report.files}
    assert "## Validity of replies" in report.markdown


def test_a_ranking_that_ended_because_all_is_evaluated_is_not_exhausted(tmp_path):
    folder = Folder(tmp_path / "s", ["clever"])
    folder.run("clever", 0, "00 11", status="exhausted", **trials(llm(call())))
    assert sheet_of(folder).frame["gave_up"].tolist() == [0]


def test_calls_that_a_folder_counts_and_does_not_list_are_told(tmp_path):
    folder = Folder(tmp_path / "s", ["clever"])
    tokens = {"llm": {"calls": 3, "prompt_tokens": 1, "completion_tokens": 1}, "rejected": {"not JSON": 2}}
    folder.run("clever", 0, "00 11", changes={0: tokens})
    row = shown(sheet_of(folder))
    assert (row["Model"], row["Calls"], row["Used %"]) == ("not recorded", "3", "–")
    assert sheet_of(folder).frame["thrown_away"].isna().all()


def test_all_runs_count_and_those_not_finished_are_named(tmp_path):
    folder = Folder(tmp_path / "s", ["clever"], [0, 1, 2])
    folder.run("clever", 0, "00", **trials(llm(call())))
    folder.run("clever", 1, "00", status="parked", **trials(llm(call())))
    row = shown(sheet_of(folder))
    assert (row["Calls"], row["Runs"], row["Runs not complete"]) == ("2", "1/3", "1 parked, 1 missing")


def test_without_a_model_there_is_no_table(compared):
    assert validity.validity_sheet(load_results(compared)) is None


@pytest.mark.parametrize("damage", [{"calls": 5}, {"calls": [{"model": "m"}]}, {"calls": ["m"]}])
def test_a_damaged_call_costs_its_run_alone(tmp_path, damage):
    folder = Folder(tmp_path / "s", ["clever"], [0, 1])
    folder.run("clever", 0, "00", **trials(llm(call())))
    path = folder.run("clever", 1, "00", timings={0: damage})
    assert json.loads((path / "timings.jsonl").read_text())
    results = load_results(folder.path)
    assert list(results.runs["seed"]) == [0]
    assert "seed-1 is damaged" in results.remarks[0]
