"""The search space of ISTS, against what its paper says and what its networks are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import jsonschema
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness import registry
from harness.errors import SpaceError
from harness.forecasting.partition import protocol
from harness.networks.initialisation import fresh
from harness.networks.spatial_temporal import Graph
from harness.spaces.ists import ISTSSpace
from harness.traffic import load_traffic
from harness.traffic.importing import import_traffic
from tests.harness.forecasting import TINY
from tests.harness.forecasting import ring
from tests.harness.forecasting import waves
from tests.harness.traffic_files import write_npz

if TYPE_CHECKING:
    from pathlib import Path

SPACE = ISTSSpace()
# Batch size, hidden size, attention dimension, attention heads, FFN dimension, graph order, dropout.
TABLE_C7 = {
    "pems-03": (16, 32, 32, 8, 64, 2, 0.1),
    "pems-04": (16, 64, 64, 8, 64, 2, 0.1),
    "pems-08": (32, 64, 64, 8, 64, 2, 0.1),
    "pems-bay": (16, 64, 64, 8, 256, 2, 0.1),
    "metr-la": (16, 64, 64, 8, 256, 2, 0.1),
}
SIZES = [
    TINY,
    {"channels": 3, "attention": 8, "heads": 4, "feed_forward": 5, "order": 3},
    {"channels": 10, "attention": 2, "heads": 1, "feed_forward": 1, "order": 2},
]
KINDS = ["000000", "111111", "222222", "012210"]


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Imports a few sensors of a published data set; returns what the traffic set is called."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))

    def make(dataset: str, sensors: int = 3) -> str:
        file = write_npz(tmp_path / f"{dataset}.npz", data=waves(90, sensors), adjacency=ring(sensors))
        import_traffic(file, dataset=dataset, name=f"some-of-{dataset}")
        return f"some-of-{dataset}"

    return make


def counted(ncode: str, dataset: str, size: dict[str, int] | None) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of one forecast, counted in the network."""
    network = fresh(lambda: SPACE.build_network(SPACE.from_ncode(ncode), dataset, size), 0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 2, load_traffic(dataset).sensors, 12))
    # It counts a multiplication and an addition as two.
    flops, odd = divmod(counter.get_total_flops(), 2)
    assert not odd
    return sum(weights.numel() for weights in network.parameters()), flops


# What the decisions are.


def test_six_layers_of_three_cells() -> None:
    assert registry.load("space", "ists") is ISTSSpace
    # Table D.8: node 1 is joined to node 2 by layer 1, to node 3 by layer 2, and so on; the first is node 0 here.
    assert tuple(SPACE.decisions) == ("0->1", "0->2", "0->3", "1->2", "1->3", "2->3")
    assert SPACE.operations == ("stp", "stt", "tts")
    assert SPACE.size == 729
    assert (SPACE.nodes, SPACE.absent, SPACE.identity) == (4, None, None)


def test_every_architecture_is_printed_and_read_back() -> None:
    texts = set()
    for rank, arch in enumerate(SPACE):
        text = SPACE.format(arch)
        texts.add(text)
        assert SPACE.parse(text) == SPACE.parse(f" {text}\n") == arch
        assert SPACE.from_ncode(SPACE.ncode(arch)) == arch
        assert SPACE.architecture(SPACE.params(arch)) == arch
        assert SPACE.index(arch) == rank
    assert len(texts) == 729


