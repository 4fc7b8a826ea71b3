"""FairNAS: every operation of every edge is trained equally often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from baselines.one_shot.evolution import EvolvedPaths
from baselines.one_shot.spos import SPOS
from baselines.one_shot.training import Settings
from harness.spaces import Architecture

if TYPE_CHECKING:
    from baselines.one_shot.training import Context


class StrictlyFair(EvolvedPaths):
    """Each step trains as many paths as an edge has operations, and every operation is on exactly one of them."""

    def paths(self, generator: torch.Generator) -> Sequence[Architecture]:
        space = self.context.space
        orders = [torch.randperm(len(space.operations), generator=generator).tolist() for _ in space.edges]
        return [Architecture(choices) for choices in zip(*orders, strict=True)]


class FairNAS(SPOS):
    """Strict fairness (Chu et al., ICCV 2021, algorithm 1), followed by evolution.

    In each step every edge puts its operations in random order; the first of every edge are the first path, and so on.
    All paths see the same batch, their gradients are summed, and the weights are updated once. So after each step every
    operation of every edge was updated equally often.

    Differences from the paper, whose space is another and whose data set is ImageNet: evolution is that of
    :class:`~baselines.one_shot.spos.SPOS`, by accuracy alone, where the paper has NSGA-II on accuracy, multiply-adds
    and parameters; 50 epochs, which train as many paths as 250 epochs with one path in each step do, since there are
    five operations; batch size and learning rate are those of SPOS on NAS-Bench-201, and the norm of the sum of
    gradients is clipped as that of one path is.

    Its arguments are those of :class:`~baselines.one_shot.spos.SPOS`.
    """

    settings = Settings(epochs=50)

    def method(self, context: Context) -> StrictlyFair:
        return StrictlyFair(context, self.breeding, samples=self.samples)
