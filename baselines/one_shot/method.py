"""What a weight-sharing method is: passes that train a supernet, and an architecture that it would return now."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from baselines.one_shot.supernet import Supernet
    from baselines.one_shot.training import Context
    from harness.spaces import Architecture

#: What is measured of an epoch, by name.
Metrics = dict[str, float]


class Method(ABC):
    """A search with a supernet, epoch by epoch.

    It knows data and architectures, and nothing of a benchmark's scores. Everything that it draws comes from a
    generator named after the epoch, so that its state after an epoch is all that it needs to go on.

    Args:
        context: What it works with.

    Attributes:
        context: What it works with.
        supernet: The supernet; a method may replace it between epochs.
    """

    supernet: Supernet

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def epochs(self) -> int:
        """Number of epochs, with those of a phase that follows training."""
        return self.context.settings.epochs

    @abstractmethod
    def epoch(self, number: int) -> Metrics:
        """Make an epoch.

        Args:
            number: From 0; all before it were made.
        """

    @abstractmethod
    def read(self, number: int) -> Architecture:
        """The architecture that the method would return after an epoch, if it ended there.

        It leaves the state as it is.

        Args:
            number: The epoch that was made last.
        """

    def scores(self, archs: Sequence[Architecture]) -> list[float]:
        """What speaks for each architecture now: its quality with inherited weights.

        Examples of the architecture's half are looked at, the same ones in the whole search.
        """
        context = self.context
        batches = context.data.judged(context.generator("judged images"))
        return [context.quality(self.supernet, batches, self.supernet.path(arch)) for arch in archs]

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that an epoch changes: tensors, numbers and texts, in dictionaries and lists."""

    @abstractmethod
    def load(self, state: Mapping[str, Any], number: int) -> None:
        """Take over :meth:`state` as it was after an epoch.

        Args:
            state: The state.
            number: The epoch that was made last.
        """
