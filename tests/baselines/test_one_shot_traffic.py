"""Searches with a supernet that forecasts traffic."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from baselines.one_shot.beta_darts import BetaDARTS
from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.cell import GateHolder
from baselines.one_shot.cell import Gates
from baselines.one_shot.cell import SupernetCell
from baselines.one_shot.darts import DARTS
from baselines.one_shot.darts_minus import DARTSMinus
from baselines.one_shot.darts_pt import DARTSPT
from baselines.one_shot.drnas import DrNAS
from baselines.one_shot.enas import ENAS
from baselines.one_shot.fair_darts import FairDARTS
from baselines.one_shot.fairnas import FairNAS
from baselines.one_shot.gdas import GDAS
from baselines.one_shot.oles import OLES
from baselines.one_shot.p_darts import PDARTS
from baselines.one_shot.pc_darts import PCDARTS
from baselines.one_shot.r_darts import RDARTS
from baselines.one_shot.rlnas import RLNAS
from baselines.one_shot.rsps import RSPS
from baselines.one_shot.scorer import InheritedWeights
from baselines.one_shot.sdarts import SDARTS
from baselines.one_shot.setn import SETN
from baselines.one_shot.snas import SNAS
from baselines.one_shot.spos import SPOS
from baselines.one_shot.supernet import Supernet
from baselines.one_shot.traffic import TrafficSource
from harness.benchmarks.forecasting import Forecasting
from harness.errors import SpecError
from harness.errors import TrainingError
from harness.networks.initialisation import draw_weights
from harness.networks.spatial_temporal import from_rows
from harness.networks.spatial_temporal import rows
from harness.ranking.scorer import Resources
from harness.spaces import ISTSSpace
from harness.spaces import NASBench201Space
from harness.traffic import load_traffic
from harness.traffic.files import write_traffic
from harness.traffic.library import traffic_path
from tests.baselines.one_shot import same
from tests.harness.forecasting import TINY
from tests.harness.forecasting import traffic
from tests.harness.forecasting import waves

SPACE = ISTSSpace()
STEPS, SENSORS = 400, 6
#: First steps of the validation and of the test part.
VALID, TEST = 280, 320
#: Keyword arguments of a search whose epochs have two steps.
FEW: dict[str, Any] = {"batch_size": 8, "stride": 12, "epochs": 2, "size": TINY}
EVOLVING = {"generations": 1, "population": 4, "parents": 2, "samples": 2}
#: The methods of ISTS, and what makes them short.
METHODS: dict[str, tuple[type, dict[str, Any]]] = {
    "darts": (DARTS, {}),
    "pc_darts": (PCDARTS, {"partial": 2, "warm_up": 1}),
    "sdarts-rs": (SDARTS, {}),
    "sdarts-adv": (SDARTS, {"perturbation": "adversarial", "steps": 1}),
    "darts_pt": (DARTSPT, {"epochs": 1, "tuning": 1}),
}
#: Others, for which nothing is different here.
OTHERS: dict[str, tuple[type, dict[str, Any]]] = {
    "snas": (SNAS, {"epochs": 1}),
    "gdas": (GDAS, {"epochs": 1}),
    "drnas": (DrNAS, {"epochs": 1}),
    "beta_darts": (BetaDARTS, {"epochs": 1}),
    "fair_darts": (FairDARTS, {"epochs": 1}),
    "oles": (OLES, {"epochs": 1, "interval": 1}),
    "r_darts": (RDARTS, {"epochs": 1, "weight_decays": [0.0, 0.1]}),
    "rsps": (RSPS, {"epochs": 1, "samples": 3}),
    "setn": (SETN, {"epochs": 1, "samples": 3}),
    "enas": (ENAS, {"epochs": 1, "samples": 2, "controller_steps": 1, "controller_batch": 2}),
    "spos": (SPOS, {"epochs": 1, **EVOLVING}),
    "fairnas": (FairNAS, {"epochs": 1, **EVOLVING}),
}


def write(values: np.ndarray | None = None) -> None:
    """The traffic of these tests, in the data folder."""
    write_traffic(traffic_path("mine"), traffic(waves(STEPS, SENSORS) if values is None else values))


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> None:
    """A data folder of each test's own, with traffic."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    write()