def test_the_round_1_of_table_f10_is_an_architecture() -> None:
    names = {
        "spatial-temporal-parallel": "stp",
        "spatial-then-temporal": "stt",
        "temporal-then-spatial": "tts",
    }
    reply = [
        "spatial-temporal-parallel",
        "temporal-then-spatial",
        "spatial-then-temporal",
        "spatial-temporal-parallel",
        "temporal-then-spatial",
        "spatial-then-temporal",
    ]
    arch = SPACE.parse("|".join(names[cell] for cell in reply))
    assert SPACE.ncode(arch) == "021021"
    assert SPACE.params(arch)["0->2"] == "tts"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"has 1 cell\(s\); legal are six"),
        ("stp|stt|tts|stp|stt", r"has 5 cell\(s\)"),
        ("stp|stt|tts|stp|stt|tts|stp", r"has 7 cell\(s\)"),
        (
            "stp|stt|tts|stp|stt|gru",
            r"'gru' is no choice of decision '2->3'; legal are \('stp', 'stt', 'tts'\)",
        ),
        ("STP|stt|tts|stp|stt|tts", "'STP' is no choice of decision '0->1'"),
        ("stp||tts|stp|stt|tts", "'' is no choice of decision '0->2'"),
    ],
)
def test_what_is_no_architecture_is_named(text: str, says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        SPACE.parse(text)


def test_replies_that_fit_the_schema_are_architectures() -> None:
    jsonschema.validate(SPACE.params(SPACE.from_index(700)), SPACE.json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(dict.fromkeys(SPACE.decisions, "gru"), SPACE.json_schema())


def test_the_description_has_what_a_model_must_know() -> None:
    text = SPACE.describe()
    for word in (
        "729",
        "0->1, 0->2, 0->3, 1->2, 1->3, 2->3",
        *(f"- {cell} ({i})" for i, cell in enumerate(SPACE.operations)),
    ):
        assert word in text
    # Its example is one.
    example = text.rpartition(" ")[2].rstrip(".")
    assert SPACE.format(SPACE.parse(example)) == example
    # The code that a model may be shown is that of the networks.
    compile(SPACE.code() or "", "code", "exec")
    assert "class SpatialTemporalCell" in (SPACE.code() or "")


def test_no_two_architectures_compute_the_same() -> None:
    # What the last node is, as a term: sums commute, and a cell applies what its kind does. Weights of equal kinds may
    # be exchanged.
    def term(arch: tuple[int, ...]) -> object:
        nodes: dict[int, list[object]] = {0: ["input"], 1: [], 2: [], 3: []}
        for (source, target), kind in zip(SPACE.edges, arch, strict=True):
            arriving = frozenset(Counter(nodes[source]).items())
            nodes[target].append((kind, arriving))
        return frozenset(Counter(nodes[3]).items())

    assert len({term(arch) for arch in SPACE}) == 729
    assert all(SPACE.canonical(arch) == arch for arch in SPACE)


# What the networks cost.


@pytest.mark.parametrize("size", [*SIZES, None], ids=str)
@pytest.mark.parametrize("ncode", KINDS)
def test_costs_are_those_of_the_network(ncode: str, size: dict[str, int] | None) -> None:
    cost = SPACE.cost(SPACE.from_ncode(ncode), "synthetic", size)
    assert (cost.parameters, cost.flops) == counted(ncode, "synthetic", size)
    assert cost.depth is None


def test_costs_with_other_sensors(part) -> None:
    dataset = part("metr-la", sensors=7)
    cost = SPACE.cost(SPACE.from_ncode("012012"), dataset, TINY)
    assert (cost.parameters, cost.flops) == counted("012012", dataset, TINY)


def test_costs_of_a_sparse_graph_are_as_if_all_its_edges_were_there(part) -> None:
    dataset = part("metr-la", sensors=40)
    assert Graph(load_traffic(dataset)).sparse
    cost = SPACE.cost(SPACE.from_ncode("012012"), dataset, TINY)
    # What counts in the network looks at shapes.
    assert (cost.parameters, cost.flops) == counted("012012", dataset, TINY)


def test_architectures_of_as_many_cells_of_each_kind_cost_the_same() -> None:
    costs = {SPACE.cost(SPACE.from_ncode(code), "synthetic") for code in ("001122", "221100", "012012")}
    assert len(costs) == 1
    of_each = {SPACE.cost(arch, "synthetic", TINY).parameters for arch in SPACE}
    # At equal channels and attention the cells stt and tts have as many parameters: how many stp decides.
    assert len(of_each) == 7


# What is built for a data set.


@pytest.mark.parametrize("dataset", TABLE_C7)
def test_sizes_of_table_c7(dataset: str, part) -> None:
    name = part(dataset)
    batch, hidden, attention, heads, feed_forward, order, dropout = TABLE_C7[dataset]
    assert dict(SPACE.usual_size(name)) == {
        "channels": hidden,
        "attention": attention,
        "heads": heads,
        "feed_forward": feed_forward,
        "order": order,
    }
    assert protocol(dataset).batch_size == batch
    network = SPACE.build_network(SPACE.from_ncode("012012"), name)
    cell = network.cells.operations[0]
    assert (cell.feed_forward.dropout.p, cell.feed_forward.first.out_features) == (dropout, feed_forward)
    assert cell.feed_forward.second.out_features == hidden
    assert len(cell.spatial.convolutions) == order
    assert cell.temporal.projection.out_features == 3 * attention
    # The blocks of as many heads.
    assert cell.temporal.blocks.sum() == attention * attention / heads


def test_what_is_not_in_the_paper_is_said_to_be(part) -> None:
    assert SPACE.usual_size(part("pems-07")) == SPACE.usual_size(part("pems-04"))
    assert SPACE.usual_size("synthetic") == SPACE.network_size


def test_some_sizes_take_the_place_of_the_usual_ones() -> None:
    assert SPACE.full_size({"channels": 8}, "synthetic") == dict(SPACE.network_size) | {"channels": 8}


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({"width": 8}, "unknown size of a network of 'ists' 'width'.* Known: attention, channels"),
        ({"chanels": 8}, "did you mean 'channels'"),
        ({"channels": 0}, "channels must be at least 1, not 0"),
        (
            {"attention": 6},
            "attention of 6 channels cannot be divided into 4 equal heads; change attention or heads",
        ),
        ({"heads": 3}, "attention of 16 channels cannot be divided into 3"),
    ],
)
def test_sizes_that_there_are_not(size: dict[str, int], says: str) -> None:
    arch = SPACE.from_index(0)
    for use in (SPACE.cost, SPACE.build_network):
        with pytest.raises(SpaceError, match=says):
            use(arch, "synthetic", size)


def test_traffic_that_there_is_not() -> None:
    for use in (SPACE.cost, SPACE.build_network):
        with pytest.raises(SpaceError, match="unknown traffic set 'sinthetic', did you mean 'synthetic'"):
            use(SPACE.from_index(0), "sinthetic")
