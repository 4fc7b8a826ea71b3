"""What a run has spent and counted, summed over its trials."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

from harness.budget import Spent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history import Usage
    from harness.store import Row
    from harness.store import Timing

TOKENS = ("calls", "prompt_tokens", "completion_tokens")
_SECONDS: tuple[
    Literal["search_seconds", "strategy_gpu_seconds", "llm_seconds", "llm_gpu_seconds", "evaluation_seconds"],
    ...,
] = (
    "search_seconds",
    "strategy_gpu_seconds",
    "llm_seconds",
    "llm_gpu_seconds",
    "evaluation_seconds",
)


@dataclass
class Totals:
    """The ``totals`` of ``run.json``.

    Attributes:
        spent: What counts against the budget.
    """

    spent: Spent = field(default_factory=Spent)
    _rejected: Counter[str] = field(default_factory=Counter)
    _llm: Counter[str] = field(default_factory=Counter)
    _seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, row: Row, timing: Timing) -> None:
        """Count one trial."""
        self.spent.add(duplicate=row["duplicate"], gpu_seconds=row["gpu_seconds"])
        self._rejected.update(row.get("rejected", {}))
        self._llm.update(row.get("llm", {}))
        for key in _SECONDS:
            # Timings lack the seconds of what a strategy does not use.
            self._seconds[key] += timing.get(key, 0.0)

    def add_attempt(self, usage: Usage, rejected: Mapping[str, int], search_seconds: float) -> None:
        """Count what a proposal cost that became no trial."""
        self._rejected.update(rejected)
        self._llm.update({key: getattr(usage, key) for key in TOKENS})
        self._seconds["llm_seconds"] += usage.seconds
        self._seconds["llm_gpu_seconds"] += usage.gpu_seconds
        self._seconds["search_seconds"] += search_seconds

    def record(self) -> dict[str, Any]:
        """As ``run.json`` holds it."""
        return {
            "trials": self.spent.trials,
            "architectures": self.spent.architectures,
            "duplicates": self.spent.duplicates,
            "rejected": dict(sorted(self._rejected.items())),
            "gpu_seconds": self.spent.gpu_seconds,
            **{key: round(self._seconds[key], 6) for key in _SECONDS},
            "llm_calls": self._llm["calls"],
            "prompt_tokens": self._llm["prompt_tokens"],
            "completion_tokens": self._llm["completion_tokens"],
        }
