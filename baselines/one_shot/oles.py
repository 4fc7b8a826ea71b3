"""OLES."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

import torch

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.cell import SharedOperation
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Softmax
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.data import Batch
    from baselines.one_shot.method import Metrics
    from baselines.one_shot.training import Context


@dataclass(frozen=True)
class _Group:
    """One operation on all edges from one node of one cell.

    Attributes:
        name: In the supernet.
        operation: The operation.
        edges: Its edges.
        places: Of its parameters among all of the supernet.
    """

    name: str
    operation: SharedOperation
    edges: list[int]
    places: list[int]


class OperationLevelEarlyStopping(Bilevel):
    """DARTS that stops training an operation when it begins to fit its own half alone.

    Args:
        context: What it works with.
        recipe: The method below.
        threshold: See :class:`OLES`.
        interval: See :class:`OLES`.

    Attributes:
        stopped: Operations whose weights stay as they are, by place in the supernet and edge.
    """

    def __init__(self, context: Context, recipe: Recipe, threshold: float, interval: int) -> None:
        super().__init__(context, recipe)
        self._threshold = threshold
        self._interval = interval
        self.stopped: set[tuple[str, int]] = set()
        places = {id(weight): place for place, weight in enumerate(self.supernet.parameters())}
        self._groups = [
            _Group(
                f"{name}.{key}",
                operation,
                [
                    e
                    for e, (source, _) in enumerate(context.space.edges)
                    if source == int(key.partition("-")[0])
                ],
                [places[id(weight)] for weight in operation.parameters()],
            )
            for name, cell in self.supernet.cells
            for key, operation in cell.operations.items()
            if isinstance(operation, SharedOperation) and any(True for _ in operation.parameters())
        ]
        #: Sums of cosines since the last decision, by group; shape (edges,).
        self._cosines = {group.name: torch.zeros(len(group.edges)) for group in self._groups}
        self._steps = 0

    def epoch(self, number: int) -> Metrics:
        metrics = super().epoch(number)
        return {**metrics, "stopped": float(len(self.stopped))}

    def step(
        self, train: Batch, valid: Batch, number: int, progress: float, generator: torch.Generator
    ) -> Tensor:
        weights = list(self.supernet.parameters())
        architecture = list(self.edges.parameters())
        loss = self.context.loss(self.supernet, valid, self.gates(progress, generator))
        both = torch.autograd.grad(loss, [*architecture, *weights], materialize_grads=True)
        self._descend(list(both[: len(architecture)]), progress)
        with torch.no_grad():
            gates = self.gates(progress, generator)
        loss = self.context.loss(self.supernet, train, gates)
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
        self._compare(gradients, both[len(architecture) :])
        kept = {key: weight.clone() for key, weight in self._stopped_weights()}
        self.optimizer.apply(gradients)
        with torch.no_grad():
            for key, weight in self._stopped_weights():
                weight.copy_(kept[key])
        return loss.detach()

    def _compare(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
        """Add up how alike the gradients of both halves are, and stop operations when it is time."""
        for group in self._groups:
            a, b = ([gradients[place] for place in group.places] for gradients in (ours, theirs))
            products = group.operation.sums([x * y for x, y in zip(a, b, strict=True)])
            norms = group.operation.sums([x * x for x in a]) * group.operation.sums([y * y for y in b])
            # A gradient of zero is like no other.
            self._cosines[group.name] += (products / norms.sqrt().clamp_min(1e-12)).cpu()
        self._steps += 1
        if self._steps < self._interval:
            return
        for group in self._groups:
            means = self._cosines[group.name] / self._steps
            self.stopped |= {
                (group.name, edge)
                for edge, mean in zip(group.edges, means.tolist(), strict=True)
                if mean < self._threshold
            }
            self._cosines[group.name].zero_()
        self._steps = 0

    def _stopped_weights(self) -> list[tuple[tuple[str, int, str], Tensor]]:
        return [
            ((group.name, edge, name), weight.detach())
            for group in self._groups
            for edge in group.edges
            if (group.name, edge) in self.stopped
            for name, weight in group.operation.own(edge).items()
        ]

    def state(self) -> dict[str, Any]:
        return {
            **super().state(),
            "stopped": sorted(map(list, self.stopped)),
            "cosines": dict(self._cosines),
            "steps": self._steps,
        }

    def load(self, state: Mapping[str, Any], number: int) -> None:
        super().load(state, number)
        self.stopped = {(str(name), int(edge)) for name, edge in state["stopped"]}
        self._cosines = {name: tensor.clone() for name, tensor in state["cosines"].items()}
        self._steps = int(state["steps"])


class OLES(GradientBased):
    """DARTS with operation-level early stopping (Jiang et al., NeurIPS 2023, "OLES").

    Skip connections win where operations with weights overfit the half that trains them (section 3). So the gradients
    of an operation's weights on both halves are compared; when the cosine of the two, mean over 20 steps, is below 0.4,
    its weights are trained no more (section 4). The rest is DARTS, first order, with the weight decay 0.0003 and the
    plain momentum of its code.

    Interval and threshold are those of the code. The cosine is that of all weights of an operation in one cell, at one
    time; the code takes it column by column, and compares with the gradient of the step before.

    Args:
        threshold: Below it an operation is stopped.
        interval: Steps between two decisions.
        options: See :class:`~baselines.one_shot.darts.GradientBased`. ``selection`` must be ``magnitude``: the tuning
            of the other would train what was stopped.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = PLAIN

    def __init__(self, *, threshold: float = 0.4, interval: int = 20, **options: Any) -> None:
        super().__init__(**options)
        if not -1 <= threshold <= 1:
            raise SpecError(f"OLES: threshold is a cosine, between -1 and 1, not {threshold}.")
        if self.selection != "magnitude":
            raise SpecError(
                "OLES: selection must be 'magnitude'; the tuning of another trains what was stopped."
            )
        self.require(interval=interval)
        self.threshold = threshold
        self.interval = interval

    def recipe(self) -> Recipe:
        return Recipe(Softmax)

    def method(self, context: Context) -> Bilevel:
        return OperationLevelEarlyStopping(context, self.recipe(), self.threshold, self.interval)
