"""Settings of networks."""

from __future__ import annotations

from harness.errors import SpecError


def require_positive(owner: str, **sizes: int) -> None:
    """Refuse sizes that nothing can be made of.

    Raises:
        SpecError: A size is below 1.
    """
    for name, value in sizes.items():
        if value < 1:
            raise SpecError(f"{owner}: {name} must be at least 1: {value}.")
