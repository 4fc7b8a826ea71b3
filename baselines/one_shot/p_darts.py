"""P-DARTS."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

import torch

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.cell import Gates
from baselines.one_shot.edges import Softmax
from baselines.one_shot.strategy import OneShot
from baselines.one_shot.supernet import Supernet
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from baselines.one_shot.training import architecture_optimizer
from harness.errors import SpecError
from harness.spaces import Architecture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baselines.one_shot.method import Metrics
    from baselines.one_shot.training import Context
    from harness.spaces import CellSpace

#: What `size` calls the number of cells, which grows.
DEPTH = "cells"
# Of the exponent, for each epoch.
_DROPOUT_DECAY = 0.2


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the search.

    Attributes:
        depth: Share of the cells of the whole network.
        kept: How many operations stay on every edge after it; ``None`` for the last one.
        dropout: Probability that an identity is dropped, at the beginning of the stage.
    """

    depth: float
    kept: int | None
    dropout: float


class Progressive(Bilevel):
    """DARTS in stages, each deeper than the last and with fewer operations.

    Args:
        context: What it works with.
        stages: The stages; epochs are shared evenly.
        warm_up: Epochs of each that train weights alone.
        identities: Largest number of identities in the end.
    """

    def __init__(
        self, context: Context, stages: Sequence[Stage], warm_up: int, identities: int | None
    ) -> None:
        self._stages = stages
        self._warm_up = warm_up
        self._identities = identities
        self._stage = 0
        self._length = context.settings.epochs // len(stages)
        #: Operations left on every edge.
        self.left = [list(range(len(context.space.operations))) for _ in context.space.edges]
        super().__init__(context, Recipe(Softmax))

    def build(self) -> None:
        """The supernet of the stage, with weights and architecture at their beginning."""
        context, stage = self.context, self._stages[self._stage]
        depth = max(round(stage.depth * context.size[DEPTH]), 1)
        supernet = Supernet(
            context.space, context.dataset, {**context.size, DEPTH: depth}, seed=context.seed + self._stage
        )
        self.supernet = context.ready(supernet)
        # Every stage has a cosine of its own.
        settings = dataclasses.replace(context.settings, epochs=self._length)
        self.optimizer = context.weight_optimizer(self.supernet.parameters(), settings)
        generator = context.generator("architecture of stage", self._stage)
        self.edges = self.recipe.edges(context.space, generator).to(context.device)
        self._adam = architecture_optimizer(self.edges.parameters(), context.settings)

    def epoch(self, number: int) -> Metrics:
        if number == (self._stage + 1) * self._length:
            self._next_stage()
        return {**super().epoch(number), "stage": float(self._stage + 1)}

    def _next_stage(self) -> None:
        strengths = self._strengths()
        for edge, left in enumerate(self.left):
            ranked = sorted(left, key=lambda choice: -float(strengths[edge, choice]))
            self.left[edge] = sorted(ranked[: self._stages[self._stage].kept])
        self._stage += 1
        self.build()

    def begin_epoch(self, number: int) -> None:
        self.optimizer.begin_epoch(number - self._stage * self._length)

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        space, stage = self.context.space, self._stages[self._stage]
        gates = super().gates(progress, generator)
        # A softmax over those that are left.
        left = torch.zeros_like(gates.weights)
        for edge, choices in enumerate(self.left):
            left[edge, choices] = 1.0
        weights = gates.weights * left
        weights = weights / weights.sum(dim=1, keepdim=True)
        if space.identity is not None and stage.dropout > 0:
            rate = stage.dropout * self._decay(progress)
            kept = (torch.rand(len(space.edges), generator=generator) >= rate).to(weights) / (1 - rate)
            scale = torch.ones_like(weights)
            scale[:, space.operations.index(space.identity)] = kept
            weights = weights * scale
        return Gates(weights, self.left)

    def _decay(self, progress: float) -> float:
        """What is left of the stage's dropout: less linearly while weights warm up, then exponentially."""
        epoch = int(progress * self.context.settings.epochs) - self._stage * self._length
        if epoch < self._warm_up:
            return (self._length - 1 - epoch) / self._length
        return math.exp(-_DROPOUT_DECAY * (epoch - self._warm_up))

    def learns_architecture(self, number: int) -> bool:
        return number - self._stage * self._length >= self._warm_up

    def _strengths(self) -> torch.Tensor:
        strengths = self.edges.strengths().detach().cpu()
        for edge, choices in enumerate(self.left):
            gone = [choice for choice in range(strengths.shape[1]) if choice not in choices]
            strengths[edge, gone] = -math.inf
        return strengths

    def read(self, number: int) -> Architecture:
        strengths = self._strengths()
        space = self.context.space
        choices = strengths.argmax(dim=1).tolist()
        if self._identities is not None and space.identity is not None:
            identity = space.operations.index(space.identity)
            chosen = [edge for edge, choice in enumerate(choices) if choice == identity]
            weakest = sorted(chosen, key=lambda edge: float(strengths[edge, identity]))
            for edge in weakest[: max(len(chosen) - self._identities, 0)]:
                # The last resort, where nothing else is left.
                strengths[edge, identity] = -1.0
                choices[edge] = int(strengths[edge].argmax())
        return Architecture(choices)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "stage": self._stage, "left": [list(choices) for choices in self.left]}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        self._stage = int(state["stage"])
        self.left = [list(map(int, choices)) for choices in state["left"]]
        self.build()
        super().load(state, number)