def strategy(name="darts", seed=0, **options):
    cls, own = {**METHODS, **OTHERS}[name]
    return cls(**FEW | own | options, seed=seed)


def search(name="darts", **options):
    return strategy(name, **options).search(SPACE, "mine")


def bilevel(**options) -> Bilevel:
    wanted = strategy(**options)
    return wanted.method(wanted.context(SPACE, "mine"))


def source(**options) -> TrafficSource:
    return TrafficSource(
        **{"name": "mine", "partition": None, "stride": 1, "evaluation_stride": 1, **options}
    )


def epochs_of(record, length):
    """What every epoch came to, without what it took."""
    epochs = [record.epoch(number) for number in range(length)]
    return [(SPACE.ncode(epoch.architecture), dict(epoch.metrics)) for epoch in epochs]


def made(name):
    """The epochs of a search, and the state that they end in."""
    wanted = strategy(name)
    record, length = wanted.search(SPACE, "mine"), wanted.length(SPACE, "mine")
    return epochs_of(record, length), record.method_after(length - 1).state()


@pytest.fixture(scope="module")
def made_before(tmp_path_factory):
    """Every search in one go, in a data folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(tmp_path_factory.mktemp("before")))
        write()
        return {name: made(name) for name in METHODS}


class TestSupernet:
    def supernet(self, **options) -> Supernet:
        return Supernet(SPACE, "mine", TINY, seed=0, **options)

    def inputs(self) -> torch.Tensor:
        return from_rows(torch.randn(SENSORS, 3, 12, 2, generator=torch.Generator().manual_seed(0)))

    def standalone(self, net: Supernet, arch) -> nn.Module:
        """The network of an architecture, with the weights that it inherits."""
        network = SPACE.build_network(arch, "mine", TINY)
        weights = {
            name: weight.detach()
            for name, weight in net.network.named_parameters()
            if not name.startswith("cells.")
        }
        for edge, choice in enumerate(arch):
            for name, weight in net.own_weights(edge, choice).items():
                weights[name.replace("cells.", f"cells.operations.{edge}.", 1)] = weight.detach()
        network.load_state_dict(weights)
        return network.eval()

    @pytest.mark.parametrize("ncode", ["000000", "111111", "222222", "012012", "201120"])
    def test_a_path_is_the_network_of_its_architecture(self, ncode):
        net, arch = self.supernet(), SPACE.from_ncode(ncode)
        with net.evaluated():
            ours = net(self.inputs(), net.path(arch))
        theirs = self.standalone(net, arch)(self.inputs())
        assert ours.shape == (3, 12, SENSORS)
        torch.testing.assert_close(ours, theirs)

    def test_a_cell_is_the_weighted_sum_of_all_operations(self):
        net = self.supernet().eval()
        weights = torch.softmax(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), dim=1)
        _, cell = next(net.cells)
        x = from_rows(torch.randn(SENSORS, 3, 12, TINY["channels"]))
        net._holder.gates = Gates(weights)
        nodes = {0: x}
        for edge, (start, end) in enumerate(SPACE.edges):
            for choice in range(3):
                output = cell.operations[f"{start}-{choice}"].by_edge[str(edge)](nodes[start])
                nodes[end] = nodes.get(end, 0) + weights[edge, choice] * output
        torch.testing.assert_close(cell(x), nodes[3])

    @pytest.mark.parametrize("partial", [1, 2])
    def test_sensors_stay_first_in_memory(self, partial):
        """What operations take without a copy; and where they lie changes nothing."""
        holder = GateHolder()
        cell = SupernetCell(SPACE, 4, holder, "mine", TINY, partial).eval()
        draw_weights(cell, 0)
        holder.gates = Gates(torch.full((6, 3), 1 / 3), edges=torch.rand(6))
        x = from_rows(torch.randn(SENSORS, 3, 12, 4))
        out = cell(x)
        assert rows(out).is_contiguous()
        torch.testing.assert_close(out, cell(x.contiguous()))

    def test_weights_depend_on_the_seed_alone(self):
        before = torch.get_rng_state()
        nets = [Supernet(SPACE, "mine", TINY, seed=seed) for seed in (0, 0, 1)]
        assert torch.equal(torch.get_rng_state(), before)
        states = [net.state_dict() for net in nets]
        assert same(dict(states[0]), dict(states[1]))
        assert not any(
            torch.equal(states[0][name], states[2][name]) for name in states[0] if name.endswith("weight")
        )
        # Nobody draws the graph.
        graphs = [buffer for name, buffer in nets[0].named_buffers() if name.endswith("matrices")]
        assert len(graphs) == 18
        assert all(graph.to_dense().sum() > 0 and graph.isfinite().all() for graph in graphs)


class TestData:
    def starts(self, batches):
        """First steps of the windows of some batches: the clock tells, whose day is longer than the traffic."""
        day = torch.cat([batch.inputs[:, 1, 0, 0] for batch in batches])
        return (day * 288).round().int().tolist()

    def test_halves_are_windows_of_the_training_and_validation_parts(self):
        write(waves(288, SENSORS))
        loaded = source().load(0, torch.device("cpu"))
        # Of 288 steps 202 train and 28 or 29 validate; a window has 24.
        assert self.starts(loaded.in_order("weights", 50)) == list(range(202 - 23))
        valid = self.starts(loaded.in_order("architecture", 50))
        assert valid == list(range(202, 230 - 23))
        (batch,) = loaded.in_order("architecture", 50)
        assert batch.inputs.shape == (len(valid), 2, SENSORS, 12)
        assert batch.targets.shape == (len(valid), 12, SENSORS)
        values = load_traffic("mine").values
        np.testing.assert_array_equal(batch.targets[0], values[202 + 12 : 202 + 24])

    def test_validation_windows_begin_again_in_another_order(self):
        write(waves(288, SENSORS))
        loaded = source().load(0, torch.device("cpu"))
        assert loaded.steps(5) == 35
        batches = [
            list(loaded.batches(half, 5, torch.Generator().manual_seed(0)))
            for half in ("weights", "architecture")
        ]
        assert [len(some) for some in batches] == [35, 35]
        assert len(set(self.starts(batches[0]))) == 35 * 5
        # Five windows, one batch, 35 times.
        passes = [self.starts([batch]) for batch in batches[1]]
        assert all(sorted(shown) == list(range(202, 207)) for shown in passes)
        assert len(set(map(tuple, passes))) > 10

    def test_strides(self):
        loaded = source(stride=10, evaluation_stride=4).load(0, torch.device("cpu"))
        assert loaded.steps(8) == 257 // 10 // 8
        for seed in range(12):
            batches = list(loaded.batches("weights", 8, torch.Generator().manual_seed(seed)))
            assert [len(batch) for batch in batches] == [8, 8, 8]
        judged = loaded.judged(torch.Generator())
        assert sum(len(batch) for batch in judged) == math.ceil(17 / 4)
        (compared,) = loaded.in_order("architecture", 8)
        torch.testing.assert_close(judged[0].inputs, compared.inputs)

    def test_what_is_missing_counts_neither_in_the_loss_nor_in_the_quality(self):
        values = waves(STEPS, SENSORS)
        values[VALID + 20 : VALID + 30, 1] = np.nan
        values[VALID + 15, 2] = 0.0
        write(values)
        loaded = source().load(0, torch.device("cpu"))
        batches = list(loaded.in_order("architecture", 10))
        mean, std = values[:VALID].mean(), values[:VALID].std()
        forecasts = [
            torch.randn(batch.targets.shape, generator=torch.Generator().manual_seed(7)) for batch in batches
        ]
        errors = [
            np.abs(forecast.numpy() * std + mean - batch.targets.numpy())
            for forecast, batch in zip(forecasts, batches, strict=True)
        ]
        counted = [(batch.targets.numpy() > 0) for batch in batches]
        for forecast, batch, error, counts in zip(forecasts, batches, errors, counted, strict=True):
            assert float(loaded.loss(forecast, batch.targets)) == pytest.approx(
                error[counts].mean(), rel=1e-5
            )
        every = np.concatenate([error[counts] for error, counts in zip(errors, counted, strict=True)])
        targets = [batch.targets for batch in batches]
        assert loaded.quality(zip(forecasts, targets, strict=True)) == pytest.approx(-every.mean(), rel=1e-5)
        assert loaded.quality_unit == pytest.approx(std)

    def test_a_quality_is_a_number(self):
        loaded = source().load(0, torch.device("cpu"))
        (batch,) = loaded.judged(torch.Generator())
        with pytest.raises(TrainingError, match="error of nan: its training diverged .* or nothing was meas"):
            loaded.quality([(torch.full(batch.targets.shape, torch.nan), batch.targets)])


class TestSettings:
    def test_weights_learn_as_networks_for_traffic_are_trained(self):
        settings = DARTSPT().training(SPACE, "mine")
        assert dataclasses.asdict(settings) == {
            "epochs": 30,
            "batch_size": 16,
            "learning_rate": 0.001,
            "nesterov": False,
            "last_learning_rate": 0.001,
            "weight_decay": 0.0001,
            # These are the method's.
            "architecture_learning_rate": 3e-4,
            "architecture_weight_decay": 1e-3,
        }
        assert DARTSPT().length(SPACE, "mine") == 30 + 25
        assert PCDARTS().training(SPACE, "mine").architecture_learning_rate == 6e-4
        assert DrNAS(scale=0.5).training(SPACE, "mine").architecture_weight_decay == 0.5

    def test_what_is_set_is_taken_and_there_is_no_schedule(self):
        method = bilevel(learning_rate=0.01, epochs=7, batch_size=4)
        assert isinstance(method.optimizer.rule, torch.optim.Adam)
        assert (method.context.settings.epochs, method.context.settings.batch_size) == (7, 4)
        rates = []
        for number in (0, 3, 6):
            method.begin_epoch(number)
            rates.append(method.optimizer.learning_rate)
        assert rates == pytest.approx([0.01] * 3)

    def test_images_keep_theirs(self):
        images = DARTS().training(NASBench201Space(), "cifar10")
        assert (images.epochs, images.batch_size, images.learning_rate) == (50, 64, 0.025)

    def test_the_batch_is_that_of_the_paper(self):
        write_traffic(traffic_path("eight"), traffic(waves(STEPS, SENSORS), dataset="pems-08"))
        assert DARTS().training(SPACE, "eight").batch_size == 32


class TestSearches:
    def test_steps_lower_the_loss(self):
        method = bilevel(learning_rate=0.01)
        train, valid = (
            next(method.context.data.batches(half, 8, torch.Generator().manual_seed(0)))
            for half in ("weights", "architecture")
        )
        losses = [
            float(method.step(train, valid, 0, 0.0, torch.Generator().manual_seed(0))) for _ in range(8)
        ]
        assert losses[-1] < 0.9 * losses[0]

    def test_the_architecture_descends_the_loss_of_its_half(self):
        method = bilevel(architecture_learning_rate=0.1)
        train, valid = (
            next(iter(method.context.data.in_order(half, 8))) for half in ("weights", "architecture")
        )

        def loss():
            with torch.no_grad(), method.supernet.evaluated():
                return float(method.context.loss(method.supernet, valid, method.edges.expected()))

        before = loss()
        for _ in range(8):
            method.architecture_step(train, valid, 0.0, torch.Generator())
        assert loss() < before

    @pytest.mark.parametrize("name", METHODS)
    def test_cut_off_anywhere_it_ends_as_one_that_was_not(self, name, made_before):
        """Metrics, architectures and every bit of the state, whatever the state of the global generator."""
        wanted = strategy(name)
        length = wanted.length(SPACE, "mine")
        for number in range(length):
            torch.rand(number + 1)
            before = torch.get_rng_state()
            # A new record is what a new process has.
            cut = wanted.search(SPACE, "mine")
            cut.epoch(number)
            assert torch.equal(torch.get_rng_state(), before)
        expected, state = made_before[name]
        assert epochs_of(cut, length) == expected
        assert same(cut.method_after(length - 1).state(), state)

    @pytest.mark.parametrize("name", OTHERS)
    def test_other_methods_search_too(self, name):
        epochs, _ = made(name)
        assert all(math.isfinite(value) for _, metrics in epochs for value in metrics.values())

    def test_another_process_makes_the_same(self, tmp_path, made_before):
        lines = [
            "import json",
            "from tests.baselines.test_one_shot_traffic import METHODS, made, write",
            "write()",
            "print(json.dumps({name: made(name)[0] for name in METHODS}))",
        ]
        finished = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={"HARNESS_DATA": str(tmp_path / "other"), "PATH": ""},
        )
        expected = {name: epochs for name, (epochs, _) in made_before.items()}
        assert json.loads(finished.stdout) == json.loads(json.dumps(expected))

    def test_another_seed_is_another_search(self):
        assert epochs_of(search(), 1) != epochs_of(search(seed=1), 1)

    @pytest.mark.parametrize(("name", "gone"), [("darts", np.nan), ("darts_pt", 1e6)])
    def test_test_steps_decide_nothing(self, name, gone, made_before):
        values = waves(STEPS, SENSORS)
        # Something must be there to be compared with a forecast.
        values[TEST:-1] = gone
        write(values)
        epochs, state = made(name)
        assert epochs == made_before[name][0]
        assert same(state, made_before[name][1])

    def test_dropout_is_of_the_epoch_and_switched_off_where_gates_are_compared(self):
        method = bilevel()
        (batch,) = method.context.data.judged(torch.Generator())
        gates = method.edges.expected()

        def outputs(seed):
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(seed)
                return method.context.outputs(method.supernet, batch, gates)

        assert torch.equal(outputs(0), outputs(0))
        assert not torch.equal(outputs(0), outputs(1))
        before = torch.get_rng_state()
        quality = method.context.quality(method.supernet, [batch], gates)
        assert quality == method.context.quality(method.supernet, [batch], gates) < 0
        assert torch.equal(torch.get_rng_state(), before)
        assert method.supernet.training

    def test_epochs_have_another_dropout_each(self):
        first, again = (search(learning_rate=1e-12, architecture_learning_rate=1e-12) for _ in range(2))
        losses = [metrics["loss"] for _, metrics in epochs_of(first, 2)]
        assert losses[0] != losses[1]
        assert [metrics["loss"] for _, metrics in epochs_of(again, 2)] == losses

    def test_what_stays_is_what_is_missed_most(self):
        method = bilevel(name="darts_pt")
        for number in range(method.epochs):
            method.epoch(number)
        assert sorted(method.decided) == list(range(6))
        method.decided.pop(method._order[0])
        edge = method._order[0]
        left = [method.without(edge, choice) for choice in range(3)]
        method._decide(edge)
        assert method.decided[edge] == left.index(min(left))

    @pytest.mark.parametrize(
        "other",
        [
            {"stride": 10},
            {"evaluation_stride": 2},
            {"search_partition": "6/2/2"},
            {"batch_size": 4},
            {"size": TINY | {"order": 2}},
            {"learning_rate": 0.01},
            {"seed": 1},
        ],
    )
    def test_what_decides_a_search_decides_its_folder(self, other):
        assert search(**other).folder != search().folder
        # The partition of the paper by another name.
        assert search(search_partition="7/1/2").folder == search().folder

    def test_traffic_decides_its_folder(self):
        folder, digest = search().folder, strategy().digest(SPACE, "mine")
        write(waves(STEPS, SENSORS, seed=1))
        assert search().folder != folder
        assert strategy().digest(SPACE, "mine") != digest


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"images": "digits"},
                "DARTS: images is not for search space 'ists', whose networks learn from tra",
            ),
            ({"train_images": 100}, "DARTS: train_images is not for search space 'ists'"),
            ({"precision": "bfloat16"}, "DARTS: precision is not for search space 'ists'"),
            (
                {"second_order": True},
                "DARTS: second_order looks one step of stochastic gradient descent ahead",
            ),
            ({"batch_size": 30}, "the train part of .* 'mine' has 21 windows .* less than one batch of 30"),
            ({"batch_size": 20}, "the valid part of .* 'mine' has 17 windows .* less than one batch of 20"),
            ({"search_partition": "8/0/2"}, "a partition is three whole numbers above 0"),
            ({"stride": 0}, "DARTS: stride must be at least 1"),
            ({"evaluation_stride": 0}, "DARTS: evaluation_stride must be at least 1"),
            ({"dataset": "here"}, "traffic set 'here'"),
            (
                {"size": TINY | {"heads": 3}},
                "size: attention of 4 channels cannot be divided into 3 equal heads",
            ),
        ],
    )
    def test_what_cannot_be_searched(self, options, message):
        with pytest.raises(SpecError, match=message):
            strategy(**options).check(SPACE, "mine")

    @pytest.mark.parametrize(
        ("cls", "options", "message"),
        [
            (
                RLNAS,
                {},
                "RLNAS learns random labels, and the traffic that search space 'ists' is for has none",
            ),
            (DARTSMinus, {}, "adds to the identity of an edge, and search space 'ists' has no such choice"),
            (PDARTS, {}, "makes networks deeper, and those of 'ists' have no `cells`"),
            (PCDARTS, {"partial": 3, "warm_up": 1}, "4 channels cannot be cut into 3 equal parts"),
            (PCDARTS, {"warm_up": 30, "epochs": None}, "30 epochs of 30 train weights alone"),
            (RSPS, {"judged_images": 8}, "RSPS: judged_images is not for search space 'ists'"),
        ],
    )
    def test_methods_that_need_what_is_not_there(self, cls, options, message):
        with pytest.raises(SpecError, match=message):
            cls(**FEW | options).check(SPACE, "mine")

    @pytest.mark.parametrize(
        "options", [{"stride": 2}, {"evaluation_stride": 2}, {"search_partition": "7/1/2"}]
    )
    def test_what_means_nothing_to_images(self, options):
        images = {"images": "digits", "train_images": 64, "batch_size": 16}
        name = next(iter(options))
        with pytest.raises(
            SpecError, match=f"DARTS: {name} is not for search space 'nasbench201', whose net"
        ):
            DARTS(**images, **options).check(NASBench201Space(), "cifar10")
        DARTS(**images).check(NASBench201Space(), "cifar10")


def test_inherited_weights_rank_by_error():
    settings = {key: value for key, value in FEW.items() if key != "epochs"} | {"epochs": 1, "samples": 2}
    benchmark = Forecasting("mine", size=TINY)
    archs = [SPACE.from_index(rank) for rank in range(0, 729, 200)]
    scorer = InheritedWeights("rsps", settings=settings)
    scorer.check(benchmark)
    scored = InheritedWeights.score_together(
        {"rsps": scorer}, benchmark, archs, Resources(), progress=lambda *_: None
    )
    method = RSPS(**settings, seed=0).search(SPACE, "mine").method_after(0)
    assert [score.value for score in scored["rsps"]] == method.scores(archs)
    assert all(-100 < score.value < 0 for score in scored["rsps"])
