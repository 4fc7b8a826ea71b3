"""The NAS-Bench-201 search space, against what its paper and its official files say."""

from __future__ import annotations

import bz2
import pickle
from pathlib import Path

import jsonschema
import pytest

from harness.errors import SpaceError
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace

NB201 = Path(__file__).resolve().parents[3] / "shared" / "data" / "nb201"
SPACE = NASBench201Space()
CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
PREFIXES = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
CELL_0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"


@pytest.fixture(scope="module")
def official():
    """One row per cell, in the official order."""
    path = NB201 / "nb201_core.parquet"
    if not path.exists():
        pytest.skip(f"the table of all cells is absent: {path}")
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pydict()


def test_decisions_are_in_the_order_of_the_string():
    assert tuple(SPACE.decisions) == ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
    assert SPACE.ncode(SPACE.parse(CELL_0)) == "421211"
    assert SPACE.params(SPACE.parse(CELL_0))["0->2"] == "nor_conv_1x1"


def test_every_architecture_is_printed_and_read_back():
    assert SPACE.size == 15_625
    for rank, arch in enumerate(SPACE):
        assert SPACE.parse(SPACE.format(arch)) == arch
        assert SPACE.from_ncode(SPACE.ncode(arch)) == arch
        assert SPACE.index(arch) == rank == SearchSpace.index(SPACE, arch)


def test_white_space_around_a_string_is_ignored():
    assert SPACE.parse(f"  {CELL_0}\n") == SPACE.parse(CELL_0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 node"),
        ("nonsense", "1 node"),
        (CELL_0 + "+|none~0|", "4 node"),
        (CELL_0.replace("~2", "~1"), "'skip_connect~1' into node 3 should be 'op~2'"),
        (CELL_0.replace("avg_pool_3x3", "avg_pool_5x5"), "did you mean 'avg_pool_3x3'"),
        (CELL_0.replace("|avg_pool_3x3~0|", "avg_pool_3x3~0"), "inputs of node 1"),
        (CELL_0.replace("|avg_pool_3x3~0|", "||"), "inputs of node 1"),
        (CELL_0.replace("nor_conv_1x1~0|skip_connect~1|+", "nor_conv_1x1~0|+"), "node 2 has 1 input"),
        (CELL_0.replace("avg_pool_3x3~0", "avg_pool_3x3"), "should be 'op~0'"),
    ],
)
def test_what_is_no_architecture_is_named(text, says):
    with pytest.raises(SpaceError, match=says):
        SPACE.parse(text)


@pytest.mark.parametrize("arch", [(0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 5), (0, 0, 0, 0, 0, -1), (), ([0],)])
def test_index_refuses_what_is_no_architecture(arch):
    with pytest.raises(SpaceError, match="no architecture of nasbench201"):
        SPACE.index(Architecture(arch))


def test_there_are_6466_classes_each_represented_by_its_first_member():
    first = {}
    for rank, arch in enumerate(SPACE):
        representative = SPACE.canonical(arch)
        assert SPACE.canonical(representative) == representative
        assert SPACE.index(representative) == first.setdefault(representative, rank)
    assert len(first) == 6_466


def test_classes_are_the_official_ones(official):
    pairs = {
        (SPACE.canonical(SPACE.parse(text)), number)
        for text, number in zip(official["arch_str"], official["unique_class"], strict=True)
    }
    assert len(pairs) == len({number for _, number in pairs}) == 6_466


