"""Searches that sample: weights are trained one path at a time, and architectures are compared with those weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.data import Batch
from baselines.one_shot.method import Method
from baselines.one_shot.method import Metrics
from baselines.one_shot.strategy import OneShot
from baselines.one_shot.supernet import Supernet
from harness.spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.training import Context
    from harness.spaces import CellSpace


def uniform(space: CellSpace, generator: torch.Generator) -> Architecture:
    """An architecture of which every edge has every operation with the same probability.

    Args:
        space: The search space.
        generator: Draws it, on the CPU.
    """
    choices = torch.randint(len(space.operations), (len(space.edges),), generator=generator)
    return Architecture(choices.tolist())


class PathTraining(Method):
    """Weights are trained along sampled paths, and never more than one operation of an edge is computed.

    Of all weights those beside the path have a gradient of zero: weight decay and momentum go on for them, as they did
    when the methods were published (later PyTorch leaves weights without a gradient alone).

    Of candidates that are drawn after every epoch, the best is read: the one of the highest quality on the
    architecture's half, with the weights of the supernet. Of equals, the first.

    Args:
        context: What it works with.
        samples: Number of candidates that are drawn.
    """

    def __init__(self, context: Context, *, samples: int) -> None:
        super().__init__(context)
        self._samples = samples
        supernet = Supernet(context.space, context.dataset, context.size, seed=context.seed)
        self.supernet = context.ready(supernet)
        self._weights = list(self.supernet.parameters())
        self.optimizer = context.weight_optimizer(self._weights)

    def paths(self, generator: torch.Generator) -> Sequence[Architecture]:
        """The paths of one step; a uniformly random one.

        Args:
            generator: Draws them, on the CPU.
        """
        return [uniform(self.context.space, generator)]

    def candidate(self, generator: torch.Generator) -> Architecture:
        """An architecture that may be the one that is looked for; a uniformly random one.

        Args:
            generator: Draws it, on the CPU.
        """
        return uniform(self.context.space, generator)

    def epoch(self, number: int) -> Metrics:
        context = self.context
        drawn = context.generator("paths", number)
        self.optimizer.begin_epoch(number)
        losses = [
            self.train(batch, self.paths(drawn))
            for batch in context.data.batches(
                "weights", context.settings.batch_size, context.generator("epoch", number)
            )
        ]
        return {"loss": float(torch.stack(losses).mean())}

    def train(self, batch: Batch, paths: Sequence[Architecture]) -> Tensor:
        """One update of the weights: down the sum of the gradients of all paths.

        Args:
            batch: What every path is trained on.
            paths: The paths.

        Returns:
            The mean of their losses, detached.
        """
        losses = []
        total: Sequence[Tensor] = ()
        for path in paths:
            loss = self.context.loss(self.supernet, batch, self.supernet.path(path))
            gradients = torch.autograd.grad(loss, self._weights, materialize_grads=True)
            total = [a + b for a, b in zip(total, gradients, strict=True)] if total else gradients
            losses.append(loss.detach())
        self.optimizer.apply(total)
        return torch.stack(losses).mean()

    def read(self, number: int) -> Architecture:
        generator = self.context.generator("candidates", number)
        drawn = [self.candidate(generator) for _ in range(self._samples)]
        return self.best(list(dict.fromkeys(drawn)))

    def best(self, archs: Sequence[Architecture]) -> Architecture:
        """The first of those with the highest score."""
        scores = self.scores(archs)
        return archs[scores.index(max(scores))]

    def state(self) -> dict[str, Any]:
        return {"supernet": self.supernet.state_dict(), "optimizer": self.optimizer.rule.state_dict()}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        self.supernet.load_state_dict(state["supernet"])
        self.optimizer.rule.load_state_dict(state["optimizer"])


class BestOfSamples(OneShot):
    """A search that returns the best of samples, by quality with the weights of the supernet.

    Args:
        samples: Number of architectures that are drawn and compared after every epoch; 100 in the code released with
            NAS-Bench-201 (Dong and Yang, ICLR 2020).
        judged_images: So many images of the architecture's half compare them; ``None`` takes all. One batch of 512 in
            that code, which takes another one for every architecture; here it is the same for all.
        options: See :class:`~baselines.one_shot.strategy.OneShot`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(self, *, samples: int = 100, judged_images: int | None = 512, **options: Any) -> None:
        super().__init__(**options)
        self.require(samples=samples, judged_images=judged_images)
        self.samples = samples
        self.judged_images = judged_images

    @abstractmethod
    def method(self, context: Context) -> PathTraining: ...
