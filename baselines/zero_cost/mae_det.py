"""Entropy of the last feature map (MAE-DET)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.probe import Setup
from harness.errors import ScoreError

if TYPE_CHECKING:
    from baselines.zero_cost.probe import Probe


class MAEDet(NetworkProxy):
    """Differential entropy of the last feature map (Sun et al., ICML 2022, "MAE-DET", section 3).

    ½ log Var(hᴰ) + Σ log γˡ, up to a constant, for Gaussian weights and inputs without batch normalisation. hᴰ is the
    last feature map before its activation; Var is over all of its elements. γˡ is what block l is divided by, so that
    nothing overflows: its standard deviation. The network is positively homogeneous, so that the γˡ cancel: the score
    is the logarithm of the standard deviation that hᴰ would have without them. Weights and inputs from N(0, 1),
    32 inputs, mean of 4 draws, as in the released code.

    What is different here:

    * The paper weighs the entropies of several stages for detection (0, 0, 1, 1, 6). For classification only the last
      one is taken, as in RZ-NAS (Ji et al. 2025, equation 7).
    * The released code leaves out activations and residual links, rescales after every convolution, and takes the
      logarithm of the number of channels for that of the variance. Here the network is measured as it is trained but
      for its normalisation, and rescaled where it is one chain: between stem, cells and reductions. Between the
      paths of a cell the γˡ would not cancel.
    """

    setup = Setup(initialisation="normal", normalisation=False, inputs="noise", batch_size=32, repeats=4)
    description = (
        "The differential entropy of the last feature map of a network with Gaussian weights, without batch "
        "normalisation, for Gaussian inputs: the logarithm of its standard deviation."
    )

    @staticmethod
    @torch.no_grad()
    def measure(probe: Probe) -> float:
        h = probe.batches[0].inputs
        score = 0.0
        for block in probe.trunk:
            if isinstance(block, nn.ReLU):
                # The only one between blocks is the last activation.
                break
            h = block(h)
            gamma = float(h.std())
            if gamma == 0:
                raise ScoreError("the last feature map does not depend on the input.")
            h = h / gamma
            score += math.log(gamma)
        return score + math.log(float(h.var())) / 2
