"""Options of strategies and scorers: what is out of range is refused with what is legal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence


def require(
    owner: object, name: str, value: float | None, *, low: float | None = None, high: float | None = None
) -> None:
    """Refuse a number outside its range. ``None`` is always in it.

    Args:
        owner: Whose setting it is; its class is named.
        name: Name of the setting.
        value: Its value.
        low: Smallest legal value; ``None`` for no bound.
        high: Largest legal value; ``None`` for no bound.

    Raises:
        SpecError: Names the setting, its value and what is legal.
    """
    if value is None:
        return
    if low is not None and not value >= low:
        raise SpecError(f"{type(owner).__name__}: {name} is {value}; it must be at least {low}.")
    if high is not None and not value <= high:
        raise SpecError(f"{type(owner).__name__}: {name} is {value}; it must be at most {high}.")


def require_one_of(owner: object, name: str, value: str, legal: Sequence[str]) -> None:
    """Refuse a word that is none of the legal ones.

    Raises:
        SpecError: Names the setting and the near misses.
    """
    if value not in legal:
        raise SpecError(f"{type(owner).__name__}: {unknown_name(name, str(value), legal)}")
