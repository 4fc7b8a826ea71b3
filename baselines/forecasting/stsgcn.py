"""STSGCN: graph convolutions over sensors and neighbouring time steps at once."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from baselines.forecasting.pointwise import Pointwise
from baselines.forecasting.pointwise import PointwisePerGroup
from baselines.forecasting.settings import require_positive
from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

#: Steps of the graph that connects sensors in space and time.
WINDOW = 3
_MIDDLE = 1


@dataclass(frozen=True, kw_only=True)
class STSGCN:
    """Spatial-temporal synchronous graph convolutional network (Song et al., AAAI 2020), at its settings.

    The graph of three steps holds every sensor three times; it connects neighbours within a step, and each sensor
    with itself in the step before and after. A learned mask, one for the whole network, weighs its edges. A layer adds
    embeddings of steps and of sensors, and slides a window of three steps over the input: a module of its own for
    every window applies graph convolutions with gated linear units, one after the other, and the result is the
    largest of what they give for the middle step. So each layer takes two steps away. Each horizon has two fully
    connected layers of its own on what remains.

    Edges have no weight and no direction, as in the authors' code: sensors are neighbours where the adjacency is not
    zero one way or the other. What differs from that code:

    * Where weights start. There the mask starts at 1 and everything else within a few thousandths of zero, which suits
      its loss: a sum over vehicles per five minutes. Here sums over neighbours start as means (the mask at 1 over the
      number of neighbours), gated units with the gain that keeps the spread of values, and embeddings at zero; the rest
      starts as PyTorch draws it. With that and the mask at 1, values would grow tenfold or more in every layer.
    * Of the last convolution of a module only the middle step is computed, because the others are cropped.

    The port to PyTorch that ISTS names begins with a random mask, and its embeddings are constants near zero.

    The mask has the size of the graph, (3 sensors)², as in the paper; what is off the edges has no influence. For the
    170 sensors of PEMS-08 it is 260,100 of 1,401,232 parameters.

    Args:
        filters: Channels of all layers.
        layers: Number of layers.
        convolutions: Graph convolutions of each module.
        hidden: Channels between the two fully connected layers of each horizon.

    Raises:
        SpecError: A value is out of range.
    """

    filters: int = 64
    layers: int = 4
    convolutions: int = 3
    hidden: int = 128

    def __post_init__(self) -> None:
        require_positive("STSGCN", **asdict(self))

    def build(
        self, adjacency: NDArray[np.float32], *, features: int, steps: int = 12, horizons: int = 12
    ) -> nn.Module:
        """The network, with new weights from PyTorch's generator.

        Args:
            adjacency: Shape (sensors, sensors); not 0 where there is an edge.
            features: Features of the input.
            steps: Steps of the input.
            horizons: Steps of the forecast.

        Returns:
            A module from shape (batch, features, sensors, steps) to (batch, horizons, sensors).

        Raises:
            SpecError: The input is too short for the layers.
        """
        taken = self.layers * (WINDOW - 1)
        if steps <= taken:
            raise SpecError(
                f"STSGCN: {self.layers} layers take {taken} steps away, and the input has {steps}; set fewer layers."
            )
        return Network(self, adjacency, features=features, steps=steps, horizons=horizons)


class Edges(NamedTuple):
    """Weights of the edges of the graph of three steps.

    Attributes:
        within: In each step, from the sensor of the row to that of the column; shape (3, sensors, sensors).
        earlier: From each sensor in a step to itself in the next; shape (2, sensors).
        later: From each sensor in a step to itself in the one before; shape (2, sensors).
    """

    within: Tensor
    earlier: Tensor
    later: Tensor

    def spread(self, values: Sequence[Tensor], step: int) -> Tensor:
        """Sums over the neighbours of every sensor in one step.

        Args:
            values: Of each step; shape (..., sensors).
            step: Which, from 0 to 2.
        """
        summed = values[step] @ self.within[step]
        if step > 0:
            summed = torch.addcmul(summed, values[step - 1], self.earlier[step - 1])
        if step < WINDOW - 1:
            summed = torch.addcmul(summed, values[step + 1], self.later[step])
        return summed


class Network(nn.Module):
    """See :class:`STSGCN`. Inside, the shape is (steps, channels, batch, sensors).

    Args:
        settings: Sizes.
        adjacency: Shape (sensors, sensors).
        features: Features of the input.
        steps: Steps of the input.
        horizons: Steps of the forecast.
    """

    graph: Tensor

    def __init__(
        self,
        settings: STSGCN,
        adjacency: NDArray[np.float32],
        *,
        features: int,
        steps: int,
        horizons: int,
    ) -> None:
        super().__init__()
        filters, sensors = settings.filters, len(adjacency)
        graph = torch.from_numpy(graph_of_steps(adjacency))
        self.register_buffer("graph", graph, persistent=False)
        self.mask = nn.Parameter(torch.empty_like(graph))
        self.entry = Pointwise(features, filters)
        self.layers = nn.ModuleList(
            SynchronousLayer(filters, steps - layer * (WINDOW - 1), sensors, settings.convolutions)
            for layer in range(settings.layers)
        )
        remaining = steps - settings.layers * (WINDOW - 1)
        self.hidden = Pointwise(remaining * filters, horizons * settings.hidden)
        self.exit = PointwisePerGroup(horizons, settings.hidden, 1)
        self.draw_weights()

    def draw_weights(self, generator: torch.Generator | None = None) -> None:
        """See :class:`~harness.networks.initialisation.DrawsWeights`."""
        with torch.no_grad():
            self.mask.copy_(self.graph / self.graph.sum(dim=1, keepdim=True))

    def forward(self, inputs: Tensor) -> Tensor:
        """From shape (batch, features, sensors, steps) to (batch, horizons, sensors)."""
        x = functional.relu(self.entry(inputs.permute(1, 3, 0, 2))).transpose(0, 1)
        edges = self.edges()
        for layer in self.layers:
            x = layer(x, edges)
        hidden = functional.relu(self.hidden(x.flatten(0, 1)))
        forecast: Tensor = self.exit(hidden.view(self.exit.groups, -1, *hidden.shape[1:]))
        return forecast.squeeze(1).transpose(0, 1)

    def edges(self) -> Edges:
        """The edges of the graph, weighed by the mask."""
        weighed = self.mask * self.graph
        sensors = len(weighed) // WINDOW
        # A value of the graph says what the row takes from the column.
        within = weighed.view(WINDOW, sensors, WINDOW, sensors).diagonal(dim1=0, dim2=2).permute(2, 1, 0)
        earlier, later = weighed.diagonal(-sensors), weighed.diagonal(sensors)
        return Edges(within, earlier.view(-1, sensors), later.view(-1, sensors))


class SynchronousLayer(nn.Module):
    """Embeddings, and a module of graph convolutions for every window of three steps.

    Modules of all windows are computed at once: their weights are stacked.

    Args:
        filters: Channels of the input and of the output.
        steps: Steps of the input; the output has two less.
        sensors: Number of sensors.
        convolutions: Graph convolutions of each module.
    """

    def __init__(self, filters: int, steps: int, sensors: int, convolutions: int) -> None:
        super().__init__()
        self.step_embedding = nn.Parameter(torch.empty(steps, filters, 1, 1))
        self.sensor_embedding = nn.Parameter(torch.empty(filters, 1, sensors))
        self.convolutions = nn.ModuleList(
            # A new gate is about half open: a gain of 2 makes up for it.
            PointwisePerGroup(steps - WINDOW + 1, filters, 2 * filters, gain=2)
            for _ in range(convolutions)
        )
        self.draw_weights()

    def draw_weights(self, generator: torch.Generator | None = None) -> None:
        """See :class:`~harness.networks.initialisation.DrawsWeights`."""
        nn.init.zeros_(self.step_embedding)
        nn.init.zeros_(self.sensor_embedding)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        """From shape (steps, filters, batch, sensors) to (steps - 2, filters, batch, sensors)."""
        embedded = x + self.step_embedding + self.sensor_embedding
        windows = len(x) - WINDOW + 1
        # Of each step of the window: shape (windows, filters, batch, sensors).
        values = [embedded[step : step + windows] for step in range(WINDOW)]
        *inner, last = self.convolutions
        middle = []
        for convolution in inner:
            values = [_gated(convolution, edges.spread(values, step)) for step in range(WINDOW)]
            middle.append(values[_MIDDLE])
        middle.append(_gated(last, edges.spread(values, _MIDDLE)))
        return reduce(torch.maximum, middle)


def graph_of_steps(adjacency: NDArray[np.float32]) -> NDArray[np.float32]:
    """The graph of three steps, without weights: shape (3 sensors, 3 sensors).

    Args:
        adjacency: Shape (sensors, sensors); not 0 where there is an edge.

    Returns:
        1 between neighbours within a step, between each sensor and itself one step away, and on the diagonal; else 0.
    """
    sensors = len(adjacency)
    neighbours = (adjacency != 0) | (adjacency.T != 0) | np.eye(sensors, dtype=bool)
    adjacent = np.eye(WINDOW, k=1) + np.eye(WINDOW, k=-1)
    graph: NDArray[np.float64] = np.kron(np.eye(WINDOW), neighbours) + np.kron(adjacent, np.eye(sensors))
    return graph.astype(np.float32)


def _gated(convolution: nn.Module, summed: Tensor) -> Tensor:
    """A gated linear unit of sums over neighbours; keeps the shape (windows, filters, batch, sensors)."""
    return functional.glu(convolution(summed), dim=1)
