"""What a search space is: named, ordered categorical decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Any

from optuna.distributions import CategoricalDistribution

from harness.errors import SpaceError
from harness.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch.nn import Module

Choice = None | bool | int | float | str

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Architecture(tuple[int, ...]):
    """One choice per decision: the index of the choice, in the order of the space's decisions.

    Immutable and hashable; two architectures of one space are equal when all their choices are.
    A :class:`SearchSpace` makes, prints and validates them.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Cost:
    """What an architecture costs to deploy, exactly.

    Attributes:
        parameters: Number of trainable parameters.
        flops: Multiply-accumulate operations of one forward pass of one input, as the papers count FLOPs.
        depth: Convolution and linear layers on the longest path from the input of the network to its output; 0
            where no path connects the two. ``None`` where the space does not know it.
    """

    parameters: int
    flops: int
    depth: int | None = None


class SearchSpace:
    """Named, ordered categorical decisions, each with its choices.

    Subclasses add the field's own string form, isomorphism classes and exact costs. This class alone is a
    full search space over any categorical decisions, and the one that a bare Optuna study gets.

    Args:
        decisions: Decision name to its choices, in order.

    Attributes:
        name: Registered name.
        network_size: What ``size`` of :meth:`build_network` and :meth:`cost` can vary, with values; those of a data set
            are its :meth:`usual_size`.

    Raises:
        SpaceError: A decision has no choice, or the same choice twice.
    """

    name: str = "categorical"
    network_size: Mapping[str, int] = MappingProxyType({})

    def __init__(self, decisions: Mapping[str, tuple[Choice, ...]]) -> None:
        self.decisions: Mapping[str, tuple[Choice, ...]] = MappingProxyType(
            {name: tuple(choices) for name, choices in decisions.items()}
        )
        for name, choices in self.decisions.items():
            if not choices:
                raise SpaceError(f"decision {name!r} has no choice; give it at least one.")
        self.distributions: Mapping[str, CategoricalDistribution] = MappingProxyType(
            {name: CategoricalDistribution(choices) for name, choices in self.decisions.items()}
        )
        self._names = tuple(self.decisions)
        self._choices = tuple(self.decisions.values())
        self._radices = tuple(len(choices) for choices in self._choices)
        # True == 1 and hash alike, so the type belongs to the key.
        self._index_of = tuple(
            {(type(choice), choice): i for i, choice in enumerate(choices)} for choices in self._choices
        )
        for name, choices, index in zip(self._names, self._choices, self._index_of, strict=True):
            if len(index) != len(choices):
                raise SpaceError(f"decision {name!r} lists a choice twice: {choices!r}.")

    def __getstate__(self) -> dict[str, Any]:
        # Read-only views cannot be pickled; what they show can.
        views = {"decisions": dict(self.decisions), "distributions": dict(self.distributions)}
        return self.__dict__ | views

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.decisions = MappingProxyType(state["decisions"])
        self.distributions = MappingProxyType(state["distributions"])

    @property
    def radices(self) -> tuple[int, ...]:
        """Number of choices of each decision, in order."""
        return self._radices

    @cached_property
    def size(self) -> int:
        """Number of architectures: the product of the numbers of choices."""
        return math.prod(self._radices)

    def architecture(self, params: Mapping[str, Any]) -> Architecture:
        """Validate a mapping from decision to choice, and make the architecture of it.

        Raises:
            SpaceError: A decision is missing or unknown, or a choice is not legal; names both.
        """
        if unknown := [name for name in params if name not in self.decisions]:
            raise SpaceError(f"unknown decision {unknown[0]!r}; the decisions are {', '.join(self._names)}.")
        indices = []
        for name, choices, index in zip(self._names, self._choices, self._index_of, strict=True):
            if name not in params:
                raise SpaceError(f"decision {name!r} is missing; its choices are {choices!r}.")
            choice = params[name]
            position = index.get((type(choice), choice)) if _hashable(choice) else None
            if position is None:
                raise SpaceError(f"{choice!r} is no choice of decision {name!r}; legal are {choices!r}.")
            indices.append(position)
        return Architecture(indices)

    def params(self, arch: Architecture) -> dict[str, Choice]:
        """The architecture as a mapping from decision to choice; inverse of :meth:`architecture`."""
        return {name: choices[i] for name, choices, i in zip(self._names, self._choices, arch, strict=True)}

    def ncode(self, arch: Architecture) -> str:
        """The architecture as one digit per decision: the index of the choice (LM-Searcher, section 3.2).

        Digits are 0-9 then a-z. A space with more than 36 choices in some decision has numbers joined
        by ``-`` instead.
        """
        if max(self._radices, default=0) > len(_DIGITS):
            return "-".join(map(str, arch))
        return "".join([_DIGITS[i] for i in arch])

    def from_ncode(self, code: str) -> Architecture:
        """Read :meth:`ncode` back.

        Raises:
            SpaceError: Wrong length, or a digit that is no choice of its decision.
        """
        parts = code.split("-") if max(self._radices, default=0) > len(_DIGITS) else list(code)
        if len(parts) != len(self._names):
            raise SpaceError(
                f"NCode {code!r} has {len(parts)} digits; this space has {len(self._names)} decisions."
            )
        indices = []
        for name, radix, part in zip(self._names, self._radices, parts, strict=True):
            value = int(part, 36) if part.isascii() and part.isalnum() and len(part) == 1 else -1
            if len(part) > 1 and part.isascii() and part.isdigit():
                value = int(part)
            if not 0 <= value < radix:
                raise SpaceError(
                    f"NCode {code!r}: {part!r} is no choice of decision {name!r}; legal are 0 to {radix - 1}."
                )
            indices.append(value)
        return Architecture(indices)

    def format(self, arch: Architecture) -> str:
        """The field's own string form; the NCode where the field has none."""
        return self.ncode(arch)

    def parse(self, text: str) -> Architecture:
        """Read :meth:`format` back.

        Raises:
            SpaceError: The text is no architecture of this space.
        """
        return self.from_ncode(text.strip())

    def index(self, arch: Architecture) -> int:
        """Rank of the architecture in the order of its NCode, from 0 to ``size - 1``."""
        rank = 0
        for i, radix in zip(arch, self._radices, strict=True):
            rank = rank * radix + i
        return rank

    def from_index(self, rank: int) -> Architecture:
        """Inverse of :meth:`index`.

        Raises:
            SpaceError: ``rank`` is not between 0 and ``size - 1``.
        """
        if not 0 <= rank < self.size:
            raise SpaceError(f"index {rank} is outside this space of {self.size} architectures.")
        indices = []
        for radix in reversed(self._radices):
            rank, i = divmod(rank, radix)
            indices.append(i)
        return Architecture(reversed(indices))

    def __iter__(self) -> Iterator[Architecture]:
        """Every architecture, in the order of :meth:`index`."""
        return map(self.from_index, range(self.size))

    def random(self, rng: np.random.Generator) -> Architecture:
        """A uniformly random architecture."""
        return Architecture(rng.integers(0, self._radices).tolist())

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """All architectures that differ from ``arch`` in exactly one decision."""
        return [
            Architecture((*arch[:position], i, *arch[position + 1 :]))
            for position, radix in enumerate(self._radices)
            for i in range(radix)
            if i != arch[position]
        ]

    def canonical(self, arch: Architecture) -> Architecture:
        """One representative per isomorphism class; the architecture itself where none are defined."""
        return arch

    def cost(self, arch: Architecture, dataset: str, size: Mapping[str, int] | None = None) -> Cost:
        """Exact parameters, FLOPs and depth of the network of an architecture for a data set.

        Args:
            arch: The architecture.
            dataset: Name of the data set.
            size: See :meth:`build_network`.

        Raises:
            SpaceError: This space cannot compute them.
        """
        raise SpaceError(f"search space {self.name!r} has no exact costs.")

    def build_network(
        self, arch: Architecture, dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """The network of an architecture for a data set, in PyTorch, with freshly drawn weights.

        Args:
            arch: The architecture.
            dataset: Name of the data set.
            size: Takes the place of entries of :attr:`network_size`.

        Raises:
            SpaceError: This space cannot build it.
        """
        raise SpaceError(f"search space {self.name!r} builds no networks.")

    def usual_size(self, dataset: str) -> Mapping[str, int]:
        """The size of the network that is trained for a data set: :attr:`network_size`, where all have the same."""
        return self.network_size

    def full_size(self, size: Mapping[str, int] | None, dataset: str) -> dict[str, int]:
        """:meth:`usual_size` with other values for some of its entries.

        Args:
            size: The other values.
            dataset: Name of the data set.

        Raises:
            SpaceError: An entry is unknown, or below 1.
        """
        for key, value in (size or {}).items():
            if key not in self.network_size:
                raise SpaceError(unknown_name(f"size of a network of {self.name!r}", key, self.network_size))
            if value < 1:
                raise SpaceError(f"{key} must be at least 1, not {value}.")
        return dict(self.usual_size(dataset)) | dict(size or {})

    def code(self) -> str | None:
        """The Python code of :meth:`build_network`'s networks, for a language model; ``None`` where there is none."""
        return None

    def json_schema(self, n: int = 1) -> dict[str, Any]:
        """JSON schema that only legal architectures fit, for structured output of a language model.

        Args:
            n: How many architectures a reply holds. One gives an object with a key per decision; more
                give ``{"architectures": [object, ...]}`` with exactly ``n`` items.
        """
        one = {
            "type": "object",
            "properties": {name: {"enum": list(c)} for name, c in self.decisions.items()},
            "required": list(self._names),
            "additionalProperties": False,
        }
        if n == 1:
            return one
        return {
            "type": "object",
            "properties": {"architectures": {"type": "array", "items": one, "minItems": n, "maxItems": n}},
            "required": ["architectures"],
            "additionalProperties": False,
        }

    def describe(self) -> str:
        """What a person, or a language model, needs to know about this space."""
        lines = [f"{len(self._names)} decisions, {self.size:,} architectures:"]
        lines += [f"- {name}: {', '.join(map(str, c))}" for name, c in self.decisions.items()]
        return "\n".join(lines)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
