"""Synaptic flow, where it is a product, a sum of paths, and beyond what a number can hold."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from baselines.zero_cost.probe import Probe
from baselines.zero_cost.probe import Setup
from baselines.zero_cost.synflow import SynFlow
from harness.errors import ScoreError
from tests.baselines.tiny_networks import Residual
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import matrix
from tests.baselines.tiny_networks import pointwise


def probe_of(network: nn.Module, weight: float | None = None) -> Probe:
    """As SynFlow sets a network up; every weight of a convolution is what is given."""
    probe = make_probe(network, setup=SynFlow.setup, batch=1)
    if weight is not None:
        with torch.no_grad():
            for layer in probe.network.features.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight.fill_(weight)
            probe.network.classifier.weight.fill_(1.0)
    return probe


def plain_flow(probe: Probe) -> float:
    """Its definition, with no care for what numbers can hold."""
    with torch.no_grad():
        for parameter in probe.network.parameters():
            parameter.abs_()
    weights = [weight for _, weight in probe.weights]
    gradients = torch.autograd.grad(probe.network(probe.batches[0].inputs).sum(), weights)
    return sum(
        float((weight * gradient).abs().sum()) for weight, gradient in zip(weights, gradients, strict=True)
    )


def test_a_chain_is_a_product_of_matrices():
    probe = probe_of(Stack(pointwise(3, 4), nn.ReLU(), pointwise(4, 5), width=5, classes=2))
    first, second = abs(matrix(probe.network.features[0])), abs(matrix(probe.network.features[2]))
    scores = abs(matrix(probe.network.classifier)) @ second @ first @ [1.0, 1.0, 1.0]
    # Each of three layers has the whole of it.
    assert SynFlow.measure(probe) == pytest.approx(math.log(3 * scores.sum()), rel=1e-13)


def test_every_path_counts_as_often_as_it_has_weights():
    probe = probe_of(Stack(Residual(pointwise(3, 3)), width=3, classes=2), weight=-2.0)
    # 3 inputs by 2 classes directly, one weight each; 3 by 3 by 2 through the convolution, two weights each.
    assert SynFlow.measure(probe) == pytest.approx(math.log(6 * 1 + 18 * 2.0 * 2), rel=1e-13)


def networks() -> list[nn.Module]:
    def conv(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.ReLU(), nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )

    return [
        Stack(conv(3, 8), width=8, classes=3),
        Stack(conv(3, 8), *(Residual(conv(8, 8)) for _ in range(20)), width=8, classes=3),
        Stack(conv(3, 8), nn.AvgPool2d(3, 1, 1), Residual(Residual(conv(8, 8))), width=8, classes=3),
    ]


@pytest.mark.parametrize("number", range(3))
def test_what_does_not_overflow_is_not_changed(number):
    score = SynFlow.measure(probe_of(networks()[number]))
    assert score == pytest.approx(math.log(plain_flow(probe_of(networks()[number]))), rel=1e-14)


@pytest.mark.parametrize(
    ("weight", "depth"),
    [
        pytest.param(100.0, 400, id="1e1161"),
        pytest.param(1e-4, 400, id="1e-1238"),
        pytest.param(1e30, 200, id="1e6180"),
    ],
)
def test_flow_beyond_double_precision(weight, depth):
    blocks = [pointwise(3, 8), *(pointwise(8, 8) for _ in range(depth))]
    network = Stack(*blocks, width=8, classes=2)
    flow = plain_flow(probe_of(network, weight))
    assert not math.isfinite(flow) or flow == 0
    # Scores: 3 inputs, factor 8 * weight per layer, 2 classes. Layers: stem, depth, classifier.
    expected = math.log(3 * weight) + depth * math.log(8 * weight) + math.log(8 * 2) + math.log(depth + 2)
    assert SynFlow.measure(probe_of(network, weight)) == pytest.approx(expected, rel=1e-12)


def test_branches_keep_their_share_beyond_double_precision():
    depth, weight = 500, 2.0
    blocks = [pointwise(3, 8), *(Residual(pointwise(8, 8)) for _ in range(depth))]
    score = SynFlow.measure(probe_of(Stack(*blocks, width=8, classes=2), weight))
    # A block passes 1 + 16 on, of which 16 by way of its weights.
    layers = 2 + depth * 16 / 17
    expected = math.log(3 * weight) + depth * math.log(17) + math.log(8 * 2) + math.log(layers)
    assert score == pytest.approx(expected, rel=1e-12)


def test_scale_may_move_from_one_layer_to_the_next():
    def network() -> nn.Module:
        return Stack(pointwise(3, 4), nn.ReLU(), pointwise(4, 5), width=5, classes=2)

    probe, moved = probe_of(network()), probe_of(network())
    with torch.no_grad():
        moved.network.features[0].weight.mul_(1e6)
        moved.network.features[2].weight.div_(1e6)
    assert SynFlow.measure(moved) == pytest.approx(SynFlow.measure(probe), rel=1e-12)


def test_biases_do_not_count():
    network = Stack(pointwise(3, 4, bias=True), nn.ReLU(), pointwise(4, 5, bias=True), width=5, classes=2)
    probe, other = probe_of(network), probe_of(network)
    with torch.no_grad():
        for name, parameter in other.network.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(7.0)
    assert SynFlow.measure(other) == SynFlow.measure(probe)


def test_the_network_is_left_as_it_was():
    probe = probe_of(Stack(pointwise(3, 4), nn.BatchNorm2d(4), width=4, classes=2))
    before = {name: tensor.clone() for name, tensor in probe.network.state_dict().items()}
    score = SynFlow.measure(probe)
    assert all(torch.equal(tensor, before[name]) for name, tensor in probe.network.state_dict().items())
    assert any((tensor < 0).any() for tensor in before.values())
    assert SynFlow.measure(probe) == score


def test_no_flow_has_no_logarithm():
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0.0

    probe = probe_of(Stack(pointwise(3, 4), Nothing(), width=4, classes=2))
    with pytest.raises(ScoreError, match="nothing flows from the input to the output"):
        SynFlow.measure(probe)


def test_setup_is_that_of_the_paper():
    assert SynFlow.setup == Setup(normalisation=False, inputs="ones", batch_size=1, double=True)
