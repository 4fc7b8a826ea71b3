"""SNAS."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from typing import ClassVar

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Gumbel
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError


class SNAS(GradientBased):
    """Stochastic neural architecture search (Xie et al., ICLR 2019, "SNAS").

    Every pass draws soft one-hot vectors of the concrete distribution (section 2.2), whose temperature falls
    exponentially from 1 to 0.03 (section 3.1). Weights and architecture descend the same loss on the same batch
    (section 2.3), that of the weights' half; the other half is not used. 150 epochs.

    The paper's cost of resources (section 2.4) is left out: it is for other goals than accuracy.

    Args:
        first_temperature: At the beginning.
        last_temperature: At the end.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A temperature is not above 0.
    """

    settings: ClassVar[Settings] = replace(PLAIN, epochs=150)

    def __init__(
        self, *, first_temperature: float = 1.0, last_temperature: float = 0.03, **options: Any
    ) -> None:
        super().__init__(**options)
        check_temperatures(self, first_temperature, last_temperature)
        self.first_temperature = first_temperature
        self.last_temperature = last_temperature

    def recipe(self) -> Recipe:
        temperatures = (self.first_temperature, self.last_temperature)
        return Recipe(
            partial(Gumbel, temperatures=temperatures, schedule="exponential", hard=False), joint=True
        )


def check_temperatures(strategy: GradientBased, *temperatures: float) -> None:
    """Refuse temperatures that are not above 0.

    Raises:
        SpecError: Names the strategy.
    """
    for temperature in temperatures:
        if temperature <= 0:
            raise SpecError(
                f"{type(strategy).__name__}: first_temperature and last_temperature must be above 0, not {temperature}."
            )
