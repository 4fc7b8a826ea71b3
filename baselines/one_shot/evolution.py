"""Evolution of architectures with the weights of a trained supernet, generation by generation."""

from __future__ import annotations

import heapq
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.paths import PathTraining
from baselines.one_shot.paths import uniform
from baselines.one_shot.strategy import OneShot
from harness.errors import SpecError
from harness.spaces import Architecture

if TYPE_CHECKING:
    from baselines.one_shot.method import Metrics
    from baselines.one_shot.training import Context
    from harness.spaces import CellSpace

# Draws for each child that is wanted: those of an operator may all be known already.
_TRIES = 10


@dataclass(frozen=True)
class Breeding:
    """How generations follow on each other.

    Attributes:
        generations: Number of generations, the random one among them.
        population: Architectures of a generation.
        parents: So many of the best that were ever scored breed.
        mutation: Probability that a mutation draws a decision anew.
    """

    generations: int
    population: int
    parents: int
    mutation: float


class Evolution:
    """Evolution over architectures with scores (Guo et al., ECCV 2020, algorithm 1).

    The first generation is random. Of each later one, half are uniform crossovers of two parents and half are mutations
    of one; parents are the best of all that were scored so far. Nothing is scored twice: a child that is known is drawn
    again, and where an operator finds no new one in ten draws for each that is wanted, random ones take their place.

    Args:
        space: The search space.
        breeding: The settings.

    Attributes:
        scores: Score of every architecture so far, higher is better, in the order of scoring.
    """

    def __init__(self, space: CellSpace, breeding: Breeding) -> None:
        self._space = space
        self._breeding = breeding
        self.scores: dict[Architecture, float] = {}

    @property
    def best(self) -> Architecture:
        """The best so far; of equals, the first."""
        return max(self.scores, key=self.scores.__getitem__)

    def parents(self) -> list[Architecture]:
        """Those that breed, from the best."""
        return heapq.nlargest(self._breeding.parents, self.scores, key=self.scores.__getitem__)

    def children(self, generator: torch.Generator) -> list[Architecture]:
        """The next generation; empty where the whole space is scored.

        Args:
            generator: Draws it, on the CPU.
        """
        size = self._breeding.population
        children: list[Architecture] = []
        if parents := self.parents():
            half = size // 2
            children += self._new(half, children, lambda: self._crossover(parents, generator))
            children += self._new(half, children, lambda: self._mutation(parents, generator))
        children += self._new(size - len(children), children, lambda: uniform(self._space, generator))
        return children

    def _new(
        self, count: int, known: Collection[Architecture], draw: Callable[[], Architecture]
    ) -> list[Architecture]:
        found: list[Architecture] = []
        for _ in range(_TRIES * count):
            if len(found) == count:
                break
            child = draw()
            if child not in self.scores and child not in known and child not in found:
                found.append(child)
        return found

    def _crossover(self, parents: list[Architecture], generator: torch.Generator) -> Architecture:
        one, other = (parents[int(i)] for i in torch.randint(len(parents), (2,), generator=generator))
        first = (torch.rand(len(one), generator=generator) < 0.5).tolist()
        return Architecture(a if own else b for a, b, own in zip(one, other, first, strict=True))

    def _mutation(self, parents: list[Architecture], generator: torch.Generator) -> Architecture:
        parent = parents[int(torch.randint(len(parents), (), generator=generator))]
        mutated = (torch.rand(len(parent), generator=generator) < self._breeding.mutation).tolist()
        drawn = uniform(self._space, generator)
        return Architecture(new if m else old for old, new, m in zip(parent, drawn, mutated, strict=True))


class EvolvedPaths(PathTraining):
    """A supernet is trained along paths; then architectures evolve, and each generation is an epoch.

    While the supernet is trained, the best of a few random architectures is read.

    Args:
        context: What it works with.
        breeding: Settings of the evolution.
        samples: See :class:`~baselines.one_shot.paths.PathTraining`.

    Attributes:
        evolution: Its state.
    """

    def __init__(self, context: Context, breeding: Breeding, *, samples: int) -> None:
        super().__init__(context, samples=samples)
        self._breeding = breeding
        self.evolution = Evolution(context.space, breeding)

    @property
    def epochs(self) -> int:
        return self.context.settings.epochs + self._breeding.generations

    def epoch(self, number: int) -> Metrics:
        if number < self.context.settings.epochs:
            return super().epoch(number)
        children = self.evolution.children(self.context.generator("generation", number))
        self.evolution.scores.update(zip(children, self.scores(children), strict=True))
        return {
            "best": self.evolution.scores[self.evolution.best],
            "scored": float(len(self.evolution.scores)),
        }

    def read(self, number: int) -> Architecture:
        return self.evolution.best if self.evolution.scores else super().read(number)

    def state(self) -> dict[str, Any]:
        scores = [[list(arch), score] for arch, score in self.evolution.scores.items()]
        return {**super().state(), "scores": scores}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        super().load(state, number)
        self.evolution.scores = {Architecture(arch): score for arch, score in state["scores"]}


class Evolutionary(OneShot):
    """A search that trains a supernet, and then evolves architectures with its weights.

    Each generation is an epoch, and so a trial of its own, behind those of training.

    Args:
        generations: Number of generations, the random one among them.
        population: Architectures of a generation.
        parents: So many of the best that were ever scored breed.
        mutation: Probability that a mutation draws a decision anew.
        samples: While the supernet is trained, an epoch returns the best of so many random architectures, which costs
            little. They have no part in the evolution.
        options: See :class:`~baselines.one_shot.strategy.OneShot`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(
        self,
        *,
        generations: int = 20,
        population: int = 50,
        parents: int = 10,
        mutation: float = 0.1,
        samples: int = 10,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.require(generations=generations, population=population, parents=parents, samples=samples)
        if not 0 <= mutation <= 1:
            raise SpecError(f"{type(self).__name__}: mutation must be between 0 and 1, not {mutation}.")
        self.breeding = Breeding(generations, population, parents, mutation)
        self.samples = samples

    @abstractmethod
    def method(self, context: Context) -> EvolvedPaths: ...

    def length(self, space: CellSpace, dataset: str) -> int:
        return super().length(space, dataset) + self.breeding.generations
