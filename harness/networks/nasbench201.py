"""The image classifier of the cells above: a stack of copies of one cell."""

from collections.abc import Callable
from collections.abc import Mapping

import torch
from torch import nn


class Zero(nn.Module):
    """``none``: the edge is absent. A product, so that gradients are zero and not missing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.0


def relu_conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    """ReLU, then a convolution, then batch normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(outputs))


def operation(name: str, channels: int) -> nn.Module:
    """What one edge of the cell applies. It keeps the shape of its input."""
    match name:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return relu_conv_norm(channels, channels, kernel=1)
        case "nor_conv_3x3":
            return relu_conv_norm(channels, channels, kernel=3)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise ValueError(f"unknown operation {name!r}")


class Cell(nn.Module):
    """Four nodes. Node 0 is the input; every other node is the sum of its incoming edges; node 3 is the output.

    Args:
        operations: Operation of each edge: ``{"0->1": "nor_conv_3x3", ...}``.
        channels: Channels of every node.
    """

    def __init__(self, operations: Mapping[str, str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({edge: operation(name, channels) for edge, name in operations.items()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes = [x]
        for target in (1, 2, 3):
            incoming = [self.edges[f"{source}->{target}"](nodes[source]) for source in range(target)]
            nodes.append(torch.stack(incoming).sum(dim=0))
        return nodes[3]


class Reduction(nn.Module):
    """A residual block that halves the sides of the image and widens the network."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_norm(inputs, outputs, kernel=3, stride=2), relu_conv_norm(outputs, outputs, kernel=3)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.body(x) + self.shortcut(x)
        return total


class Network(nn.Module):
    """Stem, three stages of equal cells with a reduction between stages, and a linear classifier.

    Args:
        cell: Makes a cell of so many channels: ``lambda channels: Cell(operations, channels)``.
        classes: Number of classes.
        channels: Channels of the first stage; each later stage has twice as many.
        cells: Cells of each stage.
    """

    def __init__(
        self, cell: Callable[[int], nn.Module], classes: int, channels: int = 16, cells: int = 5
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        for width in (channels, 2 * channels, 4 * channels):
            if width > channels:
                layers.append(Reduction(width // 2, width))
            layers += [cell(width) for _ in range(cells)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores of shape (images, classes), for images of shape (images, 3, side, side)."""
        scores: torch.Tensor = self.classifier(self.features(images))
        return scores
