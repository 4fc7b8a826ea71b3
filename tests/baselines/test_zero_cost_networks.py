"""What holds for every proxy of gradients, of activations and of synaptic flow, on networks of NAS-Bench-201."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.probe import Probe
from baselines.zero_cost.probe import make_probes
from harness import registry
from harness.errors import ScoreError
from harness.proxies import make_proxy
from harness.proxies import score_all
from harness.spaces import NASBench201Space

SPACE = NASBench201Space()
CELL = "341203"
PROXIES = ["grad_norm", "snip", "plain", "fisher", "grasp", "jacob_cov", "naswot", "synflow"]
# With equal batches these are measured on one probe.
TOGETHER = PROXIES[:-1]
SMALL = {"images": "digits", "size": {"channels": 4, "cells": 1}}


def proxy_of(name: str, **settings) -> NetworkProxy:
    batch = {} if name == "synflow" else {"batch_size": 8}
    return make_proxy(name, SMALL | batch | settings)


def score(name: str, ncode: str = CELL, **settings) -> float:
    return proxy_of(name, **settings).score(SPACE, SPACE.from_ncode(ncode), "cifar10")


def probe_of(name: str, ncode: str = CELL) -> Probe:
    """In double precision, to tell what is equal from what is close."""
    setup = replace(proxy_of(name)._setup, double=True)
    arch, size = SPACE.from_ncode(ncode), SMALL["size"]
    (probe,) = make_probes(SPACE, arch, "cifar10", setup, images="digits", seed=0, device="cpu", size=size)
    return probe


@pytest.mark.parametrize("name", PROXIES)
def test_the_order_of_channels_does_not_matter(name):
    probe, shuffled = probe_of(name), probe_of(name)
    # Of images, of the stages, and of classes.
    orders = {n: np.arange(n) if n in (3, 10) else np.arange(n)[::-1].copy() for n in (3, 4, 8, 16, 10)}
    with torch.no_grad():
        for _, weight in shuffled.weights:
            weight.copy_(weight[orders[weight.shape[0]]][:, orders[weight.shape[1]]])
    assert not torch.equal(shuffled.weights[3][1], probe.weights[3][1])
    measure = registry.load("proxy", name).measure
    assert measure(shuffled) == pytest.approx(measure(probe), rel=1e-7)


@pytest.mark.parametrize("name", PROXIES)
def test_what_an_edge_computes_counts_and_not_its_name(name):
    # A pooling of the input, on its way past node 1, or not.
    assert score(name, "100040") == score(name, "000400")
    # Its convolution has weights of its own, so the equal networks differ as two draws of one do.
    assert score(name, "300010") != score(name, "000300")


@pytest.mark.parametrize("name", PROXIES)
def test_what_does_not_reach_the_output(name):
    # Node 1 leads nowhere. NASWOT counts its ReLUs all the same, as its source does.
    same = score(name, "320401") == score(name, "020401")
    assert same == (name != "naswot")


@pytest.mark.parametrize("name", ["grad_norm", "snip", "plain", "grasp"])
def test_a_dead_cell_has_no_gradient(name):
    assert score(name, "000000") == 0.0
    assert score(name, "310000") == 0.0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("synflow", "nothing flows"),
        ("jacob_cov", "Jacobian of some image is constant"),
        ("naswot", "the determinant is 0"),
    ],
)
def test_a_dead_cell_without_a_score_says_why(name, reason):
    with pytest.raises(ScoreError, match=reason) as caught:
        score(name, "000000")
    assert caught.value.seconds > 0


def test_a_dead_cell_has_the_fisher_information_of_its_classifier():
    # Its scores are the biases, of which no image changes anything.
    probe = probe_of("fisher", "000000")
    biases = probe.network.classifier.bias.detach().numpy()
    labels = probe.batches[0].labels.numpy()
    errors = (np.exp(biases) / np.exp(biases).sum() - np.eye(10)[labels]) / len(labels)
    expected = ((errors * biases) ** 2).mean(axis=0).sum() / 2
    assert registry.load("proxy", "fisher").measure(probe) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", PROXIES)
def test_seeds(name):
    assert score(name, seed=1) == score(name, seed=1) != score(name)


@pytest.mark.parametrize("name", [name for name in PROXIES if name != "synflow"])
def test_images_and_their_number_count(name):
    assert score(name, batch_size=9) != score(name)


@pytest.mark.parametrize("order", [TOGETHER, TOGETHER[::-1]])
@pytest.mark.parametrize("ncode", [CELL, "000000"])
def test_together_as_alone(ncode, order):
    arch = SPACE.from_ncode(ncode)
    proxies = [proxy_of(name) for name in order]
    assert len({proxy.shares for proxy in proxies}) == 1
    together = NetworkProxy.score_together(proxies, SPACE, arch, "cifar10")
    for name, found in zip(order, together, strict=True):
        (alone,) = NetworkProxy.score_together([proxy_of(name)], SPACE, arch, "cifar10")
        assert (found.value, found.problem) == (alone.value, alone.problem)


def test_setups_of_the_sources():
    setups = {name: make_proxy(name, {})._setup for name in PROXIES}
    assert {name: setup.batch_size for name, setup in setups.items()} == dict.fromkeys(PROXIES, 64) | {
        "naswot": 128,
        "synflow": 1,
    }
    assert all(setup.initialisation == "default" for setup in setups.values())
    assert [name for name, setup in setups.items() if not setup.normalisation] == ["synflow"]
    assert all(make_proxy(name, {}).higher_is_better for name in PROXIES)


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
from tests.baselines.test_zero_cost_networks import PROXIES, score
print(json.dumps({name: score(name) for name in PROXIES}))
"""


def test_another_process_with_more_threads_gives_the_same_bits():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", ALL_SCORES]
    root = Path(__file__).parents[2]
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, cwd=root
    ).stdout
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", PROXIES)
def test_a_gpu_gives_the_same_scores(name):
    assert score(name, device="cuda") == pytest.approx(score(name), rel=5e-3)
    assert score(name, device="cuda") == score(name, device="cuda")


def test_a_language_model_is_shown_what_is_measured():
    for name in PROXIES:
        code = registry.load("proxy", name).code()
        assert code.startswith("@staticmethod\ndef measure(probe: Probe) -> float:")


def test_gradients_are_those_of_every_convolution_and_of_the_classifier():
    probe = probe_of("grad_norm", "333333")
    layers = [layer for layer in probe.network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    # A stem, six edges and one cell in each of three stages, two reductions of three, a classifier.
    assert len(layers) == 1 + 6 * 3 + 2 * 3 + 1
    assert [weight is layer.weight for (_, weight), layer in zip(probe.weights, layers, strict=True)]
    assert [gradient.shape for gradient in probe.gradients] == [layer.weight.shape for layer in layers]
