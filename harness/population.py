"""A population whose worst member dies: that of Zen-NAS and RZ-NAS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from harness.limits import Limits

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from harness.task import Task


@dataclass(frozen=True)
class Population:
    """The architectures of which parents are drawn (Lin et al., ICCV 2021, algorithm 1; Ji et al. 2025, algorithm 1).

    Every trial within the limits joins it, an architecture once. Whenever it has grown beyond its size, it loses the
    member of the lowest score.

    Attributes:
        size: Largest number of members.
        limits: What an architecture may cost at most.
    """

    size: int
    limits: Limits

    def members(self, history: History, task: Task) -> list[Trial]:
        """The members after the trials so far, in the order in which they joined."""
        return history.fold("population", list, partial(self._with, history.space, task))

    def best(self, history: History, task: Task) -> Architecture:
        """The best architecture within the limits; of all that were tried, where none is.

        What a strategy proposes is within them. What another sampler began a study with, or what was drawn in place
        of a model that gave nothing, may be beyond.
        """
        within = [trial for trial in history.trials if self._admits(trial, history.space, task)]
        return max(within or history.trials, key=lambda trial: trial.score).architecture

    def _with(self, space: SearchSpace, task: Task, members: list[Trial], trial: Trial) -> list[Trial]:
        known = any(trial.architecture == member.architecture for member in members)
        if known or not self._admits(trial, space, task):
            return members
        members.append(trial)
        if len(members) > self.size:
            members.remove(min(members, key=lambda member: member.score))
        return members

    def _admits(self, trial: Trial, space: SearchSpace, task: Task) -> bool:
        return self.limits.exceeded_by(trial.architecture, space, task) is None
