"""Rankings by inherited weights: scores of architectures after an epoch of a search."""

from __future__ import annotations

import json

import pytest

from baselines.one_shot.scorer import InheritedWeights
from harness import registry
from harness.benchmarks.nasbench201 import NASBench201
from harness.errors import SpecError
from harness.ranking.scorer import Resources
from tests.baselines.one_shot import SPACE
from tests.baselines.one_shot import TINY

SETTINGS = {key: value for key, value in TINY.items() if key != "dataset"}
SETTINGS |= {"epochs": 3, "learning_rate": 0.1, "train_images": 400}
ARCHS = [SPACE.from_index(rank) for rank in range(0, 15_625, 800)]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data folder of each test's own."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def table():
    return NASBench201()


def scored(table, *, archs=ARCHS, seen=None, **scorers):
    done = [] if seen is None else seen
    return InheritedWeights.score_together(
        {label: InheritedWeights(**arguments) for label, arguments in scorers.items()},
        table,
        archs,
        Resources(),
        progress=lambda number, total: done.append((number, total)),
    )


def rsps(**arguments):
    return {"strategy": "rsps", "settings": SETTINGS | {"samples": 4}, **arguments}


def test_scores_are_those_of_the_search_after_its_epoch(table):
    seen = []
    found = scored(table, first=rsps(epoch=1), last=rsps(), seen=seen)
    strategy = registry.load("strategy", "rsps")(**SETTINGS, samples=4, seed=0, dataset="cifar10")
    search = strategy.search(SPACE, "cifar10")
    for label, epoch in (("last", 3), ("first", 1)):
        expected = search.method_after(epoch - 1).scores(ARCHS)
        assert [score.value for score in found[label]] == expected
        assert len(set(expected)) > 1
    assert found["first"] != found["last"]
    assert seen[-1] == (40, 40)


def test_what_is_scored_is_not_scored_again(table):
    first = scored(table, a=rsps(), archs=ARCHS[:10])
    search = InheritedWeights(**rsps())._search(table)
    file = search.folder / "scores-3.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    # Cut off in the middle of a line.
    file.write_text("".join(lines[:6]) + lines[6][:5])
    again = scored(table, a=rsps())
    assert [score.value for score in again["a"][:10]] == [score.value for score in first["a"]]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["ncode"] for row in rows] == [SPACE.ncode(arch) for arch in ARCHS]


def test_every_score_has_its_share_of_the_training(table):
    found = scored(table, a=rsps(epoch=2))
    search = InheritedWeights(**rsps())._search(table)
    training = search.epoch(0).seconds + search.epoch(1).seconds
    assert sum(score.seconds for score in found["a"]) > training
    rows = (search.folder / "scores-2.jsonl").read_text().splitlines()
    comparing = sum(json.loads(row)["seconds"] for row in rows)
    assert sum(score.seconds for score in found["a"]) == pytest.approx(training + comparing)


def test_searches_by_gradient_rank_too(table):
    found = scored(table, a={"strategy": "pc_darts", "settings": SETTINGS | {"partial": 2, "warm_up": 1}})
    assert all(0 <= score.value <= 100 for score in found["a"])


def test_identity_is_the_search_and_the_epoch(table):
    digests = {
        InheritedWeights(**arguments).digest(table)
        for arguments in (rsps(), rsps(epoch=2), rsps(seed=1), {"strategy": "spos", "settings": SETTINGS})
    }
    assert len(digests) == 4
    assert InheritedWeights(**rsps(epoch=3)).digest(table) in digests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "random_search"}, "'random_search' shares no weights; those that do: .*darts.*spos"),
        ({"strategy": "dart"}, "dart"),
        ({"strategy": "darts", "settings": {"depth": 3}}, "unknown setting of strategy 'darts'"),
        ({"strategy": "darts", "settings": {"epochs": 0}}, "epochs must be at least 1"),
        ({"strategy": "darts", "epoch": 0}, "epoch must be at least 1"),
        (rsps(seed=-1), "seed must not be negative"),
        ({"strategy": "darts", "settings": {"dataset": "cifar100"}}, "the data set is that of the ranking's"),
        ({"strategy": "p_darts"}, "'p_darts' has no supernet in the end that all architectures"),
        (rsps(epoch=4), "epoch 4 is beyond the 3 epochs of the search"),
    ],
)
def test_what_cannot_be_scored_is_refused(table, arguments, message):
    with pytest.raises(SpecError, match=message):
        InheritedWeights(**arguments).check(table)
