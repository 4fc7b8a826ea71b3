"""Quality-diversity on categorical search spaces: descriptors, niches, and the archive of the best in each."""

from __future__ import annotations

import math
from bisect import bisect_left
from bisect import bisect_right
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING
from typing import Generic
from typing import TypeVar

from scipy.cluster.vq import kmeans2

from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from harness.task import Task

Elite = TypeVar("Elite")

#: Random architectures that the scale of a descriptor is taken from.
_SCALE_SAMPLES = 1_000
_ITERATIONS = 25


class Archive(Generic[Elite]):
    """The fittest individual of each niche (MAP-Elites).

    Niches are the cells of a centroidal Voronoi tessellation of the unit square (CVT-MAP-Elites, Vassiliades et
    al. 2018): k-means centres of points drawn uniformly. They are the same in every run.

    Args:
        niches: Number of niches.
        samples: Number of points that k-means clusters.

    Attributes:
        elites: Niche to its individual and that one's fitness.
    """

    def __init__(self, niches: int, samples: int) -> None:
        self.elites: dict[int, tuple[Elite, float]] = {}
        self._centres = _tessellation(niches, samples)

    def __len__(self) -> int:
        return len(self.elites)

    def niche(self, descriptor: tuple[float, float]) -> int:
        """The niche of a point of the unit square."""
        return int(((self._centres - descriptor) ** 2).sum(axis=1).argmin())

    def add(self, individual: Elite, fitness: float, descriptor: tuple[float, float]) -> bool:
        """Put an individual in its niche, if that is empty or holds a less fit one.

        Returns:
            Whether it was put there.
        """
        niche = self.niche(descriptor)
        if niche in self.elites and not fitness > self.elites[niche][1]:
            return False
        self.elites[niche] = (individual, fitness)
        return True

    def best(self) -> list[Elite]:
        """All individuals by falling fitness; of equals, the niche that was filled first."""
        ranked = sorted(self.elites.values(), key=lambda elite: -elite[1])
        return [individual for individual, _ in ranked]


class Descriptors:
    """Where an architecture lies in the unit square: how varied it is, and how large.

    *Variety* is the entropy of its choices over its decisions: zero where all decisions have the same choice. *Size*
    is the FLOPs where the space knows them for the task's data set, otherwise the mean rank of its choices,
    counted from the first of each decision. Both are scaled to the share of random architectures that have less,
    equals counting half, so that random architectures are spread evenly. The random architectures are the same in
    every run.

    Args:
        space: The search space.
        task: Knows the FLOPs.

    Attributes:
        samples: The random architectures.
    """

    def __init__(self, space: SearchSpace, task: Task) -> None:
        self._space = space
        self._task = task
        self._choices = [tuple((type(c), c) for c in choices) for choices in space.decisions.values()]
        rng = seeding.generator(0, "quality diversity", "scale")
        self.samples = [space.random(rng) for _ in range(_SCALE_SAMPLES)]
        self._knows_flops = task.cost(space, self.samples[0]) is not None
        self._varieties = sorted(map(self._variety, self.samples))
        self._sizes = sorted(map(self._size, self.samples))

    def __call__(self, arch: Architecture) -> tuple[float, float]:
        """Variety and size of an architecture, each from 0 to 1."""
        return _share_below(self._varieties, self._variety(arch)), _share_below(self._sizes, self._size(arch))

    def _variety(self, arch: Architecture) -> float:
        counts = Counter(choices[i] for choices, i in zip(self._choices, arch, strict=True))
        # Sorted, so that equal counts give equal sums.
        shares = [count / len(arch) for count in sorted(counts.values())]
        return -sum(share * math.log(share) for share in shares)

    def _size(self, arch: Architecture) -> float:
        if not self._knows_flops:
            ranks = [i / (radix - 1) for i, radix in zip(arch, self._space.radices, strict=True) if radix > 1]
            return sum(ranks) / max(len(ranks), 1)
        cost = self._task.cost(self._space, arch)
        assert cost is not None
        return float(cost.flops)


def _share_below(ordered: Sequence[float], value: float) -> float:
    return (bisect_left(ordered, value) + bisect_right(ordered, value)) / (2 * len(ordered))


@cache
def _tessellation(niches: int, samples: int) -> np.ndarray:
    """Centres of the niches; shape (niches, 2)."""
    rng = seeding.generator(0, "quality diversity", "niches", niches, samples)
    points = rng.random((samples, 2))
    centres: np.ndarray = kmeans2(points, niches, iter=_ITERATIONS, minit="points", rng=rng)[0]
    return centres
