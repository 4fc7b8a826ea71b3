"""Searches that sample paths: what each is made of, and that killed ones go on as if they had not been."""

from __future__ import annotations

import dataclasses
import io
import math
from collections import Counter

import pytest
import torch

from baselines.one_shot.angle import AngleMetric
from baselines.one_shot.angle import open_paths
from baselines.one_shot.controller import Controller
from baselines.one_shot.controller import Reinforcement
from baselines.one_shot.data import Batch
from baselines.one_shot.enas import ENAS
from baselines.one_shot.evolution import Breeding
from baselines.one_shot.evolution import Evolution
from baselines.one_shot.fairnas import FairNAS
from baselines.one_shot.fairnas import StrictlyFair
from baselines.one_shot.images import ImageData
from baselines.one_shot.paths import PathTraining
from baselines.one_shot.paths import uniform
from baselines.one_shot.rlnas import RLNAS
from baselines.one_shot.rsps import RSPS
from baselines.one_shot.setn import SETN
from baselines.one_shot.spos import SPOS
from baselines.one_shot.supernet import Supernet
from harness.errors import SpecError
from harness.images import load_images
from harness.spaces import Architecture
from harness.spaces import CellSpace
from tests.baselines.one_shot import SIZE
from tests.baselines.one_shot import SPACE
from tests.baselines.one_shot import context
from tests.baselines.one_shot import same

SKIP, SMALL, LARGE, POOL = 1, 2, 3, 4
FEW = {"samples": 3}
SOME_GENERATIONS = {"generations": 2, "population": 6, "parents": 3, "samples": 2}
STRATEGIES = {
    "rsps": lambda: RSPS(**FEW),
    "spos": lambda: SPOS(**SOME_GENERATIONS),
    "fairnas": lambda: FairNAS(**SOME_GENERATIONS),
    "enas": lambda: ENAS(controller_steps=2, controller_batch=3, **FEW),
    "rlnas": lambda: RLNAS(**SOME_GENERATIONS),
    "setn": lambda: SETN(**FEW),
}


class SmallSpace(CellSpace):
    """Two edges, three operations: nine architectures."""

    name = "small"
    edges = ((0, 1), (1, 2))

    def __init__(self) -> None:
        super().__init__({"0->1": ("a", "b", "c"), "1->2": ("a", "b", "c")})

    def operation(self, choice, channels):
        raise NotImplementedError

    def stack(self, cell, dataset, size=None):
        raise NotImplementedError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cell(ncode: str) -> Architecture:
    return SPACE.from_ncode(ncode)


def trained(samples: int = 6, judged: int | None = None) -> PathTraining:
    """Random search with weight sharing after three epochs, which tell architectures apart."""
    method = PathTraining(context(learning_rate=0.2, judged=judged), samples=samples)
    for number in range(3):
        method.epoch(number)
    return method


# Paths.


def test_uniform_paths_have_every_operation_of_every_edge_equally_often():
    source = generator()
    drawn = [uniform(SPACE, source) for _ in range(2000)]
    for edge in range(6):
        counts = Counter(arch[edge] for arch in drawn)
        # Four standard deviations around 400.
        assert all(abs(counts[choice] - 400) < 4 * math.sqrt(2000 * 0.2 * 0.8) for choice in range(5))


