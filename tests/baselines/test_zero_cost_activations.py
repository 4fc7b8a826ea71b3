"""Jacobian covariance and NASWOT, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from baselines.zero_cost.activations import NASWOT
from baselines.zero_cost.activations import JacobCov
from baselines.zero_cost.probe import Probe
from harness.errors import ScoreError
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import matrix
from tests.baselines.tiny_networks import pointwise


def two_layers() -> nn.Module:
    return Stack(pointwise(3, 6), nn.ReLU(), pointwise(6, 5), nn.ReLU(), width=5, classes=4)


def hidden(probe: Probe) -> list[np.ndarray]:
    """Input of each ReLU of :func:`two_layers`; shape (batch, channels, side, side)."""
    first, second = matrix(probe.network.features[0]), matrix(probe.network.features[2])
    low = np.einsum("kc,bchw->bkhw", first, probe.batches[0].inputs.numpy())
    return [low, np.einsum("kc,bchw->bkhw", second, low * (low > 0))]


def test_jacobian_covariance_in_numpy():
    probe = make_probe(two_layers(), batch=8, side=4)
    first, second, last = (
        matrix(layer)
        for layer in (probe.network.features[0], probe.network.features[2], probe.network.classifier)
    )
    low, high = hidden(probe)
    back = last.sum(axis=0).reshape(1, -1, 1, 1) * (high > 0) / 16
    back = np.einsum("kc,bkhw->bchw", second, back) * (low > 0)
    jacobians = np.einsum("kc,bkhw->bchw", first, back).reshape(8, -1)
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(jacobians))
    expected = -np.sum(np.log(eigenvalues + 1e-5) + 1 / (eigenvalues + 1e-5))
    assert JacobCov.measure(probe) == pytest.approx(expected, rel=1e-6)


def test_jacobian_covariance_is_highest_without_correlation():
    # Each eigenvalue of the identity is 1: the score is -batch * (log(1 + k) + 1 / (1 + k)).
    class Own(Stack):
        """Each image is seen through a pixel of its own."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = images.flatten(1)
            patterns = torch.tensor([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=images.dtype)
            return (pixels * patterns).sum(dim=1, keepdim=True)

    probe = make_probe(Own(width=1, classes=1), batch=3, side=2, channels=1, classes=1)
    assert JacobCov.measure(probe) == pytest.approx(-3 * (np.log(1 + 1e-5) + 1 / (1 + 1e-5)), rel=1e-12)


def test_equal_jacobians_are_scored():
    # A linear network: one eigenvalue is the batch, all others are 0.
    probe = make_probe(Stack(pointwise(3, 4), width=4, classes=3), batch=5)
    expected = -(np.log(5) + 1 / 5) - 4 * (np.log(1e-5) + 1e5)
    assert JacobCov.measure(probe) == pytest.approx(expected, rel=1e-6)


def test_no_jacobian_has_no_correlation():
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0.0

    probe = make_probe(Stack(pointwise(3, 4), Nothing(), width=4, classes=3))
    with pytest.raises(ScoreError, match="the Jacobian of some image is constant"):
        JacobCov.measure(probe)


def test_naswot_in_numpy():
    probe = make_probe(two_layers(), batch=8, side=4)
    total = np.zeros((8, 8))
    for values in hidden(probe):
        on = (values.reshape(8, -1) > 0).astype(float)
        total += on @ on.T + (1 - on) @ (1 - on).T
    sign, expected = np.linalg.slogdet(total)
    assert sign == 1
    assert NASWOT.measure(probe) == pytest.approx(expected, rel=1e-12)


def test_naswot_by_hand():
    probe = make_probe(
        nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)), batch=2, channels=4, side=1, classes=2
    )
    images = torch.tensor([[1.0, 2.0, -1.0, -1.0], [1.0, -3.0, -1.0, -2.0]])
    probe.batches[0].inputs.copy_(images.reshape(2, 4, 1, 1))
    # Three of four units alike: det [[4, 3], [3, 4]].
    assert NASWOT.measure(probe) == pytest.approx(np.log(7), rel=1e-12)


def test_naswot_needs_images_that_differ():
    probe = make_probe(two_layers())
    probe.batches[0].inputs[1] = 2 * probe.batches[0].inputs[0]
    with pytest.raises(ScoreError, match="the determinant is 0 and has no logarithm"):
        NASWOT.measure(probe)
    with pytest.raises(ScoreError, match="the determinant is 0 and has no logarithm"):
        NASWOT.measure(make_probe(Stack(pointwise(3, 4), width=4, classes=3)))


def test_naswot_does_not_see_the_scale_before_a_normalisation():
    def network() -> nn.Module:
        return Stack(
            pointwise(3, 6),
            nn.BatchNorm2d(6, eps=1e-100),
            nn.ReLU(),
            pointwise(6, 5),
            nn.BatchNorm2d(5, eps=1e-100),
            nn.ReLU(),
            width=5,
            classes=3,
        )

    probe, scaled = make_probe(network()), make_probe(network())
    with torch.no_grad():
        scaled.network.features[0].weight.mul_(1024.0)
        scaled.network.features[3].weight.div_(16.0)
    assert NASWOT.measure(scaled) == NASWOT.measure(probe)


def test_hooks_are_removed():
    probe = make_probe(two_layers())
    score = NASWOT.measure(probe)
    assert NASWOT.measure(probe) == score
    assert not any(layer._forward_pre_hooks for layer in probe.network.modules())