class PDARTS(OneShot):
    """Progressive DARTS (Chen et al., ICCV 2019, "P-DARTS").

    Three stages (section 3.2): the supernet gets deeper, and of each edge's operations the strongest stay; weights and
    architecture begin anew in every stage, whose first 10 of 25 epochs train weights alone. Identities are dropped at
    random, less and less within a stage, and at most two stay in the end (section 3.3). Batches of 96, learning rate
    from 0.025 to 0, weight decay 0.0003, plain momentum; 0.0006 for the architecture.

    The paper's stages have 5, 11 and 17 of 20 cells, and 8, 5 and 3 operations; here they have about the same shares
    of the network's cells and of five operations. Dropout removes the identity of an edge from a whole pass, where the
    paper drops single values of its output. Gradients of the architecture are not clipped.

    Args:
        depths: Share of the network's cells in every stage.
        kept: Operations that stay on every edge after every stage but the last.
        dropouts: Probability that an identity is dropped, at the beginning of every stage.
        warm_up: Epochs of every stage that train weights alone.
        identities: Largest number of identities in the end, unless nothing else is left on an edge; ``None`` sets no
            limit.
        options: See :class:`~baselines.one_shot.strategy.OneShot`. ``epochs`` are shared by the stages.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = replace(
        PLAIN, epochs=75, batch_size=96, last_learning_rate=0.0, architecture_learning_rate=6e-4
    )
    # Operations that are gone have no weights in the later supernets.
    ranks = False

    def __init__(
        self,
        *,
        depths: Sequence[float] = (0.25, 0.55, 0.85),
        kept: Sequence[int] = (3, 2),
        dropouts: Sequence[float] = (0.0, 0.4, 0.7),
        warm_up: int = 10,
        identities: int | None = 2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not len(depths) == len(kept) + 1 == len(dropouts):
            raise SpecError(
                "PDARTS: depths and dropouts have an entry per stage, and kept one less, not "
                f"{len(depths)}, {len(dropouts)} and {len(kept)}."
            )
        if any(not 0 < depth <= 1 for depth in depths) or any(not 0 <= rate < 1 for rate in dropouts):
            raise SpecError("PDARTS: depths are above 0 and at most 1, dropouts from 0 to below 1.")
        if any(number < 1 for number in kept) or sorted(kept, reverse=True) != list(kept):
            raise SpecError(f"PDARTS: kept are numbers from 1 that do not grow, not {list(kept)}.")
        if warm_up < 0 or (identities is not None and identities < 0):
            raise SpecError("PDARTS: warm_up and identities must not be negative.")
        self.stages = [Stage(*stage) for stage in zip(depths, [*kept, None], dropouts, strict=True)]
        self.warm_up = warm_up
        self.identities = identities

    def check_search(self, space: CellSpace, dataset: str, settings: Settings) -> None:
        if DEPTH not in space.network_size:
            raise SpecError(f"PDARTS makes networks deeper, and those of {space.name!r} have no `{DEPTH}`.")
        if settings.epochs % len(self.stages):
            raise SpecError(
                f"PDARTS: {settings.epochs} epochs cannot be shared evenly by {len(self.stages)} stages."
            )
        self.require_learning(self.warm_up, settings.epochs // len(self.stages))

    def method(self, context: Context) -> Progressive:
        return Progressive(context, self.stages, self.warm_up, self.identities)