def test_skip_connections_and_zeros_are_seen_through():
    through_node_1 = SPACE.parse("|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|")
    direct = SPACE.parse("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    assert SPACE.canonical(through_node_1) == SPACE.canonical(direct)
    assert SPACE.canonical(direct) != SPACE.canonical(SPACE.parse(CELL_0))


@pytest.mark.parametrize(
    ("dataset", "parameters", "flops"),
    [
        ("cifar10", 129_306, 15_647_360),
        ("cifar100", 135_156, 15_653_120),
        ("ImageNet16-120", 136_456, 3_919_360),
    ],
)
def test_costs_of_the_first_official_cell(dataset, parameters, flops):
    cost = SPACE.cost(SPACE.parse(CELL_0), dataset)
    assert (cost.parameters, cost.flops) == (parameters, flops)


@pytest.mark.parametrize("dataset", CLASSES)
def test_costs_of_all_cells_are_exact(official, dataset):
    prefix = PREFIXES[dataset]
    for text, parameters, flops in zip(
        official["arch_str"], official[f"{prefix}_params_M"], official[f"{prefix}_flops_M"], strict=True
    ):
        cost = SPACE.cost(SPACE.parse(text), dataset)
        assert (cost.parameters, cost.flops) == (round(parameters * 1e6), round(flops * 1e6))


@pytest.mark.parametrize("number", [0, 11, 284])
def test_costs_are_those_of_the_official_archive(number):
    path = NB201 / "nats_tss_3_cells" / f"{number:06d}.pickle.pbz2"
    if not path.exists():
        pytest.skip(f"the genuine cells are absent: {path}")
    with bz2.open(path) as file:
        state = pickle.load(file)["200"]  # noqa: S301 (our own copy)
    arch = SPACE.parse(state["arch_str"])
    for dataset, classes in CLASSES.items():
        run = state["all_results"][dataset, 888]
        cost = SPACE.cost(arch, dataset)
        assert cost.parameters == round(run["params"] * 1e6)
        # The archive's counter takes the bias of the classifier for one operation per class.
        assert cost.flops + classes == round(run["flop"] * 1e6)


@pytest.mark.parametrize(
    ("cell", "depth"),
    [
        # Nothing reaches the output, though convolutions may lie on the way.
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 0),
        ("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|none~2|", 0),
        ("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|", 0),
        # Stem, two convolutions of each of the two residual blocks, classifier.
        (
            "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
            6,
        ),
        ("|none~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|", 6),
        # And one, two or three in each of the 15 cells.
        ("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|", 21),
        ("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|", 21),
        ("|none~0|+|nor_conv_3x3~0|none~1|+|nor_conv_3x3~0|none~1|nor_conv_1x1~2|", 36),
        ("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|", 51),
        ("|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|", 36),
    ],
)
def test_depth_counts_the_layers_of_the_longest_path(cell, depth):
    assert SPACE.cost(SPACE.parse(cell), "cifar10").depth == depth
    assert SPACE.cost(SPACE.parse(cell), "ImageNet16-120").depth == depth


def test_depth_of_all_cells_is_that_of_their_longest_path():
    paths = [("0->3",), ("0->1", "1->3"), ("0->2", "2->3"), ("0->1", "1->2", "2->3")]
    for arch in SPACE:
        cell = SPACE.params(arch)
        along = [[cell[edge] for edge in path] for path in paths]
        layers = [sum("conv" in op for op in operations) for operations in along if "none" not in operations]
        assert SPACE.cost(arch, "cifar10").depth == (6 + 15 * max(layers) if layers else 0)


def test_costs_of_another_size():
    cell = SPACE.parse(CELL_0)
    assert SPACE.cost(cell, "cifar10", {"channels": 16, "cells": 5}) == SPACE.cost(cell, "cifar10")
    # By hand, at 2 channels and one cell, with two 1x1 convolutions: on an edge of c channels one has c² + 2c.
    edges = 2 * sum(c * c + 2 * c for c in (2, 4, 8))
    blocks = sum(9 * c * 2 * c + 4 * c + 9 * 4 * c * c + 4 * c + 2 * c * c for c in (2, 4))
    small = SPACE.cost(cell, "cifar100", {"channels": 2, "cells": 1})
    assert small.parameters == (27 * 2 + 4) + edges + blocks + 16 + 9 * 100
    assert small.depth == 6 + 3
    with pytest.raises(
        SpaceError, match="unknown size of a network of 'nasbench201' 'cell', did you mean 'cells'"
    ):
        SPACE.cost(cell, "cifar10", {"cell": 1})


def test_cost_of_an_unknown_data_set_names_the_known_ones():
    with pytest.raises(SpaceError, match="did you mean 'cifar10'"):
        SPACE.cost(SPACE.parse(CELL_0), "cifar-10")


def test_neighbours_differ_in_one_edge():
    arch = SPACE.parse(CELL_0)
    neighbours = SPACE.neighbours(arch)
    assert len(set(neighbours)) == 24
    assert all(sum(a != b for a, b in zip(arch, other, strict=True)) == 1 for other in neighbours)


def test_description_names_every_edge_and_operation():
    text = SPACE.describe()
    assert all(edge in text for edge in SPACE.decisions)
    assert all(operation in text for operation in SPACE.decisions["0->1"])
    assert "15,625" in text


def test_replies_that_fit_the_schema_are_architectures():
    reply = SPACE.params(SPACE.parse(CELL_0))
    jsonschema.validate(reply, SPACE.json_schema())
    assert SPACE.architecture(reply) == SPACE.parse(CELL_0)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(reply | {"0->1": "max_pool_3x3"}, SPACE.json_schema())
