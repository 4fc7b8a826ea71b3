"""TE-NAS's proxies, against kernels and regions that are known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.func import jacrev

from baselines.zero_cost.probe import Batch
from baselines.zero_cost.probe import Probe
from baselines.zero_cost.probe import make_probes
from baselines.zero_cost.te_nas import LinearRegions
from baselines.zero_cost.te_nas import NTKConditionNumber
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from tests.baselines.tiny_networks import Stack
from tests.baselines.tiny_networks import make_probe

SPACE = NASBench201Space()


def probe_of(proxy: type, ncode: str, **changes) -> Probe:
    (probe,) = make_probes(
        SPACE,
        SPACE.from_ncode(ncode),
        "cifar10",
        replace(proxy.setup, repeats=1, **changes),
        images="digits",
        seed=0,
        device="cpu",
        size=proxy.source_size,
    )
    return probe


def regions(ncode: str, *batches: torch.Tensor) -> float:
    probe = probe_of(LinearRegions, ncode)
    probe.batches = [Batch(inputs.double(), torch.zeros(len(inputs))) for inputs in batches]
    return LinearRegions.measure(probe)


# Every choice of signs of the nine pixels, with mean 0 in each.
SIGNS = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=9))).reshape(-1, 1, 3, 3)


def test_the_kernel_of_a_linear_network_is_that_of_its_inputs():
    network = Stack(width=8, classes=3)
    probe = make_probe(network, channels=8, setup=NTKConditionNumber.setup)
    # The gradient of the sum of the scores of an image is the pooled image, once for each class.
    pooled = probe.batches[0].inputs.double().mean(dim=(2, 3)).numpy()
    assert NTKConditionNumber.measure(probe) == pytest.approx(np.linalg.cond(pooled @ pooled.T), rel=1e-4)


def test_it_is_the_condition_number_of_the_kernel_of_all_weights():
    probe = probe_of(NTKConditionNumber, "132413", batch_size=6)
    score = NTKConditionNumber.measure(probe)
    network = probe.network.double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    weights = {name: w for name, w in network.named_parameters() if name.endswith("weight")}
    images = probe.batches[0].inputs.double()
    rows = jacrev(lambda w: functional_call(network, w, images).sum(dim=1))(weights)
    jacobian = torch.cat([part.detach().flatten(1) for part in rows.values()], dim=1)
    eigenvalues = torch.linalg.eigvalsh(jacobian @ jacobian.T)
    assert score == pytest.approx(float(eigenvalues[-1] / eigenvalues[0]), rel=1e-3)
    assert not NTKConditionNumber.higher_is_better


def test_a_singular_kernel_has_no_condition_number():
    probe = make_probe(Stack(width=8, classes=3), channels=8, setup=NTKConditionNumber.setup)
    probe.batches[0].inputs[1] = -2 * probe.batches[0].inputs[0]
    with pytest.raises(ScoreError, match="singular"):
        NTKConditionNumber.measure(probe)


def test_a_cell_that_passes_nothing_on_has_no_condition_number():
    with pytest.raises(ScoreError, match="singular"):
        NTKConditionNumber.measure(probe_of(NTKConditionNumber, "300000", batch_size=4))


@pytest.mark.parametrize("ncode", ["003132", "320100"])
def test_operations_that_do_not_reach_the_output_are_no_part_of_the_kernel(ncode):
    with_dead_edges, without = (
        NTKConditionNumber.measure(probe_of(NTKConditionNumber, n, batch_size=6)) for n in (ncode, "000100")
    )
    assert with_dead_edges == pytest.approx(without, rel=1e-5)


def test_a_skip_connection_cuts_once_at_the_mean_of_every_pixel():
    assert regions("000100", SIGNS) == 2**9
    # In between nothing is cut.
    assert regions("000100", torch.cat([SIGNS, 0.5 * SIGNS])) == 2**9
    assert regions("000100", SIGNS[:7], SIGNS[:7]) == regions("000100", SIGNS[:7])


def test_a_convolution_cuts_where_its_inputs_are_zero_and_where_its_outputs_have_their_mean():
    inputs = torch.linspace(-1, 1, 1_000)[:, None, None, None].expand(-1, 1, 3, 3)
    # All pixels are one number x. A 1x1 convolution gives w·max(x, 0), whose mean over the batch is w/4: but for
    # rounding, it cuts the line at 0 and at 1/4.
    assert regions("000200", inputs) == 3


def test_a_cell_that_passes_nothing_on_has_the_region_of_a_constant():
    assert regions("000000", SIGNS) == 1


def test_regions_are_counted_over_patches_of_the_images():
    probe = probe_of(LinearRegions, "333333", batch_size=50)
    assert [batch.inputs.shape for batch in probe.batches] == [(50, 1, 3, 3)] * 3
    assert 1 < LinearRegions.measure(probe) <= 150


def test_more_convolutions_cut_more():
    counts = [
        LinearRegions(images="digits").score(SPACE, SPACE.from_ncode(n), "cifar10")
        for n in ("000000", "000100", "000300", "333333")
    ]
    assert counts == sorted(counts)
    assert counts[-1] <= 3_000


@pytest.mark.parametrize(
    ("space", "size", "message"),
    [
        (SearchSpace({"a": (1, 2)}), None, "search space 'categorical' has none"),
        (SPACE, {"channels": 2}, "`channels` must be 1"),
        (SPACE, {"width": 1}, "width"),
    ],
)
def test_networks_that_cannot_be_counted_are_refused(space, size, message):
    with pytest.raises(SpecError, match=message):
        LinearRegions(size=size, images="digits").check(space, "cifar10")
