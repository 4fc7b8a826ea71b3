"""What runs cost: evaluations and language models, together and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from reports import costs
from reports import curve_figures
from reports import curves
from reports import scores
from reports import tables
from reports.build import build_report
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

if TYPE_CHECKING:
    from pathlib import Path

    from reports.formats import Sheet


def cost_sheet(folder: Path) -> Sheet | None:
    results = load_results(folder)
    table = tables.run_table(results, scores.final_scores(results, scores.ceilings(results)))
    return costs.cost_sheet(results, table)


@pytest.fixture
def with_model(tmp_path: Path) -> Folder:
    """A run with one call on the first trial (a quarter hour of evaluation each) and two on the second, and one of
    random search."""
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "00 01")
    one, first = llm(call(gpu_seconds=900.0))
    two, second = llm(call("not JSON"), call(gpu_seconds=899.0))
    folder.run("clever", 0, "00 11", changes={0: one, 1: two}, timings={0: first, 1: second})
    return folder


def test_gpu_hours_hold_evaluations_and_models(with_model):
    row = cost_sheet(with_model.path).frame.set_index("strategy").loc["clever"]
    assert row["evaluation_gpu_hours_mean"] == 0.5
    assert row["llm_gpu_hours_mean"] == 0.5
    assert row["gpu_hours_mean"] == 1.0
    assert row[["llm_calls_mean", "prompt_tokens_mean", "completion_tokens_mean"]].tolist() == [3, 300, 30]
    assert row["llm_seconds_mean"] == 6.0


def test_as_shown(with_model):
    sheet = cost_sheet(with_model.path)
    heads = [head.rstrip("¹") for head in sheet.wide.heads]
    clever = dict(zip(heads, (cell.text for cell in sheet.wide.rows[1]), strict=True))
    assert clever["GPU hours"] == "1.00"
    assert (clever["of evaluation"], clever["of LLMs"]) == ("0.500", "0.500")
    assert (clever["LLM calls"], clever["Prompt tokens"]) == ("3", "300")
    report = build_report(with_model.path)
    row = pd.read_csv(report.page.with_name("table-toy-a.csv")).set_index("strategy").loc["clever"]
    assert row["gpu_hours_mean"] == 1.0
    assert "Evaluation (simulated) plus the language models' share of their servers' GPUs" in report.markdown


def test_without_a_model_there_is_no_table_of_costs(compared):
    assert cost_sheet(compared) is None


def test_curves_over_gpu_hours_pay_for_models_too(with_model):
    results = load_results(with_model.path)
    ceiling = scores.ceilings(results)["toy-a"]
    _, hours, _ = curves.panels(results, "toy-a", ceiling)
    ends = {curve.strategy: curve.x[-1] for curve in hours.curves}
    assert ends == pytest.approx({"random_search": 0.5, "clever": 1.0})
    assert "simulated GPU hours and those of language models" in curve_figures.describe(hours)


def test_runs_that_are_not_finished_count_in_no_mean_and_are_named(with_model):
    one, first = llm(call())
    folder = with_model.path / "toy-a" / "clever"
    with_model.run("clever", 1, "00", status="parked", changes={0: one}, timings={0: first})
    assert (folder / "seed-1").is_dir()
    sheet = cost_sheet(with_model.path)
    assert sheet.frame.set_index("strategy").loc["clever", "llm_calls_mean"] == 3
    assert [cell.text for cell in sheet.wide.rows[1]][-2:] == ["1/2", "1 parked"]


def test_what_is_added_up_is_said(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "00 01")
    folder.run("clever", 0, "00 11", timings={0: {"strategy_gpu_seconds": 1800.0}})
    sheet = cost_sheet(folder.path)
    row = sheet.frame.set_index("strategy").loc["clever"]
    assert (row["evaluation_gpu_hours_mean"], row["strategy_gpu_hours_mean"]) == (0.5, 0.5)
    assert "hours of evaluation are simulated" in sheet.caption
    assert "the sum may add hours of different machines" in sheet.caption
