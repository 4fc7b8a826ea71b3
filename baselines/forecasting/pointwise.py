"""Linear maps of channels, where channels come first and all else is a column."""

from __future__ import annotations

import math

import torch
from torch import nn


class Pointwise(nn.Linear):
    """A linear map of the channels, the same everywhere: a convolution with a kernel of one.

    Channels come first, so that it is one matrix product without a copy of its input. Weights are drawn as PyTorch
    draws those of a convolution.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From shape (inputs, ...) to (outputs, ...)."""
        mapped = torch.addmm(self.bias[:, None], self.weight, x.flatten(1))
        return mapped.view(-1, *x.shape[1:])


class PointwisePerGroup(nn.Module):
    """A :class:`Pointwise` of its own for every group, all in one batched matrix product.

    Args:
        groups: Number of groups.
        inputs: Channels of the input.
        outputs: Channels of the output.
        gain: Standard deviation of the output of a new map, for inputs of mean square 1, without its bias. That of
            PyTorch's maps is the default.
    """

    def __init__(self, groups: int, inputs: int, outputs: int, gain: float = 1 / math.sqrt(3)) -> None:
        super().__init__()
        self.groups = groups
        self._gain = gain
        self.weight = nn.Parameter(torch.empty(groups, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(groups, outputs))
        self.draw_weights()

    def draw_weights(self, generator: torch.Generator | None = None) -> None:
        """See :class:`~harness.networks.initialisation.DrawsWeights`; ``None`` is PyTorch's own generator."""
        bound = 1 / math.sqrt(self.weight.shape[-1])
        wider = self._gain * math.sqrt(3) * bound
        nn.init.uniform_(self.weight, -wider, wider, generator)
        nn.init.uniform_(self.bias, -bound, bound, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From shape (groups, inputs, ...) to (groups, outputs, ...)."""
        mapped = torch.baddbmm(self.bias[..., None], self.weight, x.flatten(2))
        return mapped.view(*mapped.shape[:2], *x.shape[2:])