def test_an_update_descends_the_sum_of_the_gradients_of_its_paths():
    one, other = (PathTraining(context(), samples=1) for _ in range(2))
    paths = [cell("333333"), cell("302104"), cell("211403")]
    batch = next(one.context.data.in_order("weights", 16))
    one.train(batch, paths)
    other.optimizer.step(
        sum(other.context.loss(other.supernet, batch, other.supernet.path(p)) for p in paths)
    )
    for a, b in zip(one.supernet.parameters(), other.supernet.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_weights_beside_the_path_decay_and_no_more():
    method = PathTraining(context(learning_rate=0.1, weight_decay=0.01), samples=1)
    before = {edge: own(method.supernet, edge, SMALL) for edge in range(6)}
    method.train(next(method.context.data.in_order("weights", 16)), [cell("333333")])
    for edge, weight in before.items():
        # The first step of Nesterov momentum is 1.9 times the gradient, here that of weight decay.
        torch.testing.assert_close(own(method.supernet, edge, SMALL), weight * (1 - 0.1 * 0.01 * 1.9))
    assert method.epoch(0)["loss"] > 0


def own(supernet: Supernet, edge: int, choice: int) -> torch.Tensor:
    """A copy of the weights of an operation of an edge in all cells, as a vector."""
    weights = supernet.own_weights(edge, choice).values()
    return torch.cat([weight.detach().flatten() for weight in weights]).clone()


def test_strict_fairness_trains_every_operation_of_every_edge_equally_often():
    counts: Counter[tuple[int, int]] = Counter()
    steps = []

    class Counted(StrictlyFair):
        def train(self, batch, paths):
            steps.append(len(paths))
            counts.update((edge, choice) for path in paths for edge, choice in enumerate(path))
            return super().train(batch, paths)

    method = Counted(context(), Breeding(1, 2, 1, 0.1), samples=1)
    before = {
        (edge, choice): own(method.supernet, edge, choice) for edge in range(6) for choice in (SMALL, LARGE)
    }
    for number in range(3):
        method.epoch(number)
    assert steps == [5] * 6
    assert set(counts.values()) == {6}
    assert len(counts) == 30
    assert not any(torch.equal(own(method.supernet, *key), weights) for key, weights in before.items())


def test_strictly_fair_paths_differ_from_step_to_step():
    method = StrictlyFair(context(), Breeding(1, 2, 1, 0.1), samples=1)
    source = generator()
    assert len({path for _ in range(20) for path in method.paths(source)}) > 90


def test_searches_that_sample_alike_train_alike():
    one, other = RSPS(**FEW).method(context()), SPOS(**SOME_GENERATIONS).method(context())
    assert one.epoch(0) == other.epoch(0)
    assert same(one.supernet.state_dict(), other.supernet.state_dict())


# Reading.


def accuracy(method: PathTraining, arch: Architecture, batches: list[Batch]) -> float:
    correct = [
        (method.supernet(batch.inputs, method.supernet.path(arch)).argmax(dim=1) == batch.targets)
        for batch in batches
    ]
    return 100 * float(torch.cat(correct).double().mean())


def test_the_best_of_samples_is_read():
    method = trained(samples=12)
    source = method.context.generator("candidates", 0)
    drawn = [uniform(SPACE, source) for _ in range(12)]
    half = method.context.data.some("architecture", 32, method.context.generator("judged images"))
    accuracies = [accuracy(method, arch, [half]) for arch in drawn]
    assert len(set(accuracies)) > 1
    assert method.read(0) == drawn[accuracies.index(max(accuracies))]
    assert method.scores(drawn) == pytest.approx(accuracies)


def test_reading_leaves_the_state_as_it_is():
    method = trained()
    before = copied(method.state())
    assert method.read(0) == method.read(0)
    assert same(method.state(), before)


def test_of_equals_the_first_is_best():
    method = trained()
    # Without any edge the images do not matter.
    cut = [cell("000000"), cell("333000"), cell("100100")]
    scores = method.scores(cut[:2])
    assert scores[0] == scores[1]
    assert method.best(cut[:2]) == cut[0]
    assert method.best(cut[1::-1]) == cut[1]


def test_so_many_images_judge():
    method = trained(judged=8)
    judged = method.context.data.some("architecture", 8, method.context.generator("judged images"))
    arch = cell("333333")
    assert method.scores([arch]) == pytest.approx([accuracy(method, arch, [judged])])
    assert method.scores([arch])[0] * 8 % 100 == pytest.approx(0)


def test_many_images_judge_in_equal_batches_of_at_most_512():
    small = context()
    images = load_images("digits", "cifar10")
    data = ImageData(images, limit=1200, seed=0, device=torch.device("cpu"))
    method = PathTraining(dataclasses.replace(small, data=data), samples=1)
    every = data.some("architecture", 600, small.generator("judged images"))
    halves = [Batch(every.inputs[:300], every.targets[:300]), Batch(every.inputs[300:], every.targets[300:])]
    arch = cell("333333")
    assert method.scores([arch]) == pytest.approx([accuracy(method, arch, halves)])


# Evolution.


def evolve(score, breeding: Breeding, space: CellSpace = SPACE, seed: int = 0) -> tuple[Evolution, list]:
    evolution = Evolution(space, breeding)
    generations = []
    for number in range(breeding.generations):
        children = evolution.children(generator(1000 * seed + number))
        generations.append(children)
        evolution.scores.update((child, score(child)) for child in children)
    return evolution, generations


def ruggedness(arch: Architecture) -> float:
    """Convolutions of 3x3, and something that depends on everything."""
    return sum(choice == LARGE for choice in arch) + SPACE.index(arch) * 7919 % 97 / 1000


def test_evolution_never_loses_its_best():
    evolution = Evolution(SPACE, Breeding(10, 20, 5, 0.1))
    bests = []
    for number in range(10):
        children = evolution.children(generator(number))
        evolution.scores.update((child, ruggedness(child)) for child in children)
        bests.append(evolution.scores[evolution.best])
        assert bests[-1] == max(evolution.scores.values())
    assert bests == sorted(bests)
    assert bests[0] < bests[-1]


def test_evolution_finds_what_random_draws_do_not():
    breeding = Breeding(generations=20, population=50, parents=10, mutation=0.1)
    found = [evolve(ruggedness, breeding, seed=seed)[0].best for seed in range(5)]
    # One architecture of 15,625: 1,000 random ones have it in one run of 16.
    assert found == [cell("333333")] * 5


def test_no_architecture_is_scored_twice_and_generations_are_full():
    _, generations = evolve(ruggedness, Breeding(8, 20, 5, 0.1))
    assert [len(children) for children in generations] == [20] * 8
    assert len({child for children in generations for child in children}) == 160


def test_children_are_crossovers_and_mutations_of_the_best():
    evolution, _ = evolve(ruggedness, Breeding(1, 40, 6, 0.1))
    parents = evolution.parents()
    assert parents == sorted(evolution.scores, key=evolution.scores.get, reverse=True)[:6]
    children = evolution.children(generator(7))
    for child in children[:20]:
        assert any(
            all(gene in pair for gene, *pair in zip(child, one, other, strict=True))
            for one in parents
            for other in parents
        )
    differences = [
        min(sum(a != b for a, b in zip(child, parent, strict=True)) for parent in parents)
        for child in children[20:]
    ]
    assert sum(differences) / 20 < 2.5


def test_random_architectures_stand_in_where_operators_find_nothing_new():
    # One parent that neither crossover nor mutation changes.
    _, generations = evolve(ruggedness, Breeding(3, 10, 1, 0.0))
    assert [len(children) for children in generations] == [10, 10, 10]


def test_evolution_ends_with_the_space():
    evolution, generations = evolve(sum, Breeding(12, 6, 2, 0.1), SmallSpace())
    assert sorted(evolution.scores) == sorted(SmallSpace())
    assert generations[-1] == []
    assert evolution.best == (2, 2)


@pytest.mark.parametrize("name", ["spos", "fairnas", "rlnas"])
def test_generations_follow_training(name):
    strategy = STRATEGIES[name]()
    method = strategy.method(context(epochs=1))
    assert method.epochs == 3
    assert strategy.length(SPACE, "cifar10") == strategy.settings.epochs + 2
    method.epoch(0)
    weights = copied(method.supernet.state_dict())
    first, second = method.epoch(1), method.epoch(2)
    assert same(method.supernet.state_dict(), weights)
    assert (first["scored"], second["scored"]) == (6, 12)
    assert first["best"] <= second["best"]
    scores = method.evolution.scores
    assert method.read(2) == max(scores, key=scores.get)
    assert method.scores(list(scores)) == list(scores.values())


# The controller.


def test_log_probabilities_are_those_of_a_distribution():
    sample = Controller(SmallSpace(), generator()).sample(400, generator(1))
    probabilities = dict(zip(sample.architectures, sample.log_probabilities.exp().tolist(), strict=True))
    assert len(probabilities) == 9
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    counts = Counter(sample.architectures)
    for arch, probability in probabilities.items():
        spread = math.sqrt(400 * probability * (1 - probability))
        assert abs(counts[arch] - 400 * probability) < 4 * spread
    # It begins close to where every choice is equally likely.
    assert sample.entropies.tolist() == pytest.approx([2 * math.log(3)] * 400, rel=1e-3)


def test_rewarded_operations_become_likely():
    controller = Controller(SPACE, generator())
    reinforcement = Reinforcement(controller, learning_rate=0.02, entropy=1e-4, decay=0.9)

    def share(sample) -> float:
        return sum(arch[2] == LARGE for arch in sample.architectures) / len(sample.architectures)

    before = share(controller.sample(300, generator(1)))
    source = generator(2)
    for _ in range(60):
        reward, entropy = reinforcement.learn(20, lambda arch: float(arch[2] == LARGE), source)
    after = share(controller.sample(300, generator(1)))
    assert before < 0.3
    assert after > 0.8
    assert reward > 0.6
    assert 0 < entropy < 6 * math.log(5)


def test_equal_rewards_teach_nothing():
    controller = Controller(SPACE, generator())
    before = copied(controller.state_dict())
    reinforcement = Reinforcement(controller, learning_rate=0.02, entropy=0.0, decay=0.9)
    reinforcement.learn(4, lambda arch: 0.5, generator())
    assert same(controller.state_dict(), before)


def test_the_baseline_is_a_moving_average_of_rewards():
    rewards = iter([1.0, 0.0, 0.5])
    reinforcement = Reinforcement(Controller(SPACE, generator()), learning_rate=0.01, entropy=0.0, decay=0.9)
    reinforcement.learn(3, lambda arch: next(rewards), generator())
    assert reinforcement.baseline == pytest.approx(0.9 * 0.9 * 1.0 + 0.1 * 0.5)


def test_entropy_belongs_to_the_reward():
    controller = Controller(SPACE, generator())
    entropy = float(controller.sample(1, generator(5)).entropies)
    reinforcement = Reinforcement(controller, learning_rate=0.01, entropy=0.5, decay=0.9)
    earned, mean = reinforcement.learn(1, lambda arch: 0.25, generator(5))
    assert reinforcement.baseline == pytest.approx(0.25 + 0.5 * entropy)
    assert (earned, mean) == (0.25, pytest.approx(entropy))


def test_the_controller_writes_what_is_trained_and_what_is_read():
    method = ENAS(controller_steps=1, controller_batch=1, samples=2).method(context())
    with torch.no_grad():
        method.controller.scores.bias.copy_(torch.tensor([-1e3, -1e3, -1e3, 1e3, -1e3]))
    source = generator()
    for draw in (lambda: method.paths(source)[0], lambda: method.candidate(source)):
        chosen = Counter(choice for _ in range(50) for choice in draw())
        # However sure it is, others keep a probability of 1 / (4 + e^5) each.
        assert 0.93 < chosen[LARGE] / 300 < 1


def test_reward_is_accuracy_on_the_architectures_half():
    method = ENAS(controller_steps=3, controller_batch=4, samples=2).method(context())
    metrics = method.epoch(0)
    # Twelve batches of 16 images.
    assert metrics["reward"] * 12 * 16 == pytest.approx(round(metrics["reward"] * 12 * 16))
    assert 0 < metrics["reward"] < 1
    assert metrics["entropy"] == pytest.approx(6 * math.log(5), rel=1e-2)


# Random labels, and the angle.


def supernets() -> tuple[Supernet, Supernet]:
    """Two with the same weights."""
    one, other = (Supernet(SPACE, "cifar10", SIZE, seed=3) for _ in range(2))
    return one, other


def test_open_paths_of_a_cell():
    # Edges are 0->1, 0->2, 1->2, 0->3, 1->3, 2->3.
    assert sorted(open_paths(SPACE, cell("333333"))) == [[0, 2, 5], [0, 4], [1, 5], [3]]
    assert sorted(open_paths(SPACE, cell("130141"))) == [[0, 4], [1, 5], [3]]
    assert list(open_paths(SPACE, cell("333000"))) == []


@pytest.mark.parametrize("ncode", ["333333", "111111", "444444", "000000", "123403"])
def test_untrained_weights_have_no_angle(ncode):
    assert AngleMetric(*supernets())(cell(ncode)) == 0.0


def test_the_angle_is_that_of_the_weights_along_all_paths():
    before, after = supernets()
    source = generator()
    with torch.no_grad():
        for weight in after.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=source)
    inside = {id(weight) for _, own_cell in after.cells for weight in own_cell.parameters()}
    outside = [name for name, weight in after.named_parameters() if id(weight) not in inside]
    metric = AngleMetric(before, after)
    for ncode in ("333333", "232310", "321234", "103020", "144441"):
        arch = cell(ncode)
        vectors = []
        for net in (before, after):
            parts = [net.get_parameter(name).detach().flatten() for name in outside]
            for path in ([3], [1, 5], [0, 4], [0, 2, 5]):
                if all(arch[edge] for edge in path):
                    for edge in path:
                        parts += [own(net, edge, arch[edge])] if arch[edge] in (SMALL, LARGE) else []
                        # Pools: 1/9 at 9 places in the 4, 8 and 16 channels of three cells.
                        parts += [torch.full((9 * 28,), 1 / 9)] if arch[edge] == POOL else []
            vectors.append(torch.cat(parts).double())
        cosine = torch.nn.functional.cosine_similarity(*vectors, dim=0)
        assert metric(arch) == pytest.approx(float(torch.acos(cosine)), rel=1e-6)


