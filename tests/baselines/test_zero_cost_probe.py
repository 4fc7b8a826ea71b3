"""Probes: how weights are drawn, and what passes that are shared are said to take."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from baselines.zero_cost.probe import Passes
from baselines.zero_cost.probe import Setup
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import pointwise


def network(*more: nn.Module) -> nn.Module:
    return Stack(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), *more, width=64, classes=3)


def test_default_weights_are_those_of_pytorch_in_distribution():
    probe = make_probe(network())
    layer = probe.network.features[0]
    # Kaiming uniform with a = √5 is uniform up to 1/√(fan in).
    bound = 1 / (3 * 9) ** 0.5
    assert bound * 0.99 < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    classifier = probe.network.classifier
    assert (classifier.bias.abs() <= 1 / 64**0.5).all()
    assert classifier.bias.any()


def test_normal_weights():
    probe = make_probe(network(), setup=Setup(initialisation="normal"))
    assert probe.network.features[0].weight.std().item() == pytest.approx(1.0, rel=0.05)
    assert not probe.network.classifier.bias.any()


def test_a_weight_depends_on_its_name_and_the_seed_alone():
    probe, longer = make_probe(network()), make_probe(network(nn.Identity(), pointwise(64, 64)))
    first, other = dict(probe.weights), dict(longer.weights)
    assert len(other) == len(first) + 1
    assert all(torch.equal(other[name], weight) for name, weight in first.items())
    seeded = dict(make_probe(network(), seed=1).weights)
    assert not any(torch.equal(seeded[name], weight) for name, weight in first.items())


def test_weights_are_equal_in_both_precisions():
    double, single = make_probe(network()), make_probe(network(), setup=Setup())
    for (_, one), (_, other) in zip(double.weights, single.weights, strict=True):
        assert (one.dtype, other.dtype) == (torch.float64, torch.float32)
        assert torch.equal(one, other.double())


def test_normalisation_can_be_left_out():
    probe = make_probe(network(), setup=Setup(normalisation=False))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in probe.network.modules())
    assert [name for name, _ in probe.weights] == ["features.0.weight", "classifier.weight"]


def test_what_no_initialisation_is_known_for_is_refused():
    with pytest.raises(NotImplementedError, match="no initialisation of PReLU is known"):
        make_probe(network(nn.PReLU()))


def slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_seconds_are_those_of_a_proxy_alone():
    passes = Passes(lambda: None)
    began = time.perf_counter()
    _, alone = passes.measure(lambda: slow(0.02))
    _, first = passes.measure(lambda: passes.get("forward", lambda: slow(0.2)))
    value, second = passes.measure(lambda: passes.get("forward", lambda: slow(9)) + slow(0.04))
    elapsed = time.perf_counter() - began
    assert value == pytest.approx(0.24)
    assert alone >= 0.02
    assert first >= 0.2
    assert second >= 0.24
    # What was there already counts for both, and was not made again.
    assert alone + first + second - elapsed == pytest.approx(first, abs=0.15)


def test_seconds_of_passes_within_passes():
    passes = Passes(lambda: None)

    def backward() -> float:
        return passes.get("forward", lambda: slow(0.2)) + slow(0.1)

    began = time.perf_counter()
    _, both = passes.measure(lambda: passes.get("backward", backward))
    _, again = passes.measure(lambda: passes.get("backward", backward))
    _, inner = passes.measure(lambda: passes.get("forward", lambda: slow(9)))
    _, twice = passes.measure(
        lambda: passes.get("forward", lambda: slow(9)) + passes.get("backward", backward)
    )
    elapsed = time.perf_counter() - began
    assert both >= 0.3
    assert inner >= 0.2
    # Each counts once, though the second needs the first.
    assert again == pytest.approx(both, abs=0.15)
    assert twice == pytest.approx(both, abs=0.15)
    assert inner < both - 0.05
    assert elapsed == pytest.approx(both, abs=0.15)


def test_the_device_is_waited_for():
    # What is in flight belongs to the pass that began it.
    waits = iter([0.05, 0.0])
    passes = Passes(lambda: time.sleep(next(waits)))
    _, seconds = passes.measure(lambda: passes.get("forward", lambda: 1.0))
    assert seconds >= 0.05
