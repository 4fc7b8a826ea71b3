"""DARTS, and what all searches by gradient share as strategies."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.edges import Softmax
from baselines.one_shot.projection import Projection
from baselines.one_shot.projection import tuning_epochs
from baselines.one_shot.strategy import OneShot
from harness.errors import SpecError

if TYPE_CHECKING:
    from baselines.one_shot.training import Context
    from baselines.one_shot.training import Settings
    from harness.spaces import CellSpace

Selection = Literal["magnitude", "perturbation"]


class GradientBased(OneShot):
    """A search by gradient: architectures are relaxed to numbers, which are learned as weights are.

    Args:
        selection: How the architecture is read off in the end: ``magnitude`` takes the strongest operation of every
            edge; ``perturbation`` the one without which accuracy falls most, edge after edge (Wang et al., ICLR 2021,
            "DARTS-PT").
        tuning: With ``perturbation``, epochs of training between two edges.
        options: See :class:`~baselines.one_shot.strategy.OneShot`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(self, *, selection: Selection = "magnitude", tuning: int = 5, **options: Any) -> None:
        super().__init__(**options)
        if selection not in get_args(Selection):
            raise SpecError(
                f"{type(self).__name__}: selection {selection!r} is none of {', '.join(get_args(Selection))}."
            )
        self.require(tuning=tuning)
        self.selection = selection
        self.tuning = tuning

    @abstractmethod
    def recipe(self) -> Recipe:
        """What makes the method different from others."""

    def method(self, context: Context) -> Bilevel:
        if self.selection == "perturbation":
            return Projection(context, self.recipe(), self.tuning)
        return Bilevel(context, self.recipe())

    def length(self, space: CellSpace, dataset: str) -> int:
        length = super().length(space, dataset)
        return length + tuning_epochs(space, self.tuning) if self.selection == "perturbation" else length


class DARTS(GradientBased):
    """Differentiable architecture search (Liu et al., ICLR 2019, "DARTS").

    Every edge computes all operations, weighted by a softmax; its logits descend the loss of one half of the images,
    the weights that of the other. The strongest operation of every edge is returned. Settings are those of Dong and
    Yang (ICLR 2020) on NAS-Bench-201: 50 epochs, batches of 64, weight decay 0.0005, Nesterov momentum.

    ``second_order`` looks one step of the weights ahead (section 2.3); it takes about four times as long.

    On NAS-Bench-201 every cell has the same operations, ``none`` is among them, and every edge stays: the paper's cells
    leave ``none`` out and keep two edges of every node.

    Args:
        second_order: Whether the architecture's gradient is that of the weights one step ahead; on images alone, whose
            weights learn by the stochastic gradient descent of which the paper looks one step ahead.
        options: See :class:`GradientBased`.
    """

    def __init__(self, *, second_order: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.second_order = second_order

    def check_search(self, space: CellSpace, dataset: str, settings: Settings) -> None:
        if self.second_order and space.domain != "images":
            raise SpecError(
                f"{type(self).__name__}: second_order looks one step of stochastic gradient descent ahead, and weights "
                f"learn from {space.domain} by another rule; leave it out."
            )

    def recipe(self) -> Recipe:
        return Recipe(Softmax, second_order=self.second_order)
