"""DrNAS."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import get_args

import torch
from torch.distributions import Dirichlet as Distribution
from torch.distributions import kl_divergence

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Dirichlet
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.edges import Edges
    from harness.spaces import CellSpace

Regulariser = Literal["l2", "kl"]


class DrNAS(GradientBased):
    """Dirichlet neural architecture search (Chen et al., ICLR 2021, "DrNAS").

    Every pass draws the operations' weights of an edge from a Dirichlet distribution, whose concentration is learned
    (section 3.1) and held near that of all ones (section 3.2): by the weight decay 0.001 of its logits, the default of
    the code for NAS-Bench-201, or by as much of the Kullback-Leibler divergence, summed over edges. The operation of
    the largest mean is returned. 100 epochs, weight decay 0.0003 and plain momentum.

    The progressive scheme of section 3.3 saves memory in larger spaces, and is left out.

    Args:
        regulariser: ``l2`` or ``kl``.
        scale: Of the regulariser.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = replace(PLAIN, epochs=100)

    def __init__(self, *, regulariser: Regulariser = "l2", scale: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        if regulariser not in get_args(Regulariser):
            raise SpecError(
                f"DrNAS: regulariser {regulariser!r} is none of {', '.join(get_args(Regulariser))}."
            )
        if scale < 0:
            raise SpecError(f"DrNAS: scale must not be negative: {scale}.")
        self.scale = scale
        self.regulariser = regulariser

    def training(self, space: CellSpace, dataset: str) -> Settings:
        decay = self.scale if self.regulariser == "l2" else 0.0
        return replace(super().training(space, dataset), architecture_weight_decay=decay)

    def recipe(self) -> Recipe:
        return Recipe(Dirichlet, regulariser=self._divergence if self.regulariser == "kl" else None)

    def _divergence(self, edges: Edges, progress: float) -> Tensor:
        assert isinstance(edges, Dirichlet)
        concentration = edges.concentration()
        flat = Distribution(torch.ones_like(concentration))
        return self.scale * kl_divergence(Distribution(concentration), flat).sum()