def test_angles_by_hand():
    before, after = supernets()
    with torch.no_grad():
        for net in (before, after):
            for weight in net.parameters():
                weight.zero_()
        for net, value in ((before, 1.0), (after, -1.0)):
            for weight in net.own_weights(3, SMALL).values():
                weight.fill_(value)
    metric = AngleMetric(before, after)
    # One 1x1 convolution in 4, 8 and 16 channels, turned around: 16 + 64 + 256 weights.
    assert metric(cell("000200")) == pytest.approx(math.pi)
    # With an identity beside it the same; with a pool, which adds 28 / 9 to both norms and is not turned, less.
    assert metric(cell("010201")) == pytest.approx(math.pi)
    pool = 28 / 9
    assert metric(cell("040201")) == pytest.approx(math.acos((pool - 336) / (pool + 336)))
    # An edge on two paths counts twice.
    assert metric(cell("401211")) == pytest.approx(math.acos((2 * pool - 336) / (2 * pool + 336)))
    # Nothing leads from the input to the output.
    assert metric(cell("200000")) == 0.0


def test_random_labels_belong_to_images():
    true = context().data
    false = true.relabelled(generator())
    for half in ("weights", "architecture"):
        batches = [list(data.in_order(half, 16)) for data in (true, false, false)]
        for a, b, again in zip(*batches, strict=True):
            assert torch.equal(a.inputs, b.inputs)
            assert torch.equal(b.targets, again.targets)
        drawn = false.some(half, 32, generator(4))
        order = torch.randperm(32, generator=generator(4))
        assert torch.equal(drawn.targets, torch.cat([batch.targets for batch in batches[1]])[order])
        agreeing = sum(int((a.targets == b.targets).sum()) for a, b in zip(*batches[:2], strict=True))
        # One in ten by chance, of 32.
        assert agreeing < 10
        assert len({int(label) for batch in batches[1] for label in batch.targets}) > 6


