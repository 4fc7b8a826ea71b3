"""ENAS: a controller learns which paths of the supernet are good."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING
from typing import Any

import torch

from baselines.one_shot.controller import Controller
from baselines.one_shot.controller import Reinforcement
from baselines.one_shot.paths import BestOfSamples
from baselines.one_shot.paths import PathTraining
from baselines.one_shot.training import Settings
from harness.errors import SpecError

if TYPE_CHECKING:
    from baselines.one_shot.data import Batch
    from baselines.one_shot.method import Metrics
    from baselines.one_shot.training import Context
    from harness.spaces import Architecture


class ControlledPaths(PathTraining):
    """Paths and candidates are a controller's, which learns after every epoch of the weights.

    Args:
        context: What it works with.
        steps: Steps of the controller in an epoch.
        batch: Architectures of a step.
        entropy: Weight of an architecture's entropy in its reward.
        decay: Share of the old value in the baseline.
        samples: See :class:`~baselines.one_shot.paths.PathTraining`.

    Attributes:
        controller: The controller.
        reinforcement: Its learning.
    """

    def __init__(
        self,
        context: Context,
        *,
        steps: int,
        batch: int,
        entropy: float,
        decay: float,
        samples: int,
    ) -> None:
        super().__init__(context, samples=samples)
        self._steps = steps
        self._batch = batch
        self.controller = Controller(context.space, context.generator("controller"))
        self.reinforcement = Reinforcement(
            self.controller,
            learning_rate=context.settings.architecture_learning_rate,
            entropy=entropy,
            decay=decay,
        )

    def paths(self, generator: torch.Generator) -> Sequence[Architecture]:
        return [self.candidate(generator)]

    @torch.no_grad()
    def candidate(self, generator: torch.Generator) -> Architecture:
        return self.controller.sample(1, generator).architectures[0]

    def epoch(self, number: int) -> Metrics:
        metrics = super().epoch(number)
        batches = self._validation(number)

        def reward(arch: Architecture) -> float:
            quality = self.context.quality(self.supernet, [next(batches)], self.supernet.path(arch))
            return quality / self.context.data.quality_unit

        generator = self.context.generator("rewarded", number)
        learned = [self.reinforcement.learn(self._batch, reward, generator) for _ in range(self._steps)]
        rewards, entropies = zip(*learned, strict=True)
        return {
            **metrics,
            "reward": sum(rewards) / self._steps,
            "entropy": sum(entropies) / self._steps,
        }

    def _validation(self, number: int) -> Iterator[Batch]:
        """One pass over the architecture's half after the other, without end."""
        for turn in count():
            generator = self.context.generator("validation", number, turn)
            yield from self.context.data.batches("architecture", self.context.settings.batch_size, generator)

    def state(self) -> dict[str, Any]:
        return {
            **super().state(),
            "controller": self.controller.state_dict(),
            "reinforcement": self.reinforcement.state(),
        }

    def load(self, state: Mapping[str, Any], number: int) -> None:
        super().load(state, number)
        self.controller.load_state_dict(state["controller"])
        self.reinforcement.load(state["reinforcement"])


class ENAS(BestOfSamples):
    """Efficient neural architecture search (Pham et al., ICML 2018, section 2.2).

    A recurrent controller writes the path that each step trains. After every epoch of the weights it learns by
    REINFORCE: an architecture's reward is its accuracy on one batch of the architecture's half, between 0 and 1, plus
    0.0001 times its entropy. Of architectures that the controller writes, the best is returned.

    Settings are those released with NAS-Bench-201 (Dong and Yang, ICLR 2020): 250 epochs, batches of 128, learning rate
    0.05 to 0.0005, weight decay 0.00025; each epoch 50 steps of the controller from 20 architectures each, with Adam at
    0.001; the best of 100 (10 in the paper).

    Differences: the paper's cells choose the inputs of their nodes, too, and here the controller writes operations
    alone. The learning rate falls along one cosine, where the paper restarts it, and the released code lets it rise and
    fall every 10 epochs. The baseline begins with the first reward and moves with each one; that of the released code
    moves once an epoch.

    Args:
        controller_steps: Steps of the controller in an epoch.
        controller_batch: Architectures that a step learns from.
        entropy: Weight of an architecture's entropy in its reward.
        baseline_decay: Share of the old value in the moving average that is subtracted from rewards, in [0, 1).
        options: See :class:`~baselines.one_shot.paths.BestOfSamples`. ``architecture_learning_rate`` is that of the
            controller.

    Raises:
        SpecError: A value is out of range.
    """

    settings = Settings(
        epochs=250,
        batch_size=128,
        learning_rate=0.05,
        last_learning_rate=0.0005,
        weight_decay=2.5e-4,
        architecture_learning_rate=1e-3,
        architecture_weight_decay=0.0,
    )

    def __init__(
        self,
        *,
        controller_steps: int = 50,
        controller_batch: int = 20,
        entropy: float = 1e-4,
        baseline_decay: float = 0.99,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.require(controller_steps=controller_steps, controller_batch=controller_batch)
        if not 0 <= baseline_decay < 1:
            raise SpecError(
                f"{type(self).__name__}: baseline_decay must be at least 0 and below 1, not {baseline_decay}."
            )
        self.controller_steps = controller_steps
        self.controller_batch = controller_batch
        self.entropy = entropy
        self.baseline_decay = baseline_decay

    def method(self, context: Context) -> ControlledPaths:
        return ControlledPaths(
            context,
            steps=self.controller_steps,
            batch=self.controller_batch,
            entropy=self.entropy,
            decay=self.baseline_decay,
            samples=self.samples,
        )
