"""The networks of ISTS: equations 3 to 6 of the paper by hand, and what must hold of them."""

from __future__ import annotations

import warnings
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from harness.networks.initialisation import draw_weights
from harness.networks.initialisation import fresh
from harness.networks.spatial_temporal import Cells
from harness.networks.spatial_temporal import FeedForward
from harness.networks.spatial_temporal import Forecaster
from harness.networks.spatial_temporal import Graph
from harness.networks.spatial_temporal import MixedGraphConvolution
from harness.networks.spatial_temporal import SpatialOperator
from harness.networks.spatial_temporal import SpatialTemporalCell
from harness.networks.spatial_temporal import TemporalOperator
from harness.networks.spatial_temporal import from_rows
from harness.networks.spatial_temporal import rows
from harness.spaces.ists import ISTSSpace
from harness.traffic.graph import normalised
from harness.traffic.graph import transition
from tests.harness.forecasting import TINY
from tests.harness.forecasting import ring
from tests.harness.forecasting import traffic

# 0 -> 1 (weight 2), 1 -> 2 (1), 2 -> 1 (3).
THREE = np.array([[0, 2, 0], [0, 0, 1], [0, 3, 0]], dtype=np.float32)
KINDS = ("stp", "stt", "tts")
SPACE = ISTSSpace()


def graph(adjacency: np.ndarray) -> Graph:
    return Graph(traffic(np.ones((1, len(adjacency))), adjacency=adjacency))


def signal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cell(kind: str, roads: Graph, *, convolutions: int = 2, dropout: float = 0.0) -> SpatialTemporalCell:
    return fresh(
        lambda: SpatialTemporalCell(
            kind, roads, 6, attention=4, heads=2, hidden=5, convolutions=convolutions, dropout=dropout
        ),
        1,
    )


# Equations 4 and 5: the spatial operator.


def test_equation_5_by_hand() -> None:
    convolution = MixedGraphConvolution(graph(THREE), 1)
    with torch.no_grad():
        convolution.along_roads.weight.copy_(torch.tensor([[2.0], [3.0], [5.0]]))
        convolution.adaptive.weight.fill_(7)
        convolution.adaptive.bias.fill_(0.5)
    learned = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    values = torch.tensor([1.0, 2.0, 4.0])
    # Normalised: [[1/3, 2/√18, 0], [2/√18, 1/6, 3/√24], [0, 3/√24, 1/4]]. Forward: [[0, 1, 0], [0, 0, 1], [0, 1, 0]].
    # Backward: [[0, 0, 0], [0.4, 0, 0.6], [0, 1, 0]].
    near = [1 / 3 + 4 / sqrt(18), 2 / sqrt(18) + 2 / 6 + 12 / sqrt(24), 6 / sqrt(24) + 4 / 4]
    forward, backward, beyond = [2, 4, 2], [0, 2.8, 2], [1.5, 2, 2.8]
    expected = [
        2 * n + 3 * f + 5 * b + 7 * a + 0.5
        for n, f, b, a in zip(near, forward, backward, beyond, strict=True)
    ]
    found = convolution(values.view(3, 1, 1, 1), learned)
    assert_close(found.flatten(), torch.tensor(expected))


def test_equation_5_with_channels() -> None:
    convolution = fresh(lambda: MixedGraphConvolution(graph(THREE), 4), 0)
    x, learned = signal(3, 2, 5, 4), signal(3, 3, seed=1).softmax(dim=1)
    matrices = [normalised(THREE), *transition(THREE)]
    weights = convolution.along_roads.weight.split(4)
    expected = (
        torch.einsum("ij,jbtc,dc->ibtd", learned, x, convolution.adaptive.weight) + convolution.adaptive.bias
    )
    for matrix, weight in zip(matrices, weights, strict=True):
        expected += torch.einsum("ij,jbtc,dc->ibtd", torch.from_numpy(matrix), x, weight)
    assert_close(convolution(x, learned), expected)


def test_sparse_and_dense_graphs_give_the_same() -> None:
    adjacency = ring(40) * np.random.default_rng(0).uniform(0.5, 2, (40, 40)).astype(np.float32)
    sparse, dense = graph(adjacency), graph(adjacency)
    assert sparse.sparse
    dense.sparse, dense.matrices = False, sparse.matrices.to_dense()
    found = []
    for roads in (sparse, dense):
        operator = fresh(lambda roads=roads: SpatialOperator(roads, 3, 2), 0)  # type: ignore[misc]
        x = signal(40, 2, 5, 3).requires_grad_()
        result = operator(x)
        (result * signal(40, 2, 5, 3, seed=1)).sum().backward()
        found.append([result, x.grad, *(weights.grad for weights in operator.parameters())])
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert_close(one, other)


