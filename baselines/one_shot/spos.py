"""Single path one-shot search."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from baselines.one_shot.evolution import Evolutionary
from baselines.one_shot.evolution import EvolvedPaths
from baselines.one_shot.training import Settings

if TYPE_CHECKING:
    from baselines.one_shot.training import Context


class SPOS(Evolutionary):
    """Single path one-shot search (Guo et al., ECCV 2020, sections 3.2 and 3.4).

    Every step trains the weights of one uniformly random architecture. Then architectures evolve, with the accuracy
    that they have with those weights: 20 generations of 50, of which the 10 best breed, by crossover and by mutation in
    equal shares; a mutation draws a decision anew with probability 0.1. These are the paper's settings.

    Differences from the paper, whose space is another and whose data set is ImageNet: the supernet is trained as in
    random search with weight sharing on NAS-Bench-201 (Dong and Yang, ICLR 2020: 250 epochs, batches of 64, learning
    rate 0.025 to 0.001); statistics of batch normalisation are those of the validation batch, and not computed anew
    from training images for every architecture; there are no limits on what an architecture may cost.

    Args:
        judged_images: So many images of the architecture's half compare architectures; ``None`` takes all, as the paper
            does.
        options: See :class:`~baselines.one_shot.evolution.Evolutionary`.

    Raises:
        SpecError: A value is out of range.
    """

    settings = Settings(epochs=250)

    def __init__(self, *, judged_images: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.require(judged_images=judged_images)
        self.judged_images = judged_images

    def method(self, context: Context) -> EvolvedPaths:
        return EvolvedPaths(context, self.breeding, samples=self.samples)
