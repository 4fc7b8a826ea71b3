"""The genetic algorithm."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from baselines.genetic_algorithm import GeneticAlgorithm
from harness.errors import SpecError
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from tests.baselines.loop import Loop
from tests.baselines.loop import distance

SPACE = NASBench201Space()


def hashed(arch: Architecture) -> float:
    """A score without structure, so that elites are anywhere."""
    return float((SPACE.index(arch) * 7919) % 15_625)


def elites(loop: Loop, generations_end: int) -> list[Architecture]:
    ranked = sorted(loop.trials[:generations_end], key=lambda trial: -trial.score)
    return [trial.architecture for trial in ranked[:5]]


def test_crossover_takes_every_gene_from_one_of_two_elites() -> None:
    loop = Loop(GeneticAlgorithm(crossover=1.0), SPACE, hashed)
    loop.run(10)
    for start in (10, 15, 20):
        parents = elites(loop, start)
        for _ in range(5):
            child = loop.step().architecture
            assert any(
                all(gene in pair for gene, *pair in zip(child, one, other, strict=True))
                for one in parents
                for other in parents
            )


@pytest.mark.parametrize(("offspring", "starts"), [(None, (10, 15, 20, 25)), (10, (10, 20, 30, 40))])
def test_parents_are_the_elites_of_the_generations_before(
    offspring: int | None, starts: tuple[int, ...]
) -> None:
    """Children of the same generation are no parents yet, and elites of any age still are."""
    loop = Loop(GeneticAlgorithm(crossover=0.0, mutation=0.02, offspring=offspring), SPACE, hashed, seed=5)
    loop.run(starts[0])
    for start, end in pairwise(starts):
        parents = elites(loop, start)
        while len(loop.trials) < end:
            child = loop.step().architecture
            # Two decisions of six are rarely drawn anew, three hardly ever.
            assert min(distance(child, parent) for parent in parents) <= 2


def test_ten_iterations_are_fifty_five_architectures() -> None:
    strategy = GeneticAlgorithm()
    assert (strategy.population, strategy.elites, strategy.offspring) == (10, 5, 5)


def test_no_architecture_comes_twice_until_all_are_seen() -> None:
    space = SearchSpace({"a": (0, 1, 2, 3, 4), "b": (0, 1, 2, 3, 4)})
    trials = Loop(GeneticAlgorithm(population=4), space, lambda arch: float(sum(arch))).run(space.size)
    assert len({trial.architecture for trial in trials}) == space.size


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"population": 0}, "population"),
        ({"elites": 0.0}, "elites"),
        ({"elites": 1.2}, "elites"),
        ({"elites": 1.0}, "leave 0 children"),
        ({"offspring": 0}, "offspring"),
        ({"crossover": 1.5}, "crossover"),
        ({"mutation": 0.0}, "mutation"),
    ],
)
def test_illegal_numbers_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        GeneticAlgorithm(**params)
