"""How a forecasting network is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained. The paper of ISTS gives the batch size alone; the rest is Graph WaveNet's.

    Attributes:
        batch_size: Windows of a step.
        learning_rate: Of Adam.
        weight_decay: Of Adam, added to the gradient.
        clip: Largest norm of all gradients together.
        patience: So many passes without a better validation error end the training.
        stride: One in so many training windows is shown in a pass.
        evaluation_stride: One in so many windows of the other parts is forecast.
    """

    batch_size: int
    learning_rate: float = 0.001
    weight_decay: float = 0.0001
    clip: float = 5.0
    patience: int = 15
    stride: int = 1
    evaluation_stride: int = 1