def test_true_labels_have_no_part_in_the_search():
    plain = context()
    shuffled = dataclasses.replace(plain, data=plain.data.relabelled(generator(9)))
    states, read = [], []
    for given in (plain, shuffled):
        method = RLNAS(**SOME_GENERATIONS).method(dataclasses.replace(given, settings=plain.settings))
        for number in range(3):
            method.epoch(number)
        states.append(method.state())
        read.append(method.read(2))
    assert same(*states)
    assert read[0] == read[1]


def test_random_labels_score_angles():
    method = RLNAS(**SOME_GENERATIONS).method(context())
    archs = [cell("333333"), cell("222222"), cell("111111")]
    assert method.scores(archs) == [0.0] * 3
    method.epoch(0)
    fresh = Supernet(SPACE, "cifar10", SIZE, seed=0)
    metric = AngleMetric(fresh, method.supernet)
    assert method.scores(archs) == [metric(arch) for arch in archs]
    assert min(method.scores(archs)) > 0


# A distribution beside a template.


def test_weights_and_distribution_learn_apart():
    method = SETN(**FEW).method(context())
    batch = next(method.context.data.in_order("weights", 16))
    weights, logits = copied(method.supernet.state_dict()), method.edges.logits.detach().clone()
    method.learn(batch, generator())
    assert same(method.supernet.state_dict(), weights)
    # A first step of Adam is one learning rate long for every number.
    assert (method.edges.logits - logits).abs().detach().max() == pytest.approx(3e-4, rel=0.01)
    logits = method.edges.logits.detach().clone()
    method.train(batch, method.paths(generator()))
    assert torch.equal(method.edges.logits, logits)
    assert not same(method.supernet.state_dict(), weights)


