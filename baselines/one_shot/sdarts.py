"""SmoothDARTS."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import get_args

import torch

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Perturbation
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Softmax
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.cell import Gates
    from baselines.one_shot.data import Batch

Kind = Literal["random", "adversarial"]


@dataclasses.dataclass(frozen=True)
class Radius:
    """How far gates may be moved: in a linear course over the search."""

    first: float
    last: float

    def at(self, progress: float) -> float:
        """The radius at a share of the search."""
        return self.first + (self.last - self.first) * progress


class RandomNoise(Perturbation):
    """Uniform noise on every gate (section 3.1).

    Args:
        radius: Of the noise.
    """

    def __init__(self, radius: Radius) -> None:
        self._radius = radius

    def gates(
        self, method: Bilevel, batch: Batch, gates: Gates, progress: float, generator: torch.Generator
    ) -> Gates:
        noise = _uniform(gates.weights, self._radius.at(progress), generator)
        return dataclasses.replace(gates, weights=(gates.weights + noise).clamp(0.0, 1.0))


class AdversarialNoise(Perturbation):
    """The noise within a radius that makes the loss worst, by projected gradient ascent (section 3.2).

    It begins at random and makes ``steps`` steps of twice the radius over their number, along the sign of the gradient.
    If the loss has not risen in the end, the gates stay as they were.

    Args:
        radius: Largest change of a gate.
        steps: Of the ascent.
    """

    def __init__(self, radius: Radius, steps: int) -> None:
        self._radius = radius
        self._steps = steps

    def gates(
        self, method: Bilevel, batch: Batch, gates: Gates, progress: float, generator: torch.Generator
    ) -> Gates:
        with method.supernet.evaluated():
            return self._worst(method, batch, gates, self._radius.at(progress), generator)

    def _worst(
        self, method: Bilevel, batch: Batch, gates: Gates, radius: float, generator: torch.Generator
    ) -> Gates:
        def loss(weights: Tensor) -> Tensor:
            return method.context.loss(method.supernet, batch, dataclasses.replace(gates, weights=weights))

        with torch.no_grad():
            before = loss(gates.weights)
        moved = gates.weights + _uniform(gates.weights, radius, generator)
        for _ in range(self._steps):
            moved = moved.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(moved), [moved])
            with torch.no_grad():
                moved = moved + 2 * radius / self._steps * gradient.sign()
                moved = torch.minimum(torch.maximum(moved, gates.weights - radius), gates.weights + radius)
                moved = moved.clamp(0.0, 1.0)
        with torch.no_grad():
            risen = loss(moved) > before
        return dataclasses.replace(gates, weights=moved.detach()) if risen else gates


def _uniform(like: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    noise = torch.rand(like.shape, generator=generator) * (2 * radius) - radius
    return noise.to(like.device)


class SDARTS(GradientBased):
    """SmoothDARTS (Chen and Hsieh, ICML 2020, "SDARTS-RS" and "SDARTS-ADV").

    Weights are trained under gates that are moved a little, at random or as the loss likes least, so that accuracy does
    not fall sharply where the architecture is made discrete. The radius grows linearly from 0.03 to 0.3 over the
    search, from step to step; 7 steps of ascent; 100 epochs, weight decay 0.0003 and plain momentum on NAS-Bench-201.
    The architecture is learned as in DARTS, first order.

    The ascent is made in evaluation mode, as in the paper; batch normalisation here knows the statistics of the batch
    alone.

    Args:
        perturbation: ``random`` or ``adversarial``.
        first_radius: At the beginning.
        last_radius: At the end.
        steps: Of the ascent.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = dataclasses.replace(PLAIN, epochs=100)

    def __init__(
        self,
        *,
        perturbation: Kind = "random",
        first_radius: float = 0.03,
        last_radius: float = 0.3,
        steps: int = 7,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if perturbation not in get_args(Kind):
            raise SpecError(f"SDARTS: perturbation {perturbation!r} is none of {', '.join(get_args(Kind))}.")
        if first_radius < 0 or last_radius < 0:
            raise SpecError(f"SDARTS: a radius must not be negative: {first_radius}, {last_radius}.")
        self.require(steps=steps)
        self.perturbation = perturbation
        self.first_radius = first_radius
        self.last_radius = last_radius
        self.steps = steps

    def recipe(self) -> Recipe:
        radius = Radius(self.first_radius, self.last_radius)
        noise = RandomNoise(radius) if self.perturbation == "random" else AdversarialNoise(radius, self.steps)
        return Recipe(Softmax, perturbation=noise)
