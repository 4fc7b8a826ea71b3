"""Synaptic flow: what passes through a network without data."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.func import functional_call

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.probe import Setup
from harness.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence

    from torch import Tensor
    from torch import nn

    from baselines.zero_cost.probe import Probe


class SynFlow(NetworkProxy):
    """log Σ θ · ∂R/∂θ, with R the sum of the class scores of an image of ones under absolute weights.

    Tanaka et al. (NeurIPS 2020) for the saliency of a weight; Abdelfattah et al. (ICLR 2021, section 3.2)
    for networks: no batch normalisation, double precision, default initialisation. R is a sum over all paths from an
    input to an output of the products of their weights, so Σ θ · ∂R/∂θ counts each path as often as it has weights.

    The sum grows exponentially with the depth: the logarithm, which NAS-Bench-Suite-Zero (2022) keeps too, ranks
    alike. Activations are kept in range by powers of two that are added to the logarithm, so nothing overflows, and
    what would not overflow anyway is not changed. Biases count as zero; that of the classifier, the only one in
    NAS-Bench-201, changes no gradient. RZ-NAS's code (2025) keeps batch normalisation, and turns the sign.
    """

    description = (
        "The synaptic flow: with every weight replaced by its absolute value, without batch normalisation, and with an "
        "image of ones, the product of each weight and the gradient of the summed class scores, added over the "
        "convolutions and the classifier; its logarithm."
    )
    setup = Setup(normalisation=False, inputs="ones", batch_size=1, double=True)

    @staticmethod
    def measure(probe: Probe) -> float:
        weights = {name: weight.detach().abs().requires_grad_() for name, weight in probe.weights}
        others = {
            name: torch.zeros_like(parameter)
            for name, parameter in probe.network.named_parameters()
            if name not in weights
        }
        with _kept_in_range(probe.trunk) as powers:
            scores = functional_call(probe.network, weights | others, probe.batches[0].inputs)
        gradients = torch.autograd.grad(scores.sum(), list(weights.values()), materialize_grads=True)
        pairs = zip(weights.values(), gradients, strict=True)
        flow = sum(float((weight.detach() * gradient).sum()) for weight, gradient in pairs)
        if flow == 0:
            raise ScoreError("nothing flows from the input to the output, and zero has no logarithm.")
        return math.log(flow) + sum(powers) * math.log(2)


@contextmanager
def _kept_in_range(blocks: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Scale the output of each block to a maximum between 1/2 and 1, by powers of two, which are exact.

    Without biases and normalisation, what follows a block is proportional to its output. So the powers, which this
    gives, are those that the class scores and their gradients lack.
    """
    powers: list[int] = []

    def scale(block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        _, power = math.frexp(float(output.detach().max()))
        powers.append(power)
        return output * 2.0**-power

    handles = [block.register_forward_hook(scale) for block in blocks]
    try:
        yield powers
    finally:
        for handle in handles:
            handle.remove()
