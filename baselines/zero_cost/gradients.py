"""Proxies made of the gradient of the loss at initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.zero_cost.base import NetworkProxy

if TYPE_CHECKING:
    from baselines.zero_cost.probe import Probe


class GradNorm(NetworkProxy):
    """Sum over layers of the Euclidean norm of the loss gradient (Abdelfattah et al., ICLR 2021, section 3.2).

    One batch of 64 training images, default initialisation, training mode, cross-entropy; weights of convolutions
    and of the classifier, as in the code of the paper. Its images are augmented (crop and flip); here they are not.
    RZ-NAS's code (2025) draws images and labels at random and weights from N(0, 1).
    """

    description = (
        "The norm of the gradient of the loss on one batch of training images, at initialisation, summed over the "
        "convolutions and the classifier."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        return sum(float(gradient.norm()) for gradient in probe.gradients)
