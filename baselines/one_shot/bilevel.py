"""Searches by gradient: weights and architecture are learned in turns, each on its own half of the data."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.cell import Gates
from baselines.one_shot.method import Method
from baselines.one_shot.method import Metrics
from baselines.one_shot.supernet import Supernet
from baselines.one_shot.training import architecture_optimizer

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.data import Batch
    from baselines.one_shot.edges import Edges
    from baselines.one_shot.training import Context
    from baselines.one_shot.training import WeightOptimizer
    from harness.spaces import Architecture
    from harness.spaces import CellSpace

#: Added to the loss of the architecture: edges and progress to a number.
Regulariser = Callable[["Edges", float], "Tensor"]
MakeEdges = Callable[["CellSpace", torch.Generator], "Edges"]


class Perturbation(ABC):
    """What happens to the gates of a pass that trains weights."""

    @abstractmethod
    def gates(
        self, method: Bilevel, batch: Batch, gates: Gates, progress: float, generator: torch.Generator
    ) -> Gates:
        """Other gates.

        Args:
            method: The search.
            batch: What the weights are about to be trained on.
            gates: The gates as they are.
            progress: Share of the search that is over.
            generator: Of what is drawn.
        """


@dataclass(frozen=True)
class Recipe:
    """What makes one gradient-based method different from another.

    Attributes:
        edges: Makes the edge parameterisation.
        partial: See :class:`~baselines.one_shot.cell.SupernetCell`.
        second_order: Whether the architecture's gradient looks one step of the weights ahead (DARTS, section 2.3).
        joint: Whether weights and architecture descend the same loss, on the same batch.
        warm_up: Epochs that train weights alone.
        perturbation: Of the gates, where weights are trained.
        regulariser: Of the architecture.
        adapt: Changes all gates of the search; it knows the progress.
    """

    edges: MakeEdges
    partial: int = 1
    second_order: bool = False
    joint: bool = False
    warm_up: int = 0
    perturbation: Perturbation | None = None
    regulariser: Regulariser | None = None
    adapt: Callable[[CellSpace, Gates, float], Gates] | None = None


class Bilevel(Method):
    """Gradient-based search (Liu et al., ICLR 2019, "DARTS", algorithm 1), as a recipe varies it.

    Every step learns from one batch of each half: first the architecture, then the weights.

    Args:
        context: What it works with.
        recipe: The method.

    Attributes:
        edges: Edge parameterisation.
    """

    def __init__(self, context: Context, recipe: Recipe) -> None:
        super().__init__(context)
        self.recipe = recipe
        self.build()

    def build(self) -> None:
        """Make the supernet and the edge parameterisation, with what trains them."""
        context, recipe = self.context, self.recipe
        self.edges = recipe.edges(context.space, context.generator("architecture")).to(context.device)
        self._adam = architecture_optimizer(self.edges.parameters(), context.settings)
        supernet = Supernet(
            context.space, context.dataset, context.size, seed=context.seed, partial=recipe.partial
        )
        self.supernet = context.ready(supernet)
        self.optimizer = context.weight_optimizer(self.supernet.parameters())

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        """The gates of a pass, through which the architecture is learned."""
        gates = self.edges.gates(progress, generator)
        if self.recipe.adapt is not None:
            gates = self.recipe.adapt(self.context.space, gates, progress)
        return gates

    def epoch(self, number: int) -> Metrics:
        settings, data = self.context.settings, self.context.data
        generator = self.context.generator("epoch", number)
        self.begin_epoch(number)
        steps = data.steps(settings.batch_size)
        batches = zip(
            data.batches("weights", settings.batch_size, generator),
            data.batches("architecture", settings.batch_size, self.context.generator("architecture", number)),
            strict=True,
        )
        losses = []
        for step, (train, valid) in enumerate(batches):
            # An epoch that follows the training changes no schedule any more.
            progress = min((number + step / steps) / settings.epochs, 1.0)
            losses.append(self.step(train, valid, number, progress, generator))
        return {"loss": float(torch.stack(losses).mean())}

    def begin_epoch(self, number: int) -> None:
        """Set the learning rate of an epoch."""
        self.optimizer.begin_epoch(number)

    def learns_architecture(self, number: int) -> bool:
        """Whether an epoch trains more than weights."""
        return number >= self.recipe.warm_up

    def step(
        self, train: Batch, valid: Batch, number: int, progress: float, generator: torch.Generator
    ) -> Tensor:
        """One step of the search.

        Args:
            train: Batch for the weights.
            valid: Batch for the architecture.
            number: The epoch.
            progress: Share of the search that is over.
            generator: Of what is sampled.

        Returns:
            The loss of the weights, detached.
        """
        if self.recipe.joint:
            return self._joint_step(train, progress, generator)
        if self.learns_architecture(number):
            self.architecture_step(train, valid, progress, generator)
        with torch.no_grad():
            gates = self.gates(progress, generator)
        if self.recipe.perturbation is not None:
            gates = self.recipe.perturbation.gates(self, train, gates, progress, generator)
        loss = self.context.loss(self.supernet, train, gates)
        self.optimizer.step(loss)
        return loss.detach()

    def architecture_step(
        self, train: Batch, valid: Batch, progress: float, generator: torch.Generator
    ) -> None:
        """Learn the architecture from a batch."""
        if self.recipe.second_order:
            gradients = self._unrolled_gradients(train, valid, progress, generator)
        else:
            loss = self.context.loss(self.supernet, valid, self.gates(progress, generator))
            gradients = self._architecture_gradients(loss)
        self._descend(gradients, progress)

    def _joint_step(self, train: Batch, progress: float, generator: torch.Generator) -> Tensor:
        loss = self.context.loss(self.supernet, train, self.gates(progress, generator))
        gradients = self._architecture_gradients(loss, retain_graph=True)
        self.optimizer.step(loss)
        self._descend(gradients, progress)
        return loss.detach()

    def _architecture_gradients(self, loss: Tensor, *, retain_graph: bool = False) -> list[Tensor]:
        # The weights' gradients are not needed here, and half of the work.
        return list(
            torch.autograd.grad(
                loss, list(self.edges.parameters()), retain_graph=retain_graph, materialize_grads=True
            )
        )

    def _descend(self, gradients: list[Tensor], progress: float) -> None:
        parameters = list(self.edges.parameters())
        if self.recipe.regulariser is not None:
            penalty = self.recipe.regulariser(self.edges, progress)
            more = torch.autograd.grad(penalty, parameters, materialize_grads=True)
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._adam.step()

    def _unrolled_gradients(
        self, train: Batch, valid: Batch, progress: float, generator: torch.Generator
    ) -> list[Tensor]:
        """Gradient of the validation loss at the weights that the next step would lead to (DARTS, equations 6 to 8)."""
        drawn = generator.get_state()

        def loss(batch: Batch) -> Tensor:
            # All passes see the same sample.
            generator.set_state(drawn)
            return self.context.loss(self.supernet, batch, self.gates(progress, generator))

        return unrolled_gradients(
            weights=list(self.supernet.parameters()),
            architecture=list(self.edges.parameters()),
            train_loss=lambda: loss(train),
            valid_loss=lambda: loss(valid),
            optimizer=self.optimizer,
        )

    def read(self, number: int) -> Architecture:
        return self.edges.architecture()

    def state(self) -> dict[str, Any]:
        return {
            "supernet": self.supernet.state_dict(),
            "optimizer": self.optimizer.rule.state_dict(),
            "edges": self.edges.state_dict(),
            "adam": self._adam.state_dict(),
        }

    def load(self, state: Mapping[str, Any], number: int) -> None:
        self.supernet.load_state_dict(state["supernet"])
        self.optimizer.rule.load_state_dict(state["optimizer"])
        self.edges.load_state_dict(state["edges"])
        self._adam.load_state_dict(state["adam"])


# Of the norm of the direction, as in DARTS, section 2.3.
_DIFFERENCE = 0.01


def unrolled_gradients(
    *,
    weights: list[torch.nn.Parameter],
    architecture: list[torch.nn.Parameter],
    train_loss: Callable[[], Tensor],
    valid_loss: Callable[[], Tensor],
    optimizer: WeightOptimizer,
) -> list[Tensor]:
    """Gradient of the validation loss after one step of the weights, with respect to the architecture.

    The step is one of stochastic gradient descent as the optimizer would make it, with its learning rate, momentum and
    weight decay (DARTS, section 2.3, and its code). The mixed second derivative is a central difference of first ones
    (equation 8).

    Args:
        weights: They are left as they are.
        architecture: What is learned of the architecture.
        train_loss: The loss of the weights, at their present values.
        valid_loss: The loss of the architecture, at the present values of the weights.
        optimizer: That of the weights.
    """
    group = optimizer.rule.param_groups[0]
    rate, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
    before = [weight.detach().clone() for weight in weights]
    gradients = torch.autograd.grad(train_loss(), weights, materialize_grads=True)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            buffer = optimizer.rule.state[weight].get("momentum_buffer")
            moved = gradient + decay * weight
            weight.sub_(rate * (moved if buffer is None else moved + momentum * buffer))
    ahead = torch.autograd.grad(valid_loss(), [*architecture, *weights], materialize_grads=True)
    direct, direction = list(ahead[: len(architecture)]), ahead[len(architecture) :]
    norm = float(torch.nn.utils.get_total_norm(direction))
    radius = _DIFFERENCE / norm if norm > 0 else 0.0
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, old, towards in zip(weights, before, direction, strict=True):
                weight.copy_(old + sign * radius * towards)
        sides.append(torch.autograd.grad(train_loss(), architecture, materialize_grads=True))
    with torch.no_grad():
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)
    if radius == 0.0:
        return direct
    return [d - rate * (plus - minus) / (2 * radius) for d, plus, minus in zip(direct, *sides, strict=True)]
