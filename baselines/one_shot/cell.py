"""A cell that holds every operation on every edge, with what is known of its shape put to use."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from harness.spaces import CellSpace


@dataclass(frozen=True)
class Gates:
    """What the edges of a cell let through.

    Attributes:
        weights: What each operation is multiplied by; shape (edges, operations).
        active: Operations that are computed on each edge; ``None`` computes all. What is not computed adds nothing.
        edges: What each edge is multiplied by beyond that; shape (edges,). ``None`` is 1 everywhere.
    """

    weights: Tensor
    active: Sequence[Sequence[int]] | None = None
    edges: Tensor | None = None

    @classmethod
    def path(cls, choices: Sequence[int], operations: int, device: torch.device | str = "cpu") -> Gates:
        """One operation per edge, as it is."""
        weights = functional.one_hot(torch.tensor(choices, device=device), operations).float()
        return cls(weights, [[choice] for choice in choices])


class GateHolder:
    """Where the cells of a network find the gates of the pass that is being made."""

    gates: Gates


class SupernetCell(nn.Module):
    """Every operation on every edge; each node is the sum of what the gates let through to it.

    All edges from one node have the same input. So an operation without weights is applied to it once, and convolutions
    to all targets are one convolution; its batch normalisation multiplies by the gates. The result is that of separate
    edges.

    Args:
        space: The search space.
        channels: Channels of every node.
        holder: Where the gates are.
        dataset: Data set that the network is for.
        size: See :meth:`~harness.spaces.CellSpace.operation`.
        partial: Operations see one in so many channels, and the others pass beside them (Xu et al., ICLR 2020,
            "PC-DARTS", section 3.2); channels are shuffled behind every node. 1 shows all.

    Attributes:
        channels: Channels of every node.
    """

    def __init__(
        self,
        space: CellSpace,
        channels: int,
        holder: GateHolder,
        dataset: str,
        size: Mapping[str, int] | None = None,
        partial: int = 1,
    ) -> None:
        super().__init__()
        self._holder = holder
        self._space = space
        self._partial = partial
        self.channels = channels
        self._seen = channels // partial
        self._outgoing: dict[int, list[int]] = defaultdict(list)
        for edge, (source, _) in enumerate(space.edges):
            self._outgoing[source].append(edge)
        #: By source node and operation; absent edges have nothing to compute.
        self.operations = nn.ModuleDict(
            {
                f"{source}-{number}": _shared(
                    functools.partial(space.operation, choice, self._seen, dataset, size), edges
                )
                for source, edges in self._outgoing.items()
                for number, choice in enumerate(space.operations)
                if choice != space.absent
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape of its input, whose second dimension is that of channels."""
        gates = self._holder.gates
        weights = gates.weights if gates.edges is None else gates.weights * gates.edges[:, None]
        # Sums at each node, of what operations gave and of what passed beside them.
        mixed: dict[int, Tensor] = {}
        beside: dict[int, Tensor] = {}
        for source, edges in self._outgoing.items():
            value = self._node(source, x, mixed, beside)
            for edge, output in self._outputs(source, edges, value[:, : self._seen], gates.active, weights):
                _add(mixed, self._space.edges[edge][1], output)
            if self._partial > 1:
                rest = value[:, self._seen :]
                for edge in edges:
                    kept = rest if gates.edges is None else rest * gates.edges[edge]
                    _add(beside, self._space.edges[edge][1], kept)
        return self._node(self._space.nodes - 1, x, mixed, beside)

    def _node(
        self, node: int, x: Tensor, mixed: Mapping[int, Tensor], beside: Mapping[int, Tensor]
    ) -> Tensor:
        if node == 0:
            return x
        # Where no edge leads there is a zero, as in the cell by itself.
        total = mixed.get(node)
        total = torch.zeros_like(x[:, : self._seen]) if total is None else total
        if self._partial == 1:
            return total
        return _shuffled([total, beside[node]], self._partial)

    def _outputs(
        self,
        source: int,
        edges: Sequence[int],
        value: Tensor,
        active: Sequence[Sequence[int]] | None,
        weights: Tensor,
    ) -> Iterator[tuple[int, Tensor]]:
        """What operations give on every edge from a node, in parts that are to be added up."""
        for number in range(len(self._space.operations)):
            key = f"{source}-{number}"
            computed = [edge for edge in edges if active is None or number in active[edge]]
            if key in self.operations and computed:
                operation = self.operations[key]
                assert isinstance(operation, SharedOperation)
                yield from operation.on(computed, value, weights[:, number])


