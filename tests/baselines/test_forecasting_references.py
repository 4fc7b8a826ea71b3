"""Graph WaveNet and STSGCN: sizes, what sees what, and that they learn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from baselines.forecasting.graph_wavenet import DiffusionConvolution
from baselines.forecasting.graph_wavenet import GatedConvolution
from baselines.forecasting.graph_wavenet import GraphWaveNet
from baselines.forecasting.stsgcn import STSGCN
from baselines.forecasting.stsgcn import graph_of_steps
from harness import registry
from harness.errors import SpecError
from harness.networks.initialisation import fresh
from harness.traffic.graph import transition

REFERENCES = [GraphWaveNet, STSGCN]
# Sensors one behind the other; the last one stands alone.
PATH = np.diag(np.array([0.5, 1.0, 0.2, 0.0], dtype=np.float32), k=1)
SENSORS = len(PATH)


def network_of(reference, adjacency=PATH, *, seed=0, features=2, **shape):
    return fresh(partial(reference.build, adjacency, features=features, **shape), seed)


def inputs_for(sensors=SENSORS, *, batch=3, features=2, steps=12, seed=0):
    return torch.randn(batch, features, sensors, steps, generator=torch.Generator().manual_seed(seed))


def size_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


def linear(inputs, outputs):
    return inputs * outputs + outputs


def unconnected(sensors):
    return np.zeros((sensors, sensors), dtype=np.float32)


# 309,400 is what the released code has for METR-LA, counted there; 311,760 for PEMS-BAY.
@pytest.mark.parametrize(("sensors", "released"), [(207, 309_400), (325, 311_760)])
def test_graph_wavenet_has_the_parameters_of_the_released_code_that_are_used(sensors, released):
    diffusion = linear((1 + 2 * 3) * 32, 32)
    norm, residual = 2 * 32, linear(32, 32)
    layer = 2 * linear(2 * 32, 32) + residual + linear(32, 256) + norm + diffusion
    exits = linear(256, 512) + linear(512, 12)
    assert linear(2, 32) + 8 * layer + exits + 2 * sensors * 10 == released
    never_called, dropped = 8 * residual, diffusion + norm
    network = network_of(GraphWaveNet(), unconnected(sensors))
    assert size_of(network) == released - never_called - dropped


def parameters_of_stsgcn(sensors):
    windows = 10 + 8 + 6 + 4
    modules = windows * 3 * linear(64, 2 * 64)
    embeddings = (12 + 10 + 8 + 6) * 64 + 4 * sensors * 64
    exits = 12 * (linear(4 * 64, 128) + linear(128, 1))
    return linear(1, 64) + (3 * sensors) ** 2 + modules + embeddings + exits


def test_stsgcn_has_the_published_number_of_parameters():
    # Bai et al. (NeurIPS 2020, "AGCRN") give 2,872,686 for PEMS-04, whose 307 sensors have one feature. The released
    # code counts the graph, which is not learned, as often as the mask.
    network = network_of(STSGCN(), unconnected(307), features=1)
    assert size_of(network) + (3 * 307) ** 2 == 2_872_686


@pytest.mark.parametrize(("sensors", "parameters"), [(170, 1_401_232), (307, 2_024_445)])
def test_the_parameters_of_stsgcn_are_those_of_its_description(sensors, parameters):
    assert parameters_of_stsgcn(sensors) == parameters
    assert size_of(network_of(STSGCN(), unconnected(sensors), features=1)) == parameters


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize(("features", "horizons", "batch"), [(1, 12, 1), (2, 3, 4)])
def test_forecasts_have_a_value_for_every_horizon_and_sensor(reference, features, horizons, batch):
    network = network_of(reference(), features=features, horizons=horizons)
    forecast = network(inputs_for(batch=batch, features=features))
    assert forecast.shape == (batch, horizons, SENSORS)
    assert forecast.isfinite().all()


@pytest.mark.parametrize("reference", [GraphWaveNet(dropout=0), STSGCN()], ids=["graph_wavenet", "stsgcn"])
def test_a_tiny_set_is_learned_by_heart(reference):
    network, inputs = network_of(reference), inputs_for(batch=4)
    # Nothing that holds beyond these four windows.
    targets = torch.randn(4, 12, SENSORS, generator=torch.Generator().manual_seed(1))
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    losses = []
    for _ in range(200):
        loss = functional.mse_loss(network(inputs), targets)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[0] > 0.8
    assert np.mean(losses[-10:]) < 0.01
    network.eval()
    assert functional.mse_loss(network(inputs), targets) < 0.01


@pytest.mark.parametrize("reference", [GraphWaveNet(dropout=0), STSGCN()], ids=["graph_wavenet", "stsgcn"])
def test_the_gradient_reaches_every_parameter(reference):
    network = network_of(reference)
    network(inputs_for()).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_mask_of_stsgcn_is_learned_on_the_edges_and_there_alone():
    network = network_of(STSGCN())
    network(inputs_for()).square().mean().backward()
    np.testing.assert_array_equal(network.mask.grad.numpy() != 0, graph_of_steps(PATH) != 0)


def disturbed(network):
    """The network with weights at which nothing starts equal or at zero."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand(value.shape, generator=draw))
    return network


