"""Mutation of one decision, as the evolutionary baselines share it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.spaces import Architecture

if TYPE_CHECKING:
    from collections.abc import Sequence


def mutate(
    arch: Architecture,
    radices: Sequence[int],
    which: float,
    choice: float,
    weights: Sequence[float] | None = None,
) -> Architecture:
    """Change exactly one decision to another of its choices, which are equally likely.

    Decisions with a single choice are never picked; an architecture of only such decisions is returned
    as it is.

    Args:
        arch: The parent.
        radices: Number of choices of each decision.
        which: Uniform in [0, 1): picks the decision.
        choice: Uniform in [0, 1): picks the new choice.
        weights: Relative probability of each decision; ``None`` makes them equally likely.

    Raises:
        SpecError: There is not one weight per decision, or no decision that can change has a positive one.
    """
    if weights is None and min(radices) > 1:
        position = int(which * len(radices))
    else:
        if weights is None:
            weights = [1.0] * len(radices)
        elif len(weights) != len(radices):
            raise SpecError(f"{len(weights)} weights for {len(radices)} decisions; give one per decision.")
        legal = [weight if radix > 1 else 0.0 for weight, radix in zip(weights, radices, strict=True)]
        bounds = list(accumulate(legal))
        if bounds[-1] <= 0:
            if max(radices) > 1:
                raise SpecError(f"decision weights {list(weights)!r} leave no decision to mutate.")
            return arch
        position = bisect_right(bounds, which * bounds[-1])
    old = arch[position]
    new = int(choice * (radices[position] - 1))
    # The old choice is left out by moving those at and above it up by one.
    return Architecture((*arch[:position], new + (new >= old), *arch[position + 1 :]))
