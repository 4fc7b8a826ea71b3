"""The supernet, its images and its edges: by what they compute."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from baselines.one_shot.cell import GateHolder
from baselines.one_shot.cell import Gates
from baselines.one_shot.cell import SupernetCell
from baselines.one_shot.edges import Dirichlet
from baselines.one_shot.edges import Gumbel
from baselines.one_shot.edges import NormalisedEdges
from baselines.one_shot.edges import Sigmoid
from baselines.one_shot.edges import Softmax
from baselines.one_shot.supernet import Supernet
from harness.images import load_images
from harness.spaces import CellSpace
from tests.baselines.one_shot import SIZE
from tests.baselines.one_shot import SPACE
from tests.baselines.one_shot import context

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CELLS = ["342130", "333333", "111111", "414141", "000000", "030003", "000300"]


def supernet(**options):
    return Supernet(SPACE, "cifar10", SIZE, seed=0, **options)


def standalone(net: Supernet, arch) -> nn.Module:
    """The network of an architecture, with the weights that it inherits."""
    network = SPACE.build_network(arch, "cifar10", SIZE)
    weights = network.state_dict()
    weights |= {name: w.detach() for name, w in net.network.named_parameters() if name in weights}
    for edge, (decision, choice) in enumerate(zip(SPACE.decisions, arch, strict=True)):
        for name, weight in net.own_weights(edge, choice).items():
            weights[f"{name.removesuffix('.weight')}.edges.{decision}.1.weight"] = weight.detach()
    network.load_state_dict(weights)
    return network.train()


@pytest.mark.parametrize("ncode", CELLS)
def test_a_path_is_the_network_of_its_architecture(ncode):
    net, arch = supernet(), SPACE.from_ncode(ncode)
    torch.testing.assert_close(net(IMAGES, net.path(arch)), standalone(net, arch)(IMAGES))


def mixed_naively(cell: SupernetCell, x, weights):
    """A cell edge by edge and operation by operation, with batch normalisation that knows no gates."""
    nodes = [x, *[torch.zeros_like(x)] * 3]
    for edge, (source, target) in enumerate(SPACE.edges):
        for number, choice in enumerate(SPACE.operations):
            operation = SPACE.operation(choice, x.shape[1], "cifar10").double()
            if choice != "none" and any(True for _ in operation.parameters()):
                operation[1].weight = nn.Parameter(cell.operations[f"{source}-{number}"].own(edge)["weight"])
            # Nodes are complete before what starts at them: the edges are in the order of their targets.
            nodes[target] = nodes[target] + weights[edge, number] * operation(nodes[source])
    return nodes[3]


def test_a_cell_is_the_weighted_sum_of_all_operations():
    holder = GateHolder()
    cell = SupernetCell(SPACE, 4, holder, "cifar10").double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    x = torch.randn(3, 4, 5, 5, generator=generator, dtype=torch.float64)
    logits = torch.randn(6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    holder.gates = Gates(functional.softmax(logits, dim=1))
    ours = cell(x)
    theirs = mixed_naively(cell, x, functional.softmax(logits, dim=1))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    gradients = [torch.autograd.grad((out**2).sum(), logits)[0] for out in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_what_is_not_active_adds_nothing_and_is_not_computed():
    net = supernet()
    weights = torch.full((6, 5), 0.2)
    some = Gates(weights, [[1, 3]] * 6)
    masked = weights.clone()
    masked[:, [0, 2, 4]] = 0.0
    torch.testing.assert_close(net(IMAGES, some), net(IMAGES, Gates(masked)))
    with torch.no_grad():
        for edge in range(6):
            net.own_weights(edge, 2).popitem()[1].fill_(float("nan"))
    assert net(IMAGES, some).isfinite().all()


class TestPartialChannels:
    def test_the_other_channels_pass_and_are_shuffled(self):
        holder = GateHolder()
        cell = SupernetCell(SPACE, 8, holder, "cifar10", partial=4)
        # Only 0->3, with a weight of one half, and its operations give nothing.
        edges = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.0, 0.0])
        holder.gates = Gates(torch.zeros(6, 5), edges=edges)
        x = torch.arange(8.0).reshape(1, 8, 1, 1).expand(1, 8, 3, 3)
        out = cell(x)[0, :, 0, 0].tolist()
        # Channels 2 to 7 are halved; of four groups of two, first every first member.
        assert out == [0.0, 1.0, 2.0, 3.0, 0.0, 1.5, 2.5, 3.5]

    def test_operations_see_their_share(self):
        net = supernet(partial=2)
        widths = {conv.weight.shape[1:3] for conv in net.network.modules() if hasattr(conv, "_places")}
        assert widths == {(2, 2), (4, 4), (8, 8)}
        assert net(IMAGES, Gates(torch.full((6, 5), 0.2))).shape == (6, 10)

    def test_gates_of_edges_multiply_everything(self):
        net = supernet(partial=2)
        weights = torch.full((6, 5), 0.2)
        everything = net(IMAGES, Gates(weights, edges=torch.ones(6)))
        torch.testing.assert_close(everything, net(IMAGES, Gates(weights)))
        assert not torch.allclose(everything, net(IMAGES, Gates(weights, edges=torch.rand(6))))


class TestWeights:
    def test_depend_on_the_seed_alone(self):
        states = [Supernet(SPACE, "cifar10", SIZE, seed=seed).state_dict() for seed in (0, 0, 1)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert not any(
            torch.equal(states[0][name], states[2][name]) for name in states[0] if states[0][name].dim() > 1
        )

    def test_no_global_generator_is_touched(self):
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
        supernet()
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1] == random.getstate()
        assert (before[2] == np.random.get_state()[1]).all()  # noqa: NPY002

    def test_are_drawn_as_pytorch_draws_them(self):
        """Uniform within one over the root of the inputs of a channel."""
        net = Supernet(SPACE, "cifar10", {"channels": 16, "cells": 1}, seed=0)
        weight = net.own_weights(0, SPACE.operations.index("nor_conv_3x3")).popitem()[1].detach()
        bound = 1 / (weight.shape[1] * 9) ** 0.5
        assert weight.abs().max() <= bound
        assert weight.abs().max() == pytest.approx(bound, rel=0.01)
        assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.05)

    def test_batch_statistics_alone(self):
        net = supernet()
        net(IMAGES, Gates(torch.full((6, 5), 0.2)))
        assert not list(net.buffers())
        weighted = {name for name, _ in net.named_parameters() if name.endswith(".bias")}
        # Stem, two of each reduction, the last, and the classifier.
        assert len(weighted) == 7


def test_operations_of_another_kind_have_a_module_per_edge():
    class Plain(CellSpace):
        name = "plain"
        edges = ((0, 1), (0, 2), (1, 2))

        def __init__(self):
            super().__init__({f"{source}->{target}": ("a", "b") for source, target in self.edges})

        def operation(self, choice, channels, dataset, size=None):
            return nn.Conv2d(channels, channels, 1) if choice == "a" else nn.Identity()

        def stack(self, cell, dataset, size=None):
            return nn.Sequential(cell(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    net = Supernet(Plain(), "any", {}, seed=0)
    x = torch.randn(2, 3, 4, 4)
    one, two, three = (net.own_weights(edge, 0) for edge in range(3))
    assert {name.rsplit(".")[-1] for name in one} == {"weight", "bias"}

    def applied(own, value):
        weight, bias = own.values()
        return functional.conv2d(value, weight, bias)

    expected = applied(two, x) + applied(three, applied(one, x))
    torch.testing.assert_close(net(x, Gates.path([0, 0, 0], 2)), expected.mean(dim=(2, 3)))


class TestEdges:
    generator = staticmethod(lambda: torch.Generator().manual_seed(0))

    @pytest.mark.parametrize(
        "make",
        [
            Softmax,
            Sigmoid,
            NormalisedEdges,
            Dirichlet,
            partial(Gumbel, temperatures=(5.0, 0.5), schedule="linear", hard=True),
            partial(Gumbel, temperatures=(5.0, 0.5), schedule="exponential", hard=False),
        ],
    )
    def test_the_strongest_operation_is_read_and_every_logit_has_a_gradient(self, make):
        edges = make(SPACE, self.generator())
        wanted = [3, 1, 4, 0, 2, 2]
        with torch.no_grad():
            for edge, choice in enumerate(wanted):
                edges.logits[edge, choice] = 4.0
        assert list(edges.architecture()) == wanted
        gates = edges.gates(0.5, self.generator())
        assert gates.weights.shape == (6, 5)
        target = torch.randn(6, 5, generator=self.generator())
        weights = gates.weights if gates.edges is None else gates.weights * gates.edges[:, None]
        (weights * target).sum().backward()
        assert (edges.logits.grad != 0).all()

    def test_edge_weights_sum_to_one_at_every_node_and_count_in_the_strength(self):
        edges = NormalisedEdges(SPACE, self.generator())
        with torch.no_grad():
            edges.edge_logits[3] = 2.0
        weights = edges.edge_weights()
        for node in (1, 2, 3):
            into = [e for e, (_, target) in enumerate(SPACE.edges) if target == node]
            assert float(weights[into].sum().detach()) == pytest.approx(1.0)
        assert torch.equal(edges.strengths(), functional.softmax(edges.logits, 1) * weights[:, None])

    def test_hard_gates_are_one_operation_drawn_by_its_probability(self):
        edges = Gumbel(SPACE, self.generator(), temperatures=(10.0, 0.1), schedule="linear", hard=True)
        with torch.no_grad():
            edges.logits.zero_()
            edges.logits[:, 0] = float(torch.log(torch.tensor(4.0)))
        generator = self.generator()
        drawn = []
        for _ in range(400):
            gates = edges.gates(0.3, generator)
            (chosen,) = gates.active[0]
            assert gates.weights[0].detach().round(decimals=5).tolist() == [
                float(chosen == i) for i in range(5)
            ]
            drawn.append(chosen)
        # 4 of 8, whatever the temperature.
        assert drawn.count(0) / 400 == pytest.approx(0.5, abs=0.08)

    @pytest.mark.parametrize(("schedule", "half"), [("linear", 5.05), ("exponential", 1.0)])
    def test_the_temperature_falls(self, schedule, half):
        edges = Gumbel(SPACE, self.generator(), temperatures=(10.0, 0.1), schedule=schedule, hard=False)
        assert [edges.temperature(p) for p in (0, 0.5, 1)] == pytest.approx([10.0, half, 0.1])

    def test_the_dirichlet_has_its_mean(self):
        edges = Dirichlet(SPACE, self.generator())
        with torch.no_grad():
            edges.logits[:, 2] = 3.0
        generator = self.generator()
        mean = torch.stack([edges.gates(0, generator).weights.detach() for _ in range(600)]).mean(dim=0)
        torch.testing.assert_close(mean, edges.strengths().detach(), atol=0.05, rtol=0)
        assert float(edges.strengths().detach()[0, 2]) == pytest.approx(0.5, abs=0.01)


class TestImages:
    def test_halves_share_no_image(self):
        data = context().data
        a, b = (torch.cat([x.inputs for x in data.in_order(h, 16)]) for h in ("weights", "architecture"))
        assert len(a) == len(b) == len(data) == 32
        assert not any(torch.equal(x, y) for x in a for y in b)

    def test_images_are_cropped_from_a_frame_and_flipped(self):
        data = context().data
        plain = {
            tuple(x.flatten().tolist()): x for batch in data.in_order("weights", 16) for x in batch.inputs
        }
        batch = next(data.batches("weights", 16, torch.Generator().manual_seed(3)))
        assert len(batch) == 16
        flipped = 0
        for image in batch.inputs:
            places = []
            for original in plain.values():
                for sign, source in ((0, original), (1, original.flip(2))):
                    framed = functional.pad(source, (4,) * 4)
                    windows = framed.unfold(1, 32, 1).unfold(2, 32, 1)
                    same = (windows == image[:, None, None]).flatten(3).all(dim=3).all(dim=0)
                    if same.any():
                        places.append(sign)
            assert places
            flipped += min(places)
        assert 0 < flipped < 16

    def test_a_pass_shows_every_image_once(self):
        data = context().data
        labels = torch.cat([b.targets for b in data.batches("weights", 16, torch.Generator().manual_seed(0))])
        everything = torch.cat([b.targets for b in data.in_order("weights", 16)])
        assert labels.sort().values.tolist() == everything.sort().values.tolist()

    def test_images_are_normalised(self):
        data = context().data
        images = load_images("digits", "cifar10")
        first = next(data.in_order("weights", 16)).inputs[0].numpy()
        mean, std = images.statistics
        assert ((first * std + mean) * 255).round().astype(int).tolist() in [
            x.astype(int).tolist() for x in images.train_images
        ]
