"""Where proposals come from, counted by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from reports import scores
from reports import sources
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from reports.sources import SourcePanels

RANDOM = {"attributes": {"source": "random"}}
FALLBACK = {"attributes": {"source": "fallback"}}


def chosen(source: str, **offered: int) -> dict[str, object]:
    return {"attributes": {"source": "model", "candidate_source": source, "candidates": offered}}


def panels_of(path: Path) -> SourcePanels | None:
    results = load_results(path)
    ((label, ceiling),) = scores.ceilings(results).items()
    return sources.source_panels(results, label, ceiling)


def test_shares_over_runs_and_trials(tmp_path):
    folder = Folder(tmp_path / "s", ["clever", "random_search"], [0, 1])
    evolved = chosen("evolution", evolution=3, random=1)
    folder.run("clever", 0, "00 01 02", changes={0: RANDOM, 1: evolved, 2: evolved})
    folder.run(
        "clever",
        1,
        "00 01 02 10",
        changes={0: RANDOM, 1: chosen("random", evolution=1, random=1), 2: FALLBACK, 3: evolved},
    )
    folder.run("random_search", 0, "00 01")
    shown = panels_of(folder.path)
    assert shown is not None
    # Random search has one source, which is not recorded.
    (panel,) = shown.panels
    assert (panel.strategy, panel.runs) == ("clever", 2)
    assert shown.order == ("model: evolution", "model: random", "random", "fallback")
    assert panel.edges.tolist() == [0, 1, 2, 3, 4]
    assert {name: share.tolist() for name, share in panel.shares.items()} == {
        "model: evolution": [0, 0.5, 0.5, 1],
        "model: random": [0, 0.5, 0, 0],
        "random": [1, 0, 0, 0],
        "fallback": [0, 0, 0.5, 0],
    }
    # Of the second trials, candidates were evolution's to 3/4 and 1/2; of the third, one was a fallback.
    np.testing.assert_allclose(panel.offered, [np.nan, 0.625, 0.375, 0.75])
    assert "Fallback is a trial drawn at random" in sources.describe(shown)


def test_long_runs_are_counted_in_windows(tmp_path):
    folder = Folder(tmp_path / "s", ["clever"])
    origins = {n: RANDOM if n < 10 else {"attributes": {"source": "model"}} for n in range(80)}
    folder.run("clever", 0, "00 " * 80, changes=origins)
    shown = panels_of(folder.path)
    assert shown is not None
    (panel,) = shown.panels
    assert panel.edges.tolist() == list(range(0, 81, 4))
    assert panel.shares["random"].tolist() == [1, 1, 0.5] + [0] * 17
    assert sum(panel.shares.values()) == pytest.approx(np.ones(20))
    assert np.isnan(panel.offered).all()


@pytest.mark.parametrize(
    ("attached", "source"),
    [
        ({}, "not recorded"),
        ({"source": "mutation", "parent": 3}, "mutation"),
        ({"source": "model", "operator": "crossover"}, "model: crossover"),
        ({"source": "model", "stage": "exploration"}, "model: exploration"),
        ({"source": "model", "candidate_source": "random"}, "model: random"),
    ],
)
def test_what_a_source_is_called(attached, source):
    assert sources.source_of(attached) == source


def test_nothing_where_every_strategy_has_one_source(compared, tmp_path):
    assert panels_of(compared) is None
    folder = Folder(tmp_path / "s", ["clever"], [0, 1])
    folder.run("clever", 0, "00 01", changes={0: RANDOM, 1: RANDOM})
    # What is not finished is not counted.
    folder.run("clever", 1, "00", status="running", changes={0: FALLBACK})
    assert panels_of(folder.path) is None
