"""What all weight-sharing methods do in one way: settings, optimisers, passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from harness import seeding

if TYPE_CHECKING:
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
        epochs: Passes over half of the training images.
        batch_size: Images of a step.
        learning_rate: Of the weights, at the beginning; stochastic gradient descent with momentum 0.9.
        nesterov: Whether that momentum is Nesterov's.
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
        data: Images.
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

    def scores(self, supernet: Supernet, batch: Batch, gates: Gates) -> Tensor:
        """Class scores of a batch; shape (batch, classes), in single precision."""
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            scores: Tensor = supernet(batch.images, gates)
        # A search in double precision keeps it.
        return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores

    def loss(self, supernet: Supernet, batch: Batch, gates: Gates) -> Tensor:
        """Cross-entropy, mean over the batch."""
        return functional.cross_entropy(self.scores(supernet, batch, gates), batch.labels)

    @torch.no_grad()
    def accuracy(self, supernet: Supernet, batches: Iterable[Batch], gates: Gates) -> float:
        """Share of the images of some batches that are classified correctly, in percent."""
        correct = images = 0
        for batch in batches:
            correct += int((self.scores(supernet, batch, gates).argmax(dim=1) == batch.labels).sum())
            images += len(batch)
        return 100.0 * correct / images


class WeightOptimizer:
    """Stochastic gradient descent on the weights of a supernet, along a cosine.

    Args:
        weights: The weights.
        settings: Settings of the method.
    """

    def __init__(self, weights: Iterable[nn.Parameter], settings: Settings) -> None:
        self._settings = settings
        self._weights = list(weights)
        self.sgd = torch.optim.SGD(
            self._weights,
            lr=settings.learning_rate,
            momentum=0.9,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        rate: float = self.sgd.param_groups[0]["lr"]
        return rate

    def begin_epoch(self, number: int) -> None:
        """Set the learning rate of an epoch."""
        first, last = self._settings.learning_rate, self._settings.last_learning_rate
        part = min(number / self._settings.epochs, 1.0)
        self.sgd.param_groups[0]["lr"] = last + (first - last) * (1 + math.cos(math.pi * part)) / 2

    def step(self, loss: Tensor) -> None:
        """Descend the gradient of a loss."""
        self.sgd.zero_grad(set_to_none=True)
        self.apply(torch.autograd.grad(loss, self._weights, allow_unused=True))

    def apply(self, gradients: Iterable[Tensor | None]) -> None:
        """Descend gradients, clipped; a weight without one stays as it is."""
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(self._weights, _CLIP)
        self.sgd.step()


def architecture_optimizer(parameters: Iterable[nn.Parameter], settings: Settings) -> torch.optim.Adam:
    """Adam, as DARTS and its descendants learn architectures with."""
    return torch.optim.Adam(
        parameters,
        lr=settings.architecture_learning_rate,
        betas=(0.5, 0.999),
        weight_decay=settings.architecture_weight_decay,
    )