def _shuffled(parts: Sequence[Tensor], groups: int) -> Tensor:
    """Channels of all parts, one after the other, then shuffled: the first of every group, the second, and so on."""
    order = list(range(parts[0].dim()))
    if max(parts[0].stride()) > parts[0].stride(0):
        # Where another dimension than that of examples comes first in memory, operations want it so.
        order.sort(key=parts[0].stride, reverse=True)
    channels = order.index(1)
    whole = torch.cat([part.permute(order) for part in parts], dim=channels)
    before, (count, *after) = whole.shape[:channels], whole.shape[channels:]
    grouped = whole.view(*before, groups, count // groups, *after)
    shuffled = grouped.transpose(channels, channels + 1).reshape(whole.shape)
    return shuffled.permute([order.index(dimension) for dimension in range(len(order))])


def _add(totals: dict[int, Tensor], node: int, value: Tensor) -> None:
    totals[node] = totals[node] + value if node in totals else value


class SharedOperation(nn.Module):
    """One operation on all edges from one node."""

    @abstractmethod
    def on(self, edges: Sequence[int], value: Tensor, weights: Tensor) -> Iterator[tuple[int, Tensor]]:
        """What it gives on some of the edges, each multiplied by its weight.

        Args:
            edges: Which; some of those that it was made for.
            value: Their input; its second dimension is that of channels.
            weights: Weight of each edge of the cell; shape (edges,).
        """

    @abstractmethod
    def own(self, edge: int) -> Mapping[str, Tensor]:
        """The weights of one edge, by name; views of what is shared."""

    @abstractmethod
    def sums(self, values: Sequence[Tensor]) -> Tensor:
        """Sums over the weights of each edge.

        Args:
            values: A tensor for each parameter, of its shape, in the order of ``parameters()``.

        Returns:
            Shape (edges that it was made for,), in their order; empty without weights.
        """


class WithoutWeights(SharedOperation):
    """The same on every edge: computed once."""

    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self.operation = operation

    def on(self, edges: Sequence[int], value: Tensor, weights: Tensor) -> Iterator[tuple[int, Tensor]]:
        output = self.operation(value)
        for edge in edges:
            yield edge, output * weights[edge]

    def own(self, edge: int) -> Mapping[str, Tensor]:
        return {}

    def sums(self, values: Sequence[Tensor]) -> Tensor:
        return torch.zeros(0)


class Convolutions(SharedOperation):
    """ReLU, a convolution per edge, batch normalisation: as one convolution to the channels of all edges.

    Batch normalisation works on each channel alone, without weights of its own, so that the gates can be its weights.
    """

    def __init__(self, convolution: nn.Conv2d, edges: Sequence[int], eps: float) -> None:
        super().__init__()
        self._places = {edge: place for place, edge in enumerate(edges)}
        self._channels = convolution.out_channels
        self._padding = convolution.padding
        self._stride = convolution.stride
        self._eps = eps
        self.weight = nn.Parameter(convolution.weight.new_empty(len(edges), *convolution.weight.shape))

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw the convolution of each edge as PyTorch draws one."""
        for weight in self.weight.unbind():
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)

    def on(self, edges: Sequence[int], value: Tensor, weights: Tensor) -> Iterator[tuple[int, Tensor]]:
        kernels: Tensor = self.weight
        if len(edges) < len(self._places):
            kernels = kernels[[self._places[edge] for edge in edges]]
        outputs = functional.conv2d(
            functional.relu(value), kernels.flatten(0, 1), stride=self._stride, padding=self._padding
        )
        scale = weights[list(edges)].to(self.weight.dtype).repeat_interleave(self._channels)
        outputs = functional.batch_norm(
            outputs, None, None, weight=scale, bias=torch.zeros_like(scale), training=True, eps=self._eps
        )
        yield from zip(edges, outputs.chunk(len(edges), dim=1), strict=True)

    def own(self, edge: int) -> Mapping[str, Tensor]:
        return {"weight": self.weight[self._places[edge]]}

    def sums(self, values: Sequence[Tensor]) -> Tensor:
        return values[0].flatten(1).sum(dim=1)


class Separate(SharedOperation):
    """Any other operation: a module per edge."""

    def __init__(self, modules: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.by_edge = nn.ModuleDict({str(edge): module for edge, module in modules.items()})

    def on(self, edges: Sequence[int], value: Tensor, weights: Tensor) -> Iterator[tuple[int, Tensor]]:
        for edge in edges:
            yield edge, self.by_edge[str(edge)](value) * weights[edge]

    def own(self, edge: int) -> Mapping[str, Tensor]:
        return dict(self.by_edge[str(edge)].named_parameters())

    def sums(self, values: Sequence[Tensor]) -> Tensor:
        each = len(values) // len(self.by_edge)
        edges = [values[i : i + each] for i in range(0, len(values), each)]
        return torch.stack([torch.stack([value.sum() for value in own]).sum() for own in edges])


def _shared(make: Callable[[], nn.Module], edges: Sequence[int]) -> SharedOperation:
    operation = make()
    if not any(True for _ in operation.parameters()):
        return WithoutWeights(operation)
    match list(operation.children()):
        case [
            nn.ReLU(),
            nn.Conv2d(bias=None, groups=1, dilation=(1, 1)) as convolution,
            nn.BatchNorm2d(eps=eps),
        ]:
            return Convolutions(convolution, edges, eps)
    first, *others = edges
    return Separate({first: operation, **{edge: make() for edge in others}})
