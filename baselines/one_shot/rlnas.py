"""RLNAS: the supernet learns random labels, and architectures are compared by how far that turned their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from baselines.one_shot.angle import AngleMetric
from baselines.one_shot.evolution import Breeding
from baselines.one_shot.evolution import Evolutionary
from baselines.one_shot.evolution import EvolvedPaths
from baselines.one_shot.images import ImageData
from baselines.one_shot.supernet import Supernet
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from baselines.one_shot.training import Context
    from harness.spaces import Architecture
    from harness.spaces import CellSpace


class RandomLabels(EvolvedPaths):
    """Paths are trained on labels that mean nothing; the score of an architecture is its angle, in radians.

    Args:
        context: What it works with; every image gets another label, drawn uniformly, for the whole search.
        breeding: Settings of the evolution.
        samples: See :class:`~baselines.one_shot.paths.PathTraining`.
    """

    def __init__(self, context: Context, breeding: Breeding, *, samples: int) -> None:
        assert isinstance(context.data, ImageData)
        data = context.data.relabelled(context.generator("labels"))
        super().__init__(dataclasses.replace(context, data=data), breeding, samples=samples)
        # Equal seeds draw equal weights.
        self._initial = Supernet(context.space, context.dataset, context.size, seed=context.seed)

    def scores(self, archs: Sequence[Architecture]) -> list[float]:
        metric = AngleMetric(self._initial, self.supernet)
        return [metric(arch) for arch in archs]


class RLNAS(Evolutionary):
    """Architecture search with random labels (Zhang et al., CVPR 2021, section 3).

    Every image gets a label that is drawn uniformly, once. Every step trains the weights of one uniformly random
    architecture on such labels. Then architectures evolve towards the largest angle between their weights before and
    after training (:class:`~baselines.one_shot.angle.AngleMetric`); how operations without weights count is said there.
    No true label and no validation image is seen.

    Settings are those that the authors released for NAS-Bench-201: 20 generations of 100, of which the 30 best breed,
    half by crossover and half by mutation, with probability 0.1 for each decision. The supernet is trained as by
    :class:`~baselines.one_shot.spos.SPOS`: 250 epochs, batches of 64.

    Differences from that code: a mutation may draw any operation, ``none`` among them; weights learn from their half of
    the training images, as with every method here; batch normalisation always uses the statistics of the batch.

    Args:
        population: Architectures of a generation.
        parents: So many of the best that were ever scored breed.
        options: See :class:`~baselines.one_shot.evolution.Evolutionary`.
    """

    settings = Settings(epochs=250)

    def __init__(self, *, population: int = 100, parents: int = 30, **options: Any) -> None:
        super().__init__(population=population, parents=parents, **options)

    def check_search(self, space: CellSpace, dataset: str, settings: Settings) -> None:
        if space.domain != "images":
            raise SpecError(
                f"RLNAS learns random labels, and the {space.domain} that search space {space.name!r} is for has none."
            )

    def method(self, context: Context) -> RandomLabels:
        return RandomLabels(context, self.breeding, samples=self.samples)
