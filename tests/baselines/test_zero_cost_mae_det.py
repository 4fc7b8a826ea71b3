"""The entropy of MAE-DET, against networks without rescaling."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from baselines.zero_cost.mae_det import MAEDet
from baselines.zero_cost.probe import Probe
from baselines.zero_cost.probe import make_probes
from harness.errors import ScoreError
from harness.spaces import NASBench201Space
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe
from tests.baselines.tiny_networks import permute_channels
from tests.baselines.tiny_networks import pointwise

SPACE = NASBench201Space()


def probe_of(*blocks: nn.Module, width: int) -> Probe:
    return make_probe(Stack(*blocks, width=width, classes=2), batch=64, side=8, setup=MAEDet.setup)


def test_of_a_linear_network_it_is_the_entropy_of_its_output():
    probe = probe_of(pointwise(3, 64), pointwise(64, 64), nn.ReLU(), width=64)
    first, second = (weight[:, :, 0, 0] for _, weight in probe.weights[:2])
    output = torch.einsum("oi,nihw->nohw", second @ first, probe.batches[0].inputs)
    assert MAEDet.measure(probe) == pytest.approx(math.log(float(output.std())), abs=1e-5)


def test_the_entropy_of_a_wide_network_is_that_of_its_shape():
    # A unit of variance becomes one per input of each convolution, in expectation over the weights.
    probe = probe_of(pointwise(3, 512), pointwise(512, 512), width=512)
    assert MAEDet.measure(probe) == pytest.approx(math.log(3 * 512) / 2, abs=0.1)


@pytest.mark.parametrize("ncode", ["333333", "123412", "000100"])
def test_rescaling_cancels(ncode):
    (probe,) = make_probes(
        SPACE,
        SPACE.from_ncode(ncode),
        "cifar10",
        replace(MAEDet.setup, repeats=1, batch_size=4),
        images="digits",
        seed=0,
        device="cpu",
        size={"channels": 4, "cells": 2},
    )
    score = MAEDet.measure(probe)
    with torch.no_grad():
        # Without rescaling, in a precision whose range is wide enough.
        features = probe.batches[0].inputs.double()
        for block in probe.network.double().features[:-3]:
            features = block(features)
    assert score == pytest.approx(math.log(float(features.std())), abs=1e-4)


def test_nothing_overflows_in_a_deep_network():
    score = MAEDet(size={"channels": 8, "cells": 15}, batch_size=2, repeats=1).score(
        SPACE, SPACE.from_ncode("333333"), "cifar10"
    )
    assert score > math.log(torch.finfo(torch.float32).max)


def test_the_scale_of_weights_counts():
    probe = probe_of(pointwise(3, 4), nn.Sequential(nn.ReLU(), pointwise(4, 4)), width=4)
    before = MAEDet.measure(probe)
    with torch.no_grad():
        probe.weights[0][1].mul_(5)
    assert MAEDet.measure(probe) == pytest.approx(before + math.log(5), abs=1e-5)


def test_the_order_of_channels_does_not_matter():
    inner = pointwise(4, 4)
    probe = probe_of(pointwise(3, 4), nn.Sequential(nn.ReLU(), inner), width=4)
    before = MAEDet.measure(probe)
    permute_channels(probe.network.features[0], inner)
    assert MAEDet.measure(probe) == pytest.approx(before, abs=1e-5)


def test_operations_that_do_not_reach_the_output_do_not_matter():
    proxy = MAEDet(size={"channels": 4, "cells": 1}, repeats=2)
    scores = {proxy.score(SPACE, SPACE.from_ncode(n), "cifar10") for n in ("000100", "003132", "320100")}
    assert len(scores) == 1


def test_a_cell_that_passes_nothing_on_has_no_score():
    with pytest.raises(ScoreError, match="does not depend on the input"):
        MAEDet(size={"channels": 4, "cells": 1}).score(SPACE, SPACE.from_ncode("300000"), "cifar10")
