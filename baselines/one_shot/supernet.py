"""A network whose cells hold every architecture of a space at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from baselines.one_shot.cell import GateHolder
from baselines.one_shot.cell import Gates
from baselines.one_shot.cell import SharedOperation
from baselines.one_shot.cell import SupernetCell
from harness.networks.initialisation import fresh

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

        def make() -> nn.Module:
            network = space.stack(
                lambda channels: SupernetCell(space, channels, self._holder, dataset, size, partial),
                dataset,
                size,
            )
            _use_batch_statistics(network)
            return network

        self.network = fresh(make, seed)

    def forward(self, inputs: Tensor, gates: Gates) -> Tensor:
        """What the networks of the space give for such inputs: class scores, of shape (images, classes)."""
        self._holder.gates = gates
        outputs: Tensor = self.network(inputs)
        return outputs

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Without dropout, for as long as architectures or gates are compared."""
        self.eval()
        try:
            yield
        finally:
            self.train()

    def path(self, arch: Architecture) -> Gates:
        """The gates that let one architecture through."""
        device = next(self.parameters()).device
        return Gates.path(arch, len(self.space.operations), device)

    @property
    def cells(self) -> Iterator[tuple[str, SupernetCell]]:
        """The cells with their names, from the inputs to the outputs."""
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
