"""PC-DARTS."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import NormalisedEdges
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.spaces import CellSpace


class PCDARTS(GradientBased):
    """Partially connected DARTS (Xu et al., ICLR 2020, "PC-DARTS").

    Operations see one in four channels, and the others pass beside them (section 3.2), so that batches are larger and
    steps faster. Edges have weights of their own, a softmax over those that lead to one node (section 3.3); what an
    operation is worth is the product. Settings of section 4.2: 50 epochs, the first 15 of which train weights alone;
    batches of 256, learning rate from 0.1 to 0, weight decay 0.0003; 0.0006 for the architecture.

    As every edge of NAS-Bench-201 stays, edge weights decide nothing in the end there: they steer the search.

    Args:
        partial: Operations see one in so many channels.
        warm_up: Epochs that train weights alone.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = Settings(
        batch_size=256,
        learning_rate=0.1,
        last_learning_rate=0.0,
        weight_decay=3e-4,
        nesterov=False,
        architecture_learning_rate=6e-4,
    )

    def __init__(self, *, partial: int = 4, warm_up: int = 15, **options: Any) -> None:
        super().__init__(**options)
        self.require(partial=partial)
        if warm_up < 0:
            raise SpecError(f"PCDARTS: warm_up must not be negative: {warm_up}.")
        self.partial = partial
        self.warm_up = warm_up

    def check_search(self, space: CellSpace, dataset: str, settings: Settings) -> None:
        self.require_learning(self.warm_up, settings.epochs)
        channels = space.full_size(self.size, dataset).get("channels", self.partial)
        if channels % self.partial:
            raise SpecError(
                f"PCDARTS: {channels} channels cannot be cut into {self.partial} equal parts; change partial, or size."
            )

    def recipe(self) -> Recipe:
        return Recipe(NormalisedEdges, partial=self.partial, warm_up=self.warm_up)
