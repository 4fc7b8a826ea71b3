"""DrNAS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

import torch
from torch.distributions import Dirichlet as Distribution
from torch.distributions import kl_divergence

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Dirichlet
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.edges import Edges


class DrNAS(GradientBased):
    """Dirichlet neural architecture search (Chen et al., ICLR 2021, "DrNAS").

    Every pass draws the operations' weights of an edge from a Dirichlet distribution, whose concentration is learned
    (section 3.1); it is held near that of all ones by a penalty of 0.001 times the Kullback-Leibler divergence
    (section 3.2). The operation of the largest mean is returned. 100 epochs, without weight decay of the architecture.

    The progressive scheme of section 3.3 saves memory in larger spaces, and is left out.

    Args:
        penalty: Weight of the divergence.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = Settings(epochs=100, architecture_weight_decay=0.0)

    def __init__(self, *, penalty: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        if penalty < 0:
            raise SpecError(f"DrNAS: penalty must not be negative: {penalty}.")
        self.penalty = penalty

    def recipe(self) -> Recipe:
        return Recipe(Dirichlet, regulariser=self._divergence)

    def _divergence(self, edges: Edges, progress: float) -> Tensor:
        assert isinstance(edges, Dirichlet)
        concentration = edges.concentration()
        flat = Distribution(torch.ones_like(concentration))
        return self.penalty * kl_divergence(Distribution(concentration), flat).mean()

    def own_settings(self) -> Mapping[str, Any]:
        return {**super().own_settings(), "penalty": self.penalty}
