"""Zen-Score, against what follows from its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from baselines.zero_cost.probe import Probe
from baselines.zero_cost.zen import STEP
from baselines.zero_cost.zen import RunningZenScore
from baselines.zero_cost.zen import ZenScore
from harness.errors import ScoreError
from harness.spaces import NASBench201Space
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import permute_channels

SPACE = NASBench201Space()
SMALL = {"channels": 4, "cells": 1}


def convolution(inputs: int, outputs: int, kernel: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def probe_of(*blocks: nn.Module) -> Probe:
    width = next(block.out_channels for block in reversed(blocks) if isinstance(block, nn.Conv2d))
    return make_probe(Stack(*blocks, width=width, classes=2), batch=16, side=8, setup=ZenScore.setup)


def test_of_a_linear_network_it_is_the_logarithm_of_what_the_network_makes_of_the_noise():
    probe = probe_of(convolution(3, 5), convolution(5, 4))
    first, second = (weight[:, :, 0, 0] for _, weight in probe.weights[:2])
    noise = torch.einsum("oi,nihw->nohw", second @ first, STEP * probe.batches[1].inputs)
    expected = math.log(float(noise.detach().abs().sum(dim=(1, 2, 3)).mean()))
    assert ZenScore.measure(probe) == pytest.approx(expected, abs=1e-4)


def test_normalisation_of_one_channel_is_compensated():
    plain = ZenScore.measure(probe_of(convolution(3, 1, kernel=3)))
    normalised = ZenScore.measure(probe_of(convolution(3, 1, kernel=3), nn.BatchNorm2d(1)))
    # But for the statistics of the batch, which the noise changes a little.
    assert normalised == pytest.approx(plain, abs=0.02)


@pytest.mark.parametrize("normalised", [False, True])
def test_the_scale_of_weights_counts_whether_it_is_normalised_away_or_not(normalised):
    blocks = [convolution(3, 6, kernel=3)]
    if normalised:
        blocks.append(nn.BatchNorm2d(6))
    probe = probe_of(*blocks)
    before = ZenScore.measure(probe)
    with torch.no_grad():
        probe.weights[0][1].mul_(5)
    assert ZenScore.measure(probe) == pytest.approx(before + math.log(5), abs=1e-3)


def test_the_order_of_channels_does_not_matter():
    probe = probe_of(
        convolution(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), convolution(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
    )
    before = ZenScore.measure(probe)
    permute_channels(probe.network.features[0], probe.network.features[3])
    assert ZenScore.measure(probe) == pytest.approx(before, abs=1e-5)


def test_it_is_the_mean_of_fresh_draws():
    def scored(**settings):
        return ZenScore(size=SMALL, **settings).score(SPACE, SPACE.from_ncode("123412"), "cifar10")

    one, two, three = (scored(repeats=repeats) for repeats in (1, 2, 3))
    second, third = 2 * two - one, 3 * three - 2 * two
    # Three different numbers of one distribution.
    assert len({round(one, 6), round(second, 6), round(third, 6)}) == 3
    assert max(one, second, third) - min(one, second, third) < 5


def test_operations_that_nothing_passes_through_do_not_matter():
    # Nothing reaches node 1, so that 1->2 and 1->3 are convolutions of zeros; and 2->3 is one as well.
    proxy = ZenScore(size=SMALL, repeats=2)
    with_dead_edges, without = (
        proxy.score(SPACE, SPACE.from_ncode(ncode), "cifar10") for ncode in ("003132", "000100")
    )
    assert with_dead_edges == without


def test_a_cell_that_passes_nothing_on_has_no_score():
    with pytest.raises(ScoreError, match="does not depend on the input"):
        ZenScore(size=SMALL, repeats=1).score(SPACE, SPACE.from_ncode("300000"), "cifar10")


class TestRunningAverages:
    def test_the_variance_is_mixed_with_where_it_began(self):
        """0.9² of 1, and of each batch's variance a tenth, the first of which has been kept for one step."""
        probe = probe_of(convolution(3, 1, kernel=3), nn.BatchNorm2d(1))
        score = RunningZenScore.measure(probe)
        x, noise = (batch.inputs for batch in probe.batches)
        first, norm = (probe.network.features[0], probe.network.features[1])
        moved, still = (float(first(inputs).detach().var()) for inputs in (x + STEP * noise, x))
        assert float(norm.running_var) == pytest.approx(0.81 + 0.09 * moved + 0.1 * still, rel=1e-4)
        batch = ZenScore.measure(probe_of(convolution(3, 1, kernel=3), nn.BatchNorm2d(1)))
        difference = math.log(float(norm.running_var) / still) / 2
        assert score == pytest.approx(batch + difference, abs=1e-3)

    def test_a_normalisation_that_nothing_passes_through_counts(self):
        """Edge 1->2 starts at a node of zeros; there is one such normalisation in each of three cells."""
        bare, dead = (SPACE.from_ncode(code) for code in ("000300", "003300"))

        def added(proxy):
            made = proxy(size=SMALL, repeats=1)
            return made.score(SPACE, dead, "cifar10") - made.score(SPACE, bare, "cifar10")

        assert added(ZenScore) == 0
        assert added(RunningZenScore) == pytest.approx(3 * math.log(0.81) / 2, abs=1e-4)
