"""Selection by the mean rank of several proxies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from baselines.zero_cost.ensemble import ProxyEnsemble
from baselines.zero_cost.gradients import GradNorm
from harness import experiment
from harness import search
from harness.errors import SpecError
from harness.errors import StoreError
from harness.history import Finished
from harness.images.importing import import_images
from harness.models import Models
from harness.proxies import make_proxy
from harness.spaces import NASBench201Space
from harness.task import Task
from tests.baselines.loop import Loop

if TYPE_CHECKING:
    from pathlib import Path

SPACE = NASBench201Space()
SMALL = {"images": "digits", "batch_size": 4, "size": {"channels": 4, "cells": 1}}

YAML = """
tracking: {uri: null}
sweeps:
  s:
    benchmarks: [{name: nasbench201, dataset: cifar10}]
    strategies:
      - name: proxy_ensemble
        candidates: 12
        proxies: [flops, {name: grad_norm, images: digits, batch_size: 4, size: {channels: 4, cells: 1}}]
    seeds: 1
    budget: {architectures: 6}
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))


def loop(*proxies: Any, candidates: int = 50, seed: int = 0) -> Loop:
    strategy = ProxyEnsemble(proxies=proxies, candidates=candidates, space=SPACE, seed=seed)
    strategy.connect(Task(dataset="cifar10"), Models())
    return Loop(strategy, SPACE, lambda arch: 0.0, seed)


def test_one_proxy_proposes_in_its_own_order() -> None:
    trials = loop("flops").run(50)
    flops = [SPACE.cost(trial.architecture, "cifar10").flops for trial in trials]
    assert flops == sorted(flops, reverse=True)
    assert len({trial.architecture for trial in trials}) == 50


def test_several_propose_by_their_mean_rank() -> None:
    ensemble = loop("flops", {"name": "grad_norm", **SMALL})
    archs = [trial.architecture for trial in ensemble.run(50)]
    grad_norm = make_proxy("grad_norm", SMALL)
    norms = rankdata([-grad_norm.score(SPACE, arch, "cifar10") for arch in archs])
    flops = rankdata([-SPACE.cost(arch, "cifar10").flops for arch in archs])
    assert (np.diff(norms + flops) >= 0).all()
    assert not (np.diff(norms) >= 0).all()
    assert not (np.diff(flops) >= 0).all()


def test_candidates_are_of_the_seed() -> None:
    first, again, other = (
        {trial.architecture for trial in loop("flops", seed=seed).run(50)} for seed in (0, 0, 1)
    )
    assert first == again != other


def test_it_ends_when_all_are_proposed() -> None:
    ensemble = loop("flops", candidates=5)
    ensemble.run(5)
    with pytest.raises(Finished, match="all 5 candidates are proposed"):
        ensemble.propose()


def test_what_the_proxies_took_is_paid_with_the_first_trial_and_once(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(YAML)
    (spec,) = experiment.read_experiments(tmp_path / "e.yaml").plan("s")
    for folder in ("a", "b"):
        assert search.run(spec, tmp_path / folder).status == "complete"
    seconds = []
    for folder in ("a", "b"):
        timings = [
            json.loads(line) for line in (tmp_path / folder / "timings.jsonl").read_text().splitlines()
        ]
        assert [("strategy_gpu_seconds" in timing) for timing in timings] == [True] + 5 * [False]
        record = json.loads((tmp_path / folder / "run.json").read_text())
        assert record["totals"]["strategy_gpu_seconds"] == timings[0]["strategy_gpu_seconds"]
        seconds.append(timings[0]["strategy_gpu_seconds"])
    # The second run read the scores of the first, and paid as much.
    assert seconds[0] == seconds[1] > 0
    assert (tmp_path / "a/trajectory.jsonl").read_bytes() == (tmp_path / "b/trajectory.jsonl").read_bytes()


def import_pictures(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = {
        "train_x": rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        "train_y": rng.integers(0, 10, 20),
        "test_x": rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        "test_y": rng.integers(0, 10, 20),
    }
    np.savez(folder / "pictures.npz", **content)
    (folder / "data/images/mine.npz").unlink(missing_ok=True)
    import_images(folder / "pictures.npz", dataset="cifar10", name="mine")


@pytest.mark.parametrize("change", ["images", "definition"])
def test_a_run_goes_on_with_the_scores_that_it_began_with(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_pictures(tmp_path, seed=0)
    (tmp_path / "e.yaml").write_text(YAML.replace("digits", "mine"))
    (spec,) = experiment.read_experiments(tmp_path / "e.yaml").plan("s")
    assert search.run(spec, tmp_path / "run").status == "complete"
    before = (tmp_path / "run/trajectory.jsonl").read_bytes()
    import_pictures(tmp_path, seed=0)
    assert search.run(spec, tmp_path / "run").status == "complete"
    if change == "images":
        import_pictures(tmp_path, seed=1)
    else:
        monkeypatch.setattr(GradNorm, "version", 2)
    with pytest.raises(StoreError, match=r"other data of its strategy .* 'proxy_ensemble' reads besides"):
        search.run(spec, tmp_path / "run")
    assert (tmp_path / "run/trajectory.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"proxies": []}, "proxies is empty"),
        ({"proxies": ["flop"]}, "unknown proxy 'flop', did you mean 'flops'"),
        ({"proxies": [{"images": "digits"}]}, "has no `name`"),
        ({"proxies": [{"name": "flops", "image": 1}]}, "unknown setting of proxy 'flops' 'image'"),
        ({"candidates": 0, "proxies": ["flops"]}, "candidates must be at least 1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ProxyEnsemble(**settings)


def test_a_data_set_without_costs_is_refused_before_anything_runs() -> None:
    strategy = ProxyEnsemble(proxies=["flops"], space=SPACE, seed=0)
    with pytest.raises(SpecError, match="proxies: flops: .*unknown data set 'svhn'"):
        strategy.check(SPACE, "svhn")
