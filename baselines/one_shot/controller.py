"""A recurrent controller that writes architectures, and learns from their rewards."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import torch
from torch import nn

from harness.spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from harness.spaces import CellSpace

# Those of the controller released with NAS-Bench-201 (Dong and Yang, ICLR 2020).
_WIDTH = 32
_LAYERS = 2
_INITIAL = 0.1
_TEMPERATURE = 5.0
_BOUND = 2.5
_BETAS = (0.0, 0.999)
_EPSILON = 1e-3
_CLIP = 5.0


@dataclass(frozen=True)
class Sample:
    """Architectures that a controller wrote.

    Attributes:
        architectures: The architectures.
        log_probabilities: Of each architecture as a whole; shape (architectures,).
        entropies: Sum over the decisions of each architecture; shape (architectures,), in nats, detached.
    """

    architectures: list[Architecture]
    log_probabilities: Tensor
    entropies: Tensor


class Controller(nn.Module):
    """Writes one operation after the other: a stack of LSTM cells sees the last, and scores the next.

    Scores are divided by a temperature of 5 and bounded to 2.5 by a hyperbolic tangent (Bello et al., ICLR 2017), which
    keeps the probability of every operation away from 0. It is computed on the CPU.

    Args:
        space: The search space.
        generator: Draws the weights, uniformly between -0.1 and 0.1.
    """

    def __init__(self, space: CellSpace, generator: torch.Generator) -> None:
        super().__init__()
        self._edges = len(space.edges)
        # Drawn below: what PyTorch would draw here comes from the global generator.
        with torch.device("meta"):
            self.start = nn.Parameter(torch.empty(_WIDTH))
            self.embedding = nn.Embedding(len(space.operations), _WIDTH)
            self.layers = nn.ModuleList(nn.LSTMCell(_WIDTH, _WIDTH) for _ in range(_LAYERS))
            self.scores = nn.Linear(_WIDTH, len(space.operations))
        self.to_empty(device="cpu")
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -_INITIAL, _INITIAL, generator=generator)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        """Architectures, through whose log-probabilities there is a gradient.

        Args:
            count: How many.
            generator: Draws them.
        """
        value = self.start.expand(count, _WIDTH)
        states: dict[int, tuple[Tensor, Tensor]] = {}
        chosen, log_probabilities, entropies = [], [], []
        for _ in range(self._edges):
            for place, layer in enumerate(self.layers):
                states[place] = layer(value, states.get(place))
                value = states[place][0]
            scores = _BOUND * torch.tanh(self.scores(value) / _TEMPERATURE)
            logs = torch.log_softmax(scores, dim=-1)
            choice = torch.multinomial(logs.detach().exp(), 1, generator=generator)
            chosen.append(choice[:, 0])
            log_probabilities.append(logs.gather(1, choice)[:, 0])
            entropies.append(-(logs.detach().exp() * logs.detach()).sum(dim=-1))
            value = self.embedding(choice[:, 0])
        return Sample(
            [Architecture(choices) for choices in torch.stack(chosen, dim=1).tolist()],
            torch.stack(log_probabilities).sum(dim=0),
            torch.stack(entropies).sum(dim=0),
        )


class Reinforcement:
    """The controller's learning: REINFORCE (Williams 1992) with a moving average of rewards as the baseline.

    Args:
        controller: It learns.
        learning_rate: Of Adam, whose betas are 0 and 0.999.
        entropy: Weight of an architecture's entropy in its reward.
        decay: Share of the old value in the moving average, which takes a reward in before it is subtracted from it.

    Attributes:
        baseline: The moving average; ``None`` before the first reward, with which it begins.
    """

    def __init__(self, controller: Controller, *, learning_rate: float, entropy: float, decay: float) -> None:
        self._controller = controller
        self._adam = torch.optim.Adam(controller.parameters(), lr=learning_rate, betas=_BETAS, eps=_EPSILON)
        self._entropy = entropy
        self._decay = decay
        self.baseline: float | None = None

    def learn(
        self, count: int, reward: Callable[[Architecture], float], generator: torch.Generator
    ) -> tuple[float, float]:
        """One step of Adam, from the mean over some architectures.

        Args:
            count: Number of architectures.
            reward: What an architecture earns, without its entropy; higher is better.
            generator: Draws them.

        Returns:
            Means of the rewards without entropy, and of the entropies.
        """
        sample = self._controller.sample(count, generator)
        earned = [reward(arch) for arch in sample.architectures]
        advantages = []
        for own, entropy in zip(earned, sample.entropies.tolist(), strict=True):
            total = own + self._entropy * entropy
            before = total if self.baseline is None else self.baseline
            self.baseline = self._decay * before + (1 - self._decay) * total
            advantages.append(total - self.baseline)
        loss = -(sample.log_probabilities * torch.tensor(advantages)).mean()
        self._adam.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._controller.parameters(), _CLIP)
        self._adam.step()
        return sum(earned) / count, float(sample.entropies.mean())

    def state(self) -> dict[str, Any]:
        """What learning changes, without the controller itself."""
        return {"adam": self._adam.state_dict(), "baseline": self.baseline}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over :meth:`state`."""
        self._adam.load_state_dict(state["adam"])
        self.baseline = state["baseline"]
