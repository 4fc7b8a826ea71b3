"""What ends a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from typing import Self

from pydantic import Field
from pydantic import model_validator

from harness.benchmarks.base import CostKind
from harness.section import Section


class Budget(Section):
    """What ends a run: whichever of these is spent first.

    Attributes:
        architectures: Distinct architectures that were evaluated. Asking for one again costs nothing.
        trials: Proposals, duplicates among them.
        gpu_seconds: Simulated or measured GPU seconds. A simulated evaluation that would overspend is not
            made, as in the published runs on NAS-Bench-201 (Dong and Yang, 2020); a measured one is the last.
        duplicates_in_a_row: A run that proposes this many known architectures one after another has
            converged; it ends as ``stalled``.
    """

    architectures: Annotated[int, Field(gt=0)] | None = None
    trials: Annotated[int, Field(gt=0)] | None = None
    gpu_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    duplicates_in_a_row: Annotated[int, Field(gt=0)] = 1000

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        if self.architectures is None and self.trials is None and self.gpu_seconds is None:
            raise ValueError("a budget needs at least one of architectures, trials, gpu_seconds")
        return self

    def __str__(self) -> str:
        parts = []
        if self.architectures is not None:
            parts.append(f"{self.architectures:,} architectures")
        if self.trials is not None:
            parts.append(f"{self.trials:,} trials")
        if self.gpu_seconds is not None:
            parts.append(f"{self.gpu_seconds:,g} GPU seconds")
        return " or ".join(parts)


@dataclass(slots=True)
class Spent:
    """How much of a budget a run has used."""

    trials: int = 0
    architectures: int = 0
    duplicates: int = 0
    duplicates_in_a_row: int = 0
    gpu_seconds: float = 0.0

    def add(self, *, duplicate: bool, gpu_seconds: float) -> None:
        """Count one trial."""
        self.trials += 1
        self.gpu_seconds += gpu_seconds
        if duplicate:
            self.duplicates += 1
            self.duplicates_in_a_row += 1
        else:
            self.architectures += 1
            self.duplicates_in_a_row = 0

    def exhausts(self, budget: Budget) -> bool:
        """Whether nothing of the budget is left."""
        return (
            (budget.architectures is not None and self.architectures >= budget.architectures)
            or (budget.trials is not None and self.trials >= budget.trials)
            or (budget.gpu_seconds is not None and self.gpu_seconds >= budget.gpu_seconds)
        )

    def overspends(self, budget: Budget, gpu_seconds: float, kind: CostKind) -> bool:
        """Whether a trial of this cost must not be made."""
        return (
            kind == "simulated"
            and budget.gpu_seconds is not None
            and self.gpu_seconds + gpu_seconds > budget.gpu_seconds
        )

    def stalls(self, budget: Budget) -> bool:
        """Whether the run proposes nothing new any more."""
        return self.duplicates_in_a_row >= budget.duplicates_in_a_row
