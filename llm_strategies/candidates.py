"""Architectures that a run has not seen: random ones, and mutants of what it has."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from typing import TYPE_CHECKING

from harness.spaces import Architecture

if TYPE_CHECKING:
    from harness.history import History


def draw_new(history: History, n: int, but: Collection[Architecture] = ()) -> list[Architecture]:
    """Distinct random architectures, new to the run; fewer where fewer are left, any where none is.

    Args:
        history: The run so far.
        n: How many.
        but: Others that must not be drawn.
    """
    space, rng = history.space, history.rng
    taboo = history.seen if len(history.seen) < space.size else set()
    if but:
        taboo = taboo.union(but)
    left = space.size - len(taboo)
    if left <= max(n, space.size // 16):
        # Drawing until one is new would take long; listing what is left costs no more than the run did.
        rest = [indices for indices in product(*map(range, space.radices)) if indices not in taboo]
        return [Architecture(rest[i]) for i in rng.permutation(left)[:n]]
    drawn: dict[Architecture, None] = {}
    while len(drawn) < n:
        arch = space.random(rng)
        if arch not in taboo:
            drawn[arch] = None
    return list(drawn)


def draw_mutants(history: History, n: int, *, population: int, sample: int) -> list[Architecture]:
    """Distinct mutants, new to the run; fewer where its population has fewer.

    As in regularized evolution (Real et al. 2019), a parent is the best of ``sample`` trials drawn, with
    repetition, from the ``population`` youngest, and its mutant differs in one decision. Unlike there, the mutant is
    new: it is drawn evenly from those of the parent's mutants that are, and a parent that has none leaves the
    population.

    Args:
        history: The run so far.
        n: How many.
        population: Number of youngest trials that can be parents.
        sample: Number of trials drawn for each tournament.
    """
    rng = history.rng
    parents = list(history.trials[-population:])
    mutants: dict[Architecture, None] = {}
    while parents and len(mutants) < n:
        entrants = [parents[i] for i in rng.integers(len(parents), size=sample)]
        parent = max(entrants, key=lambda trial: trial.score)
        new = [
            arch
            for arch in history.space.neighbours(parent.architecture)
            if arch not in history.seen and arch not in mutants
        ]
        if new:
            mutants[new[rng.integers(len(new))]] = None
        else:
            parents.remove(parent)
    return list(mutants)
