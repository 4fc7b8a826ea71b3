"""What all weight-sharing methods do in one way: settings, optimisers, passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable

    from torch import Tensor
    from torch import nn

    from baselines.one_shot.cell import Gates
    from baselines.one_shot.data import Batch
    from baselines.one_shot.data import SearchData
    from baselines.one_shot.supernet import Supernet
    from harness.spaces import CellSpace

# Of the norm of all gradients of the weights, as in DARTS and its descendants.
_CLIP = 5.0


@dataclass(frozen=True)
class Settings:
    """Published settings of a method; the defaults are those of DARTS on NAS-Bench-201 (Dong and Yang 2020).

    :data:`PLAIN` are those of most other code for that space, which comes from the code of DARTS itself.

    Attributes:
        epochs: Passes over the weights' half.
        batch_size: Examples of a step.
        learning_rate: Of the weights, at the beginning.
        nesterov: Whether their momentum is Nesterov's.
        last_learning_rate: Of the weights, at the end of a cosine.
        weight_decay: Of the weights.
        architecture_learning_rate: Of what is learned of architectures; Adam with betas 0.5 and 0.999.
        architecture_weight_decay: Of what is learned of architectures.
    """

    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 0.025
    nesterov: bool = True
    last_learning_rate: float = 0.001
    weight_decay: float = 5e-4
    architecture_learning_rate: float = 3e-4
    architecture_weight_decay: float = 1e-3


#: Weight decay 0.0003 and plain momentum.
PLAIN = Settings(weight_decay=3e-4, nesterov=False)


@dataclass(frozen=True)
class Context:
    """What a search works with.

    Attributes:
        space: The search space.
        dataset: Data set that networks are for.
        size: Width and depth of the supernet, as the space names them.
        data: What it learns from.
        settings: Settings of the method.
        seed: Of everything that is drawn.
        device: Where it is computed.
        autocast: Precision of what may be computed in another than single precision; ``None`` keeps that.
    """

    space: CellSpace
    dataset: str
    size: Mapping[str, int]
    data: SearchData
    settings: Settings
    seed: int
    device: torch.device
    autocast: torch.dtype | None = None

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A generator on the CPU for one purpose; the same for the same seed, on every machine."""
        return torch.Generator().manual_seed(seeding.integer(self.seed, *purpose))

    def ready(self, supernet: Supernet) -> Supernet:
        """The supernet on the device."""
        # Convolutions take the layout of the images, whatever that of their weights.
        return supernet.to(self.device)

    def outputs(self, supernet: Supernet, batch: Batch, gates: Gates) -> Tensor:
        """What the supernet says of a batch, in single precision."""
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            outputs: Tensor = supernet(batch.inputs, gates)
        # A search in double precision keeps it.
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs

    def loss(self, supernet: Supernet, batch: Batch, gates: Gates) -> Tensor:
        """What is descended: a mean over the batch."""
        return self.data.loss(self.outputs(supernet, batch, gates), batch.targets)

    @torch.no_grad()
    def quality(self, supernet: Supernet, batches: Iterable[Batch], gates: Gates) -> float:
        """How good the supernet is on some batches, as its data say it; higher is better."""
        with supernet.evaluated():
            return self.data.quality(
                (self.outputs(supernet, batch, gates), batch.targets) for batch in batches
            )

    def weight_optimizer(
        self, weights: Iterable[nn.Parameter], settings: Settings | None = None
    ) -> WeightOptimizer:
        """What trains the weights of a supernet, as its data have it.

        Args:
            weights: The weights.
            settings: Others than those of the method.
        """
        return WeightOptimizer(weights, settings or self.settings, self.data.rule)


class WeightOptimizer:
    """Trains the weights of a supernet: gradients are clipped, and the learning rate falls along a cosine.

    Args:
        weights: The weights.
        settings: Settings of the method.
        rule: Makes PyTorch's optimiser of them.

    Attributes:
        rule: PyTorch's optimiser.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        settings: Settings,
        rule: Callable[[list[nn.Parameter], Settings], torch.optim.Optimizer],
    ) -> None:
        self._settings = settings
        self._weights = list(weights)
        self.rule = rule(self._weights, settings)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        rate: float = self.rule.param_groups[0]["lr"]
        return rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.rule.param_groups[0]["lr"] = rate

    def begin_epoch(self, number: int) -> None:
        """Set the learning rate of an epoch."""
        first, last = self._settings.learning_rate, self._settings.last_learning_rate
        part = min(number / self._settings.epochs, 1.0)
        self.learning_rate = last + (first - last) * (1 + math.cos(math.pi * part)) / 2

    def step(self, loss: Tensor) -> None:
        """Descend the gradient of a loss."""
        self.rule.zero_grad(set_to_none=True)
        self.apply(torch.autograd.grad(loss, self._weights, allow_unused=True))

    def apply(self, gradients: Iterable[Tensor | None]) -> None:
        """Descend gradients, clipped; a weight without one stays as it is."""
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(self._weights, _CLIP)
        self.rule.step()


def architecture_optimizer(parameters: Iterable[nn.Parameter], settings: Settings) -> torch.optim.Adam:
    """Adam, as DARTS and its descendants learn architectures with."""
    return torch.optim.Adam(
        parameters,
        lr=settings.architecture_learning_rate,
        betas=(0.5, 0.999),
        weight_decay=settings.architecture_weight_decay,
    )
