"""Networks in PyTorch, against the exact formulas and by what they compute."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import torch.fx
from torch.utils.flop_counter import FlopCounterMode

from harness.errors import SpaceError
from harness.networks.nasbench201 import Cell
from harness.networks.nasbench201 import Network
from harness.networks.nasbench201 import Zero
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from harness.spaces.nasbench201 import OPERATIONS

SPACE = NASBench201Space()
SIDES = {"cifar10": 32, "cifar100": 32, "ImageNet16-120": 16}
CELLS = [*(SPACE.ncode(SPACE.random(np.random.default_rng(i))) for i in range(4)), "000000", "333333"]


def operations(**edges: str) -> dict[str, str]:
    """Of all edges; those not given are absent. ``e03`` is edge 0->3."""
    chosen = {f"{name[1]}->{name[2]}": operation for name, operation in edges.items()}
    return {edge: chosen.get(edge, "none") for edge in SPACE.decisions}


def counted(arch: Architecture, dataset: str, size: dict[str, int] | None) -> tuple[int, int]:
    """Parameters and multiply-accumulates of the network, counted in it."""
    # Shapes without numbers: nothing is computed.
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = SPACE.build_network(arch, dataset, size)
        scores = network(torch.empty(1, 3, SIDES[dataset], SIDES[dataset]))
    assert scores.shape == (1, {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}[dataset])
    # It counts a multiplication and an addition as two.
    flops, odd = divmod(counter.get_total_flops(), 2)
    assert not odd
    return sum(weights.numel() for weights in network.parameters()), flops


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, m: torch.nn.Module, qualified_name: str) -> bool:
        return isinstance(m, Zero) or super().is_leaf_module(m, qualified_name)


def longest_path(network: Network) -> int:
    """Convolution and linear layers on the longest path of the traced graph; 0 where there is no path."""
    depths: dict[torch.fx.Node, int | None] = {}
    for node in _Tracer().trace(network).nodes:
        if node.op == "placeholder":
            depths[node] = 0
            continue
        module = network.get_submodule(node.target) if node.op == "call_module" else None
        before = [depths[source] for source in node.all_input_nodes if depths[source] is not None]
        if isinstance(module, Zero) or not before:
            depths[node] = None
        else:
            depths[node] = max(before) + isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    return depths[node] or 0


@pytest.mark.parametrize(("number", "ncode"), list(enumerate(CELLS)))
def test_nasbench201_has_the_exact_cost(number, ncode):
    dataset = list(SIDES)[number % 3]
    arch = SPACE.from_ncode(ncode)
    cost = SPACE.cost(arch, dataset)
    assert counted(arch, dataset, None) == (cost.parameters, cost.flops)


@pytest.mark.parametrize(("size", "every"), [({"cells": 1}, 1), ({"channels": 3, "cells": 2}, 5)], ids=str)
def test_nasbench201_has_the_exact_cost_at_any_size(size, every):
    rng = np.random.default_rng(0)
    # Only the convolutions of a cell have weights: every number of 1x1 and 3x3 ones, on edges drawn at random.
    mixes = [(small, large) for small in range(7) for large in range(7 - small)]
    for number, (small, large) in list(enumerate(mixes))[::every]:
        dataset = list(SIDES)[number % 3]
        others = rng.choice([0, 1, 4], 6 - small - large).tolist()
        arch = Architecture(rng.permutation([2] * small + [3] * large + others).tolist())
        cost = SPACE.cost(arch, dataset, size)
        assert counted(arch, dataset, size) == (cost.parameters, cost.flops)


@pytest.mark.parametrize("ncode", [*CELLS, "300303", "301010", "000330", "030003"])
def test_depth_is_that_of_the_graph_of_the_network(ncode):
    size = {"channels": 2, "cells": 2}
    arch = SPACE.from_ncode(ncode)
    assert longest_path(SPACE.build_network(arch, "cifar10", size)) == SPACE.cost(arch, "cifar10", size).depth


@pytest.mark.slow
def test_all_networks_have_the_parameters_and_the_depth():
    size = {"cells": 1}
    for arch in SPACE:
        with torch.device("meta"):
            network = SPACE.build_network(arch, "cifar10", size)
        cost = SPACE.cost(arch, "cifar10", size)
        assert sum(weights.numel() for weights in network.parameters()) == cost.parameters
        assert longest_path(network) == cost.depth


def test_nasbench201_of_another_size():
    network = Network(partial(Cell, operations(e03="nor_conv_3x3")), classes=7, channels=4, cells=2)
    cells = [layer for layer in network.features if isinstance(layer, Cell)]
    widths = [cell.edges["0->3"][1].out_channels for cell in cells]
    assert widths == [4, 4, 8, 8, 16, 16]
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 7)


def test_a_cell_sums_the_inputs_of_each_node():
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(Cell(operations(e03="skip_connect"), 4)(x), x)
    assert not Cell(operations(e01="skip_connect", e02="skip_connect"), 4)(x).any()
    doubled = operations(e01="skip_connect", e02="skip_connect", e12="skip_connect", e23="skip_connect")
    assert torch.equal(Cell(doubled, 4)(x), 2 * x)


def test_pooling_counts_no_padding():
    ones = torch.ones(1, 2, 5, 5)
    assert torch.allclose(Cell(operations(e03="avg_pool_3x3"), 2)(ones), ones)


def test_a_convolution_is_activated_before_and_normalised_after():
    cell = Cell(operations(e03="nor_conv_1x1"), 3)
    x = torch.randn(8, 3, 4, 4)
    assert torch.equal(cell(x), cell(x.relu()))
    assert cell(x).mean(dim=(0, 2, 3)).tolist() == pytest.approx([0.0] * 3, abs=1e-5)
    assert cell(x).var(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1.0] * 3, abs=1e-2)


def test_absent_edges_give_zero_gradients_and_not_none():
    network = Network(partial(Cell, operations(e01="nor_conv_1x1")), classes=2, channels=2, cells=1)
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    gradients = [weights.grad for weights in network.parameters()]
    assert all(gradient is not None for gradient in gradients)
    assert not network.features[2].edges["0->1"][1].weight.grad.any()


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="unknown operation 'conv'"):
        Network(partial(Cell, operations(e03="conv")), classes=2)
    with pytest.raises(SpaceError, match="unknown data set 'cifar11', did you mean 'cifar10'"):
        SPACE.build_network(SPACE.from_index(0), "cifar11")
    space = SearchSpace({"a": (1, 2)})
    with pytest.raises(SpaceError, match="'categorical' builds no networks"):
        space.build_network(space.from_index(0), "cifar10")
    assert space.code() is None


def test_code_is_that_of_the_network():
    code = SPACE.code()
    namespace = {}
    exec(compile(code, "code", "exec"), namespace)  # noqa: S102 our own file
    cell = partial(namespace["Cell"], operations())
    assert [type(layer).__name__ for layer in namespace["Network"](cell, 2, 2, 1).features] == [
        type(layer).__name__ for layer in Network(partial(Cell, operations()), 2, 2, 1).features
    ]
    assert all(f'"{operation}"' in code for operation in OPERATIONS)


def test_torch_is_loaded_by_networks_alone():
    lines = [
        "import sys",
        "from harness.benchmarks.proxy import ProxyBenchmark",
        "from harness.spaces import NASBench201Space",
        "ProxyBenchmark('parameters')",
        "NASBench201Space().code()",
        "sys.exit('torch' in sys.modules)",
    ]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], check=False).returncode == 0
