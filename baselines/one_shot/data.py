"""What a supernet learns from: one half trains weights, the other judges architectures."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping

    import torch
    from torch import Tensor
    from torch import nn

    from baselines.one_shot.training import Settings

Half = Literal["weights", "architecture"]


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes:
        inputs: What a network sees; its first dimension is that of examples.
        targets: What it is to tell; its first dimension, too.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


class SearchData(ABC):
    """Two halves of examples on a device, and what it means to be good at them.

    Attributes:
        quality_unit: A quality over this is of the order of 1.
    """

    quality_unit: float

    @abstractmethod
    def steps(self, batch_size: int) -> int:
        """Steps of an epoch: whole batches of one pass over the weights' half."""

    @abstractmethod
    def batches(self, half: Half, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """The batches of an epoch, one for each of its steps, in random order.

        Args:
            half: Which.
            batch_size: Examples of a batch; what is left over is not shown.
            generator: Of what is drawn, on the CPU.
        """

    @abstractmethod
    def in_order(self, half: Half, batch_size: int) -> Iterator[Batch]:
        """One pass over a half in its order, as it is.

        Args:
            half: Which.
            batch_size: Examples of a batch, at most.
        """

    @abstractmethod
    def judged(self, generator: torch.Generator) -> list[Batch]:
        """What compares architectures: examples of the architecture's half, as they are.

        Args:
            generator: Of what is drawn, on the CPU.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What is descended: a mean over a batch.

        Args:
            outputs: What the network says.
            targets: What is true.
        """

    @abstractmethod
    def quality(self, results: Iterable[tuple[Tensor, Tensor]]) -> float:
        """How good a network is; higher is better.

        Args:
            results: Its outputs for some batches, with their targets.
        """

    @abstractmethod
    def rule(self, weights: list[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
        """How the weights of a network learn from such examples.

        Args:
            weights: The weights.
            settings: Settings of the method.
        """


class Source(ABC):
    """Where the examples of a search come from, before any of them is on a device."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Identifies the examples by content."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Everything here that decides a search, as JSON values."""

    @abstractmethod
    def settings(self, own: Settings, given: Mapping[str, Any]) -> Settings:
        """Settings of a search on such examples.

        Args:
            own: Those of the method on the benchmark that its source has.
            given: Those that somebody has set.
        """

    @abstractmethod
    def check(self, method: str, batch_size: int) -> None:
        """Refuse what is not there, or too little.

        Args:
            method: Whose search it is, for messages.
            batch_size: Examples of a step.

        Raises:
            SpecError: Says what is missing.
        """

    @abstractmethod
    def load(self, seed: int, device: torch.device) -> SearchData:
        """The examples on a device.

        Args:
            seed: Of the halves, where they are drawn.
            device: Where they are kept.
        """
