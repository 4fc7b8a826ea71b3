"""Graph WaveNet: dilated convolutions along time, diffusion along roads that are partly learned."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from baselines.forecasting.pointwise import Pointwise
from baselines.forecasting.settings import require_positive
from harness.errors import SpecError
from harness.traffic.graph import transition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GraphWaveNet:
    """Graph WaveNet (Wu et al., IJCAI 2019), at the settings of its paper and of the code released with it.

    Every layer is a gated convolution of two steps, whose result goes to the output through a skip connection and to
    the next layer through a diffusion convolution: powers of the forward and the backward transition matrix and of an
    adjacency that is learned as the product of two embeddings of every sensor, then dropout, a residual connection and
    batch normalisation. Dilation doubles from layer to layer of a block. The input is padded with zeros on the side of
    the past, up to the field that the output sees.

    Like the released code, and unlike the paper's formula, it spreads values along the edges: a sensor receives the
    value of its neighbour times the weight of the edge from that neighbour, x P rather than P x. Embeddings are drawn
    from a normal distribution, as there.

    What cannot influence the output is left out, with no other effect than time and memory: skip connections are
    computed for the last step alone; and the released code also holds a residual convolution per layer that is never
    called, and in its last layer a diffusion convolution and a normalisation whose results are dropped. On 207 sensors
    it has 309,400 parameters, this one the 293,688 that are used.

    Args:
        channels: Channels of all layers.
        skip_channels: Channels of the sum of skip connections.
        end_channels: Channels between the two maps at the output.
        blocks: Number of blocks.
        layers: Layers of each block.
        order: Highest power of each transition matrix.
        embedding: Size of the two embeddings of every sensor.
        dropout: Share of the results of a diffusion convolution that is dropped in training.

    Raises:
        SpecError: A value is out of range.
    """

    channels: int = 32
    skip_channels: int = 256
    end_channels: int = 512
    blocks: int = 4
    layers: int = 2
    order: int = 2
    embedding: int = 10
    dropout: float = 0.3

    def __post_init__(self) -> None:
        sizes = asdict(self)
        del sizes["dropout"]
        require_positive("GraphWaveNet", **sizes)
        if not 0 <= self.dropout < 1:
            raise SpecError(f"GraphWaveNet: dropout must be at least 0 and below 1: {self.dropout}.")

    def build(
        self, adjacency: NDArray[np.float32], *, features: int, steps: int = 12, horizons: int = 12
    ) -> nn.Module:
        """The network, with new weights from PyTorch's generator.

        Args:
            adjacency: Shape (sensors, sensors): weight of the edge from the sensor of the row to that of the column.
            features: Features of the input.
            steps: Steps of the input.
            horizons: Steps of the forecast.

        Returns:
            A module from shape (batch, features, sensors, steps) to (batch, horizons, sensors).

        Raises:
            SpecError: The input is longer than what the output sees.
        """
        dilations = [2**layer for layer in range(self.layers)] * self.blocks
        seen = 1 + sum(dilations)
        if steps > seen:
            raise SpecError(
                f"GraphWaveNet: {self.blocks} blocks of {self.layers} layers see {seen} steps, and the input has "
                f"{steps}; set more blocks or layers."
            )
        return Network(self, adjacency, dilations, features=features, horizons=horizons)


class Network(nn.Module):
    """See :class:`GraphWaveNet`. Inside, the shape is (channels, batch, steps, sensors).

    So maps of channels and sums over neighbours are plain matrix products, on what lies in memory as it is.

    Args:
        settings: Sizes.
        adjacency: Shape (sensors, sensors).
        dilations: Of each layer.
        features: Features of the input.
        horizons: Steps of the forecast.
    """

    roads: Tensor

    def __init__(
        self,
        settings: GraphWaveNet,
        adjacency: NDArray[np.float32],
        dilations: Sequence[int],
        *,
        features: int,
        horizons: int,
    ) -> None:
        super().__init__()
        channels, order, sensors = settings.channels, settings.order, len(adjacency)
        self._order = order
        self._seen = 1 + sum(dilations)
        roads = [
            power for matrix in transition(adjacency) for power in powers(torch.from_numpy(matrix), order)
        ]
        self.register_buffer("roads", torch.stack(roads), persistent=False)
        self.source = nn.Parameter(torch.empty(sensors, settings.embedding))
        self.target = nn.Parameter(torch.empty(sensors, settings.embedding))
        self.entry = Pointwise(features, channels)
        self.gated = nn.ModuleList(GatedConvolution(channels, dilation) for dilation in dilations)
        self.skips = nn.ModuleList(Pointwise(channels, settings.skip_channels) for _ in dilations)
        # Behind the last layer nothing would see them.
        self.diffusions = nn.ModuleList(
            DiffusionConvolution(channels, len(roads) + order, settings.dropout) for _ in dilations[1:]
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in dilations[1:])
        self.exit = nn.Sequential(
            nn.ReLU(),
            Pointwise(settings.skip_channels, settings.end_channels),
            nn.ReLU(),
            Pointwise(settings.end_channels, horizons),
        )
        self.draw_weights()

    def draw_weights(self, generator: torch.Generator | None = None) -> None:
        """See :class:`~harness.networks.initialisation.DrawsWeights`; ``None`` is PyTorch's own generator."""
        nn.init.normal_(self.source, generator=generator)
        nn.init.normal_(self.target, generator=generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """From shape (batch, features, sensors, steps) to (batch, horizons, sensors)."""
        padded = functional.pad(inputs, (self._seen - inputs.shape[-1], 0))
        x = self.entry(padded.permute(1, 0, 3, 2))
        matrices = [*self.roads, *powers(self.learned_adjacency(), self._order)]
        skipped = []
        for layer, (gated, skip) in enumerate(zip(self.gated, self.skips, strict=True)):
            out = gated(x)
            skipped.append(skip(out[:, :, -1]))
            if layer < len(self.diffusions):
                out = self.diffusions[layer](out, matrices) + x[:, :, -out.shape[2] :]
                x = self.norms[layer](out.flatten(1)[None]).view_as(out)
        forecast: Tensor = self.exit(torch.stack(skipped).sum(dim=0))
        return forecast.transpose(0, 1)

    def learned_adjacency(self) -> Tensor:
        """Shape (sensors, sensors); rows sum to 1 (the paper's self-adaptive adjacency)."""
        return functional.softmax(functional.relu(self.source @ self.target.T), dim=1)


class GatedConvolution(nn.Module):
    """tanh of one convolution times the sigmoid of another, of two steps each (the paper's gated TCN).

    Args:
        channels: Channels of the input and of the output.
        dilation: Steps between the two.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self._dilation = dilation
        self.both = Pointwise(2 * channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """From shape (channels, batch, steps, sensors) to (channels, batch, steps - dilation, sensors)."""
        earlier, later = x[:, :, : -self._dilation], x[:, :, self._dilation :]
        content, gate = self.both(torch.cat([earlier, later])).chunk(2)
        return torch.tanh(content) * torch.sigmoid(gate)


class DiffusionConvolution(nn.Module):
    """Sums over neighbours by every matrix, and a linear map of all of them and of the value itself.

    Args:
        channels: Channels of the input and of the output.
        matrices: Number of matrices.
        dropout: Share of the output that is dropped in training.
    """

    def __init__(self, channels: int, matrices: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Linear((1 + matrices) * channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        """Keeps the shape (channels, batch, steps, sensors).

        Args:
            x: Values.
            matrices: Each of shape (sensors, sensors), from the sensor of the row to that of the column.
        """
        channels, rows = len(x), x.flatten(0, 2)
        mixed = self.mix.bias[:, None]
        spread = [rows, *(rows @ matrix for matrix in matrices)]
        for weight, values in zip(torch.split(self.mix.weight, channels, dim=1), spread, strict=True):
            mixed = torch.addmm(mixed, weight, values.view(channels, -1))
        dropped: Tensor = self.dropout(mixed.view_as(x))
        return dropped


def powers(matrix: Tensor, order: int) -> list[Tensor]:
    """The matrix, its square and so on, up to an order."""
    found = [matrix]
    while len(found) < order:
        found.append(found[-1] @ matrix)
    return found
