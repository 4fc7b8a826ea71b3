"""Names to classes, by entry points: a third party's plug-in needs no change here.

A package registers a class under one of the groups ``harness.strategies``, ``harness.benchmarks``,
``harness.spaces``, ``harness.proxies``, ``harness.references``, ``harness.scorers`` or ``harness.models`` in its
``pyproject.toml``.
Nothing is imported until it is used.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points
from typing import Any
from typing import Literal

from harness.errors import SpecError
from harness.errors import unknown_name

Kind = Literal["strategy", "benchmark", "space", "proxy", "reference", "scorer", "model"]

_GROUPS: dict[Kind, str] = {
    "strategy": "harness.strategies",
    "benchmark": "harness.benchmarks",
    "space": "harness.spaces",
    "proxy": "harness.proxies",
    "reference": "harness.references",
    "scorer": "harness.scorers",
    "model": "harness.models",
}


# What is registered is the kind of a model; the models themselves are declared in experiments.yaml.
_SHOWN: dict[Kind, str] = {"model": "kind of model"}


@cache
def _entries(kind: Kind) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUPS[kind])}


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted."""
    return sorted(_entries(kind))


@cache
def load(kind: Kind, name: str) -> Any:
    """The class registered under a name.

    Raises:
        SpecError: The name is unknown (near misses are named), or its module cannot be imported.
    """
    entries = _entries(kind)
    if name not in entries:
        raise SpecError(unknown_name(_SHOWN.get(kind, kind), name, entries))
    try:
        return entries[name].load()
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"{kind} {name!r} ({entries[name].value}) cannot be imported: {error}. "
            "Install the package it needs; `harness doctor` lists what is missing."
        ) from error
