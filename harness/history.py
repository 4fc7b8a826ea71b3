"""What a strategy sees of its run: the trials so far."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple
from typing import TypeVar

if TYPE_CHECKING:
    import numpy as np
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

State = TypeVar("State")


class Trial(NamedTuple):
    """One proposal and its evaluation, as a strategy may see it.

    Attributes:
        number: Position in the run, from 0.
        architecture: What was proposed.
        score: Validation score, turned so that higher is better.
        value: The same score as the benchmark reports it.
        attributes: What the strategy attached to its :class:`Proposal`.
        measures: What else was measured of it, by name; empty where the value is all.
    """

    number: int
    architecture: Architecture
    score: float
    value: float
    attributes: Mapping[str, Any]
    measures: Mapping[str, float] = MappingProxyType({})


class Failure(NamedTuple):
    """A trial whose architecture could not be scored.

    Attributes:
        number: Position in the run, from 0.
        architecture: What was proposed.
        problem: Why it has no score.
        attributes: What the strategy attached to its :class:`Proposal`.
    """

    number: int
    architecture: Architecture
    problem: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of a language model; its prompt and reply are in the transcript store.

    Attributes:
        key: Key of the transcript.
        model: Name of the model in ``experiments.yaml``.
        verdict: ``"used"``, or why the reply was thrown away (``"not JSON"``).
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        started: When the request was sent, in seconds since the epoch; when the first one was, if the reply comes
            from a transcript.
        seconds: Wall-clock seconds waited.
        gpu_seconds: Share of the time of the server's GPUs.
    """

    key: str
    model: str
    verdict: str
    prompt_tokens: int
    completion_tokens: int
    started: float
    seconds: float
    gpu_seconds: float


@dataclass(frozen=True)
class Usage:
    """What language models spent on one proposal.

    What was measured is no part of a trajectory, and two usages that differ only in it are equal.

    Attributes:
        calls: Number of model calls.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        seconds: Wall-clock seconds that the calls took when they were made; calls made side by side count once.
        waited: Those of them that passed now: next to none where the replies came from transcripts.
        gpu_seconds: Share of the time of the servers' GPUs.
        log: The calls one by one.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = field(default=0.0, compare=False)
    waited: float = field(default=0.0, compare=False)
    gpu_seconds: float = field(default=0.0, compare=False)
    log: tuple[Call, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Proposal:
    """An architecture with what is to be remembered of how it was found.

    Attributes:
        architecture: The architecture to evaluate.
        attributes: Small JSON values kept with the trial; a strategy finds them in its history.
        usage: What language models spent on it.
        rejected: How many replies were thrown away on the way, by reason (``"illegal choice"``).
        gpu_seconds: Seconds of a device, measured, that the strategy itself spent on it: on proxies, or on the training
            of a supernet. The device may be a CPU. Part of the run's cost, but of no budget; as all that is measured,
            no part of its trajectory.
    """

    architecture: Architecture
    attributes: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    gpu_seconds: float = field(default=0.0, compare=False)


class Exhausted(Exception):
    """A strategy can propose nothing more; the run ends here with status ``exhausted``.

    Args:
        reason: For people.
        usage: What language models spent on the attempt.
        rejected: Replies thrown away in the attempt, by reason.
    """

    def __init__(
        self, reason: str, *, usage: Usage | None = None, rejected: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(reason)
        self.usage = usage or Usage()
        self.rejected = dict(rejected or {})


class Finished(Exhausted):
    """A strategy has come to the end that its own rules set; the run ends here with status ``complete``."""


class History:
    """The finished trials of a run, in order of their number, with the generator of the next proposal.

    Trials that failed, or that were stopped at a lower fidelity, are not among :attr:`trials`, but their
    architectures are in :attr:`seen`.

    Attributes:
        space: The search space.
        trials: Finished trials in order of their number.
        failures: Failed trials in order of their number.
        number: Number of the trial that is proposed now.
        rng: Generator of this proposal alone. It depends on the run's seed and on :attr:`number`, so a
            strategy needs no generator of its own and a resumed run draws what an uninterrupted one draws.
        asked: The Optuna study and the trial that is proposed now, for strategies made of Optuna's own samplers;
            ``None`` where nothing is proposed.
    """

    def __init__(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        *,
        failures: Sequence[Failure] = (),
        number: int,
        seen: set[Architecture],
        make_rng: Callable[[], np.random.Generator],
        folds: dict[object, Any],
        asked: tuple[Study, FrozenTrial] | None = None,
    ) -> None:
        self.space = space
        self.trials = trials
        self.failures = failures
        self.number = number
        self.seen = seen
        self.asked = asked
        self._make_rng = make_rng
        self._folds = folds

    def __len__(self) -> int:
        return len(self.trials)

    @cached_property
    def rng(self) -> np.random.Generator:
        return self._make_rng()

    @property
    def best(self) -> Trial:
        """The finished trial of the highest score, the first of equals.

        Raises:
            ValueError: No trial has finished.
        """
        return max(self.trials, key=lambda trial: trial.score)

    def fold(self, key: object, initial: Callable[[], State], step: Callable[[State, Trial], State]) -> State:
        """Reduce the trials to a state, as ``functools.reduce`` does, going on where the last call ended.

        The result is always that of the whole reduction; the state of the last call only saves time. So a
        strategy can hold a model that learns from every trial, and still be rebuilt from history alone.

        Args:
            key: Names this reduction within the run.
            initial: Makes the state before the first trial.
            step: Takes a state and a trial, returns the next state. It may change the state in place.
        """
        done, last, state = self._folds.get(key) or (0, -1, None)
        # Trials are only ever added, so the prefix is the old one iff its last trial is.
        if done == 0 or len(self.trials) < done or self.trials[done - 1].number != last:
            done, state = 0, initial()
        assert state is not None
        for trial in self.trials[done:]:
            state = step(state, trial)
        if self.trials:
            self._folds[key] = (len(self.trials), self.trials[-1].number, state)
        return state
