"""The archive of CoLLM-NAS: what each iteration proposed, what came of it, and how a trial carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from harness.history import Trial
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


@dataclass
class Iteration:
    """One strategy of the Navigator, and the batch that the Generator made of it.

    Attributes:
        number: From 1.
        strategy: What the Navigator wrote.
        batch: Legal architectures within the limits that were new when they came: those to evaluate.
        illegal: Number of entries of the Generator's reply that are no architecture.
        known: Number of architectures that had been visited, or came twice in the reply.
        costly: New architectures over a limit of cost; they are not evaluated.
        reply: The Generator's reply as JSON, where a later chat holds it.
        trials: Trials of the batch that have finished, in order.
        best: Best trial of the run when the last of these had finished; ``None`` where there was none.
    """

    number: int
    strategy: str
    batch: Sequence[Architecture]
    illegal: int
    known: int
    costly: Sequence[Architecture]
    reply: Any = None
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None

    def record(self, space: SearchSpace) -> dict[str, Any]:
        """What a trial's attributes keep of it: all that the trials do not tell themselves."""
        record = {
            "number": self.number,
            "strategy": self.strategy,
            "batch": [space.ncode(architecture) for architecture in self.batch],
            "illegal": self.illegal,
            "known": self.known,
            "costly": [space.ncode(architecture) for architecture in self.costly],
        }
        return record if self.reply is None else {**record, "reply": self.reply}


class Archive:
    """The iterations of a run, rebuilt trial by trial.

    The trial that begins an iteration carries its record, and before it those of iterations that came to no trial.

    Args:
        space: Reads the records.

    Attributes:
        iterations: In order.
        best: Best trial so far, the first of equals; ``None`` before the first.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.iterations: list[Iteration] = []
        self.best: Trial | None = None
        self._space = space

    def add(self, trial: Trial) -> Archive:
        """Take the next trial, of whatever origin; returns itself."""
        self.iterations += [self._read(record) for record in trial.attributes.get("begins", ())]
        if self.best is None or trial.score > self.best.score:
            self.best = trial
        if self.iterations:
            # A random trial in between belongs to no iteration, and may be the best.
            self.iterations[-1].best = self.best
            if trial.attributes.get("iteration") == self.iterations[-1].number:
                self.iterations[-1].trials.append(trial)
        return self

    def pending(self, seen: set[Architecture]) -> Architecture | None:
        """The next architecture of the current batch; ``None`` when the batch is evaluated."""
        batch = self.iterations[-1].batch if self.iterations else ()
        return next((architecture for architecture in batch if architecture not in seen), None)

    def _read(self, record: dict[str, Any]) -> Iteration:
        batch, costly = (
            [self._space.from_ncode(code) for code in record[key]] for key in ("batch", "costly")
        )
        return Iteration(**{**record, "batch": batch, "costly": costly}, best=self.best)