def permuted(network, order):
    """State of the network whose sensors come in another order."""
    state = network.state_dict()
    by_step = torch.cat([order + step * len(order) for step in range(3)])
    for name, value in state.items():
        if name in ("source", "target"):
            state[name] = value[order]
        elif name == "mask":
            state[name] = value[by_step][:, by_step]
        elif name.endswith("sensor_embedding"):
            state[name] = value[..., order]
    return state


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_order_of_sensors_does_not_matter(reference):
    rng = np.random.default_rng(0)
    adjacency = (rng.random((7, 7)) * (rng.random((7, 7)) < 0.3)).astype(np.float32)
    order = torch.from_numpy(rng.permutation(7))
    network = disturbed(network_of(reference(), adjacency)).double().eval()
    other = network_of(reference(), adjacency[order][:, order], seed=1).double().eval()
    other.load_state_dict(permuted(network, order))
    inputs = inputs_for(7).double()
    forecast = network(inputs)
    torch.testing.assert_close(other(inputs[:, :, order]), forecast[:, :, order])
    assert (other(inputs) - forecast).abs().max() > 1e-3


@pytest.mark.parametrize("reference", REFERENCES)
def test_windows_of_a_batch_do_not_see_each_other(reference):
    network = network_of(reference()).eval()
    inputs = inputs_for(batch=5)
    torch.testing.assert_close(network(inputs)[2:3], network(inputs[2:3]))


