"""Proxies made of the gradient of the loss at initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

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


class SNIP(NetworkProxy):
    """Σ |θ · ∂L/∂θ|: how much the loss depends on the presence of each weight (Lee et al., ICLR 2019, section 4).

    The paper divides the saliency of each weight by their sum, to prune a share of them; a network is scored by the
    sum itself (Abdelfattah et al., ICLR 2021, section 3.2), set up as :class:`GradNorm`. Their code multiplies the
    weights by a mask of ones and differentiates by the mask, which is the same product.
    """

    description = (
        "The saliency of the weights: the absolute product of each weight and the gradient of the loss on one batch "
        "of training images, at initialisation, summed over the convolutions and the classifier."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        weights = [weight for _, weight in probe.weights]
        pairs = zip(weights, probe.gradients, strict=True)
        return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs)


class Plain(NetworkProxy):
    """Σ θ · ∂L/∂θ, with signs: the change of the loss, to first order, when all weights grow in proportion.

    A baseline in the code of Abdelfattah et al. (ICLR 2021), set up as :class:`GradNorm`. A weight that is normalised
    after it does not change the loss by its scale, so its layer adds nothing: the sum is that of the classifier and of
    the convolutions without normalisation. The higher score counts as the better one, as in that code.
    """

    description = (
        "The product of each weight and the gradient of the loss on one batch of training images, at initialisation, "
        "with its sign, summed over the convolutions and the classifier."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        weights = [weight for _, weight in probe.weights]
        pairs = zip(weights, probe.gradients, strict=True)
        return sum(float((weight.detach() * gradient).sum()) for weight, gradient in pairs)


class Fisher(NetworkProxy):
    """Fisher information of the channels: Σ over channels of ½ · mean over images of (Σ over pixels of a · ∂L/∂a)².

    Theis et al. (2018, "Faster gaze prediction with dense networks and Fisher pruning") and Turner et al. (ICLR 2020,
    "BlockSwap") for the saliency of a channel; Abdelfattah et al. (ICLR 2021, section 3.2) for networks.
    The channels a are outputs of convolutions and of the classifier, before normalisation; L is the mean loss of the
    batch, and the rest is as in :class:`GradNorm`. The code of Abdelfattah et al. counts each channel as often as it
    has weights, by way of its interface; here each counts once, as in the papers.
    """

    description = (
        "The Fisher information of the channels: for each output channel of the convolutions and of the classifier, "
        "half the mean over a batch of training images of the squared product of the channel and the gradient of the "
        "loss, summed over its pixels; added over all channels, at initialisation."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        outputs = probe.forward.outputs
        gradients = torch.autograd.grad(
            probe.forward.loss, outputs, retain_graph=True, materialize_grads=True
        )
        total = 0.0
        for output, gradient in zip(outputs, gradients, strict=True):
            images, channels = output.shape[:2]
            per_image = (output.detach() * gradient).reshape(images, channels, -1).sum(dim=2)
            total += float(per_image.square().mean(dim=0).sum()) / 2
        return total


class GraSP(NetworkProxy):
    """-Σ θ · Hg, with g the gradient of the loss and H its Hessian (Wang et al., ICLR 2020, section 4).

    The rate at which half the squared norm of the gradient grows as all weights shrink in proportion. The paper
    removes weights of the highest -θ · Hg; as a score of networks the higher sum is the better one (Abdelfattah et al.,
    ICLR 2021, whose code notes that the other sign correlates negatively). Set up as :class:`GradNorm`, at temperature
    1. Gradient and Hessian are of one batch, as there; the paper takes ten images of each class, and temperature 200.

    A weight that is normalised after it does not change the loss by its scale, so that its layer adds the squared
    norm of its gradient: in such networks GraSP is close to a gradient norm.
    """

    description = (
        "Minus the product of the weights with the Hessian of the loss and its gradient on one batch of training "
        "images, at initialisation, summed over the convolutions and the classifier: how the flow of gradients "
        "depends on the weights."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        weights = [weight for _, weight in probe.weights]
        gradients = torch.autograd.grad(
            probe.forward.loss, weights, create_graph=True, materialize_grads=True
        )
        # The derivative of g · (g held constant) is Hg.
        product = torch.stack([(gradient.detach() * gradient).sum() for gradient in gradients]).sum()
        curved = torch.autograd.grad(product, weights, retain_graph=True, materialize_grads=True)
        pairs = zip(weights, curved, strict=True)
        return sum(-float((weight.detach() * bent).sum()) for weight, bent in pairs)
