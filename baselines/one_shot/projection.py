"""Selection by perturbation: what an operation is worth is what its absence costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
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

    After the supernet is trained, edges are taken in random order. Of each operation of an edge, the validation quality
    without it is measured (accuracy, in the paper); the operation whose absence costs most stays, alone. Between two
    edges the search goes on, at a tenth of the first learning rate. As in the released code, the architecture is
    learned on, the rate is constant, and the last edge is decided before the last epoch.

    Without an operation, its gate is 0 and the other gates stay as they are. Quality is that on all examples of the
    architecture's half, and of equal ones the larger loss decides. From the first decision on nothing is sampled: a
    method that draws its gates has their expected values, for one draw says nothing of the operations beside it. An
    edge that is not decided yet has its strongest operation in what would be returned.

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
        self._projects = False

    @property
    def epochs(self) -> int:
        return self.context.settings.epochs + tuning_epochs(self.context.space, self._tuning)

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        if not self._projects:
            return super().gates(progress, generator)
        gates = self.edges.expected()
        if self.recipe.adapt is not None:
            gates = self.recipe.adapt(self.context.space, gates, progress)
        return dataclasses.replace(gates, weights=self._with_decided(gates.weights))

    def _with_decided(self, weights: Tensor) -> Tensor:
        weights = weights.clone()
        for edge, choice in self.decided.items():
            weights[edge] = 0.0
            weights[edge, choice] = 1.0
        return weights

    def begin_epoch(self, number: int) -> None:
        part = number - self.context.settings.epochs
        if part < 0:
            super().begin_epoch(number)
            return
        self._projects = True
        if part == 0:
            # Momentum of another learning rate.
            self.optimizer.rule.state.clear()
        self.optimizer.learning_rate = self.context.settings.learning_rate * _SLOWER
        if part % self._tuning == 0:
            self._decide(self._order[part // self._tuning])
        if number == self.epochs - 1:
            self._decide(self._order[-1])

    def epoch(self, number: int) -> Metrics:
        return {**super().epoch(number), "decided": float(len(self.decided))}

    def _decide(self, edge: int) -> None:
        without = [self.without(edge, choice) for choice in range(len(self.context.space.operations))]
        self.decided[edge] = min(range(len(without)), key=without.__getitem__)

    @torch.no_grad()
    def without(self, edge: int, choice: int) -> tuple[float, float]:
        """What is left with one gate closed, on the architecture's half: quality, and minus the loss."""
        context = self.context
        gates = self.gates(1.0, context.generator("perturbation", edge))
        weights = gates.weights.clone()
        weights[edge, choice] = 0.0
        closed = dataclasses.replace(gates, weights=weights)
        losses = []

        def results() -> Iterator[tuple[Tensor, Tensor]]:
            for batch in context.data.in_order("architecture", context.settings.batch_size):
                outputs = context.outputs(self.supernet, batch, closed)
                losses.append(float(context.data.loss(outputs, batch.targets)))
                yield outputs, batch.targets

        with self.supernet.evaluated():
            quality = context.data.quality(results())
        return quality, -sum(losses) / len(losses)

    def read(self, number: int) -> Architecture:
        strongest = super().read(number)
        return Architecture(self.decided.get(edge, choice) for edge, choice in enumerate(strongest))

    def state(self) -> dict[str, Any]:
        return {**super().state(), "decided": dict(self.decided)}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        super().load(state, number)
        self.decided = {int(edge): int(choice) for edge, choice in state["decided"].items()}
        self._projects = number >= self.context.settings.epochs
