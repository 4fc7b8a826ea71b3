"""Images of a search: on the device from the beginning, cut in two halves, augmented in whole batches."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Literal

import torch
from torch.nn import functional

from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from harness.images import ImageSet

Half = Literal["weights", "architecture"]

# Of the side; 4 of 32 pixels, 2 of 16, as the official training of NAS-Bench-201 has it.
_PADDING = 8


@dataclass(frozen=True)
class Batch:
    """Images of shape (batch, 3, side, side), normalised, and their labels of shape (batch,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class SearchData:
    """Two halves of the training images: one trains weights, the other judges architectures.

    Test images are never touched. Batches are cropped out of zero padding and flipped at random, as in the published
    searches; what is left over at the end of a pass is not shown.

    Args:
        images: The image set.
        limit: So many training images, drawn evenly, are used; ``None`` uses all.
        seed: Of the halves.
        device: Where the images are kept.
        channels_last: How batches lie in memory.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        limit: int | None,
        seed: int,
        device: torch.device,
        channels_last: bool = False,
    ) -> None:
        order = seeding.generator(seed, "halves").permutation(len(images.train_images))[:limit]
        half = len(order) // 2
        self.classes = images.classes
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

    def relabelled(self, generator: torch.Generator) -> SearchData:
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
        """Whole batches of one pass over a half."""
        return len(self) // batch_size

    def batches(self, half: Half, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """One pass over a half in random order, augmented.

        Args:
            half: Which.
            batch_size: Images of a batch.
            generator: Of order and augmentation, on the CPU.
        """
        order = torch.randperm(len(self), generator=generator)
        for number in range(self.steps(batch_size)):
            chosen = order[number * batch_size : (number + 1) * batch_size]
            yield self._batch(half, chosen, generator)

    def in_order(self, half: Half, batch_size: int) -> Iterator[Batch]:
        """One pass over a half in its order, without augmentation; images beyond the last whole batch are left out."""
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
