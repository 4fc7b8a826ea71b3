"""What holds for Zen-Score, ZiCo, MAE-DET's entropy and TE-NAS's proxies, most of which are means over fresh draws."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import fmean
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.mae_det import MAEDet
from baselines.zero_cost.probe import Setup
from harness import registry
from harness.benchmarks.nasbench201 import NASBench201
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.proxies import make_proxy
from harness.proxies import score_all
from harness.spaces import NASBench201Space

SPACE = NASBench201Space()
CELL = "341203"
SMALL = {"size": {"channels": 4, "cells": 1}}
SETTINGS = {
    "linear_regions": {"batch_size": 60},
    "mae_det": SMALL | {"batch_size": 4},
    "ntk": {"batch_size": 5, "repeats": 2},
    "zen": SMALL | {"batch_size": 4, "repeats": 3},
    "zen_running": SMALL | {"batch_size": 4},
    "zico": SMALL | {"batch_size": 8},
}
PROXIES = list(SETTINGS)


def proxy_of(name: str, **settings) -> NetworkProxy:
    return make_proxy(name, {"images": "digits"} | SETTINGS[name] | settings)


def score(name: str, ncode: str = CELL, **settings) -> float:
    return proxy_of(name, **settings).score(SPACE, SPACE.from_ncode(ncode), "cifar10")


class Draw(NetworkProxy):
    """Measured on every draw: what was drawn."""

    setup = MAEDet.setup
    description = "The first input."
    seen: ClassVar[list[tuple[float, float]]] = []

    @staticmethod
    def measure(probe):
        weight = float(probe.weights[0][1].detach().flatten()[0])
        inputs = float(probe.batches[0].inputs.flatten()[0])
        Draw.seen.append((weight, inputs))
        return inputs


class EverySecond(NetworkProxy):
    """Has no score on half of the draws."""

    setup = MAEDet.setup
    description = "A proxy that sometimes fails."
    draws: ClassVar[list[int]] = []

    @staticmethod
    def measure(probe):
        EverySecond.draws.append(1)
        if len(EverySecond.draws) % 2 == 0:
            raise ScoreError("this draw has no score.")
        return 1.0


def test_setups_of_the_sources():
    setups = {name: make_proxy(name, {})._setup for name in PROXIES}
    assert setups == {
        "linear_regions": Setup("kaiming_fan_in", crop=3, batch_size=1000, batches=3, double=True, repeats=3),
        "mae_det": Setup("normal", normalisation=False, inputs="noise", batch_size=32, repeats=4),
        "ntk": Setup("kaiming_fan_out", batch_size=72, repeats=3),
        "zen": Setup("normal", inputs="noise", batch_size=16, batches=2, repeats=32),
        "zen_running": Setup("normal", inputs="noise", batch_size=16, batches=2),
        "zico": Setup(batch_size=128, batches=2),
    }
    sizes = {
        name: make_proxy(name, {"images": "digits"}).identity(SPACE, "cifar10")["size"] for name in PROXIES
    }
    assert sizes["ntk"] == {"channels": 3, "cells": 1}
    assert sizes["linear_regions"] == {"channels": 1, "cells": 1}
    assert sizes["zen"] == sizes["zico"] == sizes["mae_det"] == {"channels": 16, "cells": 5}
    assert [name for name in PROXIES if not make_proxy(name, {}).higher_is_better] == ["ntk"]


@pytest.mark.parametrize("name", PROXIES)
def test_seeds(name):
    assert score(name, seed=1) == score(name, seed=1) != score(name)


@pytest.mark.parametrize("name", PROXIES)
def test_what_an_edge_computes_counts_and_not_its_name(name):
    # A pooling of the input, on its way past node 1, or not.
    assert score(name, "100040") == score(name, "000400")
    # Its convolution has weights of its own, so the equal networks differ as two draws of one do.
    assert score(name, "300010") != score(name, "000300")


def test_every_draw_has_weights_and_inputs_of_its_own():
    Draw.seen.clear()
    arch = SPACE.from_ncode(CELL)
    value = Draw(**SMALL, repeats=5).score(SPACE, arch, "cifar10")
    assert value == fmean(inputs for _, inputs in Draw.seen)
    assert [len(set(drawn)) for drawn in zip(*Draw.seen, strict=True)] == [5, 5]
    # More draws do not change the first ones.
    first = list(Draw.seen)
    Draw.seen.clear()
    Draw(**SMALL, repeats=2).score(SPACE, arch, "cifar10")
    assert Draw.seen == first[:2]


def test_draws_are_shared_by_proxies_of_one_setup():
    arch = SPACE.from_ncode(CELL)
    proxies = [MAEDet(**SMALL), Draw(**SMALL)]
    assert len({proxy.shares for proxy in proxies}) == 1
    together = NetworkProxy.score_together(proxies, SPACE, arch, "cifar10")
    alone = [proxy.score_together([proxy], SPACE, arch, "cifar10")[0] for proxy in proxies]
    assert [score.value for score in together] == [score.value for score in alone]


def test_a_draw_without_a_score_leaves_none():
    EverySecond.draws.clear()
    arch = SPACE.from_ncode(CELL)
    with pytest.raises(ScoreError, match="this draw has no score") as caught:
        EverySecond(**SMALL, repeats=3).score(SPACE, arch, "cifar10")
    assert caught.value.seconds > 0
    EverySecond.draws.clear()
    assert EverySecond(**SMALL, repeats=1).score(SPACE, arch, "cifar10") == 1.0


def test_the_number_of_draws_is_part_of_what_a_score_is():
    identities = [proxy_of("mae_det", repeats=n).identity(SPACE, "cifar10")["repeats"] for n in (1, None)]
    assert identities == [1, 4]


def test_no_draws_are_refused():
    with pytest.raises(SpecError, match="repeats must be at least 1, not 0"):
        make_proxy("zen", {"repeats": 0})


def test_no_global_generator_and_no_setting_is_touched():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    for name in PROXIES:
        score(name)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.get_num_threads() == threads


ALL_SCORES = """
import json
import torch
assert torch.get_num_threads() == 2
torch.manual_seed(5)
from tests.baselines.test_zero_cost_draws import PROXIES, score
print(json.dumps({name: score(name) for name in PROXIES}))
"""


def test_another_process_with_more_threads_gives_the_same_bits():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", ALL_SCORES]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert json.loads(said) == {name: score(name) for name in PROXIES}


@pytest.mark.slow
def test_several_processes_fill_the_same_tables(tmp_path, monkeypatch):
    proxies = {name: (name, proxy_of(name)) for name in PROXIES}
    cells = [SPACE.from_ncode(ncode) for ncode in (CELL, "000000", "100040", "222222", "341204")]
    found = []
    for workers in (1, 2):
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path / str(workers)))
        tables = score_all(proxies, SPACE, "cifar10", cells, workers=workers)
        scores = {name: [table.get(cell) for cell in cells] for name, table in tables.items()}
        found.append({name: [(s.value, s.problem) for s in row] for name, row in scores.items()})
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROXIES)
def test_better_scores_promise_better_accuracy(name):
    """Of small networks and few inputs. RZ-NAS, table 3, has tau 0.29 for Zen-Score and 0.61 for ZiCo on all cells."""
    small = {"size": {"channels": 4, "cells": 2}}
    settings = {
        "linear_regions": {"batch_size": None, "repeats": 1},
        "mae_det": small | {"batch_size": 8, "repeats": 2},
        "ntk": {"batch_size": 8, "repeats": 1},
        "zen": small | {"batch_size": 8, "repeats": 2},
        "zen_running": small | {"batch_size": 8},
        "zico": small | {"batch_size": 16},
    }
    proxy, benchmark = proxy_of(name, **settings[name]), NASBench201()
    cells = [SPACE.from_index(int(i)) for i in np.random.default_rng(3).choice(15_625, 100, replace=False)]
    scores = [proxy.score_together([proxy], SPACE, cell, "cifar10")[0].value for cell in cells]
    accuracies = [benchmark.query(cell, split="valid", fidelity=200) for cell in cells]
    pairs = [pair for pair in zip(scores, accuracies, strict=True) if pair[0] is not None]
    tau = kendalltau(*zip(*pairs, strict=True)).statistic
    assert (tau if proxy.higher_is_better else -tau) > 0.25
    assert len(pairs) > 90


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", PROXIES)
def test_a_gpu_gives_the_same_scores(name):
    assert score(name, device="cuda") == pytest.approx(score(name), rel=5e-3)
    assert score(name, device="cuda") == score(name, device="cuda")


def test_a_language_model_is_shown_what_is_measured():
    for name in PROXIES:
        code = registry.load("proxy", name).code()
        assert code.startswith("@staticmethod\n")
        assert "def measure(probe: Probe) -> float:" in code
