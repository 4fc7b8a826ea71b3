"""Networks that are small enough to know what a proxy must make of them."""

from __future__ import annotations

import torch
from torch import nn


class Chain(nn.Module):
    """Blocks one after the other, pooling, and a linear classifier, as the networks of spaces are laid out."""

    def __init__(self, *blocks: nn.Module, channels: int = 3, classes: int = 2) -> None:
        super().__init__()
        widths = [block.out_channels for block in blocks if isinstance(block, nn.Conv2d)]
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear([channels, *widths][-1], classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classifier(self.features(images))
        return scores


def permute_channels(before: nn.Conv2d, after: nn.Conv2d) -> None:
    """Exchange the channels between two convolutions: the network computes the same."""
    order = torch.randperm(before.out_channels, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before.weight.copy_(before.weight[order])
        after.weight.copy_(after.weight[:, order])
