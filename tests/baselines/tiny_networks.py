"""Networks small enough to be worked out with pencil and paper, or in a few lines of NumPy."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from baselines.zero_cost.probe import Batch
from baselines.zero_cost.probe import Probe
from baselines.zero_cost.probe import Setup

DOUBLE = Setup(double=True)


class Stack(nn.Module):
    """Blocks one after the other, then global average pooling and a linear classifier, as in the search spaces."""

    def __init__(self, *blocks: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def pointwise(inputs: int, outputs: int, bias: bool = False) -> nn.Conv2d:
    """A convolution that is a matrix product at every pixel."""
    return nn.Conv2d(inputs, outputs, 1, bias=bias)


def make_probe(
    network: nn.Module,
    *,
    batch: int = 6,
    side: int = 3,
    classes: int = 3,
    channels: int = 3,
    setup: Setup = DOUBLE,
    seed: int = 0,
) -> Probe:
    """The network on random inputs and labels, with weights as the probe draws them."""
    rng = np.random.default_rng(seed)
    inputs = np.ones if setup.inputs == "ones" else rng.standard_normal
    batches = [
        Batch(
            torch.from_numpy(inputs((batch, channels, side, side))).to(
                torch.float64 if setup.double else torch.float32
            ),
            torch.from_numpy(rng.integers(0, classes, batch)),
        )
        for _ in range(setup.batches)
    ]
    return Probe(network, batches, setup, seed)


def permute_channels(before: nn.Conv2d, after: nn.Conv2d) -> None:
    """Exchange the channels between two convolutions: the network computes the same."""
    order = list(range(before.out_channels))[::-1]
    with torch.no_grad():
        before.weight.copy_(before.weight[order])
        after.weight.copy_(after.weight[:, order])


def matrix(layer: nn.Module) -> np.ndarray:
    """The weight of a linear layer or a pointwise convolution."""
    return layer.weight.detach().numpy().reshape(layer.weight.shape[:2])
