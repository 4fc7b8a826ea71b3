"""ZiCo, against gradients that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch import nn

from baselines.zero_cost.probe import Probe
from baselines.zero_cost.probe import make_probes
from baselines.zero_cost.zico import ZiCo
from harness.errors import ScoreError
from harness.spaces import NASBench201Space
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import permute_channels
from tests.baselines.tiny_networks import pointwise

SPACE = NASBench201Space()
SMALL = {"channels": 4, "cells": 1}


def probe_of(*blocks: nn.Module, width: int = 3) -> Probe:
    network = Stack(*blocks, width=width, classes=2)
    return make_probe(network, batch=8, side=4, classes=2, setup=ZiCo.setup)


def small_probe(ncode: str, batch_size: int = 8) -> Probe:
    setup = ZiCo(images="digits", batch_size=batch_size)._setup
    (probe,) = make_probes(
        SPACE,
        SPACE.from_ncode(ncode),
        "cifar10",
        setup,
        images="digits",
        seed=0,
        device="cpu",
        size=SMALL,
    )
    return probe


def definition(per_batch: list[list[np.ndarray]]) -> float:
    """Equation 6 of RZ-NAS, of the gradients of each batch, layer by layer."""
    score = 0.0
    for layer in zip(*per_batch, strict=True):
        sizes = np.abs(np.stack(layer)).astype(np.float64)
        mean, deviation = sizes.mean(axis=0), sizes.std(axis=0)
        varies = deviation > 0
        if varies.any():
            score += math.log((mean[varies] / deviation[varies]).sum())
    return score


def test_of_a_linear_classifier_it_is_what_its_gradients_give_by_hand():
    probe = probe_of()
    weight, bias = (p.detach().double().numpy() for p in probe.network.classifier.parameters())
    gradients = []
    for batch in probe.batches:
        pooled = batch.inputs.double().mean(dim=(2, 3)).numpy()
        scores = pooled @ weight.T + bias
        chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        gradients.append((chances - np.eye(2)[batch.labels]).T @ pooled / len(pooled))
    first, second = (np.abs(gradient) for gradient in gradients)
    # With two batches the mean is half the sum, and the deviation half the difference.
    expected = math.log(((first + second) / np.abs(first - second)).sum())
    assert ZiCo.measure(probe) == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_each_batch_alone_and_not_their_sum():
    probe = small_probe("123412")
    weights = [weight for _, weight in probe.weights]
    zeroed, summed = [], []
    for batch in probe.batches:
        probe.network.zero_grad()
        probe.loss(batch).backward()
        zeroed.append([weight.grad.numpy().copy() for weight in weights])
    summed = [zeroed[0], [first + second for first, second in zip(*zeroed, strict=True)]]
    # Gradients that are there already, here those of the second batch, change nothing.
    score = ZiCo.measure(probe)
    assert score == pytest.approx(definition(zeroed), rel=1e-4)
    assert score != pytest.approx(definition(summed), rel=1e-2)


def test_weights_whose_gradient_does_not_vary_are_left_out():
    probe = probe_of()
    probe.batches = [probe.batches[0]] * 2
    with pytest.raises(ScoreError, match="no weight has a gradient that differs between batches"):
        ZiCo.measure(probe)


def test_a_layer_that_is_not_used_changes_nothing():
    plain, spare = (Stack(pointwise(3, 4), nn.ReLU(), width=4, classes=2) for _ in range(2))
    spare.add_module("spare", pointwise(3, 4))
    first, second = (make_probe(network, classes=2, setup=ZiCo.setup) for network in (plain, spare))
    assert ZiCo.measure(first) == ZiCo.measure(second)


@pytest.mark.parametrize(
    "ncode",
    [
        pytest.param("003132", id="convolutions of zeros"),
        pytest.param("320100", id="convolutions that lead nowhere"),
    ],
)
def test_layers_without_gradients_are_left_out(ncode):
    assert ZiCo.measure(small_probe(ncode)) == ZiCo.measure(small_probe("000100"))


def test_a_cell_that_passes_nothing_on_has_no_score():
    with pytest.raises(ScoreError, match="nothing of the input matters"):
        ZiCo.measure(small_probe("300000"))


def test_the_order_of_channels_does_not_matter():
    probe = probe_of(pointwise(3, 6), nn.ReLU(), pointwise(6, 6), width=6)
    before = ZiCo.measure(probe)
    permute_channels(probe.network.features[0], probe.network.features[2])
    assert ZiCo.measure(probe) == pytest.approx(before, rel=1e-4)
