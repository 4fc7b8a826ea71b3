"""Zen-Score: how strongly a network without trained weights answers to its input."""

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

#: Size of the step in the input, "gamma" in the code of the paper.
STEP = 1e-2


class ZenScore(NetworkProxy):
    """Zen-Score (Lin et al., ICCV 2021, "Zen-NAS", Algorithm 1).

    log E‖f(x + 0.01 ε) - f(x)‖ + Σ over batch normalisations of log √(variance over the batch, mean over channels),
    where f is the feature map before it is pooled, and x and ε are noise N(0, 1). Normalisation divides the signal by
    that root; the sum puts it back. Weights from N(0, 1), biases 0, training mode, 16 inputs, mean of 32 draws of
    weights and inputs: the defaults of the paper's ``compute_zen_score.py``. Its search uses one draw.

    As in the paper's code, and unlike its text, the norm is that of L1 and the expectation is inside the logarithm.
    What is different here:

    * Variances are those of the batch x. The code reads running averages, which remember earlier draws.
    * A normalisation whose input does not vary has no logarithm, and is left out: nothing passes through it. The
      code's running averages give it a number that depends on how many draws there were.
    * The paper's networks lose their residual links before they are measured. In a NAS-Bench-201 cell a
      ``skip_connect`` is a choice that is to be scored, so the network is measured as it is trained, its reduction
      blocks' shortcuts included. Along several paths the compensation is no longer exact.
    """

    setup = Setup(initialisation="normal", inputs="noise", batch_size=16, batches=2, repeats=32)
    description = (
        "How much the last feature map of a network with Gaussian weights changes when noise is added to its Gaussian "
        "input, on a logarithmic scale, with the scale that every batch normalisation takes away put back."
    )

    @staticmethod
    @torch.no_grad()
    def measure(probe: Probe) -> float:
        # A "running" variance of momentum 1 is that of the last batch, which is x.
        change, variances = _passed(probe, momentum=1.0)
        return math.log(change) + sum(math.log(variance) / 2 for variance in variances if variance > 0)


class RunningZenScore(ZenScore):
    """Zen-Score as its code computes it in a search: with running averages of the variances, from one draw.

    As :class:`ZenScore`, but for the variances of batch normalisation, which are those that PyTorch keeps: they begin
    at 1 and move by a tenth towards the variance of each of the two batches, so that after one draw they are 0.81 and
    0.19 of it. A normalisation that nothing passes through has 0.81. On NAS-Bench-201, where many edges lead nowhere,
    that ranks cells differently, and about as RZ-NAS (Table 3) reports for Zen-NAS; see ``docs/rankings.md``.
    """

    setup = Setup(initialisation="normal", inputs="noise", batch_size=16, batches=2)

    @staticmethod
    @torch.no_grad()
    def measure(probe: Probe) -> float:
        change, variances = _passed(probe, momentum=0.1)
        return math.log(change) + sum(math.log(variance) / 2 for variance in variances)


def _passed(probe: Probe, momentum: float) -> tuple[float, list[float]]:
    """How much the feature map changes, and the mean variance of every batch normalisation.

    Raises:
        ScoreError: It does not change at all.
    """
    normalisations = [layer for layer in probe.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in normalisations:
        layer.momentum = momentum
    x, noise = (batch.inputs for batch in probe.batches)
    answer = probe.feature_map(x + STEP * noise) - probe.feature_map(x)
    change = float(answer.abs().sum(dim=(1, 2, 3)).mean())
    if change == 0:
        raise ScoreError("the last feature map does not depend on the input.")
    return change, [float(layer.get_buffer("running_var").mean()) for layer in normalisations]
