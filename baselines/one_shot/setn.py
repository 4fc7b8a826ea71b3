"""SETN: a template is trained uniformly, and a distribution over its architectures is learned beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.edges import Softmax
from baselines.one_shot.paths import BestOfSamples
from baselines.one_shot.paths import PathTraining
from baselines.one_shot.training import Settings
from baselines.one_shot.training import architecture_optimizer
from harness.spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.data import Batch
    from baselines.one_shot.method import Metrics
    from baselines.one_shot.training import Context


class Template(PathTraining):
    """Weights learn from uniformly random paths, and the distribution from all paths mixed.

    Args:
        context: What it works with.
        samples: See :class:`~baselines.one_shot.paths.PathTraining`.

    Attributes:
        edges: Logits of the distribution, which is independent from edge to edge.
    """

    def __init__(self, context: Context, *, samples: int) -> None:
        super().__init__(context, samples=samples)
        self.edges = Softmax(context.space, context.generator("architecture")).to(context.device)
        self._adam = architecture_optimizer(self.edges.parameters(), context.settings)

    def candidate(self, generator: torch.Generator) -> Architecture:
        probabilities = self.edges.strengths().detach().cpu()
        return Architecture(torch.multinomial(probabilities, 1, generator=generator)[:, 0].tolist())

    def epoch(self, number: int) -> Metrics:
        context = self.context
        size = context.settings.batch_size
        drawn = context.generator("paths", number)
        batches = zip(
            context.data.batches("weights", size, context.generator("epoch", number)),
            context.data.batches("architecture", size, context.generator("architecture", number)),
            strict=True,
        )
        self.optimizer.begin_epoch(number)
        losses, mixed = [], []
        for train, valid in batches:
            losses.append(self.train(train, self.paths(drawn)))
            mixed.append(self.learn(valid, drawn))
        return {"loss": float(torch.stack(losses).mean()), "mixed": float(torch.stack(mixed).mean())}

    def learn(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """One step of the distribution.

        Args:
            batch: Of the architecture's half.
            generator: Of what is drawn.

        Returns:
            The loss of all paths mixed, detached.
        """
        loss = self.context.loss(self.supernet, batch, self.edges.gates(0.0, generator))
        (self.edges.logits.grad,) = torch.autograd.grad(loss, [self.edges.logits])
        self._adam.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "edges": self.edges.state_dict(), "adam": self._adam.state_dict()}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        super().load(state, number)
        self.edges.load_state_dict(state["edges"])
        self._adam.load_state_dict(state["adam"])


class SETN(BestOfSamples):
    """Self-evaluated template network (Dong and Yang, ICCV 2019, section 3).

    Every step trains the weights of one uniformly random path, so that all learn alike; and, on a batch of the other
    half, a distribution over the operations of every edge. Of architectures that are drawn from that distribution, the
    one of the highest accuracy with the shared weights is returned. Settings are those of Dong and Yang (ICLR 2020) on
    NAS-Bench-201: 250 epochs, batches of 64, learning rate 0.025 to 0.001, weight decay 0.0005; for the distribution
    Adam at 0.0003 with weight decay 0.001; the best of 100.

    Differences: the distribution learns from the loss of all operations mixed by their probabilities, as in the code
    released with NAS-Bench-201. That code compares the 100 most probable architectures; here they are drawn from the
    distribution, as in the paper. The paper's cells choose the inputs of their nodes, too.

    Its arguments are those of :class:`~baselines.one_shot.paths.BestOfSamples`.
    """

    settings = Settings(epochs=250)

    def method(self, context: Context) -> Template:
        return Template(context, samples=self.samples)
