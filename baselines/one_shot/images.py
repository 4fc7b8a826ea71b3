"""Images to learn from: on the device from the beginning, cut in two halves, augmented in whole batches."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from typing import Any

import torch
from torch.nn import functional

from baselines.one_shot.data import Batch
from baselines.one_shot.data import SearchData
from baselines.one_shot.data import Source
from harness import seeding
from harness.errors import SpecError
from harness.images import load_images

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping

    from torch import Tensor
    from torch import nn

    from baselines.one_shot.data import Half
    from baselines.one_shot.training import Settings
    from harness.images import ImageSet

# Of the side; 4 of 32 pixels, 2 of 16, as the official training of NAS-Bench-201 has it.
_PADDING = 8
# Images of a batch that compares architectures, as in the code released with NAS-Bench-201.
_JUDGED_AT_ONCE = 512


@dataclass(frozen=True)
class ImageSource(Source):
    """The training images of an image set.

    Attributes:
        name: What the image set is called; ``None`` is that of the data set.
        dataset: Data set that networks are for.
        limit: See :class:`ImageData`.
        judged: See :class:`ImageData`.
    """

    name: str | None
    dataset: str
    limit: int | None
    judged: int | None

    @cached_property
    def images(self) -> ImageSet:
        """The image set.

        Raises:
            SpecError: There is none of that name, or not for that data set.
            DataError: It is corrupt.
        """
        return load_images(self.name or self.dataset, self.dataset)

    @property
    def digest(self) -> str:
        return self.images.digest

    @property
    def identity(self) -> Mapping[str, Any]:
        # How many judge is an argument of those methods that ask it.
        return {"images": self.digest, "train_images": self.limit}

    def settings(self, own: Settings, given: Mapping[str, Any]) -> Settings:
        settings = dataclasses.replace(own, **given)
        # A cosine that begins low must not rise.
        last = min(settings.last_learning_rate, settings.learning_rate)
        return dataclasses.replace(settings, last_learning_rate=last)

    def check(self, method: str, batch_size: int) -> None:
        available = len(self.images.train_images)
        used = min(available, self.limit or available)
        if used // 2 < batch_size:
            raise SpecError(
                f"{method}: half of {used:,} training images is less than one batch of {batch_size:,}; lower "
                "batch_size, or use more images."
            )

    def load(self, seed: int, device: torch.device) -> ImageData:
        return ImageData(
            self.images,
            limit=self.limit,
            judged=self.judged,
            seed=seed,
            device=device,
            channels_last=device.type == "cuda",
        )


class ImageData(SearchData):
    """Two halves of the training images: one trains weights, the other judges architectures.

    Test images are never touched. Batches are cropped out of zero padding and flipped at random, as in the published
    searches; what is left over at the end of a pass is not shown. Inputs have the shape (batch, 3, side, side) and are
    normalised; targets are labels, of shape (batch,). Quality is accuracy, in percent.

    Args:
        images: The image set.
        limit: So many training images, drawn evenly, are used; ``None`` uses all.
        judged: So many images of the architecture's half compare architectures, in batches of at most 512; ``None``
            takes all.
        seed: Of the halves.
        device: Where the images are kept.
        channels_last: How batches lie in memory.
    """

    quality_unit = 100.0

    def __init__(
        self,
        images: ImageSet,
        *,
        limit: int | None,
        judged: int | None = None,
        seed: int,
        device: torch.device,
        channels_last: bool = False,
    ) -> None:
        order = seeding.generator(seed, "halves").permutation(len(images.train_images))[:limit]
        half = len(order) // 2
        self.classes = images.classes
        self._judged = half if judged is None else min(judged, half)
        self._device = device
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._levels: dict[Half, Tensor] = {}
        self._labels: dict[Half, Tensor] = {}
        halves: dict[Half, slice] = {"weights": slice(half), "architecture": slice(half, 2 * half)}
        for name, part in halves.items():
            self._levels[name] = torch.from_numpy(images.train_images[order[part]]).to(device)
            self._labels[name] = torch.from_numpy(images.train_labels[order[part]]).to(device)
        mean, std = images.statistics
        self._mean, self._std = torch.from_numpy(mean).to(device), torch.from_numpy(std).to(device)

    def relabelled(self, generator: torch.Generator) -> ImageData:
        """The same halves, with a label for every image that is drawn uniformly from all classes.

        Args:
            generator: Draws them, on the CPU.
        """
        other = copy.copy(self)
        other._labels = {
            half: torch.randint(self.classes, labels.shape, generator=generator).to(self._device)
            for half, labels in self._labels.items()
        }
        return other

    def __len__(self) -> int:
        """Images of each half."""
        return len(self._labels["weights"])

    def steps(self, batch_size: int) -> int:
        return len(self) // batch_size

    def batches(self, half: Half, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        order = torch.randperm(len(self), generator=generator)
        for number in range(self.steps(batch_size)):
            chosen = order[number * batch_size : (number + 1) * batch_size]
            yield self._batch(half, chosen, generator)

    def in_order(self, half: Half, batch_size: int) -> Iterator[Batch]:
        # What is left over would be a batch with statistics of its own.
        for number in range(self.steps(batch_size)):
            yield self._batch(half, torch.arange(number * batch_size, (number + 1) * batch_size), None)

    def some(self, half: Half, count: int, generator: torch.Generator) -> Batch:
        """Random images without augmentation.

        Args:
            half: Which.
            count: How many, at most all.
            generator: Draws them, on the CPU.
        """
        return self._batch(half, torch.randperm(len(self), generator=generator)[:count], None)

    def judged(self, generator: torch.Generator) -> list[Batch]:
        every = self.some("architecture", self._judged, generator)
        parts = math.ceil(self._judged / _JUDGED_AT_ONCE)
        return [
            Batch(*part) for part in zip(every.inputs.chunk(parts), every.targets.chunk(parts), strict=True)
        ]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of class scores."""
        return functional.cross_entropy(outputs, targets)

    def quality(self, results: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Share of images that are classified correctly, in percent."""
        correct = images = 0
        for scores, labels in results:
            correct += int((scores.argmax(dim=1) == labels).sum())
            images += len(labels)
        return 100.0 * correct / images

    def rule(self, weights: list[nn.Parameter], settings: Settings) -> torch.optim.SGD:
        """Stochastic gradient descent with momentum 0.9."""
        return torch.optim.SGD(
            weights,
            lr=settings.learning_rate,
            momentum=0.9,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )

    def _batch(self, half: Half, chosen: Tensor, generator: torch.Generator | None) -> Batch:
        chosen = chosen.to(self._device)
        images = (self._levels[half][chosen].float() / 255 - self._mean) / self._std
        if generator is not None:
            images = _augmented(images, generator)
        return Batch(images.contiguous(memory_format=self._format), self._labels[half][chosen])


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """A crop at a random place of each image in a frame of zeros, flipped with probability one half."""
    count, _, side, _ = images.shape
    frame = side // _PADDING
    places = torch.randint(0, 2 * frame + 1, (2, count), generator=generator)
    flipped = torch.rand(count, generator=generator) < 0.5
    along = torch.arange(side)
    rows = places[0][:, None] + along
    columns = places[1][:, None] + torch.where(flipped[:, None], along.flip(0), along)
    padded = functional.pad(images, (frame,) * 4)
    rows, columns = rows.to(images.device), columns.to(images.device)
    every = torch.arange(count, device=images.device)
    # Where indices surround a slice their dimension comes first.
    return padded[every[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
