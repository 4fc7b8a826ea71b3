"""REINFORCE."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines.reinforce import Reinforce
from harness.errors import SpecError
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from tests.baselines.loop import Loop

SPACE = NASBench201Space()


def accuracy(arch: Architecture) -> float:
    """Rises with the number of 3x3 convolutions, as accuracies do."""
    return 40.0 + 9.0 * sum(i == 3 for i in arch)


def torch_policy(loop: Loop, logits: np.ndarray, learning_rate: float, ema: float) -> np.ndarray:
    """What PyTorch makes of the same trials: its Adam, and its gradient of the log-probability."""
    parameters = torch.tensor(logits, requires_grad=True)
    adam = torch.optim.Adam([parameters], lr=learning_rate)
    numerator = denominator = 0.0
    for trial in loop.trials:
        numerator = ema * numerator + (1 - ema) * trial.score
        denominator = ema * denominator + (1 - ema)
        policy = torch.distributions.Categorical(logits=parameters)
        log_probability = policy.log_prob(torch.tensor(trial.architecture)).sum()
        adam.zero_grad()
        (-log_probability * (trial.score - numerator / denominator)).backward()
        adam.step()
    return torch.softmax(parameters, dim=1).detach().numpy()


@pytest.mark.parametrize("learning_rate", [0.5, 0.01])
@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_parity_with_torch(learning_rate: float, ema: float) -> None:
    strategy = Reinforce(learning_rate=learning_rate, ema=ema, seed=4)
    loop = Loop(strategy, SPACE, accuracy)
    start = np.log(strategy.policy(loop.history()))
    loop.run(60)
    expected = torch_policy(loop, start, learning_rate, ema)
    np.testing.assert_allclose(strategy.policy(loop.history()), expected, rtol=1e-9, atol=1e-12)


def test_starts_nearly_uniform_and_first_trial_moves_nothing() -> None:
    strategy = Reinforce(learning_rate=0.5, seed=0)
    loop = Loop(strategy, SPACE, accuracy)
    before = strategy.policy(loop.history())
    np.testing.assert_allclose(before, 0.2, atol=2e-3)
    assert before.std() > 0
    loop.step()
    np.testing.assert_array_equal(strategy.policy(loop.history()), before)
    loop.run(10)
    assert np.abs(strategy.policy(loop.history()) - before).max() > 0.01


def test_policy_gathers_where_reward_is() -> None:
    fast, slow = (Reinforce(learning_rate=rate, seed=1) for rate in (0.5, 0.01))
    gathered = Loop(fast, SPACE, accuracy).run(200)
    hardly = Loop(slow, SPACE, accuracy).run(200)
    assert np.mean([trial.score for trial in gathered[-20:]]) > 70
    assert np.mean([trial.score for trial in hardly[-20:]]) < 60


def test_draws_follow_the_policy() -> None:
    space = SearchSpace({"a": (0, 1), "b": (0, 1, 2)})
    strategy = Reinforce(learning_rate=0.5, seed=0)
    counts = np.zeros((2, 3))
    for seed in range(3000):
        loop = Loop(strategy, space, lambda arch: float(arch[0] + arch[1]), seed)
        for arch in ((0, 0), (1, 1), (0, 2)):
            loop.add(Architecture(arch))
        counts[[0, 1], loop.propose().architecture] += 1
    policy = strategy.policy(loop.history())
    assert policy[0, 2] == 0
    assert policy.max() > 0.5
    np.testing.assert_allclose(counts / 3000, policy, atol=0.03)


def test_infinite_scores_teach_nothing() -> None:
    strategy = Reinforce(seed=0)
    loop = Loop(strategy, SPACE, lambda arch: math.inf if arch[0] else -math.inf)
    before = strategy.policy(loop.history())
    loop.run(5)
    np.testing.assert_array_equal(strategy.policy(loop.history()), before)


def test_initial_logits_belong_to_the_seed() -> None:
    history = Loop(Reinforce(), SPACE, accuracy).history()
    first, again, other = (Reinforce(seed=seed).policy(history).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(("learning_rate", "ema"), [(0.0, 0.9), (-1.0, 0.9), (0.1, 1.0), (0.1, -0.1)])
def test_illegal_numbers_are_refused(learning_rate: float, ema: float) -> None:
    with pytest.raises(SpecError, match=r"learning_rate|ema"):
        Reinforce(learning_rate=learning_rate, ema=ema)
