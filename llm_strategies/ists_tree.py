"""The tree of thoughts of ISTS: cells of one architecture, chosen depth first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from harness.spaces import Architecture


@dataclass
class _Place:
    """Where one cell is to be chosen."""

    refused: list[Architecture] = field(default_factory=list)
    tries: int = 0


class Tree:
    """A depth-first search for an architecture, cell by cell, with backtracking.

    A place of the tree is left for the one before it once it has used up its tries, or all of its choices are
    refused; the cell that led there is then refused as well. The tree is exhausted when the first place is left.

    Args:
        sizes: For each cell, in order, the number of its choices.
        breadth: Number of tries in one place.

    Attributes:
        path: The cells chosen so far, each as an architecture of its own decisions.
        backtracks: How often a place was left for the one before it.
    """

    def __init__(self, sizes: Sequence[int], breadth: int) -> None:
        self.path: list[Architecture] = []
        self.backtracks = 0
        self._sizes = sizes
        self._breadth = breadth
        self._places = [_Place()]

    @property
    def exhausted(self) -> bool:
        return not self._places

    @property
    def refused(self) -> Sequence[Architecture]:
        """What has been refused for the next cell."""
        return tuple(self._places[-1].refused)

    def accept(self, cell: Architecture) -> None:
        """Take a cell, and go on to the next one."""
        self._places[-1].tries += 1
        self._places.append(_Place())
        self.path.append(cell)

    def refuse(self, cell: Architecture) -> None:
        """Rule a cell out in this place."""
        self._places[-1].refused.append(cell)
        self.miss()

    def miss(self) -> None:
        """Count a try that said nothing of any cell."""
        self._places[-1].tries += 1
        while self._places and self._is_used_up():
            self._places.pop()
            if self.path:
                self._places[-1].refused.append(self.path.pop())
                self.backtracks += 1

    def _is_used_up(self) -> bool:
        place = self._places[-1]
        return place.tries >= self._breadth or len(place.refused) >= self._sizes[len(self.path)]
