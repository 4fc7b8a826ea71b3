"""β-DARTS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

import torch

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Softmax
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.edges import Edges


class BetaDARTS(GradientBased):
    """DARTS with beta decay (Ye et al., CVPR 2022, "β-DARTS").

    The loss of the architecture has a penalty, the logarithm of the sum of exponentials of an edge's logits, mean over
    edges (section 3.2). It pulls at logits by their softmax and so holds the weights of operations together. Its weight
    grows linearly from 0 to 50, from step to step (section 4.1; in its code from epoch to epoch). The rest is DARTS,
    first order, without weight decay of the architecture, which the penalty takes the place of. 100 epochs, weight
    decay 0.0003 and plain momentum, as in its code for NAS-Bench-201.

    Args:
        penalty: Weight at the end of the search.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = replace(PLAIN, epochs=100, architecture_weight_decay=0.0)

    def __init__(self, *, penalty: float = 50.0, **options: Any) -> None:
        super().__init__(**options)
        if penalty < 0:
            raise SpecError(f"BetaDARTS: penalty must not be negative: {penalty}.")
        self.penalty = penalty

    def recipe(self) -> Recipe:
        return Recipe(Softmax, regulariser=self._decay)

    def _decay(self, edges: Edges, progress: float) -> Tensor:
        return self.penalty * progress * torch.logsumexp(edges.logits, dim=-1).mean()