def test_a_graph_is_stored_as_takes_less_time() -> None:
    # Three entries a row in the symmetric matrix, two in each of the others: 7 of 120, and of 15.
    assert graph(ring(40)).sparse
    assert not graph(ring(5)).sparse


def test_a_sparse_graph_is_made_in_silence() -> None:
    before = torch.is_warn_always_enabled()
    # Otherwise PyTorch says it once in a process.
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            roads = graph(ring(40))
            roads(torch.ones(40, 2, requires_grad=True)).sum().backward()
    finally:
        torch.set_warn_always(before)


def test_the_learned_adjacency() -> None:
    operator = fresh(lambda: SpatialOperator(graph(ring(4)), 2, 1), 0)
    source, target = operator.source.weight.tolist(), operator.target.weight.tolist()
    products = [[max(0.0, float(np.dot(a, b))) for b in target] for a in source]
    expected = [[np.exp(value) / sum(np.exp(row)) for value in row] for row in products]
    assert_close(operator.adaptive(), torch.tensor(expected, dtype=torch.float32))


def test_orders_of_the_spatial_operator() -> None:
    x = signal(4, 2, 3, 2)
    roads = graph(ring(4))
    nothing, once, twice = (
        fresh(lambda order=order: SpatialOperator(roads, 2, order), 0) for order in range(3)
    )  # type: ignore[misc]
    assert nothing(x) is x
    (only,) = once.convolutions
    assert_close(once(x), only(x, once.adaptive()))
    first, second = twice.convolutions
    assert_close(twice(x), second(first(x, twice.adaptive()), twice.adaptive()))
    assert not torch.equal(first.adaptive.weight, second.adaptive.weight)


@pytest.mark.parametrize(("order", "reached"), [(1, {7, 0, 1}), (2, {6, 7, 0, 1, 2})])
def test_signals_go_as_far_as_the_order(order: int, reached: set[int]) -> None:
    operator = fresh(lambda: SpatialOperator(graph(ring(8)), 1, order), 0)
    for convolution in operator.convolutions:
        nn.init.zeros_(convolution.adaptive.weight)
    change = torch.zeros(8, 1, 1, 1)
    change[0] = 1
    difference = operator(change) - operator(torch.zeros_like(change))
    assert set(difference.flatten().nonzero().flatten().tolist()) == reached


# Equation 6: the temporal operator.


