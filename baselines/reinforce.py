"""REINFORCE on independent categorical decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness import seeding
from harness.errors import SpecError
from harness.spaces import Architecture
from harness.strategy import Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.history import History
    from harness.history import Trial
    from harness.spaces import SearchSpace

_INITIAL_SCALE = 1e-3
# Those of Kingma & Ba 2015, and of torch.optim.Adam, which the released code uses.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Reinforce(Strategy):
    """Policy gradient (Williams 1992) with the policy of NAS-Bench-201 and NATS-Bench.

    The policy is one softmax per decision, independent of the others; their logits start at 1e-3 times
    standard normal values. Every trial is one step of Adam on the log-probability of its architecture,
    weighted by score minus baseline. The baseline is a bias-corrected exponential moving average that takes
    the score in before it is subtracted, so that the first trial moves nothing. The run returns the best
    architecture it visited, as the released code does, and not the mode of the policy.

    Two settings are published. ``learning_rate: 0.5`` is that of NAS-Bench-201 (Dong & Yang 2020);
    ``learning_rate: 0.01`` that of NATS-Bench (Dong et al. 2021) and of CoLLM-NAS (section 4.1), with which
    a policy hardly moves within 100 trials. The score is the reward as it is; the published runs take
    validation accuracy in percent.

    An architecture may be proposed again, and is more and more often as the policy gathers. Trials that
    failed or were pruned teach nothing.

    Args:
        learning_rate: Step size of Adam.
        ema: Share of the old value in the moving average, in [0, 1).
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: A number is outside its range.
    """

    def __init__(
        self,
        *,
        learning_rate: float = 0.01,
        ema: float = 0.9,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        if learning_rate <= 0:
            raise SpecError(f"learning_rate must be positive, not {learning_rate}.")
        if not 0 <= ema < 1:
            raise SpecError(f"ema must be at least 0 and below 1, not {ema}.")
        self.learning_rate = learning_rate
        self.ema = ema

    def propose(self, history: History) -> Architecture:
        bounds = np.cumsum(self.policy(history), axis=1)
        drawn = history.rng.random((len(bounds), 1)) * bounds[:, -1:]
        chosen = (bounds <= drawn).sum(axis=1)
        # Rounding may put a draw on the last bound.
        return Architecture(np.minimum(chosen, np.subtract(history.space.radices, 1)).tolist())

    def policy(self, history: History) -> NDArray[np.float64]:
        """Probability of each choice of each decision; shape (decisions, most choices of any of them).

        Decisions with fewer choices have zeros at the end of their row.
        """
        state = history.fold(
            # The initial logits belong to the seed.
            ("policy", self._entropy),
            lambda: _Policy(self._initial_logits(history.space)),
            self._learn,
        )
        return state.probabilities()

    def _initial_logits(self, space: SearchSpace) -> NDArray[np.float64]:
        shape = (len(space.radices), max(space.radices))
        logits = _INITIAL_SCALE * seeding.generator(self._entropy, "logits").standard_normal(shape)
        logits[np.arange(shape[1]) >= np.array(space.radices)[:, np.newaxis]] = -np.inf
        return logits

    def _learn(self, state: _Policy, trial: Trial) -> _Policy:
        # In a bare study a score may be infinite; it would leave nothing but NaN.
        if math.isfinite(trial.score):
            state.learn(trial.architecture, trial.score, self.learning_rate, self.ema)
        return state


@dataclass
class _Policy:
    """Logits, with what Adam and the moving average remember.

    Attributes:
        logits: Shape (decisions, most choices); minus infinity where a decision has no such choice.
        first: Adam's running mean of the gradient.
        second: Adam's running mean of the squared gradient.
        steps: Number of gradient steps so far.
        total: Numerator of the moving average of scores.
        weight: Its denominator, which corrects its bias towards zero.
    """

    logits: NDArray[np.float64]
    first: NDArray[np.float64] | float = 0.0
    second: NDArray[np.float64] | float = 0.0
    steps: int = 0
    total: float = 0.0
    weight: float = 0.0

    def probabilities(self) -> NDArray[np.float64]:
        exponentials: NDArray[np.float64] = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        exponentials /= exponentials.sum(axis=1, keepdims=True)
        return exponentials

    def learn(self, arch: Architecture, score: float, learning_rate: float, ema: float) -> None:
        """One step of Adam down the gradient of -log p(arch) x (score - baseline)."""
        self.total = ema * self.total + (1 - ema) * score
        self.weight = ema * self.weight + (1 - ema)
        gradient = self.probabilities()
        gradient[np.arange(len(arch)), arch] -= 1.0
        gradient *= score - self.total / self.weight
        self.steps += 1
        self.first = _BETA1 * self.first + (1 - _BETA1) * gradient
        self.second = _BETA2 * self.second + (1 - _BETA2) * gradient**2
        size = learning_rate / (1 - _BETA1**self.steps)
        scale = np.sqrt(self.second / (1 - _BETA2**self.steps)) + _EPSILON
        self.logits -= size * self.first / scale
