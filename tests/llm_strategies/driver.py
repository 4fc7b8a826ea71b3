"""Runs a strategy as the engine does, and keeps its proposals."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Container
from functools import cache

import optuna
from optuna.trial import TrialState

from harness.benchmarks.nasbench201 import NASBench201
from harness.history import Proposal
from harness.models import Models
from harness.spaces import Architecture
from harness.spaces import SearchSpace
from harness.strategy import ATTRIBUTES
from harness.strategy import Strategy
from harness.task import Task

#: Numbers, truth values and text, none of which says anything of cells.
MIXED = SearchSpace(
    {"depth": (2, 4, 6), "residual": (True, False), "act": ("relu", "gelu"), "rate": (0.1, 0.5)}
)


@cache
def benchmark() -> NASBench201:
    return NASBench201()


def accuracy(arch: Architecture) -> float:
    """On NAS-Bench-201."""
    return benchmark().evaluate(arch, fidelity=200, seed=None).value


def connect(strategy: Strategy, task: Task | None = None) -> Strategy:
    """Tell a strategy what it searches; NAS-Bench-201 on CIFAR-10, if not said."""
    strategy.connect(Task.of(benchmark(), 200) if task is None else task, Models())
    return strategy


def search(
    strategy: Strategy,
    trials: int,
    *,
    space: SearchSpace | None = None,
    score: Callable[[Architecture], float] = accuracy,
    minimise: bool = False,
    failing: Container[int] = (),
) -> list[Proposal]:
    """The proposals of a run.

    Args:
        strategy: Connected.
        trials: Number of trials.
        space: Search space; that of NAS-Bench-201, if not said.
        score: Value of an architecture.
        minimise: Whether it should be low.
        failing: Numbers of the trials whose evaluation fails.

    Raises:
        Exhausted: As the strategy does.
    """
    space = benchmark().space if space is None else space
    study = optuna.create_study(sampler=strategy, direction="minimize" if minimise else "maximize")
    proposals = []
    for number in range(trials):
        frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
        frozen.number = number
        proposal = strategy.ask(study, frozen, space)
        failed = number in failing
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                value=None if failed else score(proposal.architecture),
                params=space.params(proposal.architecture),
                distributions=dict(space.distributions),
                system_attrs={ATTRIBUTES: dict(proposal.attributes)},
            )
        )
        proposals.append(proposal)
    return proposals
