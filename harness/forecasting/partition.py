"""How the steps of a traffic set are divided, as the literature does it, and what the paper of ISTS has set."""

from __future__ import annotations

from itertools import accumulate
from itertools import pairwise
from typing import TYPE_CHECKING
from typing import Literal
from typing import NamedTuple

import numpy as np

from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.traffic import TrafficSet

Shares = tuple[int, int, int]
Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")


class Protocol(NamedTuple):
    """What the paper of ISTS has set for a data set (Tables 3 and C.7).

    Attributes:
        search: Shares of training, validation and test steps in a search.
        evaluation: The same, where the architecture that was found is trained.
        batch_size: Windows of a training step.
    """

    search: Shares
    evaluation: Shares
    batch_size: int


_USUAL = (7, 1, 2)
_PROTOCOLS = {
    "pems-08": Protocol(_USUAL, _USUAL, 32),
    # Less to train on, for the sake of searches with a supernet (section 5.1.1).
    "pems-bay": Protocol((4, 4, 2), _USUAL, 16),
}


def protocol(dataset: str) -> Protocol:
    """What the paper has set for a published data set; what is not in it is as most of those that are."""
    return _PROTOCOLS.get(dataset, Protocol(_USUAL, _USUAL, 16))


def parse_shares(text: str) -> Shares:
    """Shares of training, validation and test steps, written ``7/1/2``.

    Raises:
        SpecError: Not three whole numbers above 0.
    """
    parts = text.split("/")
    if len(parts) != len(PARTS) or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise SpecError(f"a partition is three whole numbers above 0 such as 7/1/2, not {text!r}.")
    train, valid, test = map(int, parts)
    return train, valid, test


def divide(steps: int, shares: Sequence[int]) -> dict[Part, range]:
    """The steps of each part, in the order of time.

    Args:
        steps: Number of all steps.
        shares: Of training, validation and test.
    """
    borders = [0, *(round(steps * share / sum(shares)) for share in accumulate(shares))]
    return {part: range(first, end) for part, (first, end) in zip(PARTS, pairwise(borders), strict=True)}


def windows_of_parts(
    traffic: TrafficSet, shares: Sequence[int], *, steps: int, horizons: int
) -> dict[Part, NDArray[np.int64]]:
    """First steps of all windows of each part.

    Args:
        traffic: The traffic set.
        shares: Of training, validation and test steps.
        steps: Steps that are known.
        horizons: Steps that are forecast.

    Raises:
        SpecError: A part has no window.
    """
    parts = divide(traffic.steps, shares)
    starts = {part: window_starts(traffic.clock, parts[part], steps + horizons) for part in PARTS}
    for part in PARTS:
        if not len(starts[part]):
            raise SpecError(
                f"the {part} part of traffic set {traffic.name!r} has {len(parts[part]):,} steps, and no window of "
                f"{steps} + {horizons} without a gap; change the partition, or use more traffic."
            )
    return starts


def window_starts(clock: NDArray[np.int64], part: range, length: int) -> NDArray[np.int64]:
    """First steps of all windows that lie within a part and cross no gap of time.

    Args:
        clock: See :class:`~harness.traffic.TrafficSet`.
        part: Steps of the part.
        length: Steps of a window.

    Returns:
        Shape (windows,), ascending.
    """
    starts = np.arange(part.start, part.stop - length + 1)
    whole: NDArray[np.bool_] = clock[starts + length - 1] - clock[starts] == length - 1
    return starts[whole]
