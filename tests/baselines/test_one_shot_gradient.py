"""Searches by gradient: what makes each of them what it is."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import pytest
import torch

from baselines.one_shot.beta_darts import BetaDARTS
from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.bilevel import unrolled_gradients
from baselines.one_shot.cell import Gates
from baselines.one_shot.darts import DARTS
from baselines.one_shot.darts_minus import DARTSMinus
from baselines.one_shot.darts_pt import DARTSPT
from baselines.one_shot.drnas import DrNAS
from baselines.one_shot.edges import Dirichlet
from baselines.one_shot.edges import Sigmoid
from baselines.one_shot.edges import Softmax
from baselines.one_shot.fair_darts import FairDARTS
from baselines.one_shot.gdas import GDAS
from baselines.one_shot.oles import OLES
from baselines.one_shot.p_darts import PDARTS
from baselines.one_shot.pc_darts import PCDARTS
from baselines.one_shot.projection import Projection
from baselines.one_shot.r_darts import RDARTS
from baselines.one_shot.sdarts import SDARTS
from baselines.one_shot.sdarts import AdversarialNoise
from baselines.one_shot.sdarts import Radius
from baselines.one_shot.sdarts import RandomNoise
from baselines.one_shot.snas import SNAS
from harness.errors import SpecError
from harness.spaces import Architecture
from tests.baselines.one_shot import SPACE
from tests.baselines.one_shot import TINY
from tests.baselines.one_shot import context
from tests.baselines.one_shot import same

SKIP = SPACE.operations.index("skip_connect")


def first_batches(search):
    generator = search.context.generator("test")
    return tuple(next(search.context.data.batches(h, 16, generator)) for h in ("weights", "architecture"))


def logits_after(recipe: Recipe, epochs: int = 2, **settings):
    search = Bilevel(context(**settings), recipe)
    for number in range(epochs):
        search.epoch(number)
    return search.edges.logits.detach()


class TestDARTS:
    def test_a_step_learns_the_architecture_from_one_half_and_weights_from_the_other(self):
        search = Bilevel(context(), DARTS().recipe())
        train, valid = first_batches(search)
        logits = search.edges.logits
        before = {name: w.detach().clone() for name, w in search.supernet.named_parameters()}
        gates = search.edges.gates(0.0, torch.Generator())
        (gradient,) = torch.autograd.grad(search.context.loss(search.supernet, valid, gates), [logits])
        start = logits.detach().clone()
        search.step(train, valid, 0, 0.0, torch.Generator())
        # The first step of Adam has the size of the learning rate, against the gradient (with its weight decay).
        moved = logits.detach() - start
        known = (gradient + 1e-3 * start).abs() > 1e-6
        assert torch.equal(moved[known].sign(), -(gradient + 1e-3 * start)[known].sign())
        assert moved[known].abs().max() == pytest.approx(3e-4, rel=1e-2)
        # Weights: the gradient of the other half, at the new architecture.
        search.supernet.load_state_dict(before)
        gates = search.edges.gates(0.0, torch.Generator())
        loss = search.context.loss(
            search.supernet, train, dataclasses.replace(gates, weights=gates.weights.detach())
        )
        optimizer = search.context.weight_optimizer(search.supernet.parameters())
        after = {name: w.detach().clone() for name, w in search.supernet.named_parameters()}
        assert same(after, before)
        optimizer.begin_epoch(0)
        optimizer.step(loss)
        again = {name: w.detach().clone() for name, w in search.supernet.named_parameters()}
        twin = Bilevel(context(), DARTS().recipe())
        twin.step(train, valid, 0, 0.0, torch.Generator())
        for name, weight in twin.supernet.named_parameters():
            torch.testing.assert_close(weight.detach(), again[name])

    def test_the_second_order_gradient_is_that_of_the_weights_one_step_ahead(self):
        """Against finite differences of the loss itself, in double precision, with momentum and weight decay."""
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        inputs, targets, others, wanted = drawn(20, 4), drawn(20), drawn(20, 4), drawn(20)
        weights = [torch.nn.Parameter(drawn(4, 3)), torch.nn.Parameter(drawn(3))]
        architecture = [torch.nn.Parameter(drawn(3))]
        optimizer = context(learning_rate=0.05, weight_decay=0.1).weight_optimizer(weights)
        optimizer.step((weights[0] ** 3).sum() + (weights[1] ** 3).sum())
        start = [weight.detach().clone() for weight in weights]
        buffers = [optimizer.rule.state[weight]["momentum_buffer"].clone() for weight in weights]

        def loss(x, y, w, a):
            return ((torch.tanh(x @ w[0]) * torch.softmax(a[0], 0) @ w[1] - y) ** 2).mean()

        def ahead(a):
            """The loss of the architecture, after the step of the weights, differentiated through."""
            leaves = [weight.clone().requires_grad_() for weight in start]
            gradients = torch.autograd.grad(loss(inputs, targets, leaves, a), leaves)
            moved = [
                weight - 0.05 * (gradient + 0.1 * weight + 0.9 * buffer)
                for weight, gradient, buffer in zip(leaves, gradients, buffers, strict=True)
            ]
            return float(loss(others, wanted, moved, a).detach())

        (ours,) = unrolled_gradients(
            weights=weights,
            architecture=architecture,
            train_loss=lambda: loss(inputs, targets, weights, architecture),
            valid_loss=lambda: loss(others, wanted, weights, architecture),
            optimizer=optimizer,
        )
        assert same([weight.detach() for weight in weights], start)
        for place in range(3):
            sides = []
            for sign in (1, -1):
                moved = architecture[0].detach().clone()
                moved[place] += sign * 1e-5
                sides.append(ahead([moved]))
            assert float(ours[place]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-3)
        # It is not the first-order one.
        (first,) = torch.autograd.grad(loss(others, wanted, start, architecture), architecture)
        assert not torch.allclose(first, ours, rtol=0.05)

    def test_both_orders_search_differently(self):
        first, second = (logits_after(DARTS(second_order=order).recipe()) for order in (False, True))
        assert not torch.equal(first, second)

    def test_the_learning_rate_falls_along_a_cosine(self):
        optimizer = context(epochs=50).weight_optimizer([torch.nn.Parameter(torch.ones(1))])
        rates = []
        for number in (0, 25, 50):
            optimizer.begin_epoch(number)
            rates.append(optimizer.learning_rate)
        assert rates == pytest.approx([0.025, 0.013, 0.001])


class TestSNAS:
    def test_weights_and_architecture_descend_one_loss_on_one_half(self):
        search = Bilevel(context(), SNAS().recipe())
        train, valid = first_batches(search)
        step = search.step(train, valid, 0, 0.0, torch.Generator().manual_seed(0))
        twin = Bilevel(context(), SNAS().recipe())
        other = dataclasses.replace(valid, inputs=torch.zeros_like(valid.inputs))
        assert torch.equal(step, twin.step(train, other, 0, 0.0, torch.Generator().manual_seed(0)))
        assert same(search.state(), twin.state())
        assert not torch.equal(search.edges.logits, Bilevel(context(), SNAS().recipe()).edges.logits)


class TestGDAS:
    def test_computes_one_operation_per_edge(self):
        search = Bilevel(context(), GDAS().recipe())
        gates = search.gates(0.0, torch.Generator().manual_seed(0))
        assert [len(active) for active in gates.active] == [1] * 6
        train, _ = first_batches(search)
        loss = search.context.loss(search.supernet, train, gates)
        (gradient,) = torch.autograd.grad(loss, [search.edges.logits])
        for edge, (choice,) in enumerate(gates.active):
            # An absent edge computes nothing.
            assert (choice == 0) or gradient[edge].abs().max() > 0


class TestPCDARTS:
    def test_the_architecture_waits(self):
        strategy = PCDARTS(partial=2, warm_up=2)
        search = Bilevel(context(), strategy.recipe())
        before = search.edges.state_dict()["logits"].clone()
        search.epoch(0)
        search.epoch(1)
        assert torch.equal(search.edges.logits, before)
        search.epoch(2)
        assert not torch.equal(search.edges.logits, before)

    def test_weights_of_edges_are_learned_and_read(self):
        search = Bilevel(context(architecture_learning_rate=0.1), PCDARTS(partial=2, warm_up=0).recipe())
        before = search.edges.edge_logits.detach().clone()
        search.epoch(0)
        # The only edge into node 1 has a weight of 1, whatever its logit.
        moved = (search.edges.edge_logits - before).abs() > 1e-2
        assert moved[1:].all()
        assert float(search.edges.edge_weights()[0].detach()) == 1.0

    def test_channels_must_divide(self):
        with pytest.raises(SpecError, match="6 channels cannot be cut into 4 equal parts"):
            PCDARTS(**TINY | {"size": {"channels": 6}}).check(SPACE, "cifar10")

    def test_an_architecture_must_be_learned_at_all(self):
        with pytest.raises(SpecError, match="15 epochs of 10 train weights alone"):
            PCDARTS(**TINY, epochs=10).check(SPACE, "cifar10")


class TestDrNAS:
    def test_the_divergence_holds_concentrations_near_one(self):
        free, held = (
            logits_after(
                DrNAS(regulariser="kl", scale=scale).recipe(),
                architecture_learning_rate=0.05,
                architecture_weight_decay=0.0,
                epochs=4,
            )
            for scale in (0.0, 10.0)
        )
        assert held.abs().mean() < 0.5 * free.abs().mean()

    def test_one_regulariser_takes_the_place_of_the_other(self):
        methods = [DrNAS(regulariser=regulariser, scale=0.5) for regulariser in ("l2", "kl")]
        decays = [method.training(SPACE, "cifar10").architecture_weight_decay for method in methods]
        assert decays == [0.5, 0.0]
        assert DrNAS().recipe().regulariser is None

    def test_a_concentration_is_above_zero_however_small_its_logit(self):
        edges = Dirichlet(SPACE, torch.Generator().manual_seed(0))
        with torch.no_grad():
            edges.logits[0] = torch.tensor([-300.0, -50.0, -17.0, 0.0, 2.0])
        expected = [0.0, 0.0, math.exp(-17), 1.0, 3.0]
        assert edges.concentration()[0].tolist() == pytest.approx(expected, abs=1e-16, rel=1e-5)
        assert (edges.concentration() > 0).all()


class TestFairDARTS:
    def test_the_penalty_pushes_operations_away_from_one_half(self):
        edges = Sigmoid(SPACE, torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad(FairDARTS().recipe().regulariser(edges, 0.5), [edges.logits])
        assert torch.equal(gradient.sign(), -edges.logits.detach().sign())


class TestBetaDARTS:
    def test_the_penalty_has_the_softmax_for_its_gradient(self):
        strategy = BetaDARTS(penalty=50.0)
        edges = Softmax(SPACE, torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad(strategy.recipe().regulariser(edges, 0.5), [edges.logits])
        torch.testing.assert_close(gradient, 25.0 / 6 * torch.softmax(edges.logits.detach(), 1))

    def test_operations_stay_nearer_to_each_other(self):
        def spread(penalty):
            logits = logits_after(
                BetaDARTS(penalty=penalty).recipe(), architecture_learning_rate=0.05, epochs=4
            )
            return torch.softmax(logits, 1).std(dim=1).mean()

        assert spread(200.0) < spread(0.0)


class TestDARTSMinus:
    def test_the_identity_gets_a_share_that_decays_to_nothing(self):
        adapt = DARTSMinus(auxiliary=0.8).recipe().adapt
        gates = Gates(torch.full((6, 5), 0.2))
        for progress, share in ((0.0, 0.8), (0.5, 0.4), (1.0, 0.0)):
            more = adapt(SPACE, gates, progress).weights - 0.2
            assert more[:, SKIP].tolist() == pytest.approx([share] * 6)
            more[:, SKIP] = 0
            assert not more.any()


class TestSDARTS:
    def setup_method(self):
        self.search = Bilevel(context(), DARTS().recipe())
        self.train, _ = first_batches(self.search)
        self.gates = Gates(torch.full((6, 5), 0.2))

    def moved(self, noise):
        return noise.gates(self.search, self.train, self.gates, 0.5, torch.Generator().manual_seed(0))

    def test_random_noise_fills_its_radius(self):
        difference = (self.moved(RandomNoise(Radius(0.0, 0.2))).weights - 0.2).abs()
        assert 0.08 < difference.max() <= 0.1

    def test_noise_leaves_no_gate_negative(self):
        assert self.moved(RandomNoise(Radius(1.0, 1.0))).weights.min() == 0.0

    def test_adversarial_noise_makes_the_loss_worse_than_random_noise(self):
        def loss(gates):
            return float(self.search.context.loss(self.search.supernet, self.train, gates).detach())

        worst = self.moved(AdversarialNoise(Radius(0.2, 0.2), 7))
        assert (worst.weights - 0.2).abs().max() <= 0.2 + 1e-6
        assert loss(worst) > loss(self.gates)
        assert loss(worst) > loss(self.moved(RandomNoise(Radius(0.2, 0.2))))

    def test_both_kinds_train_other_weights_than_darts(self):
        recipes = [
            DARTS().recipe(),
            *(SDARTS(perturbation=kind).recipe() for kind in ("random", "adversarial")),
        ]
        weights = []
        for recipe in recipes:
            search = Bilevel(context(), recipe)
            search.epoch(0)
            weights.append(torch.cat([w.detach().flatten() for w in search.supernet.parameters()]))
        assert not torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
        assert not torch.equal(weights[1], weights[2])


class TestPerturbationBasedSelection:
    def made(self, until=None, **settings):
        search = Projection(context(epochs=1, **settings), DARTS().recipe(), tuning=1)
        for number in range(search.epochs if until is None else until):
            search.epoch(number)
        return search

    def test_one_edge_is_decided_between_two_epochs_of_tuning_and_the_last_one_after_them(self):
        assert DARTSPT(epochs=10, tuning=5).length(SPACE, "cifar10") == 35
        search = self.made(until=1)
        assert search.epochs == 6
        decided = []
        for number in range(1, 6):
            search.epoch(number)
            decided.append(len(search.decided))
        assert decided == [1, 2, 3, 4, 6]

    def test_what_stays_is_what_is_missed_most(self):
        search = self.made(until=1)
        search._projects = True
        edge = search._order[0]
        left = [search.without(edge, choice) for choice in range(5)]
        search._decide(edge)
        assert left[search.decided[edge]] == min(left)
        gates = search.gates(1.0, torch.Generator())
        assert gates.weights[edge].tolist() == [float(choice == search.decided[edge]) for choice in range(5)]

    @pytest.mark.parametrize(
        "strategy", [GDAS, SNAS, DrNAS, PCDARTS, DARTSMinus, BetaDARTS, FairDARTS, partial(SDARTS, steps=1)]
    )
    def test_every_search_can_end_so(self, strategy):
        """Nothing is sampled then: each gate matters, and a decided edge hands on its operation alone."""
        made = strategy(**TINY | {"size": {"channels": 8}}, selection="perturbation", tuning=1, epochs=16)
        larger = dataclasses.replace(context(epochs=16), size={"channels": 8, "cells": 1})
        search = made.method(larger)
        search._projects = True
        train, _ = first_batches(search)
        with torch.no_grad():
            gates = search.gates(1.0, torch.Generator())
            whole = search.supernet(train.inputs, gates)
            for edge in range(6):
                for choice in range(1, 5):
                    weights = gates.weights.clone()
                    weights[edge, choice] = 0.0
                    closed = search.supernet(train.inputs, dataclasses.replace(gates, weights=weights))
                    assert not torch.equal(closed, whole), (edge, choice)
            search.decided = dict(enumerate([3, 1, 2, 4, 3, 1]))
            decided = search.supernet(train.inputs, search.gates(1.0, torch.Generator()))
            path = search.supernet.path([3, 1, 2, 4, 3, 1])
            edges = search.edges.expected().edges
            torch.testing.assert_close(
                decided, search.supernet(train.inputs, dataclasses.replace(path, edges=edges))
            )

    def test_it_is_not_the_strongest_operation_that_is_returned(self):
        search = self.made()
        assert search.read(5) == Architecture([search.decided[edge] for edge in range(6)])
        assert search.read(5) != search.edges.architecture()

    def test_between_two_edges_the_search_goes_on_at_a_tenth_of_the_rate(self):
        search = self.made(until=1)
        logits = search.edges.logits.detach().clone()
        search.epoch(1)
        assert search.optimizer.learning_rate == pytest.approx(0.0025)
        open_edges = [edge for edge in range(6) if edge not in search.decided]
        assert (search.edges.logits.detach()[open_edges] != logits[open_edges]).any()
        weights = search.supernet.state_dict()["network.classifier.weight"].clone()
        search.epoch(2)
        assert not torch.equal(search.supernet.state_dict()["network.classifier.weight"], weights)


class TestPDARTS:
    def test_stages_get_deeper_and_leave_less(self):
        strategy = PDARTS(
            **TINY | {"size": {"channels": 4, "cells": 4}}, epochs=3, warm_up=0, depths=(0.25, 0.5, 1.0)
        )
        search = strategy.method(dataclasses.replace(context(epochs=3), size={"channels": 4, "cells": 4}))
        cells, left = [], []
        for number in range(3):
            search.epoch(number)
            cells.append(sum(1 for _ in search.supernet.cells))
            left.append({len(choices) for choices in search.left})
        assert cells == [3, 6, 12]
        assert left == [{5}, {3}, {2}]
        arch = search.read(2)
        assert all(choice in search.left[edge] for edge, choice in enumerate(arch) if choice != SKIP)

    def test_at_most_two_identities_stay(self):
        search = PDARTS(**TINY, epochs=3, warm_up=0).method(context(epochs=3))
        with torch.no_grad():
            search.edges.logits[:, SKIP] = torch.arange(3.0, 9.0)
        arch = search.read(0)
        assert [edge for edge, choice in enumerate(arch) if choice == SKIP] == [4, 5]

    def test_identities_are_dropped_less_and_less(self):
        strategy = PDARTS(**TINY, epochs=30, warm_up=4, dropouts=(0.8, 0.0, 0.0))
        search = strategy.method(context(epochs=30))

        def dropped(epoch):
            generator = torch.Generator().manual_seed(0)
            gates = [search.gates(epoch / 30, generator).weights[:, SKIP] for _ in range(100)]
            return float((torch.stack(gates) == 0).float().mean())

        # Ten epochs a stage: linearly while weights warm up, then by exp(-0.2) each.
        expected = {0: 0.8 * 0.9, 3: 0.8 * 0.6, 4: 0.8, 9: 0.8 * math.exp(-1.0)}
        assert {epoch: dropped(epoch) for epoch in expected} == pytest.approx(expected, abs=0.06)

    def test_what_is_gone_is_not_returned(self):
        search = PDARTS(**TINY, epochs=3, warm_up=0, identities=0).method(context(epochs=3))
        search.left = [[SKIP]] * 6
        assert search.read(0) == Architecture([SKIP] * 6)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"kept": [2, 3]}, "kept are numbers from 1 that do not grow"),
            ({"kept": [3]}, "an entry per stage"),
            ({"epochs": 30, "warm_up": 10}, "10 epochs of 10 train weights alone"),
            ({"epochs": 100}, "100 epochs cannot be shared evenly by 3 stages"),
        ],
    )
    def test_stages_that_make_no_sense_are_refused(self, options, message):
        with pytest.raises(SpecError, match=message):
            PDARTS(**TINY, **options).check(SPACE, "cifar10")


class TestRDARTS:
    def test_the_best_of_searches_with_other_weight_decays(self):
        search = RDARTS(**TINY, epochs=2, weight_decays=[0.0, 0.5]).method(context(epochs=2))
        assert search.epochs == 4
        norms = []
        for number in range(4):
            search.epoch(number)
            norms.append(float(sum((w.detach() ** 2).sum() for w in search.supernet.parameters())))
        assert norms[3] < norms[1]
        candidates = [*search.found, search._candidate()]
        assert len(candidates) == 2
        assert search.read(3) == max(candidates, key=lambda found: found[1])[0]


class TestOLES:
    def test_a_stopped_operation_keeps_its_weights_and_others_do_not(self):
        search = OLES(threshold=-1.0, interval=1, **TINY).method(context())
        (name, edge) = search._groups[0].name, search._groups[0].edges[0]
        search.stopped.add((name, edge))
        group = search._groups[0]

        def weights():
            return {e: group.operation.own(e)["weight"].detach().clone() for e in group.edges}

        before = weights()
        search.epoch(0)
        after = weights()
        assert torch.equal(before[edge], after[edge])
        assert not any(torch.equal(before[e], after[e]) for e in group.edges if e != edge)

    def test_operations_are_stopped_by_the_cosine_of_their_gradients(self):
        search = OLES(threshold=0.5, interval=2, **TINY).method(context())
        group = search._groups[0]
        weights = list(search.supernet.parameters())
        gradients = tuple(torch.ones_like(weight) for weight in weights)
        others = [gradient.clone() for gradient in gradients]
        # Of the first edge, the gradients of both halves point apart.
        others[group.places[0]][0] *= -1
        search._compare(gradients, tuple(others))
        assert not search.stopped
        search._compare(gradients, tuple(others))
        assert search.stopped == {(group.name, group.edges[0])}

    def test_everything_is_stopped_in_the_end_where_nothing_is_alike_enough(self):
        search = OLES(threshold=1.0, interval=2, **TINY).method(context())
        # Two convolutions on six edges, in three cells.
        assert search.epoch(0)["stopped"] == 36.0
