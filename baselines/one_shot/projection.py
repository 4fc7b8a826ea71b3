"""Selection by perturbation: what an operation is worth is what its absence costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.cell import Gates
from harness.spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.method import Metrics
    from baselines.one_shot.training import Context
    from harness.spaces import CellSpace

# Of the first learning rate, with which the supernet is tuned between edges.
_SLOWER = 0.1


def tuning_epochs(space: CellSpace, tuning: int) -> int:
    """Epochs of the phase that follows training: so many between every two edges."""
    return tuning * (len(space.edges) - 1)


class Projection(Bilevel):
    """Edge after edge is decided by perturbation (Wang et al., ICLR 2021, "DARTS-PT", algorithm 1).

    After the supernet is trained, edges are taken in random order. Of each operation of an edge, the validation
    accuracy without it is measured; the operation whose absence costs most stays, alone. Between two edges the weights
    are tuned, at a tenth of the learning rate and along a cosine of its own; the architecture is not learned any more.

    Without an operation, its gate is 0 and the other gates stay as they are. Accuracy is that of all images of the
    architecture's half. An edge that is not decided yet has its strongest operation in what would be returned.

    Args:
        context: What it works with.
        recipe: The method that trains the supernet.
        tuning: Epochs between two edges.
    """

    def __init__(self, context: Context, recipe: Recipe, tuning: int) -> None:
        super().__init__(context, recipe)
        self._tuning = tuning
        edges = len(context.space.edges)
        self._order = torch.randperm(edges, generator=context.generator("order of edges")).tolist()
        #: Operation of every edge that is decided.
        self.decided: dict[int, int] = {}

    @property
    def epochs(self) -> int:
        return self.context.settings.epochs + tuning_epochs(self.context.space, self._tuning)

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        gates = super().gates(progress, generator)
        if not self.decided:
            return gates
        return dataclasses.replace(gates, weights=self._with_decided(gates.weights))

    def _with_decided(self, weights: Tensor) -> Tensor:
        weights = weights.clone()
        for edge, choice in self.decided.items():
            weights[edge] = 0.0
            weights[edge, choice] = 1.0
        return weights

    def epoch(self, number: int) -> Metrics:
        trained = self.context.settings.epochs
        if number < trained:
            return super().epoch(number)
        part = number - trained
        if part % self._tuning == 0:
            self._decide(self._order[part // self._tuning])
        metrics = self._tune(number, part / tuning_epochs(self.context.space, self._tuning))
        if number == self.epochs - 1:
            self._decide(self._order[-1])
        return {**metrics, "decided": float(len(self.decided))}

    def _tune(self, number: int, part: float) -> Metrics:
        settings = self.context.settings
        if part == 0.0:
            # Momentum of another learning rate.
            self.optimizer.sgd.state.clear()
        cosine = (1 + float(torch.cos(torch.tensor(torch.pi * part)))) / 2
        rate = settings.last_learning_rate + cosine * max(
            settings.learning_rate * _SLOWER - settings.last_learning_rate, 0.0
        )
        self.optimizer.sgd.param_groups[0]["lr"] = rate
        generator = self.context.generator("epoch", number)
        losses = []
        for batch in self.context.data.batches("weights", settings.batch_size, generator):
            with torch.no_grad():
                gates = self.gates(1.0, generator)
            loss = self.context.loss(self.supernet, batch, gates)
            self.optimizer.step(loss)
            losses.append(loss.detach())
        return {"loss": float(torch.stack(losses).mean())}

    def _decide(self, edge: int) -> None:
        accuracies = [
            self.accuracy_without(edge, choice) for choice in range(len(self.context.space.operations))
        ]
        self.decided[edge] = min(range(len(accuracies)), key=accuracies.__getitem__)

    @torch.no_grad()
    def accuracy_without(self, edge: int, choice: int) -> float:
        """Accuracy on the architecture's half with one gate closed, in percent."""
        context = self.context
        generator = context.generator("perturbation", edge)
        gates = self.gates(1.0, generator)
        weights = gates.weights.clone()
        weights[edge, choice] = 0.0
        closed = dataclasses.replace(gates, weights=weights)
        batches = context.data.in_order("architecture", context.settings.batch_size)
        return context.accuracy(self.supernet, batches, closed)

    def read(self, number: int) -> Architecture:
        strongest = super().read(number)
        return Architecture(self.decided.get(edge, choice) for edge, choice in enumerate(strongest))

    def state(self) -> dict[str, Any]:
        return {**super().state(), "decided": dict(self.decided)}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        super().load(state, number)
        self.decided = {int(edge): int(choice) for edge, choice in state["decided"].items()}
