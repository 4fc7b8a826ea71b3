"""The forecasting networks of ISTS: cells over the sensors of a road network and the steps of time.

Between the parts of a network every tensor has the shape (batch, channels, sensors, steps). In memory sensors come
first and channels last: a product with a matrix over sensors, and one with a matrix over channels, are then one matrix
product each, of the tensor as it lies.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from harness.traffic import TrafficSet
from harness.traffic.graph import normalised
from harness.traffic.graph import transition

#: Length of the vectors that stand for a sensor (Wu et al., IJCAI 2019, "Graph WaveNet", section 4.2).
EMBEDDING = 10
# Where a smaller share of the entries is not 0, a sparse matrix takes less time (docs/performance.md).
_SPARSE_BELOW = 0.1


def rows(x: torch.Tensor) -> torch.Tensor:
    """A view of shape (sensors, batch, steps, channels) of a tensor of shape (batch, channels, sensors, steps)."""
    return x.permute(2, 0, 3, 1)


def from_rows(x: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`rows`."""
    return x.permute(1, 3, 0, 2)


class Graph(nn.Module):
    """The matrices of a road network along which signals spread.

    The normalised adjacency (ChebNet's of first order), and the transitions of random walks along and against the
    edges. They are no weights: not saved with them, and the same in all networks for a data set.

    Args:
        traffic: The sensors' graph is what is looked at.
        sparse: Whether only the edges that are there are stored; ``None`` decides by their number.

    Attributes:
        sensors: Number of sensors.
        sparse: Whether so few edges are there that only they are stored.
    """

    matrices: torch.Tensor
    transposed: torch.Tensor

    def __init__(self, traffic: TrafficSet, *, sparse: bool | None = None) -> None:
        super().__init__()
        stacked = np.concatenate([normalised(traffic.adjacency), *transition(traffic.adjacency)])
        matrices = torch.from_numpy(stacked)
        self.sensors = traffic.sensors
        self.sparse = float((stacked != 0).mean()) < _SPARSE_BELOW if sparse is None else sparse
        if self.sparse:
            with warnings.catch_warnings():
                # PyTorch calls them a beta, on every first use.
                warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
                self.register_buffer("matrices", matrices.to_sparse_csr(), persistent=False)
                self.register_buffer("transposed", matrices.T.to_sparse_csr(), persistent=False)
        else:
            self.register_buffer("matrices", matrices, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What arrives at every sensor by each of the three matrices.

        Args:
            x: Shape (sensors, n).

        Returns:
            Shape (3 sensors, n): one matrix after the other.
        """
        if self.sparse:
            spread: torch.Tensor = _SparseProduct.apply(self.matrices, self.transposed, x)  # type: ignore[no-untyped-call]
            return spread
        return self.matrices @ x


class _SparseProduct(torch.autograd.Function):
    """A sparse matrix times a dense one. The transposed matrix is at hand, so that its gradient is one, too."""

    @staticmethod
    def forward(context, matrix, transposed, x):  # type: ignore[no-untyped-def]
        context.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        return None, None, context.transposed @ gradient.contiguous()


class MixedGraphConvolution(nn.Module):
    """Sum of a Chebyshev graph convolution and an adaptive diffusion convolution (ISTS, equation 5).

    Args:
        graph: The road network.
        channels: Of its input and output.
    """

    def __init__(self, graph: Graph, channels: int) -> None:
        super().__init__()
        self.graph = graph
        self.along_roads = nn.Linear(channels, 3 * channels, bias=False)
        self.adaptive = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor, adaptive: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (sensors, batch, steps, channels).

        Args:
            x: The signal.
            adaptive: The learned adjacency; shape (sensors, sensors).
        """
        sensors, channels = x.shape[0], x.shape[-1]
        flat = x.reshape(sensors, -1)
        spread = self.graph(flat).view(3, -1, channels)
        weights = self.along_roads.weight.view(3, channels, channels).transpose(1, 2)
        along_roads = torch.bmm(spread, weights).sum(dim=0)
        beyond = self.adaptive((adaptive @ flat).view(-1, channels))
        mixed: torch.Tensor = along_roads + beyond
        return mixed.view(x.shape)


class SpatialOperator(nn.Module):
    """High-order mix of graph convolutions (ISTS, equation 4): one after the other, each with weights of its own.

    The learned adjacency is softmax(relu(E F)) of vectors E and F of the sensors (Wu et al. 2019, equation 5). It is
    the same in all orders of an operator, and another one in each operator, which the paper leaves open.

    Args:
        graph: The road network.
        channels: Of its input and output.
        order: Number of graph convolutions; 0 hands its input on.
    """

    def __init__(self, graph: Graph, channels: int, order: int) -> None:
        super().__init__()
        self.source = nn.Embedding(graph.sensors, EMBEDDING)
        self.target = nn.Embedding(graph.sensors, EMBEDDING)
        self.convolutions = nn.ModuleList(MixedGraphConvolution(graph, channels) for _ in range(order))

    def adaptive(self) -> torch.Tensor:
        """The learned adjacency; shape (sensors, sensors), rows sum to 1."""
        return functional.softmax(functional.relu(self.source.weight @ self.target.weight.T), dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (sensors, batch, steps, channels)."""
        adaptive = self.adaptive()
        for convolution in self.convolutions:
            x = convolution(x, adaptive)
        return x


class TemporalOperator(nn.Module):
    """Linear attention between the steps of each sensor (ISTS, equation 6; Katharopoulos et al., ICML 2020).

    Queries and keys are mapped to elu + 1, so that the sums over steps can be made once: time and memory are linear in
    the number of steps. Every step attends to all.

    Args:
        channels: Of its input.
        attention: Of its output, all heads together; a multiple of ``heads``.
        heads: Number of heads.
    """

    blocks: torch.Tensor

    def __init__(self, channels: int, attention: int, heads: int) -> None:
        super().__init__()
        self.attention = attention
        self.projection = nn.Linear(channels, 3 * attention, bias=False)
        # Heads are small. One product of all of them, from which what is between heads is struck out, takes less time
        # than a product for each.
        head = np.arange(attention) * heads // attention
        blocks = torch.from_numpy((head[:, None] == head[None, :]).astype(np.float32))
        self.register_buffer("blocks", blocks, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (sensors, batch, steps, channels) to (sensors, batch, steps, attention)."""
        sensors, batch, steps, channels = x.shape
        projected = self.projection(x.reshape(sensors * batch, steps, channels))
        mapped, values = projected.split([2 * self.attention, self.attention], dim=-1)
        queries, keys = (functional.elu(mapped) + 1).chunk(2, dim=-1)
        sums = torch.bmm(keys.transpose(1, 2), values) * self.blocks
        weights = (queries * keys.sum(dim=1, keepdim=True)) @ self.blocks
        return (torch.bmm(queries, sums) / weights).view(sensors, batch, steps, self.attention)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them.

    Dropout strikes a hidden channel out of all steps of a sensor at once.

    Args:
        inputs: Channels of its input.
        hidden: Channels between the layers.
        outputs: Channels of its output.
        dropout: Share of hidden channels that are struck out in training.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (sensors, batch, steps, inputs) to (sensors, batch, steps, outputs)."""
        hidden = functional.relu(self.first(x))
        # A draw for each number would take longer than the layers.
        kept = self.dropout(hidden.new_ones(*hidden.shape[:2], 1, hidden.shape[3]))
        outputs: torch.Tensor = self.second(hidden * kept)
        return outputs


class SpatialTemporalCell(nn.Module):
    """What one edge applies (ISTS, equation 3): a spatial and a temporal operator, and a feed-forward network.

    Args:
        order: ``stp``, both beside each other; ``stt``, first the spatial one; ``tts``, first the temporal one.
        graph: The road network.
        channels: Of its input and output.
        attention: See :class:`TemporalOperator`.
        heads: See :class:`TemporalOperator`.
        hidden: See :class:`FeedForward`.
        convolutions: Order of the :class:`SpatialOperator`.
        dropout: See :class:`FeedForward`.
    """

    def __init__(
        self,
        order: str,
        graph: Graph,
        channels: int,
        *,
        attention: int,
        heads: int,
        hidden: int,
        convolutions: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.order = order
        # What the spatial operator sees, and what the feed-forward network does.
        seen, mixed = {
            "stp": (channels, channels + attention),
            "stt": (channels, attention),
            "tts": (attention, attention),
        }[order]
        self.spatial = SpatialOperator(graph, seen, convolutions)
        self.temporal = TemporalOperator(channels, attention, heads)
        self.feed_forward = FeedForward(mixed, hidden, channels, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (batch, channels, sensors, steps)."""
        x = rows(x)
        match self.order:
            case "stp":
                mixed = torch.cat([self.spatial(x), self.temporal(x)], dim=-1)
            case "stt":
                mixed = self.temporal(self.spatial(x))
            case _:
                mixed = self.spatial(self.temporal(x))
        return from_rows(self.feed_forward(mixed))


class Cells(nn.Module):
    """Nodes and edges of an architecture. Node 0 is the input; every other one is the sum of its incoming edges.

    Args:
        edges: Source and target of every edge, sources first.
        operations: What each edge applies.
    """

    def __init__(self, edges: tuple[tuple[int, int], ...], operations: list[nn.Module]) -> None:
        super().__init__()
        self.edges = edges
        self.operations = nn.ModuleList(operations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keeps the shape (batch, channels, sensors, steps); the last node."""
        nodes = {0: x}
        for (source, target), operation in zip(self.edges, self.operations, strict=True):
            output = operation(nodes[source])
            nodes[target] = nodes[target] + output if target in nodes else output
        return nodes[max(nodes)]


class Forecaster(nn.Module):
    """From what was measured to what will be.

    Before the cells is a linear layer, and a vector for each step, without which attention could not tell the steps
    apart. Behind them, what went in is added to what came out, and a linear layer leads from all steps of a sensor to
    all horizons. The paper describes none of these.

    Args:
        cells: Makes what is between them, for so many channels.
        channels: Of all nodes.
        features: Numbers that are known of a sensor at a step.
        steps: Steps that are known.
        horizons: Steps that are forecast.
    """

    def __init__(
        self,
        cells: Callable[[int], nn.Module],
        channels: int,
        *,
        features: int,
        steps: int,
        horizons: int,
    ) -> None:
        super().__init__()
        self.features = nn.Linear(features, channels)
        self.steps = nn.Embedding(steps, channels)
        self.cells = cells(channels)
        self.horizons = nn.Linear(steps * channels, horizons)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (batch, features, sensors, steps) to (batch, horizons, sensors)."""
        embedded = self.features(rows(x)) + self.steps.weight
        last = rows(self.cells(from_rows(embedded))) + embedded
        forecast: torch.Tensor = self.horizons(functional.relu(last.flatten(2)))
        return forecast.permute(1, 2, 0)