@pytest.mark.parametrize("reference", REFERENCES)
def test_weights_come_from_the_seed_alone(reference):
    first, again, other = (network_of(reference(), seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    differing = {name for name, value in first.items() if not torch.equal(value, other[name])}
    assert {"entry.weight", "entry.bias"} < differing


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_new_network_gives_values_of_the_size_of_its_input_on_a_dense_graph(reference):
    network = network_of(reference(), np.ones((40, 40), dtype=np.float32)).eval()
    # Sensors that agree add up, where a sum over neighbours is not a mean.
    forecast = network(inputs_for(1).expand(-1, -1, 40, -1))
    assert 0.01 < forecast.std() < 2


@pytest.mark.parametrize("reference", REFERENCES)
def test_references_are_registered(reference):
    name = {GraphWaveNet: "graph_wavenet", STSGCN: "stsgcn"}[reference]
    assert registry.load("reference", name) is reference


@pytest.mark.parametrize(
    ("reference", "settings", "message"),
    [
        (GraphWaveNet, {"channels": 0}, "GraphWaveNet: channels must be at least 1: 0"),
        (GraphWaveNet, {"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        (STSGCN, {"layers": -1}, "STSGCN: layers must be at least 1: -1"),
    ],
)
def test_settings_out_of_range_are_refused(reference, settings, message):
    with pytest.raises(SpecError, match=message):
        reference(**settings)


def test_inputs_that_do_not_fit_the_depth_are_refused():
    with pytest.raises(SpecError, match="4 blocks of 2 layers see 13 steps, and the input has 14"):
        GraphWaveNet().build(PATH, features=2, steps=14)
    with pytest.raises(SpecError, match="4 layers take 8 steps away, and the input has 8"):
        STSGCN().build(PATH, features=2, steps=8)


def steps_seen(network, inputs):
    inputs.requires_grad_(True)
    network(inputs).sum().backward()
    return (inputs.grad.abs().sum(dim=(0, 1, 2)) > 0).tolist()


def test_graph_wavenet_sees_thirteen_steps_and_all_of_them():
    network = network_of(GraphWaveNet(), steps=13).eval()
    assert steps_seen(network, inputs_for(steps=13)) == [True] * 13
    assert steps_seen(network, inputs_for(steps=16)) == [False] * 3 + [True] * 13
    small = network_of(GraphWaveNet(blocks=1, layers=3), steps=8).eval()
    assert steps_seen(small, inputs_for(steps=10)) == [False] * 2 + [True] * 8


def test_graph_wavenet_pads_the_past_with_zeros():
    network = network_of(GraphWaveNet()).eval()
    inputs = inputs_for()
    padded = torch.cat([torch.zeros(3, 2, SENSORS, 1), inputs], dim=-1)
    torch.testing.assert_close(network(inputs), network(padded))


def test_a_gated_convolution_is_two_dilated_convolutions_that_do_not_look_ahead():
    layer = GatedConvolution(4, dilation=2)
    x = torch.randn(4, 3, 9, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = layer(x)
        # As convolutions have it: the batch first, and a kernel of two steps and one sensor.
        kernel = torch.stack(layer.both.weight.chunk(2, dim=1), dim=-1)[..., None]
        both = functional.conv2d(x.transpose(0, 1), kernel, layer.both.bias, dilation=(2, 1)).transpose(0, 1)
        torch.testing.assert_close(out, torch.tanh(both[:4]) * torch.sigmoid(both[4:]))
        x[:, :, 6] += 1
        changed = (layer(x) != out).any(dim=3).any(dim=1).any(dim=0)
    # Output step t is that of input step t + 2.
    assert changed.tolist() == [False, False, False, False, True, False, True]


def test_values_spread_along_the_edges_of_each_matrix():
    forward, backward = (torch.from_numpy(matrix) for matrix in transition(PATH))
    layer = DiffusionConvolution(1, matrices=2, dropout=0.5).eval()
    x = torch.tensor([1.0, 0.0, 0.0, 10.0, 0.0]).view(1, 1, 1, 5)
    with torch.no_grad():
        layer.mix.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        layer.mix.bias.fill_(0.5)
        out = layer(x, [forward, backward]).flatten()
    # The value, twice that of the sensor before, three times that of the sensor behind.
    assert out.tolist() == [1.5, 2.5, 30.5, 10.5, 0.5]


def test_the_learned_adjacency_is_a_distribution_over_sensors():
    network = network_of(GraphWaveNet())
    learned = network.learned_adjacency()
    torch.testing.assert_close(learned.sum(dim=1), torch.ones(SENSORS))
    expected = torch.exp((network.source @ network.target.T).clamp(min=0))
    torch.testing.assert_close(learned, expected / expected.sum(dim=1, keepdim=True))


def test_dropout_is_for_training_alone():
    network, inputs = network_of(GraphWaveNet()), inputs_for()
    assert not torch.equal(network(inputs), network(inputs))
    network.eval()
    assert torch.equal(network(inputs), network(inputs))


def test_the_graph_of_steps_of_two_neighbours_and_a_lonely_sensor():
    adjacency = np.zeros((3, 3), dtype=np.float32)
    adjacency[1, 0] = 0.3
    #                    first    second   third step
    assert graph_of_steps(adjacency).tolist() == [
        [1, 1, 0, 1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 1, 1, 0, 1, 0, 0],
        [0, 1, 0, 1, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 1, 0, 0, 1],
        [0, 0, 0, 1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1, 0, 0, 1],
    ]


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_each_convolution_of_stsgcn_sees_one_edge_further(convolutions):
    network = network_of(STSGCN(layers=1, convolutions=convolutions), steps=3, horizons=1).double()
    walks = np.linalg.matrix_power(graph_of_steps(PATH), convolutions)
    for sensor in range(SENSORS):
        inputs = inputs_for(steps=3).double().requires_grad_(True)
        network(inputs)[:, 0, sensor].sum().backward()
        seen = inputs.grad.abs().sum(dim=(0, 1)).T > 0
        np.testing.assert_array_equal(seen.flatten().numpy(), walks[SENSORS + sensor] > 0)


@torch.no_grad()
def test_graph_wavenet_is_what_its_paper_draws():
    network = disturbed(network_of(GraphWaveNet(channels=6, skip_channels=8, end_channels=10))).eval()
    inputs = inputs_for()
    matrices = [torch.from_numpy(matrix) for matrix in transition(PATH)]
    matrices.append(torch.softmax(torch.relu(network.source @ network.target.T), dim=1))
    # The shape is (batch, channels, sensors, steps), as there.
    x = functional.pad(inputs, (1, 0))
    x = torch.einsum("bfns,cf->bcns", x, network.entry.weight) + network.entry.bias[:, None, None]
    skipped = 0
    for layer in range(8):
        dilation = 1 + layer % 2
        both = network.gated[layer].both
        pair = torch.cat([x[..., :-dilation], x[..., dilation:]], dim=1)
        pair = torch.einsum("bins,oi->bons", pair, both.weight) + both.bias[:, None, None]
        gated = torch.tanh(pair[:, :6]) * torch.sigmoid(pair[:, 6:])
        skip = network.skips[layer]
        skipped = skipped + torch.einsum("bcn,oc->bon", gated[..., -1], skip.weight) + skip.bias[:, None]
        if layer == 7:
            break
        spread = [gated]
        for matrix in matrices:
            once = torch.einsum("bcns,nm->bcms", gated, matrix)
            spread += [once, torch.einsum("bcns,nm->bcms", once, matrix)]
        mix = network.diffusions[layer].mix
        mixed = torch.einsum("bins,oi->bons", torch.cat(spread, dim=1), mix.weight) + mix.bias[:, None, None]
        x = mixed + x[..., dilation:]
        norm = network.norms[layer]
        x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    _, first, _, second = network.exit
    hidden = torch.relu(torch.einsum("bin,oi->bon", torch.relu(skipped), first.weight) + first.bias[:, None])
    expected = torch.einsum("bin,oi->bon", hidden, second.weight) + second.bias[:, None]
    torch.testing.assert_close(network(inputs), expected)


@torch.no_grad()
def test_stsgcn_is_what_its_paper_draws():
    network = disturbed(network_of(STSGCN(filters=4, layers=2, hidden=7), steps=7))
    inputs = inputs_for(steps=7)
    edges = network.mask * torch.from_numpy(graph_of_steps(PATH))
    # The shape is (batch, steps, sensors, channels), as there.
    x = torch.relu(functional.linear(inputs.permute(0, 3, 2, 1), network.entry.weight, network.entry.bias))
    for layer in network.layers:
        x = x + layer.step_embedding[:, :, 0].transpose(1, 2) + layer.sensor_embedding[:, 0].T
        windows = []
        for window in range(x.shape[1] - 2):
            values = x[:, window : window + 3].flatten(1, 2)
            middle = []
            for convolution in layer.convolutions:
                mapped = functional.linear(
                    edges @ values, convolution.weight[window], convolution.bias[window]
                )
                values = mapped[..., :4] * torch.sigmoid(mapped[..., 4:])
                middle.append(values[:, SENSORS : 2 * SENSORS])
            windows.append(torch.stack(middle).amax(dim=0))
        x = torch.stack(windows, dim=1)
    remaining = x.transpose(1, 2).flatten(2)
    forecasts = []
    for horizon in range(12):
        own = slice(7 * horizon, 7 * horizon + 7)
        hidden = functional.linear(remaining, network.hidden.weight[own], network.hidden.bias[own]).relu()
        forecasts.append(functional.linear(hidden, network.exit.weight[horizon], network.exit.bias[horizon]))
    torch.testing.assert_close(network(inputs), torch.cat(forecasts, dim=-1).transpose(1, 2))
