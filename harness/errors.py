"""Errors that a user can cause.

Every one says what was wrong, where, what is legal and what to do next. The command line prints the
message alone and exits with code 2; a program that imports the harness can catch :class:`HarnessError`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class HarnessError(Exception):
    """Base of all errors that a user can cause."""


class SpecError(HarnessError):
    """``experiments.yaml``, or an option of the command line, is not what the harness can run."""


class SpaceError(HarnessError, ValueError):
    """A text, a code or a mapping does not describe an architecture of the search space."""


class DataError(HarnessError):
    """A table or a file of results is missing, corrupt, or lacks what was asked for."""


class TrainingError(HarnessError):
    """A training that a search needs came to nothing: its loss is not finite."""


class ScoreError(HarnessError):
    """An architecture has no score: whatever measures it cannot measure this one.

    Args:
        message: Why.
        seconds: GPU seconds that the attempt cost.
    """

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class ProxyError(HarnessError):
    """A proxy has failed where it should have given a score or a :class:`ScoreError`: a defect of its code."""


class StoreError(HarnessError):
    """The results folder cannot be used: locked, read-only, full, or made by another version."""


class TrackingError(HarnessError):
    """The tracking server cannot be reached or used. No run is lost by it."""


class ModelError(HarnessError):
    """A language model or its server cannot be used."""


class ModelUnavailable(ModelError):
    """A language model does not answer now, and may later: the run is parked and can go on."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that ``name`` is no known ``kind``, with near misses first and the legal names after.

    Args:
        kind: What is looked up, in the singular (``"strategy"``).
        name: What the user wrote.
        known: The legal names.

    Returns:
        One sentence or two, without a location.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    hint = f", did you mean {' or '.join(repr(n) for n in near)}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names) if names else 'none'}."