def test_the_distribution_learns_from_the_mixture():
    method = SETN(**FEW).method(context(architecture_learning_rate=0.05))
    batch = next(method.context.data.in_order("architecture", 16))
    losses = [float(method.learn(batch, generator())) for _ in range(15)]
    assert losses[-1] < losses[0]


def test_templates_are_uniform_and_candidates_are_not():
    method = SETN(**FEW).method(context())
    with torch.no_grad():
        method.edges.logits[:, LARGE] = math.log(16)
        method.edges.logits[:, [0, SKIP, SMALL, POOL]] = 0.0
    source = generator()
    candidates = Counter(choice for _ in range(200) for choice in method.candidate(source))
    templates = Counter(choice for _ in range(200) for choice in method.paths(source)[0])
    assert candidates[LARGE] / 1200 == pytest.approx(0.8, abs=0.05)
    assert templates[LARGE] / 1200 == pytest.approx(0.2, abs=0.05)


# Going on.


def copied(state):
    """A state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_killed_searches_go_on_to_the_same_bits(name):
    strategy = STRATEGIES[name]()
    before = torch.get_rng_state()
    whole = strategy.method(context(epochs=2))
    states, metrics, read = [], [], []
    for number in range(whole.epochs):
        metrics.append(whole.epoch(number))
        read.append(whole.read(number))
        states.append(copied(whole.state()))
    for made in range(1, whole.epochs):
        resumed = strategy.method(context(epochs=2))
        resumed.load(copied(states[made - 1]), made - 1)
        assert resumed.read(made - 1) == read[made - 1]
        assert resumed.epoch(made) == metrics[made]
        assert same(resumed.state(), states[made])
        assert resumed.read(made) == read[made]
    assert not same(states[0], states[-1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", STRATEGIES)
def test_another_seed_is_another_search(name):
    one, other = (STRATEGIES[name]().method(context(seed)) for seed in (0, 1))
    assert one.epoch(0) != other.epoch(0)


# Arguments.


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RSPS(samples=0), "samples must be at least 1"),
        (lambda: RSPS(judged_images=0), "judged_images must be at least 1"),
        (lambda: SPOS(mutation=1.5), "mutation must be between 0 and 1"),
        (lambda: SPOS(generations=0), "generations must be at least 1"),
        (lambda: FairNAS(population=0), "population must be at least 1"),
        (lambda: RLNAS(parents=0), "parents must be at least 1"),
        (lambda: ENAS(baseline_decay=1.0), "baseline_decay must be at least 0 and below 1"),
        (lambda: ENAS(controller_batch=0), "controller_batch must be at least 1"),
    ],
)
def test_arguments_out_of_range_are_refused(make, text):
    with pytest.raises(SpecError, match=text):
        make()


def test_defaults_are_those_of_the_sources():
    assert (RSPS().samples, RSPS().judged_images) == (100, 512)
    spos = SPOS().breeding
    assert (spos.generations, spos.population, spos.parents, spos.mutation) == (20, 50, 10, 0.1)
    assert (RLNAS().breeding.population, RLNAS().breeding.parents) == (100, 30)
    assert RLNAS().length(SPACE, "cifar10") == 270
    assert ENAS().training(SPACE, "cifar10").last_learning_rate == 0.0005
