"""Random architectures that a run has not seen."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from harness.spaces import Architecture

if TYPE_CHECKING:
    from harness.history import History


def draw_new(history: History, n: int) -> list[Architecture]:
    """Distinct random architectures, new to the run; fewer where fewer are left, any where none is."""
    space, rng = history.space, history.rng
    taboo = history.seen if len(history.seen) < space.size else set()
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
