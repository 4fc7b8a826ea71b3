"""DARTS-PT."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from typing import ClassVar

from baselines.one_shot.darts import DARTS
from baselines.one_shot.darts import Selection
from baselines.one_shot.training import PLAIN
from baselines.one_shot.training import Settings


class DARTSPT(DARTS):
    """DARTS with perturbation-based selection (Wang et al., ICLR 2021, "DARTS-PT").

    The supernet is trained as in DARTS, for 100 epochs. Then every edge is decided by what accuracy loses without each
    operation, and the search goes on for 5 epochs between two edges, 25 in all
    (:class:`~baselines.one_shot.projection.Projection`; section 4 and its code for NAS-Bench-201). Every other search
    by gradient can end so: set ``selection`` on it.

    Args:
        selection: See :class:`~baselines.one_shot.darts.GradientBased`.
        options: See :class:`~baselines.one_shot.darts.DARTS`.
    """

    settings: ClassVar[Settings] = replace(PLAIN, epochs=100)

    def __init__(self, *, selection: Selection = "perturbation", **options: Any) -> None:
        super().__init__(selection=selection, **options)
