"""Fair DARTS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

import torch

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Sigmoid
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.edges import Edges


class FairDARTS(GradientBased):
    """DARTS whose operations do not compete (Chu et al., ECCV 2020, "Fair DARTS").

    Every operation has a sigmoid of its own in the place of a common softmax (section 3.2). A penalty pushes it towards
    0 or 1: minus 10 times the mean square of its distance to one half (section 3.3). The strongest operation of every
    edge is returned; the paper keeps all above a threshold, at most two per node, in another space.

    Args:
        penalty: Weight of the push.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = replace(PLAIN, architecture_weight_decay=0.0)

    def __init__(self, *, penalty: float = 10.0, **options: Any) -> None:
        super().__init__(**options)
        if penalty < 0:
            raise SpecError(f"FairDARTS: penalty must not be negative: {penalty}.")
        self.penalty = penalty

    def recipe(self) -> Recipe:
        return Recipe(Sigmoid, regulariser=self._push)

    def _push(self, edges: Edges, progress: float) -> Tensor:
        return -self.penalty * ((torch.sigmoid(edges.logits) - 0.5) ** 2).mean()
