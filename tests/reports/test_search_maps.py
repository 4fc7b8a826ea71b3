"""Paths of searches over a map of a space of 256 architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.spaces import SearchSpace
from reports import scores
from reports import search_maps
from reports.load import load_results
from tests.reports import conftest
from tests.reports.conftest import Folder
from tests.reports.conftest import Toy

if TYPE_CHECKING:
    from pathlib import Path

    from harness.spaces import Architecture
    from reports.search_maps import SearchMap


class Wide(Toy):
    """Four decisions of four choices; an architecture scores its rank in the order of the space, 333 3 being best."""

    def __init__(self, splits: tuple[str, ...] = ("valid", "test")) -> None:
        super().__init__(splits)
        self.space = SearchSpace(dict.fromkeys("abcd", ("w", "x", "y", "z")))

    def query(self, arch: Architecture, **_: object) -> float:  # type: ignore[override]
        return float(self.space.index(arch))

    def optimum(self, **_: object) -> tuple[Architecture, float]:  # type: ignore[override]
        return self.space.from_ncode("3333"), 255.0


@pytest.fixture
def wide(monkeypatch, tmp_path) -> Folder:
    monkeypatch.setitem(conftest.BENCHMARKS, "wide", Wide)
    return Folder(
        tmp_path / "s", ["random_search", "evolution"], range(3), benchmark={"name": "wide", "params": {}}
    )


def map_of(path: Path) -> SearchMap | None:
    results = load_results(path)
    ((label, ceiling),) = scores.ceilings(results).items()
    return search_maps.search_map(results, label, ceiling)


def test_the_run_of_median_score_with_its_path_and_ranks(wide):
    wide.run("random_search", 0, "0001 0000 3330")
    wide.run("random_search", 1, "0001 0003 0002 0003 0100")
    wide.run("random_search", 2, "0001")
    wide.run("evolution", 0, "0000")
    found = map_of(wide.path)
    assert found is not None
    median, only = found.paths
    assert (median.strategy, median.seed) == ("random_search", 1)
    # NCodes of the trials without the repeated one; rank is 256 minus the index.
    assert found.ranks[median.points].tolist() == [255, 253, 254, 240]
    assert found.ranks[median.incumbents].tolist() == [255, 253, 240]
    assert found.ranks[median.end] == 240
    assert found.ranks[only.points].tolist() == [256]
    assert found.ranks[found.best] == 1
    # All of so small a space are on the map, once each.
    assert sorted(found.ranks) == list(range(1, 257))
    assert not set(found.drawn) & {*median.points, *only.points, found.best}
    assert not found.thinned


def test_long_paths_are_thinned_and_keep_what_matters(wide, monkeypatch):
    monkeypatch.setattr(search_maps, "MOST_VISITED", 10)
    space = Wide().space
    wide.run("random_search", 0, " ".join(space.ncode(space.from_index(i)) for i in (*range(40), 3)))
    found = map_of(wide.path)
    assert found is not None
    (path,) = found.paths
    # Every trial was the best so far, so each of them is kept.
    assert found.thinned
    assert found.ranks[path.incumbents].tolist() == list(range(256, 216, -1))
    wide.run("evolution", 0, " ".join(space.ncode(space.from_index(i)) for i in (200, *range(40))))
    found = map_of(wide.path)
    assert found is not None
    path = found.paths[1]
    assert len(path.points) == 5
    assert found.ranks[path.points].tolist() == sorted(found.ranks[path.points][:1]) + sorted(
        found.ranks[path.points][1:], reverse=True
    )
    assert found.ranks[path.points][0] == 56
    assert "evenly spaced trials" in search_maps.describe(found)


def test_nothing_without_a_table_of_a_space_that_is_large_enough(compared, tmp_path):
    assert map_of(compared) is None
    roads = Folder(tmp_path / "r", benchmark={"name": "roads", "params": {}})
    roads.run("random_search", 0, "000000 000001")
    assert map_of(roads.path) is None


def test_nothing_without_a_finished_run(wide):
    wide.run("random_search", 0, "0000", status="running")
    assert map_of(wide.path) is None


def test_near_architectures_are_near_on_the_map():
    space = SearchSpace(dict.fromkeys("abcd", (0, 1, 2, 3)))
    architectures = np.array([space.from_index(i) for i in range(space.size)])
    places = search_maps.embed(architectures)
    differ = (architectures[:, None] != architectures[None]).sum(axis=2)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    means = [apart[differ == number].mean() for number in range(1, 5)]
    assert means == sorted(means)
    assert means[0] < 0.7 * means[3]
