"""DARTS-."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from typing import Any

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Softmax
from harness.errors import SpecError

if TYPE_CHECKING:
    from baselines.one_shot.cell import Gates
    from baselines.one_shot.training import Settings
    from harness.spaces import CellSpace


class DARTSMinus(GradientBased):
    """DARTS with an auxiliary skip connection (Chu et al., ICLR 2021, "DARTS-").

    While it is searched, every edge also hands on its input, beside all operations (section 3.2); the share decays
    linearly from 1 to 0. So the operation ``skip_connect`` has no advantage from helping gradients through. On an edge
    that keeps the shape of its input, that is the operation's gate plus the share.

    Args:
        auxiliary: The share at the beginning.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(self, *, auxiliary: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        if auxiliary < 0:
            raise SpecError(f"DARTSMinus: auxiliary must not be negative: {auxiliary}.")
        self.auxiliary = auxiliary

    def check_search(self, space: CellSpace, dataset: str, settings: Settings) -> None:
        if space.identity is None:
            raise SpecError(
                f"DARTSMinus adds to the identity of an edge, and search space {space.name!r} has no such choice."
            )

    def recipe(self) -> Recipe:
        return Recipe(Softmax, adapt=self._with_auxiliary)

    def _with_auxiliary(self, space: CellSpace, gates: Gates, progress: float) -> Gates:
        assert space.identity is not None
        more = gates.weights.new_zeros(gates.weights.shape)
        more[:, space.operations.index(space.identity)] = self.auxiliary * (1 - progress)
        return dataclasses.replace(gates, weights=gates.weights + more)
