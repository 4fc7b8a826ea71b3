"""Gradient norm, SNIP, plain, Fisher and GraSP, against what they are by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from baselines.zero_cost.gradients import SNIP
from baselines.zero_cost.gradients import Fisher
from baselines.zero_cost.gradients import GradNorm
from baselines.zero_cost.gradients import GraSP
from baselines.zero_cost.gradients import Plain
from baselines.zero_cost.probe import Probe
from tests.baselines.tiny_networks import Residual
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import matrix
from tests.baselines.tiny_networks import pointwise


@pytest.mark.parametrize(
    ("proxy", "score"),
    [
        # The classes are equally probable for both images, so with label 0 the loss has the gradients
        # (-1/2, 1/2) xᵀ with respect to the weights, (-1, 1) / 4 with respect to the scores.
        (GradNorm, 1.0),
        (SNIP, 2.5),
        (Plain, -0.5),
        (Fisher, 0.25),
    ],
)
def test_by_hand(proxy, score):
    probe = make_probe(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), batch=2, side=1, channels=2)
    linear = probe.network[1]
    with torch.no_grad():
        probe.batches[0].inputs.copy_(torch.tensor([[1.0, 1.0], [1.0, -3.0]]).reshape(2, 2, 1, 1))
        probe.batches[0].labels.zero_()
        linear.weight.copy_(torch.tensor([[2.0, 1.0], [1.0, 1.0]]))
        linear.bias.copy_(torch.tensor([-1.0, 0.0]))
    assert proxy.measure(probe) == pytest.approx(score, rel=1e-12)


def test_two_linear_layers_in_numpy():
    probe = make_probe(Stack(pointwise(3, 5), width=5, classes=4), batch=7, side=2, classes=4)
    first, last = matrix(probe.network.features[0]), matrix(probe.network.classifier)
    images, labels = probe.batches[0].inputs.numpy(), probe.batches[0].labels.numpy()
    pooled = images.mean(axis=(2, 3))
    hidden = pooled @ first.T
    scores = hidden @ last.T + probe.network.classifier.bias.detach().numpy()
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    errors = (probabilities - np.eye(4)[labels]) / len(labels)
    back = errors @ last
    gradients = [back.T @ pooled, errors.T @ hidden]
    weights = [first, last]
    # A pixel of the hidden map has 1/4 of the gradient of its mean.
    products = [back * hidden, errors * scores]
    expected = {
        GradNorm: sum(np.linalg.norm(g) for g in gradients),
        SNIP: sum(np.abs(w * g).sum() for w, g in zip(weights, gradients, strict=True)),
        Plain: sum((w * g).sum() for w, g in zip(weights, gradients, strict=True)),
        Fisher: sum((p**2).mean(axis=0).sum() / 2 for p in products),
    }
    for proxy, score in expected.items():
        assert proxy.measure(probe) == pytest.approx(score, rel=1e-10), proxy.__name__


def small_network() -> nn.Module:
    return Stack(
        pointwise(3, 4), nn.Tanh(), Residual(pointwise(4, 4, bias=True)), nn.Tanh(), width=4, classes=3
    )


def loss_of(probe: Probe, flat: torch.Tensor) -> torch.Tensor:
    """The loss as a function of all weights of convolutions and of the classifier in one vector."""
    weights, start = {}, 0
    for name, weight in probe.weights:
        weights[name] = flat[start : start + weight.numel()].view_as(weight)
        start += weight.numel()
    scores = torch.func.functional_call(probe.network, weights, probe.batches[0].inputs)
    return nn.functional.cross_entropy(scores, probe.batches[0].labels)


def flat_weights(probe: Probe) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for _, weight in probe.weights])


def test_grasp_is_minus_the_weights_times_hessian_times_gradient():
    probe = make_probe(small_network())
    theta = flat_weights(probe)
    gradient = torch.autograd.functional.jacobian(lambda flat: loss_of(probe, flat), theta)
    hessian = torch.autograd.functional.hessian(lambda flat: loss_of(probe, flat), theta)
    score = GraSP.measure(probe)
    assert abs(score) > 1e-4
    assert score == pytest.approx(-float(theta @ hessian @ gradient), rel=1e-9)


def test_grasp_is_what_shrinking_the_weights_adds_to_half_the_squared_gradient():
    probe = make_probe(small_network())
    theta, step = flat_weights(probe), 1e-4

    def half_square(scale: float) -> float:
        gradient = torch.autograd.functional.jacobian(lambda flat: loss_of(probe, flat), scale * theta)
        return float(gradient.square().sum()) / 2

    difference = (half_square(1 - step) - half_square(1 + step)) / (2 * step)
    assert GraSP.measure(probe) == pytest.approx(difference, rel=1e-6)


def normalised_network() -> nn.Module:
    """Every convolution is normalised after it, exactly."""
    return Stack(
        pointwise(3, 4),
        nn.BatchNorm2d(4, eps=1e-100),
        nn.ReLU(),
        Residual(nn.Sequential(pointwise(4, 4), nn.BatchNorm2d(4, eps=1e-100))),
        width=4,
        classes=3,
    )


def test_normalised_layers_add_nothing_to_plain_and_their_squared_gradient_to_grasp():
    # The loss does not change with the scale of such a weight, by Euler's theorem.
    probe = make_probe(normalised_network())
    weights = [weight for _, weight in probe.weights]
    *convolutions, classifier = probe.gradients
    assert all(gradient.norm() > 1e-3 for gradient in convolutions)
    plain = float((weights[-1].detach() * classifier).sum())
    assert Plain.measure(probe) == pytest.approx(plain, rel=1e-9)
    gradients = torch.autograd.grad(probe.forward.loss, weights, create_graph=True)
    (bent,) = torch.autograd.grad(
        sum((gradient.detach() * gradient).sum() for gradient in gradients), weights[-1:], retain_graph=True
    )
    squares = sum(float(gradient.square().sum()) for gradient in convolutions)
    grasp = squares - float((weights[-1].detach() * bent).sum())
    assert GraSP.measure(probe) == pytest.approx(grasp, rel=1e-8)


@pytest.mark.parametrize("proxy", [GradNorm, SNIP, Plain, Fisher, GraSP])
def test_nothing_accumulates(proxy):
    probe = make_probe(small_network())
    first = proxy.measure(probe)
    assert proxy.measure(probe) == first
    assert all(parameter.grad is None for parameter in probe.network.parameters())


def test_a_layer_that_is_not_used_adds_nothing():
    class Unused(Stack):
        def __init__(self) -> None:
            super().__init__(pointwise(3, 4), width=4, classes=3)
            self.spare = pointwise(3, 4)

    probe, full = make_probe(Stack(pointwise(3, 4), width=4, classes=3)), make_probe(Unused())
    for proxy in (GradNorm, SNIP, Plain, Fisher, GraSP):
        assert proxy.measure(full) == proxy.measure(probe) != 0
