"""The angle between the weights of an architecture before and after training."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from torch import Tensor

    from baselines.one_shot.supernet import Supernet
    from harness.spaces import Architecture
    from harness.spaces import CellSpace


class AngleMetric:
    """How far training turned the weights of an architecture (Hu et al., ECCV 2020, "ABS"; Zhang et al., CVPR 2021).

    The weights of an architecture are one long vector, before training and after it, and the metric is the angle
    between the two, in radians. The vector is that of the code that Zhang et al. released for NAS-Bench-201:

    - The weights outside of cells, once.
    - For every path from the input of the cell to its output, the weights of its operations in all cells: an edge that
      is on two paths counts twice. An absent edge cuts its paths, and nothing on them counts for their sake.
    - An operation without weights is empty (the identity), except for pooling: it stands for a kernel of a weight of
      1/k² at each of its k x k places, in each channel, which training does not turn. It makes the angle smaller.

    An architecture that no path leads through has an angle of 0.

    Products of all operations are computed once, so that any number of architectures costs little.

    Args:
        before: The supernet as it was drawn.
        after: The supernet as it is.
    """

    def __init__(self, before: Supernet, after: Supernet) -> None:
        self._space = after.space
        channels = sum(cell.channels for _, cell in after.cells)
        inside = {id(weight) for _, cell in after.cells for weight in cell.parameters()}
        outside = [name for name, weight in after.named_parameters() if id(weight) not in inside]
        self._outside = _products(
            *({name: net.get_parameter(name) for name in outside} for net in (before, after))
        )
        self._operations = {
            (edge, choice): (
                _products(before.own_weights(edge, choice), after.own_weights(edge, choice))
                + _pooling(self._space, choice, channels, after.dataset)
            )
            for edge in range(len(self._space.edges))
            for choice in range(len(self._space.operations))
        }

    def __call__(self, arch: Architecture) -> float:
        """The angle of an architecture, in radians."""
        total, found = self._outside.clone(), False
        for path in open_paths(self._space, arch):
            found = True
            for edge in path:
                total += self._operations[edge, arch[edge]]
        if not found:
            return 0.0
        product, first, second = total.tolist()
        # Rounding may lead out of what a cosine can be.
        return math.acos(max(-1.0, min(1.0, product / math.sqrt(first * second))))


def open_paths(space: CellSpace, arch: Architecture) -> Iterator[list[int]]:
    """The paths from the input of a cell to its output that no absent edge cuts; each is a list of edges."""
    outgoing: dict[int, list[int]] = defaultdict(list)
    for edge, (source, _) in enumerate(space.edges):
        if space.operations[arch[edge]] != space.absent:
            outgoing[source].append(edge)

    def onward(node: int, path: list[int]) -> Iterator[list[int]]:
        if node == space.nodes - 1:
            yield path
        for edge in outgoing[node]:
            yield from onward(space.edges[edge][1], [*path, edge])

    return onward(0, [])


def _products(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Tensor:
    """The inner product of two vectors, and of each with itself."""
    total = torch.zeros(3, dtype=torch.float64)
    for name, weight in after.items():
        # On the CPU, where sums are the same from call to call.
        a, b = before[name].detach().cpu().double().flatten(), weight.detach().cpu().double().flatten()
        total += torch.stack([(a * b).sum(), (a * a).sum(), (b * b).sum()])
    return total


def _pooling(space: CellSpace, choice: int, channels: int, dataset: str) -> Tensor:
    """What a pooling of so many channels adds to the three products; nothing for other operations."""
    # Only its kind matters: no weights are drawn, which would come from the global generator.
    with torch.device("meta"):
        operation = space.operation(space.operations[choice], 1, dataset)
    if not isinstance(operation, nn.AvgPool2d | nn.MaxPool2d):
        return torch.zeros(3, dtype=torch.float64)
    kernel = operation.kernel_size
    places = kernel**2 if isinstance(kernel, int) else math.prod(kernel)
    # So many places, and 1/places squared at each.
    return torch.full((3,), channels / places, dtype=torch.float64)
