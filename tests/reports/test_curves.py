"""Anytime curves by hand, and the figures drawn of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pytest

from reports import curve_figures
from reports import curves
from reports import scores
from reports.load import load_results
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm

if TYPE_CHECKING:
    from pathlib import Path

    from reports.curves import Panel


def panels_of(folder: Path) -> tuple[Panel, ...]:
    results = load_results(folder)
    ((label, ceiling),) = scores.ceilings(results).items()
    return curves.panels(results, label, ceiling)


def test_mean_over_architectures_by_hand(compared):
    panel, _ = panels_of(compared)
    random, evolution = panel.curves
    # Best so far: 50 61 61; 62 62 62; 50 51 70.
    assert random.x.tolist() == [1, 2, 3]
    assert random.mean == pytest.approx([54, 58, 193 / 3])
    assert random.runs == 3
    # 50 71 71 (its duplicate adds nothing); 71 71 71; 70 71 72.
    assert evolution.mean == pytest.approx([191 / 3, 71, 214 / 3])
    assert panel.optimum == 72
    assert panel.final
    assert np.all(random.low <= random.mean)
    assert np.all(random.mean <= random.high)


def test_mean_over_gpu_hours_by_hand(compared):
    _, panel = panels_of(compared)
    random = panel.curves[0]
    assert panel.cost_kind == "simulated"
    # A quarter hour per architecture; nothing is known before the first one has ended.
    assert random.x[0] == pytest.approx(0.25, abs=0.75 / 299)
    assert random.x[-1] == 0.75
    assert random.mean[random.x < 0.5] == pytest.approx(54)
    assert random.mean[(random.x >= 0.5) & (random.x < 0.75)] == pytest.approx(58)
    assert random.mean[-1] == pytest.approx(193 / 3)


def test_luck_and_low_fidelity_do_not_lift_a_curve(tmp_path):
    folder = Folder(tmp_path / "s", objective={"fidelity": 100, "noise": "drawn"})
    # The search saw 90 and 95 where the mean over seeds is 61 and 50.
    noisy = {0: {"valid": 90.0}, 1: {"valid": 80.0}, 2: {"valid": 95.0}}
    folder.run("random_search", 0, "11 22 00", changes=noisy)
    panel, _ = panels_of(folder.path)
    assert panel.curves[0].mean.tolist() == [61, 61, 50]
    assert panel.final


def test_a_stopped_trial_is_never_the_best(tmp_path):
    folder = Folder(tmp_path / "s")
    pruned = {"state": "pruned", "fidelity": 10, "valid": 99.0}
    folder.run("random_search", 0, "22 00 11", changes={0: pruned}, recommend="11")
    panel, _ = panels_of(folder.path)
    assert panel.curves[0].x.tolist() == [2, 3]
    assert panel.curves[0].mean.tolist() == [50, 61]


def test_unfinished_runs_draw_nothing(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0, 1, 2])
    folder.run("random_search", 0, "00 11")
    folder.run("random_search", 1, "22", status="failed", error="Traceback")
    folder.run("random_search", 2, "22", status="running")
    panel, _ = panels_of(folder.path)
    assert panel.curves[0].runs == 1
    assert panel.curves[0].mean.tolist() == [50, 61]


def test_without_the_benchmark_a_curve_says_what_it_shows(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "00 11", record={"data": {"source": "toy table", "digest": "e" * 64}})
    panel, _ = panels_of(folder.path)
    assert panel.curves[0].mean.tolist() == [50, 61]
    assert not panel.final
    assert np.isnan(panel.optimum)
    assert "as the search saw it" in curve_figures.describe(panel)


def test_figures_are_equal_bytes_and_leave_no_state(compared):
    panel = panels_of(compared)[0]
    drawn = curve_figures.draw(panel)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        assert curve_figures.draw(panel) == drawn
        assert dict(mpl.rcParams) == before
    assert drawn.png.startswith(b"\x89PNG")
    assert drawn.pdf.startswith(b"%PDF")
    for content in (drawn.png, drawn.pdf):
        assert b"matplotlib" not in content.lower()
    assert b"dc:date" not in drawn.svg
    assert b"Date" not in drawn.pdf


@pytest.mark.parametrize("count", [0, 1, 12])
def test_any_number_of_curves_can_be_drawn(tmp_path, count):
    strategies = [f"strategy_{i}" for i in range(max(count, 1))]
    folder = Folder(tmp_path / "s", strategies)
    for strategy in strategies:
        folder.run(strategy, 0, "00 11 22", status="complete" if count else "running")
    for panel in panels_of(folder.path):
        assert len(panel.curves) == count
        assert curve_figures.draw(panel).svg.endswith(b"</svg>\n")


def test_runs_that_cost_nothing_can_be_drawn(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "00", changes={0: {"gpu_seconds": 0.0}})
    for panel in panels_of(folder.path):
        curve_figures.draw(panel)


def test_over_tokens_strategies_without_a_model_are_levels(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search", "clever"])
    folder.run("random_search", 0, "00 11 01")
    # A model read 100 tokens and wrote 10; its second proposal took two calls, its first trial none.
    once, twice = llm(call())[0], llm(call(), call())[0]
    folder.run("clever", 0, "00 01 22", changes={1: once, 2: twice})
    *_, panel = panels_of(folder.path)
    assert panel.axis == "llm-tokens"
    (curve,) = panel.curves
    assert (curve.x[0], curve.x[-1]) == (0, 330)
    assert set(curve.mean[curve.x < 110]) == {50}
    assert set(curve.mean[(curve.x >= 110) & (curve.x < 330)]) == {51}
    assert curve.mean[-1] == 72
    (level,) = panel.levels
    assert (level.strategy, level.mean[-1]) == ("random_search", 61)
    assert "Lines across are what strategies that ask no model reach" in curve_figures.describe(panel)


def test_no_panel_over_tokens_without_a_model(compared):
    assert [panel.axis for panel in panels_of(compared)] == ["architectures", "gpu-hours"]
