"""Every measure by hand: what strategies recommend, networks that people designed, and what a paper reports."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from reports import formats
from reports import measures_sheet
from reports import scores
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from reports.formats import Sheet

ROADS = {"name": "roads", "params": {}}
ONE_STEP = {"fidelity": 1, "noise": "mean"}


def roads(**params: Any) -> dict[str, Any]:
    return {"name": "roads", "params": params}


def sheet_of(folder: Folder) -> Sheet | None:
    results = load_results(folder.path)
    return measures_sheet.measure_sheet(results, scores.ceilings(results))


def shown(folder: Folder) -> Sheet:
    sheet = sheet_of(folder)
    assert sheet is not None
    return sheet


def cells(sheet: Sheet, row: str) -> dict[str, str]:
    """Head to text of the wide form's row."""
    (found,) = (line for line in sheet.wide.rows if line[0].text == row)
    return dict(zip(sheet.wide.heads, (cell.text for cell in found), strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two seeds each of random search (sums 1 and 3), evolution (0 and 0) and DARTS (2 and 4)."""
    benchmark = roads(references={"graph_wavenet": [2.0, 3.0], "stsgcn": [5.0]})
    strategies = ["random_search", "evolution", "darts"]
    folder = Folder(tmp_path / "s", strategies, [0, 1], objective=ONE_STEP, benchmark=benchmark)
    for strategy, ncodes in zip(
        strategies, (("100000", "111000"), ("000000",) * 2, ("200000", "220000")), strict=True
    ):
        for seed, ncode in enumerate(ncodes):
            folder.run(strategy, seed, ncode)
    return folder


def test_numbers_by_hand(folder):
    frame = shown(folder).frame.set_index(["strategy", "measure"])
    random = frame.loc[("random_search", "MAE")]
    # Test MAE is 4.1 and 4.3.
    assert random["mean"] == pytest.approx(4.2)
    assert random["std"] == pytest.approx(0.2 / math.sqrt(2))
    assert (random["n"], random["split"], random["unit"], random["direction"]) == (2, "test", "mph", "lower")
    assert frame.loc[("random_search", "RMSE"), "mean"] == pytest.approx(8.4)
    assert frame.loc[("random_search", "MAPE"), "mean"] == 2
    wavenet = frame.loc[("graph_wavenet", "MAE")]
    assert (wavenet["mean"], wavenet["n"], wavenet["role"]) == (2.5, 2, "reference")
    assert wavenet["std"] == pytest.approx(1 / math.sqrt(2))


def test_the_lowest_is_the_best_and_references_do_not_compete(folder):
    sheet = shown(folder)
    assert [line[0].text for line in sheet.wide.rows] == [
        "random_search",
        "evolution",
        "darts",
        "graph_wavenet",
        "stsgcn",
    ]
    assert [line[1].rank for line in sheet.wide.rows] == [2, 1, 0, 0, 0]
    assert cells(sheet, "evolution")["MAE mph ↓"] == "4.000 ± 0.000"
    assert cells(sheet, "evolution")["MAPE % ↓"] == "0.00 ± 0.00"


def test_what_a_paper_reports_of_a_part_of_its_data_is_not_comparable(folder):
    sheet = shown(folder)
    beside = "ISTS, not comparable"
    # METR-LA in Table 2: MAE of DARTS, of Graph WaveNet, of STSGCN.
    heads = list(sheet.wide.heads)
    column = heads.index(beside)
    assert heads[column - 1] == "MAE mph ↓"
    assert [line[column].text for line in sheet.wide.rows] == ["–", "–", "2.89", "2.97", "3.43"]
    note = next(note for note in sheet.notes if "Numbers of a paper" in note)
    assert "ISTS, Table 2 (arXiv 2503.17994, mean of 3 runs" in note
    assert "here are 1 of 207 sensors: the two cannot be compared" in note


def test_on_the_whole_data_set_they_stand_beside_ours(tmp_path):
    folder = Folder(
        tmp_path / "s", ["darts"], objective=ONE_STEP, benchmark=roads(dataset="metr-la", part=207)
    )
    folder.run("darts", 0, "000000")
    sheet = shown(folder)
    assert "ISTS" in sheet.wide.heads
    note = next(note for note in sheet.notes if "Numbers of a paper" in note)
    assert "cannot be compared" not in note
    assert "with settings of its own" in note


def test_what_is_not_known_says_why(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "darts"], [0, 1], objective=ONE_STEP, benchmark=ROADS)
    folder.run("random_search", 0, "100000")
    folder.run("random_search", 1, "000000", recommend="222222")
    for seed in (0, 1):
        folder.run(
            "darts", seed, "000000", recommend="222222", record={"unsettled": "its loss is not finite."}
        )
    sheet = shown(folder)
    assert cells(sheet, "random_search")["n"] == "1"
    assert cells(sheet, "darts")["MAE mph ↓"] == "–"
    said = " ".join(sheet.notes)
    assert (
        "Runs in no mean, for what they recommend has no score: 1 of 2 of random_search, 2 of 2 of darts."
        in said
    )
    assert "222222 was not trained. `harness run` trains it." in said
    assert set(sheet.runs["no_score"].dropna()) == {  # type: ignore[index]
        "222222 was not trained. `harness run` trains it.",
        "its loss is not finite.",
    }


def test_a_reference_that_one_benchmark_lacks_is_named_with_the_command(tmp_path):
    known = {"graph_wavenet": [2.0], "stsgcn": [5.0]}
    folder = Folder(
        tmp_path / "s", objective=ONE_STEP, benchmark=roads(references=known), labels=["toy-a", "toy-b"]
    )
    folder.run("random_search", 0, "000000")
    fewer = roads(dataset="lone", references={"stsgcn": [6.0]})
    folder.run("random_search", 0, "000000", spec={"benchmark": fewer}, on="toy-b")
    sheet = shown(folder)
    groups = [text for text, _ in sheet.wide.groups]
    assert groups == ["", "toy-a (metr-la-1), test¹", "toy-b (lone), test² ³"]
    wavenet = next(line for line in sheet.wide.rows if line[0].text == "graph_wavenet")
    known_heads = [
        head for head, cell in zip(sheet.wide.full_heads, wavenet, strict=True) if cell.text == "2.000"
    ]
    assert known_heads == ["toy-a (metr-la-1), test¹: MAE mph ↓", "toy-a (metr-la-1), test¹: RMSE mph ↓"]
    note = next(note for note in sheet.notes if "graph_wavenet" in note)
    assert "not trained on lone (8 epochs)" in note
    assert "`harness tabulate NAME`" in note


def test_validation_is_never_called_test(tmp_path):
    folder = Folder(tmp_path / "s", objective=ONE_STEP, benchmark=roads(splits=["valid"]))
    folder.run("random_search", 0, "000000")
    sheet = shown(folder)
    assert sheet.wide.groups[1][0].startswith("toy-a (metr-la-1), validation")
    assert cells(sheet, "random_search")["MAE mph ↓"] == "3.000"
    assert "has no test scores: these are of validation" in " ".join(sheet.notes)


def test_what_is_synthetic_is_called_so_in_every_form(tmp_path):
    folder = Folder(tmp_path / "s", objective=ONE_STEP, benchmark=roads(dataset="synthetic"))
    folder.run("random_search", 0, "000000")
    sheet = shown(folder)
    console = Console(width=100, file=io.StringIO())
    console.print(formats.to_console(sheet))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (formats.to_markdown(sheet), formats.to_csv(sheet), formats.to_latex(sheet), printed):
        assert "toy-a (synthetic)" in text or "toy-a (synthetic),synthetic" in text


def test_one_measure_needs_no_table_of_its_own(compared):
    results = load_results(compared)
    assert measures_sheet.measure_sheet(results, scores.ceilings(results)) is None


def test_every_form_is_whole(folder):
    sheet = shown(folder)
    text = formats.to_latex(sheet)
    assert text.isascii()
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])  # type: ignore[index]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {columns - 1}
    assert r"\textbf{4.000 $\pm$ 0.000}" in text
    assert r"\underline{4.200 $\pm$ 0.141}" in text
    assert r"MAE mph $\downarrow$" in text
    frame = pd.read_csv(io.StringIO(formats.to_csv(sheet)))
    assert len(frame) == 5 * 3
    assert set(frame["part"]) == {"1 of 207 sensors"}
    markdown = formats.to_markdown(sheet)
    assert "toy-a (metr-la-1), test¹: MAE mph ↓" in markdown
    assert "**4.000 ± 0.000**" in markdown
    console = Console(width=100, file=io.StringIO())
    console.print(formats.to_console(sheet))
    assert max(map(len, console.file.getvalue().splitlines())) <= 100  # type: ignore[attr-defined]
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]
