"""What a search space of cells is: networks that stack copies of one directed acyclic graph."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING
from typing import ClassVar
from typing import Literal

from harness.spaces.base import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping

    from torch.nn import Module


class CellSpace(SearchSpace):
    """A search space whose decisions are the operations on the edges of a cell.

    Nodes are numbered so that every edge leads from a lower to a higher number. Node 0 is the cell's input, the last
    one its output, and every node but the first is the sum of its incoming edges. All decisions have the same choices.
    That is all that a weight-sharing method needs to know: it makes cells that hold every operation, and the space
    stacks them.

    Attributes:
        edges: Source and target of each decision's edge, in the order of the decisions.
        absent: The choice that stands for no edge at all; ``None`` where there is none.
        identity: The choice that hands its input on; ``None`` where there is none.
        domain: What its networks learn from: labelled images, or windows of traffic.
    """

    edges: ClassVar[tuple[tuple[int, int], ...]]
    absent: ClassVar[str | None] = None
    identity: ClassVar[str | None] = None
    domain: ClassVar[Literal["images", "traffic"]] = "images"

    @property
    def operations(self) -> tuple[str, ...]:
        """The choices of every decision."""
        return tuple(map(str, next(iter(self.decisions.values()))))

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return 1 + max(target for _, target in self.edges)

    @abstractmethod
    def operation(
        self, choice: str, channels: int, dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """What an edge applies. It keeps the shape of its input, whose second dimension is that of channels.

        Args:
            choice: One of :attr:`operations`.
            channels: Channels of its input and output.
            dataset: Name of the data set.
            size: Takes the place of entries of :attr:`network_size`.
        """

    @abstractmethod
    def stack(
        self, cell: Callable[[int], Module], dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """The network that :meth:`build_network` makes, out of other cells.

        Args:
            cell: Makes a cell of so many channels, which keeps the shape of its input.
            dataset: Name of the data set.
            size: Takes the place of entries of :attr:`network_size`.

        Raises:
            SpaceError: Unknown data set, or a size that there is not.
        """
