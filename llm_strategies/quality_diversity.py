"""Quality-diversity on categorical search spaces: descriptors, niches, and the archive of the best in each."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING
from typing import Generic
from typing import TypeVar

from scipy.cluster.vq import kmeans2

from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Callable

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

    *Variety* is the entropy of its choices over its decisions, 0 where all decisions have the same choice, 1 where
    choices are as mixed as can be. *Size* is the FLOPs where the space knows them for the task's data set,
    otherwise the mean rank of its choices, of which 0 is the first choice everywhere and 1 the last. Size is
    scaled by the smallest and largest of random architectures, the same in every run; what lies beyond is at the
    edge.

    Args:
        space: The search space.
        task: Knows the FLOPs.
    """

    def __init__(self, space: SearchSpace, task: Task) -> None:
        self._space = space
        self._choices = [tuple((type(c), c) for c in choices) for choices in space.decisions.values()]
        distinct = len({choice for choices in self._choices for choice in choices})
        self._most_varied = math.log(max(min(distinct, len(self._choices)), 2))
        rng = seeding.generator(0, "quality diversity", "scale")
        samples = [space.random(rng) for _ in range(_SCALE_SAMPLES)]
        self._size: Callable[[Architecture], float] = self._mean_rank
        if task.cost(space, samples[0]) is not None:
            self._size = lambda arch: _flops(task, space, arch)
        sizes = [self._size(arch) for arch in samples]
        self._smallest, self._largest = min(sizes), max(sizes)

    def __call__(self, arch: Architecture) -> tuple[float, float]:
        """Variety and size of an architecture, each from 0 to 1."""
        span = self._largest - self._smallest
        size = (self._size(arch) - self._smallest) / span if span else 0.0
        return self._variety(arch), min(max(size, 0.0), 1.0)

    def _variety(self, arch: Architecture) -> float:
        counts = Counter(choices[i] for choices, i in zip(self._choices, arch, strict=True)).values()
        shares = [count / len(arch) for count in counts]
        return min(-sum(share * math.log(share) for share in shares) / self._most_varied, 1.0)

    def _mean_rank(self, arch: Architecture) -> float:
        ranks = [i / (radix - 1) for i, radix in zip(arch, self._space.radices, strict=True) if radix > 1]
        return sum(ranks) / max(len(ranks), 1)


def _flops(task: Task, space: SearchSpace, arch: Architecture) -> float:
    cost = task.cost(space, arch)
    assert cost is not None
    return float(cost.flops)


@cache
def _tessellation(niches: int, samples: int) -> np.ndarray:
    """Centres of the niches; shape (niches, 2)."""
    rng = seeding.generator(0, "quality diversity", "niches", niches, samples)
    centres, _ = kmeans2(rng.random((samples, 2)), niches, iter=_ITERATIONS, minit="points", rng=rng)
    return centres
