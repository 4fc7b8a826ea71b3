"""Random generators, all derived from one seed per run. Nothing here touches a global generator."""

from __future__ import annotations

import zlib

import numpy as np


def generator(entropy: int, *path: int | str) -> np.random.Generator:
    """The generator at a path below a run's seed.

    Equal arguments give equal streams in any process; different paths give independent streams
    (``numpy.random.SeedSequence`` spawn keys).

    Args:
        entropy: The run's seed.
        path: What the generator is for, e.g. ``("proposal", 17)``.
    """
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy, spawn_key=key)))


def fresh_entropy() -> int:
    """Entropy of the operating system, for a sampler without a seed."""
    entropy = np.random.SeedSequence().entropy
    assert isinstance(entropy, int)
    return entropy


def integer(entropy: int, *path: int | str) -> int:
    """One integer of 31 bits at a path below a run's seed, e.g. for a library that takes a seed."""
    return int(generator(entropy, *path).integers(2**31))
