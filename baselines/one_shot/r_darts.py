"""R-DARTS."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.bilevel import Recipe
from baselines.one_shot.edges import Softmax
from baselines.one_shot.method import Method
from baselines.one_shot.method import Metrics
from baselines.one_shot.strategy import OneShot
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings
from harness.errors import SpecError
from harness.spaces import Architecture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baselines.one_shot.training import Context
    from harness.spaces import CellSpace


class Repeated(Method):
    """DARTS under one weight decay after the other.

    Args:
        context: What it works with.
        weight_decays: Of the weights, of every search.

    Attributes:
        found: Architecture of every search that has ended, with its accuracy in percent.
    """

    def __init__(self, context: Context, weight_decays: Sequence[float]) -> None:
        super().__init__(context)
        self._decays = weight_decays
        self._length = context.settings.epochs
        self.found: list[tuple[Architecture, float]] = []
        self._begin(0)

    @property
    def epochs(self) -> int:
        return self._length * len(self._decays)

    def _begin(self, search: int) -> None:
        settings = dataclasses.replace(self.context.settings, weight_decay=self._decays[search])
        self._search = Bilevel(dataclasses.replace(self.context, settings=settings), Recipe(Softmax))
        self.supernet = self._search.supernet

    def epoch(self, number: int) -> Metrics:
        search, own = divmod(number, self._length)
        if own == 0 and search > 0:
            self.found.append(self._candidate())
            self._begin(search)
        return {**self._search.epoch(own), "search": float(search + 1)}

    def _candidate(self) -> tuple[Architecture, float]:
        """What the search that is going on would return, and its accuracy with the weights of that search."""
        arch = self._search.read(0)
        (accuracy,) = self.scores([arch])
        return arch, accuracy

    def read(self, number: int) -> Architecture:
        best, _ = max([*self.found, self._candidate()], key=lambda found: found[1])
        return best

    def state(self) -> dict[str, Any]:
        found = [[list(arch), accuracy] for arch, accuracy in self.found]
        return {"search": self._search.state(), "found": found}

    def load(self, state: Mapping[str, Any], number: int) -> None:
        self.found = [(Architecture(arch), float(accuracy)) for arch, accuracy in state["found"]]
        self._begin(number // self._length)
        self._search.load(state["search"], number % self._length)


class RDARTS(OneShot):
    """DARTS, robust by stronger regularisation (Zela et al., ICLR 2020, "R-DARTS (L2)").

    Four searches, whose weight decay is 1, 3, 9 and 27 times that of DARTS (section 6); the best of what they find is
    returned. All searches of a run begin with the same weights and see the same batches.

    The paper trains what every search found, and compares the validation errors. Here it is the accuracy with the
    weights of its supernet, on the half that the architecture was learned on: nothing is trained from scratch.

    Args:
        weight_decays: Of the weights, of every search.
        options: See :class:`~baselines.one_shot.strategy.OneShot`. ``epochs`` are those of every search.

    Raises:
        SpecError: A value is out of range.
    """

    settings: ClassVar[Settings] = PLAIN
    # There are four supernets.
    ranks = False

    def __init__(
        self, *, weight_decays: Sequence[float] = (3e-4, 9e-4, 27e-4, 81e-4), **options: Any
    ) -> None:
        super().__init__(**options)
        if not weight_decays or any(decay < 0 for decay in weight_decays):
            raise SpecError(
                f"RDARTS: weight_decays are numbers that are not negative, not {list(weight_decays)}."
            )
        self.weight_decays = list(weight_decays)

    def method(self, context: Context) -> Repeated:
        return Repeated(context, self.weight_decays)

    def length(self, space: CellSpace, dataset: str) -> int:
        return super().length(space, dataset) * len(self.weight_decays)
