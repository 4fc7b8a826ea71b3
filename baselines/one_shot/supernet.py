"""A network whose cells hold every architecture of a space at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from baselines.one_shot.cell import Convolutions
from baselines.one_shot.cell import GateHolder
from baselines.one_shot.cell import Gates
from baselines.one_shot.cell import SharedOperation
from baselines.one_shot.cell import SupernetCell
from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from torch import Tensor

    from harness.spaces import Architecture
    from harness.spaces import CellSpace


class Supernet(nn.Module):
    """The stack of a cell space, with cells that hold every operation on every edge.

    Batch normalisation always uses the statistics of the batch, and has no weights where operations are mixed: weights
    and statistics of one architecture are wrong for another (Dong and Yang, ICLR 2020, section 4).

    Every weight is drawn as PyTorch draws it, from a generator of its own, named after the seed and its place. No
    global generator is touched.

    Args:
        space: The search space.
        dataset: Data set that the network is for.
        size: Width and depth, as the space names them.
        seed: Of the weights.
        partial: See :class:`~baselines.one_shot.cell.SupernetCell`.

    Raises:
        SpaceError: The space has no network for the data set, or not of this size.
    """

    def __init__(
        self, space: CellSpace, dataset: str, size: Mapping[str, int], *, seed: int, partial: int = 1
    ) -> None:
        super().__init__()
        self.space = space
        self.dataset = dataset
        self._holder = GateHolder()
        # Drawn below: what PyTorch would draw here comes from the global generator.
        with torch.device("meta"):
            network = space.stack(
                lambda channels: SupernetCell(space, channels, self._holder, dataset, size, partial),
                dataset,
                size,
            )
        self.network = network.to_empty(device="cpu")
        _use_batch_statistics(self.network)
        _initialise(self.network, seed)

    def forward(self, images: Tensor, gates: Gates) -> Tensor:
        """Class scores of shape (images, classes), for images of shape (images, 3, side, side)."""
        self._holder.gates = gates
        scores: Tensor = self.network(images)
        return scores

    def path(self, arch: Architecture) -> Gates:
        """The gates that let one architecture through."""
        device = next(self.parameters()).device
        return Gates.path(arch, len(self.space.operations), device)

    @property
    def cells(self) -> Iterator[tuple[str, SupernetCell]]:
        """The cells with their names, from the images to the classifier."""
        for name, module in self.network.named_modules():
            if isinstance(module, SupernetCell):
                yield name, module

    def own_weights(self, edge: int, choice: int) -> dict[str, Tensor]:
        """The weights that an operation has on an edge, in all cells; views of those of the supernet."""
        source = self.space.edges[edge][0]
        weights = {}
        for name, cell in self.cells:
            key = f"{source}-{choice}"
            if key in cell.operations:
                operation = cell.operations[key]
                assert isinstance(operation, SharedOperation)
                for own, weight in operation.own(edge).items():
                    weights[f"{name}.{own}"] = weight
        return weights


def _use_batch_statistics(network: nn.Module) -> None:
    inside = {m for cell in network.modules() if isinstance(cell, SupernetCell) for m in cell.modules()}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
            if module in inside:
                module.affine = False
                module.register_parameter("weight", None)
                module.register_parameter("bias", None)


def _initialise(network: nn.Module, seed: int) -> None:
    with torch.no_grad():
        for name, layer in network.named_modules():
            generator = torch.Generator().manual_seed(seeding.integer(seed, "weights", name))
            if isinstance(layer, Convolutions):
                for weight in layer.weight.unbind():
                    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
            elif isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
                if layer.bias is not None:
                    bound = 1 / math.sqrt(layer.weight[0].numel())
                    layer.bias.uniform_(-bound, bound, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                if layer.affine:
                    nn.init.ones_(layer.weight)
                    nn.init.zeros_(layer.bias)
            elif any(True for _ in layer.parameters(recurse=False)):
                raise NotImplementedError(f"no initialisation of {type(layer).__name__} is known.")
