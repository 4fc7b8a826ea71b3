"""What an architecture may cost at most: the inference budget of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from harness.task import Task

_UNITS = {
    "max_parameters": ("parameters", "parameters"),
    "max_flops": ("flops", "multiply-accumulate operations"),
    "max_depth": ("depth", "layers in a row"),
}


@dataclass(frozen=True)
class Limits:
    """Largest costs of an architecture (the inference budget B and the depth L of Zen-NAS and RZ-NAS).

    Attributes:
        max_parameters: Trainable parameters; ``None`` sets no limit.
        max_flops: Multiply-accumulate operations of one input.
        max_depth: Layers with weights on the longest path, :attr:`harness.spaces.Cost.depth`.

    Raises:
        SpecError: A limit is below 1.
    """

    max_parameters: int | None = None
    max_flops: int | None = None
    max_depth: int | None = None

    def __post_init__(self) -> None:
        for name, limit in self._set():
            if limit < 1:
                raise SpecError(f"{name} must be at least 1, not {limit}.")

    def exceeded_by(self, arch: Architecture, space: SearchSpace, task: Task) -> str | None:
        """Which limit an architecture exceeds, in words; ``None`` if none.

        Raises:
            SpecError: A limit is set, and nobody knows the costs.
        """
        for name, limit in self._set():
            cost = task.cost(space, arch)
            quantity, unit = _UNITS[name]
            value = None if cost is None else getattr(cost, quantity)
            if value is None:
                raise SpecError(
                    f"{name} needs exact costs, and search space {space.name!r} does not know its {quantity} on data "
                    f"set {task.dataset!r}; leave the limit out."
                )
            if value > limit:
                return f"it has {value:,} {unit}, and at most {limit:,} are allowed."
        return None

    def describe(self) -> list[str]:
        """One sentence per limit, for a language model."""
        return [
            f"An architecture may have at most {limit:,} {_UNITS[name][1]}." for name, limit in self._set()
        ]

    def _set(self) -> list[tuple[str, int]]:
        return [(name, limit) for name in _UNITS if (limit := getattr(self, name)) is not None]
