"""GDAS."""

from __future__ import annotations

from functools import partial
from typing import Any
from typing import ClassVar

from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.darts import GradientBased
from baselines.one_shot.edges import Gumbel
from baselines.one_shot.snas import check_temperatures
from baselines.one_shot.training import Settings


class GDAS(GradientBased):
    """Gradient-based search using a differentiable architecture sampler (Dong and Yang, CVPR 2019, "GDAS").

    Every pass computes one operation per edge, drawn by Gumbel noise; its gate is 1 forwards and the tempered softmax
    backwards (section 3.2). On NAS-Bench-201 (Dong and Yang, ICLR 2020): 250 epochs, temperature from 10 to 0.1,
    linearly. The reduction cell that the paper fixes is part of that space anyway.

    Only the operation that is computed gets a gradient; in the code of Dong and Yang the others get that of a constant
    feature map of ones.

    Args:
        first_temperature: At the beginning.
        last_temperature: At the end.
        options: See :class:`~baselines.one_shot.darts.GradientBased`.

    Raises:
        SpecError: A temperature is not above 0.
    """

    settings: ClassVar[Settings] = Settings(epochs=250)

    def __init__(
        self, *, first_temperature: float = 10.0, last_temperature: float = 0.1, **options: Any
    ) -> None:
        super().__init__(**options)
        check_temperatures(self, first_temperature, last_temperature)
        self.first_temperature = first_temperature
        self.last_temperature = last_temperature

    def recipe(self) -> Recipe:
        temperatures = (self.first_temperature, self.last_temperature)
        return Recipe(partial(Gumbel, temperatures=temperatures, schedule="linear", hard=True))
