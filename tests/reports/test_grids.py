"""Grids of two arguments, by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from reports import grids
from reports import measures
from reports import scores
from reports import variation
from reports.build import build_report
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from reports.grids import Grid


def heated(**params: Any) -> dict[str, Any]:
    return {"strategy": {"name": "collm_nas", "params": {"model": "m"} | params}}


def grids_of(path: Path) -> list[Grid]:
    results = load_results(path)
    known = scores.ceilings(results)
    (on,) = measures.scored(known)
    return grids.grids(results, on, measures.run_scores(results, known))


@pytest.fixture
def tempered(tmp_path) -> Path:
    """Two by three temperatures without one pair; test scores are 40 + a + 10 b."""
    folder = Folder(tmp_path / "s", [f"t{n}" for n in range(6)], [0, 1])
    pairs = [(0.6, 0.0), (0.0, 0.0), (0.0, 0.6), (0.6, 1.0), (0.6, 0.6)]
    runs = [("00", "02"), ("11", "11"), ("20", "20"), ("22", "21"), ("00", "00")]
    for number, ((navigator, generator), ncodes) in enumerate(zip(pairs, runs, strict=True)):
        for seed, ncode in enumerate(ncodes):
            spec = heated(temperature=navigator, generator_temperature=generator)
            folder.run(f"t{number}", seed, ncode, spec=spec)
    # Its generator has no temperature of its own, so it has no place.
    folder.run("t5", 0, "22", spec=heated(temperature=0.6, generator_temperature=None))
    return folder.path


def test_means_and_coefficients_of_variation(tempered):
    (grid,) = grids_of(tempered)
    assert grid.strategy == "collm_nas"
    assert grid.arguments == ("temperature", "generator_temperature")
    assert grid.values == ((0.0, 0.6), (0.0, 0.6, 1.0))
    assert grid.labels == ("t0", "t1", "t2", "t3", "t4")
    np.testing.assert_allclose(grid.mean, [[51, 42, np.nan], [50, 40, 57]])
    # 40 and 60 deviate by the root of 200 from 50; 62 and 52 by that of 50 from 57.
    roots = [[0, 0, math.nan], [100 * math.sqrt(200) / 50, 0, 100 * math.sqrt(50) / 57]]
    np.testing.assert_allclose(grid.variation, roots)
    means = [51, 42, 50, 40, 57]
    assert grid.robustness == pytest.approx(100 * np.std(means, ddof=1) / 48)


def test_heat_maps(tempered):
    (grid,) = grids_of(tempered)
    mean, spread = grids.heat_maps(grid)
    assert (list(mean.rows), list(mean.columns)) == (["0", "0.6"], ["0", "0.6", "1"])
    assert mean.limits == (40, 57)
    assert spread.limits == (0, pytest.approx(28.28, abs=0.01))
    assert "coefficient of variation of these means is 14.5 %" in mean.caption
    files = {file.name for file in build_report(tempered).files}
    stem = "grid-toy-a-t0-temperature-generator_temperature"
    assert {f"{stem}-mean.pdf", f"{stem}-variation.svg"} <= files
    # Rows of three values would be curves of their own.
    assert not any(name.startswith("varied-") for name in files)


def test_one_run_each_has_no_variation(tmp_path):
    folder = Folder(tmp_path / "s", ["a", "b", "c", "d"])
    for label, pair in zip("abcd", [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        folder.run(label, 0, "00", spec=heated(temperature=pair[0], top_p=pair[1]))
    (grid,) = grids_of(folder.path)
    assert [heat_map.name.rsplit("-", 1)[1] for heat_map in grids.heat_maps(grid)] == ["mean"]


def test_two_arguments_varied_one_at_a_time_are_no_grid(tmp_path, compared):
    assert grids_of(compared) == []
    folder = Folder(tmp_path / "s", ["a", "b", "c"])
    for label, pair in zip("abc", [(0, 0), (0, 1), (1, 0)], strict=True):
        folder.run(label, 0, "00", spec=heated(temperature=pair[0], top_p=pair[1]))
    assert grids_of(folder.path) == []


def test_what_has_no_place_on_an_axis():
    assert [variation.is_number(value) for value in (1, 0.5, True, None, "1")] == [
        True,
        True,
        False,
        False,
        False,
    ]
