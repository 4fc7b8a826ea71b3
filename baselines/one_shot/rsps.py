"""Random search with weight sharing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.one_shot.paths import BestOfSamples
from baselines.one_shot.paths import PathTraining
from baselines.one_shot.training import Settings

if TYPE_CHECKING:
    from baselines.one_shot.training import Context


class RSPS(BestOfSamples):
    """Random search with parameter sharing (Li and Talwalkar, UAI 2019, section 3).

    Every step trains the weights of one uniformly random architecture; of random architectures, the one of the highest
    accuracy with those weights is returned. Settings are those of Dong and Yang (ICLR 2020) on NAS-Bench-201: 250
    epochs, batches of 64, learning rate 0.025 to 0.001 along a cosine, weight decay 0.0005, Nesterov momentum 0.9, and
    the best of 100.

    Differences from the code released with the paper: that draws 1,000 architectures, compares them on one batch each,
    and the best of these on the whole validation set; here all are compared once, on the same images. Its cells keep
    two edges of every node, those of NAS-Bench-201 all.

    Its arguments are those of :class:`~baselines.one_shot.paths.BestOfSamples`.
    """

    settings = Settings(epochs=250)

    def method(self, context: Context) -> PathTraining:
        return PathTraining(context, samples=self.samples)