@pytest.mark.parametrize(("attention", "heads"), [(4, 1), (6, 2), (6, 3), (4, 4)])
def test_attention_is_the_quadratic_formula(attention: int, heads: int) -> None:
    operator = fresh(lambda: TemporalOperator(5, attention, heads), 0)
    x = signal(3, 2, 7, 5)
    weight = operator.projection.weight.view(3, heads, attention // heads, 5)
    queries, keys, values = torch.einsum("mhac,sbtc->mhsbta", weight, x)
    queries, keys = functional.elu(queries) + 1, functional.elu(keys) + 1
    likeness = torch.einsum("hsbta,hsbua->hsbtu", queries, keys)
    of_each_head = (likeness / likeness.sum(dim=-1, keepdim=True)) @ values
    assert_close(operator(x), torch.cat(list(of_each_head), dim=-1))


def test_attention_takes_time_in_proportion_to_the_steps() -> None:
    operator = TemporalOperator(8, 8, 2)

    def operations(steps: int) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            operator(torch.zeros(3, 2, steps, 8))
        return counter.get_total_flops()

    twelve = operations(12)
    assert [operations(12 * times) for times in (2, 4, 64)] == [twelve * times for times in (2, 4, 64)]


def test_attention_takes_memory_in_proportion_to_the_steps() -> None:
    operator = TemporalOperator(4, 4, 2)

    def kept(steps: int) -> int:
        sizes = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            operator(torch.zeros(1, 1, steps, 4, requires_grad=True))
        return sum(sizes)

    # What does not grow with the steps is the same; the rest grows as they do.
    assert kept(400) - kept(200) == 2 * (kept(200) - kept(100))


def test_every_step_attends_to_all_and_every_sensor_to_itself() -> None:
    operator = fresh(lambda: TemporalOperator(4, 4, 2), 0)
    x = signal(3, 2, 5, 4)
    changed = x.clone()
    changed[1, 0, 4] += 1
    differs = (operator(x) != operator(changed)).any(dim=-1)
    expected = torch.zeros(3, 2, 5, dtype=torch.bool)
    expected[1, 0] = True
    assert torch.equal(differs, expected)


def test_attention_knows_no_order_of_steps() -> None:
    operator = fresh(lambda: TemporalOperator(4, 4, 2), 0)
    x = signal(3, 2, 5, 4)
    assert_close(operator(x.flip(2)), operator(x).flip(2))


# Equation 3: cells.


@pytest.mark.parametrize("kind", KINDS)
def test_equation_3(kind: str) -> None:
    roads = graph(ring(4))
    edge = cell(kind, roads)
    x = signal(2, 6, 4, 3)
    spatial, temporal, feed_forward = edge.spatial, edge.temporal, edge.feed_forward
    inside = rows(x)
    expected = {
        "stp": lambda: torch.cat([spatial(inside), temporal(inside)], dim=-1),
        "stt": lambda: temporal(spatial(inside)),
        "tts": lambda: spatial(temporal(inside)),
    }[kind]()
    hidden = torch.relu(expected @ feed_forward.first.weight.T + feed_forward.first.bias)
    expected = hidden @ feed_forward.second.weight.T + feed_forward.second.bias
    found = edge(x)
    assert found.shape == x.shape
    assert_close(found, from_rows(expected))


def test_dropout_strikes_channels_out_of_all_steps() -> None:
    feed_forward = FeedForward(2, 50, 50, 0.3)
    with torch.no_grad():
        feed_forward.first.weight.fill_(0)
        feed_forward.first.bias.fill_(1)
        feed_forward.second.weight.copy_(torch.eye(50))
        feed_forward.second.bias.fill_(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        struck = feed_forward(torch.zeros(6, 4, 3, 2))
    # What is left is raised, so that the mean stays.
    assert_close(struck, torch.where(struck == 0, 0.0, 1 / 0.7))
    assert torch.equal(struck, struck[:, :, :1].expand_as(struck))
    assert (struck == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert len({tuple(each.tolist()) for each in struck[:, :, 0].reshape(24, 50)}) == 24
    assert torch.equal(feed_forward.eval()(torch.zeros(6, 4, 3, 2)), torch.ones(6, 4, 3, 50))


# The network.


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def test_nodes_are_sums_of_their_edges() -> None:
    cells = Cells(SPACE.edges, [_Times(factor) for factor in (2, 3, 5, 7, 11, 13)])
    # Node 1: 2; node 2: 3 + 7·2; node 3: 5 + 11·2 + 13·17.
    assert_close(cells(torch.ones(1, 1, 1, 1)), torch.full((1, 1, 1, 1), 248.0))


def test_what_is_around_the_cells() -> None:
    network = fresh(
        lambda: Forecaster(lambda channels: _Times(channels), 4, features=2, steps=3, horizons=5), 0
    )
    x = signal(6, 2, 7, 3)
    embedded = torch.einsum("bfnt,cf->bntc", x, network.features.weight) + network.features.bias
    embedded = embedded + network.steps.weight
    # The cells of 4 channels give 4 times what they see, and what they see is added.
    forecast = torch.relu(5 * embedded).flatten(2) @ network.horizons.weight.T + network.horizons.bias
    found = network(x)
    assert found.shape == (6, 5, 7)
    assert_close(found, forecast.transpose(1, 2))


def test_steps_are_told_apart() -> None:
    network = fresh(lambda: SPACE.build_network(SPACE.from_ncode("012012"), "synthetic", TINY), 0).eval()
    x = signal(1, 2, 20, 12)

    def last_node(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        return network.cells(from_rows(network.features(rows(x)) + steps))

    # Without the vectors of the steps, the cells see what was measured, and not when.
    nothing = torch.zeros(12, 4)
    assert_close(last_node(x.flip(3), nothing).flip(3), last_node(x, nothing))
    apart = last_node(x.flip(3), network.steps.weight).flip(3) - last_node(x, network.steps.weight)
    assert apart.abs().max() > 1e-2


@pytest.mark.parametrize("ncode", ["000000", "111111", "222222", "012021"])
@pytest.mark.parametrize("sensors", [5, 40])
def test_sensors_have_no_order(ncode: str, sensors: int) -> None:
    rng = np.random.default_rng(0)
    adjacency = ring(sensors) * rng.uniform(0.5, 2, (sensors, sensors)).astype(np.float32)
    order = rng.permutation(sensors)

    def network(adjacency: np.ndarray) -> Forecaster:
        roads = graph(adjacency)
        kinds = [KINDS[int(digit)] for digit in ncode]
        return fresh(
            lambda: Forecaster(
                lambda _: Cells(SPACE.edges, [cell(kind, roads) for kind in kinds]),
                6,
                features=2,
                steps=12,
                horizons=12,
            ),
            2,
        )

    one, other = network(adjacency), network(adjacency[np.ix_(order, order)])
    with torch.no_grad():
        for name, weights in other.named_parameters():
            if name.endswith(("source.weight", "target.weight")):
                weights.copy_(weights[order].clone())
    x = signal(2, 2, sensors, 12)
    forecast, permuted = one.eval()(x), other.eval()(x[:, :, order])
    assert_close(permuted, forecast[:, :, order], rtol=1e-4, atol=1e-4)
    # And the sensors are not all treated alike.
    assert (forecast[:, :, order] - forecast).abs().max() > 1e-2


@pytest.mark.parametrize("ncode", ["000000", "111111", "222222", "210102"])
def test_every_weight_is_learned(ncode: str) -> None:
    network = fresh(lambda: SPACE.build_network(SPACE.from_ncode(ncode), "synthetic"), 0)
    forecast = network.eval()(signal(3, 2, 20, 12))
    assert forecast.shape == (3, 12, 20)
    forecast.square().sum().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert torch.isfinite(weights.grad).all(), name
        assert weights.grad.any(), name


@pytest.mark.parametrize("kind", KINDS)
def test_sensors_stay_first_in_memory(kind: str) -> None:
    edge = cell(kind, graph(ring(4)))
    x = from_rows(signal(4, 2, 3, 6))
    assert rows(x).is_contiguous()
    assert rows(x).data_ptr() == x.data_ptr()
    # So what the next cell makes of it is a view, as `reshape` copies nothing then.
    assert rows(edge(x)).is_contiguous()
    # Sums of such, too.
    assert rows(Cells(SPACE.edges, [edge] * 6)(x)).is_contiguous()


def test_only_weights_are_saved() -> None:
    network = SPACE.build_network(SPACE.from_index(0), "synthetic", TINY)
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


# Fresh weights.


def test_weights_are_drawn_as_pytorch_draws_them() -> None:
    layers = fresh(
        lambda: nn.ModuleDict(
            {
                "linear": nn.Linear(400, 300),
                "convolution": nn.Conv2d(20, 50, 3),
                "embedding": nn.Embedding(300, 40),
                "norm": nn.BatchNorm2d(7),
                "bare": nn.LayerNorm(7, elementwise_affine=False),
            }
        ),
        0,
    )
    for name, inputs in (("linear", 400), ("convolution", 180)):
        for weights in layers[name].parameters():
            bound = 1 / sqrt(inputs)
            assert weights.abs().max() <= bound
            # A bias has few numbers.
            tolerance = 4 * bound / sqrt(weights.numel())
            assert weights.mean().item() == pytest.approx(0, abs=tolerance)
            assert weights.std().item() == pytest.approx(bound / sqrt(3), abs=tolerance)
    vectors = layers["embedding"].weight
    assert (vectors.mean().item(), vectors.std().item()) == pytest.approx((0, 1), abs=0.04)
    assert torch.equal(layers["norm"].weight, torch.ones(7))
    assert torch.equal(layers["norm"].running_var, torch.ones(7))


def test_fresh_weights_come_from_the_seed_alone() -> None:
    drawn = []
    with torch.random.fork_rng():
        # (That they are the same in any process, test_tabulation.py shows.)
        for state, seed in ((1, 0), (2, 0), (2, 1)):
            torch.manual_seed(state)
            before = torch.get_rng_state()
            drawn.append(fresh(lambda: SPACE.build_network(SPACE.from_index(300), "synthetic", TINY), seed))
            assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"
    for one, same, other in zip(*(network.parameters() for network in drawn), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_layers_of_one_shape_begin_with_other_weights() -> None:
    pair = fresh(lambda: nn.ModuleList(nn.Linear(3, 3) for _ in range(2)), 0)
    assert not torch.equal(pair[0].weight, pair[1].weight)


class _Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))

    def draw_weights(self, generator: torch.Generator) -> None:
        self.weight.uniform_(5, 6, generator=generator)


class _Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))


def test_a_layer_may_draw_its_own_weights() -> None:
    layer = fresh(_Own, 0)
    assert (layer.weight >= 5).all()
    assert layer.weight.requires_grad


def test_a_layer_of_unknown_kind_is_refused() -> None:
    # Weights that were never drawn would be whatever was in memory.
    with pytest.raises(NotImplementedError, match="no initialisation of _Unknown is known"):
        draw_weights(nn.Sequential(nn.ReLU(), _Unknown()), 0)
