"""ZiCo: gradients that are large, and alike on different images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.probe import Setup
from harness.errors import ScoreError

if TYPE_CHECKING:
    from baselines.zero_cost.probe import Probe


class ZiCo(NetworkProxy):
    """Inverse coefficient of variation of gradients (Li et al., ICLR 2023, "ZiCo", equation 14).

    Σ over convolutions and the classifier of log Σ over their weights of mean |g| / std |g|, where mean and standard
    deviation are over the gradients g of the loss on two batches of 128 training images. Default initialisation,
    training mode, cross-entropy. Weights whose |g| does not vary are left out, and so are layers without others, such
    as those that nothing passes through.

    What is different here: the released code takes the standard deviation of g with its sign, and it never sets the
    gradients back to zero, so that the second is the sum of both. Here are the paper's definition, which is also
    equation 6 of RZ-NAS (Ji et al. 2025), and the gradient of each batch alone. Images are not augmented.
    """

    setup = Setup(batch_size=128, batches=2)
    description = (
        "For every weight, the mean of its absolute gradient over two batches of training images, divided by its "
        "standard deviation; summed over the weights of a layer, and the logarithms summed over layers."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        gradients = zip(*(probe.gradients_on(batch) for batch in probe.batches), strict=True)
        score, layers = 0.0, 0
        for of_layer in gradients:
            sizes = torch.stack(of_layer).abs()
            mean, deviation = sizes.mean(dim=0), sizes.std(dim=0, correction=0)
            varies = deviation > 0
            if varies.any():
                score += math.log(float((mean[varies] / deviation[varies]).sum()))
                layers += 1
        if layers == 0:
            raise ScoreError(
                "no weight has a gradient that differs between batches: nothing of the input matters."
            )
        return score
