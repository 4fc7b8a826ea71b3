"""Tables: hand-computed numbers, what is missing, what failed, and every format."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from rich.console import Console

from harness.benchmarks import Metric
from harness.errors import DataError
from reports import benchmark_sheet
from reports import formats
from reports import scores
from reports import tables
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import Toy

if TYPE_CHECKING:
    from pathlib import Path

    from reports.formats import Sheet
    from reports.tables import BenchmarkTable


def table_of(folder: Path) -> BenchmarkTable:
    results = load_results(folder)
    known = scores.ceilings(results)
    (label,) = known
    return tables.benchmark_table(
        results, label, tables.run_table(results, scores.final_scores(results, known)), known[label]
    )


def sheet_of(folder: Path) -> Sheet:
    return benchmark_sheet.sheet(table_of(folder))


def printed(table: BenchmarkTable, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(formats.to_console(benchmark_sheet.sheet(table)))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_numbers_by_hand(compared):
    frame = table_of(compared).frame.set_index("strategy")
    assert list(frame.index) == ["random_search", "regularized_evolution", "Optimum"]
    random = frame.loc["random_search"]
    assert random["valid_mean"] == pytest.approx((61 + 62 + 70) / 3)
    assert random["valid_std"] == pytest.approx(math.sqrt(219 / 9))
    assert random["valid_distance_mean"] == pytest.approx(72 - 193 / 3)
    assert random["test_mean"] == pytest.approx((51 + 61 + 42) / 3)
    assert random["test_distance_mean"] == pytest.approx(62 - 154 / 3)
    assert random["gpu_hours_mean"] == 0.75
    evolution = frame.loc["regularized_evolution"]
    assert evolution["valid_mean"] == pytest.approx((71 + 71 + 72) / 3)
    assert evolution["trials_mean"] == pytest.approx(10 / 3)
    assert evolution["architectures_mean"] == 3
    assert evolution["duplicates_mean"] == pytest.approx(1 / 3)
    assert evolution["valid_n"] == evolution["complete"] == 3
    assert frame.loc["Optimum", ["valid_mean", "test_mean"]].tolist() == [72, 62]


def test_as_shown(compared):
    markdown = formats.to_markdown(sheet_of(compared))
    random = next(line for line in markdown.splitlines() if line.startswith("| random_search"))
    cells = [cell.strip() for cell in random.strip("|").split("|")]
    assert cells[1] == "64.33 ± 4.93"
    assert cells[3] == "51.33 ± 9.50"
    assert "**71.33 ± 0.58**" in markdown
    assert "Search: validation, 100 epochs, mean over training seeds." in markdown
    assert "Reported: validation and test, 100 epochs" in markdown
    assert "Budget: 3 architectures. Seeds: 0-2." in markdown
    assert "digest dddddddddddd" in markdown
    assert "simulated" in markdown


def test_three_seeds_say_that_no_test_is_possible(compared):
    table = table_of(compared)
    assert table.frame["p_value"].isna().all()
    assert "No test against the best baseline, regularized_evolution, is possible" in table.comparison


def test_enough_seeds_are_tested_on_the_test_split(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"], range(5))
    for seed in range(5):
        folder.run("random_search", seed, "00 01")
        folder.run("clever", seed, "22 21")
    table = table_of(folder.path)
    assert (
        "Two-sided Mann-Whitney U test on the final test score against the best baseline, random_search, "
        "chosen on the same scores (seeds: 5 each)" in table.comparison
    )
    # 252 ways to part ten equal scores in two kinds; two of them are this extreme.
    assert table.frame.set_index("strategy").loc["clever", "p_value"] == pytest.approx(2 / 252)


def test_a_missing_test_split_is_never_replaced(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"], splits=["valid"])
    folder.run("random_search", 0, "00 01")
    folder.run("clever", 0, "22")
    table = table_of(folder.path)
    assert (
        table.frame[[c for c in table.frame if c.startswith("test_") and c != "test_n"]].isna().all(axis=None)
    )
    cells = benchmark_sheet.sheet(table).wide
    column = next(i for i, head in enumerate(cells.heads) if head.startswith("Test"))
    assert [row[column].text for row in cells.rows] == ["–", "–", "–"]
    assert cells.heads[column] == "Test %¹"
    assert cells.notes[0].startswith("¹ No test score: the data behind these runs hold none")
    assert "Reported: validation, 100" in benchmark_sheet.sheet(table).caption
    csv = pd.read_csv(io.StringIO(formats.to_csv(benchmark_sheet.sheet(table))))
    assert csv["test_mean"].isna().all()


def test_runs_that_did_not_complete_are_counted(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], range(6))
    folder.run("random_search", 0, "00 11")
    folder.run("random_search", 1, "20", status="exhausted")
    folder.run("random_search", 2, "21", status="stalled")
    folder.run("random_search", 3, "22 21", status="failed", error="Traceback\nValueError: no")
    folder.run("random_search", 4, "22", status="running")
    table = table_of(folder.path)
    row = table.frame.iloc[0]
    assert row["valid_mean"] == pytest.approx((61 + 70 + 71) / 3)
    assert row[["runs", "complete", "exhausted", "stalled", "failed", "running", "missing"]].tolist() == [
        6,
        1,
        1,
        1,
        1,
        1,
        1,
    ]
    cells = [cell.text for cell in benchmark_sheet.sheet(table).wide.rows[0]]
    assert "3/6" in cells
    notes = "1 exhausted, 1 stalled, 1 failed, 1 running, 1 missing"
    assert notes in cells
    assert f"Runs not complete: random_search {notes}." in " ".join(printed(table).split())
    assert notes in formats.to_latex(benchmark_sheet.sheet(table))


def test_a_strategy_without_a_finished_run_still_has_a_row(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "broken"])
    folder.run("random_search", 0, "00")
    folder.run("broken", 0, "", status="failed", error="Traceback")
    table = table_of(folder.path)
    row = [cell.text for cell in benchmark_sheet.sheet(table).wide.rows[1]]
    assert row[:2] == ["broken", "–"]
    assert "0/1" in row


def test_best_and_second_are_marked_and_equals_are_equal(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "a", "b", "c"])
    for strategy, ncode in (("random_search", "00"), ("a", "22"), ("b", "22"), ("c", "21")):
        folder.run(strategy, 0, ncode)
    ranks = [row[1].rank for row in sheet_of(folder.path).wide.rows]
    assert ranks == [0, 1, 1, 2, 0]


def test_lower_is_better(tmp_path, monkeypatch):
    monkeypatch.setattr(Toy, "metric", Metric("error", "", higher_is_better=False))
    folder = Folder(tmp_path / "s", ["random_search", "a"])
    folder.run("random_search", 0, "21")
    folder.run("a", 0, "00")
    table = table_of(folder.path)
    assert [row[1].rank for row in benchmark_sheet.sheet(table).wide.rows] == [2, 1, 0]
    assert benchmark_sheet.sheet(table).wide.rows[0][1].text == "71.0000"


def test_what_was_searched_by_may_be_something_else_than_what_is_reported(tmp_path):
    """As with a zero-cost proxy: fewer may be better there, and accuracy is shown."""
    proxy = {"metric": {"name": "length", "unit": "m", "higher_is_better": False}}
    folder = Folder(tmp_path / "s", ["random_search", "a"], objective={"fidelity": 0, "noise": "mean"})
    folder.run("random_search", 0, "21", record=proxy)
    folder.run("a", 0, "00", record=proxy)
    table = table_of(folder.path)
    assert dict(table.facts)["Search"] == "lowest length, without training"
    assert dict(table.facts)["Reported"].startswith("validation and test, 100 epochs")
    grid = benchmark_sheet.sheet(table).wide
    assert grid.heads[1] == "Validation %"
    assert [(row[1].text, row[1].rank) for row in grid.rows] == [("71.00", 1), ("50.00", 2), ("72.00", 0)]


def test_trials_that_were_stopped_early_are_told(tmp_path):
    folder = Folder(tmp_path / "s", ["bohb"])
    pruned = {"state": "pruned", "fidelity": 10, "valid": 40.0}
    folder.run("bohb", 0, "00 21 11 12", changes={1: pruned}, recommend="12")
    table = table_of(folder.path)
    assert ("strategy", "bohb stopped 25% of its trials early, after 10 epochs.") in table.footnotes
    assert (
        "strategy",
        "Random search is not among these strategies, so this table has no floor.",
    ) in table.footnotes
    assert benchmark_sheet.sheet(table).wide.heads[0] == "Strategy¹ ²"


def test_runs_that_are_left_out_are_counted_apart(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "a"], [0, 1])
    folder.run("random_search", 0, "00")
    folder.run("random_search", 1, "22", spec={"budget": {"architectures": 500}})
    (folder.run("random_search", 7, "22") / "run.json").write_text("")
    (folder.run("a", 0, "22") / "run.json").write_text("")
    table = table_of(folder.path)
    row = table.frame.iloc[0]
    assert row["valid_mean"] == 50
    # Seed 7 was not planned.
    assert row[["runs", "complete", "left_out", "missing"]].tolist() == [2, 1, 1, 0]
    assert table.frame.iloc[1][["runs", "left_out", "missing"]].tolist() == [2, 1, 1]
    cells = [[cell.text for cell in line] for line in benchmark_sheet.sheet(table).wide.rows]
    assert "1/2" in cells[0]
    assert cells[0][-1] == "1 left out"
    assert cells[1][-1] == "1 missing, 1 left out"


def test_a_budget_too_small_for_one_trial_is_told(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], [0, 1])
    folder.run("random_search", 0, "")
    folder.run("random_search", 1, "")
    notes = sheet_of(folder.path).wide.notes
    assert notes[0] == "¹ No run made a single trial: the budget is too small for one evaluation."
    folder.run("random_search", 2, "00")
    assert "single trial" not in " ".join(sheet_of(folder.path).wide.notes)


def test_no_trial_for_another_reason_blames_no_budget(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "", status="exhausted")
    assert sheet_of(folder.path).wide.notes[0] == "¹ No run made a single trial."


def test_all_parameters_of_a_strategy_do_not_lengthen_a_caption(tmp_path):
    folder = Folder(tmp_path / "s")
    params = {f"parameter_{i}": i for i in range(50)}
    folder.run("random_search", 0, "00", spec={"strategy": {"name": "random_search", "params": params}})
    assert len(sheet_of(folder.path).caption) < 300


def test_other_data_give_no_scores(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "00", record={"data": {"source": "toy table", "digest": "e" * 64}})
    table = table_of(folder.path)
    assert table.frame["valid_mean"].isna().all()
    assert "searched data of digest eeeeeeeeeeee" in dict(table.footnotes)["valid"]
    assert "Reported" not in dict(table.facts)


def test_a_benchmark_that_is_gone_gives_no_scores(tmp_path):
    folder = Folder(tmp_path / "s")
    spec_file = folder.run("random_search", 0, "00") / "run.json"
    spec_file.write_text(spec_file.read_text().replace('"name": "toy"', '"name": "gone"'))
    assert "the benchmark cannot be used here" in dict(table_of(folder.path).footnotes)["valid"]


def test_a_recommendation_outside_the_space_is_refused(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "00", recommend="99")
    with pytest.raises(DataError, match=r"seed-0/run\.json: recommendation: NCode '99'"):
        table_of(folder.path)


def test_csv_keeps_mean_deviation_and_count_apart(compared):
    frame = pd.read_csv(io.StringIO(formats.to_csv(sheet_of(compared))))
    assert {"benchmark", "valid_mean", "valid_std", "valid_n", "llm_tokens_mean", "runs", "failed"} <= set(
        frame
    )
    assert "3.0" not in formats.to_csv(sheet_of(compared)).splitlines()[1].split(",")[7]


def test_latex_is_whole(compared):
    text = formats.to_latex(sheet_of(compared))
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    for rule in ("toprule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1
    assert text.count(r"\midrule") == 2
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])  # type: ignore[index]
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {line.count("&") for line in rows} == {columns - 1}
    body = text[text.index(r"\caption") :]
    assert not re.search(r"(?<!\\)[%_#]", body)
    assert text.isascii()
    assert r"\textbf{71.33 $\pm$ 0.58}" in text
    assert r"\underline{64.33 $\pm$ 4.93}" in text


@pytest.mark.parametrize("width", [80, 100])
def test_the_terminal_table_fits(tmp_path, width):
    strategies = ["random_search", "regularized_evolution", "lm_searcher"]
    folder = Folder(tmp_path / "s", strategies, [0, 1, 2])
    llm = {"calls": 9, "prompt_tokens": 1_234_567, "completion_tokens": 7}
    for strategy in strategies:
        for seed, ncodes in enumerate(("00 11 00", "12 00", "20 22")):
            changes = {0: {"llm": llm, "rejected": {"a": 12}}} if strategy == "lm_searcher" else {}
            folder.run(strategy, seed, ncodes, changes=changes)
    text = printed(table_of(folder.path), width)
    assert max(map(len, text.splitlines())) <= width
    assert "65.00±6.08" in text
    assert "1,234,574" in text
    if width == 100:
        assert "regularized_evolution" in text
        assert "…" not in text


def test_zeros_of_models_are_left_out_where_space_is_short(compared):
    table = table_of(compared)
    assert "LLM tokens" not in benchmark_sheet.sheet(table).narrow.heads
    assert "LLM tokens" in benchmark_sheet.sheet(table).wide.heads
