"""Every strategy without a supernet searches forecasters: another space than that of images, and lower is better."""

from __future__ import annotations

from functools import cache

import optuna
import pytest

from baselines.one_shot.strategy import OneShot
from harness import registry
from harness.benchmarks.tabulated import Tabulated
from harness.task import Task
from tests.strategy_checks import STRATEGIES
from tests.strategy_checks import Case
from tests.strategy_checks import Subject

TRIALS = 12
#: Arguments that name a data set of images name one of traffic here.
DATASET = "synthetic"
CASES = [case for case in STRATEGIES if not issubclass(registry.load("strategy", case.name), OneShot)]


@cache
def benchmark() -> Tabulated:
    return Tabulated("ists-metr-la-29")


def error(trial: optuna.Trial) -> float:
    space = benchmark().space
    choices = {name: trial.suggest_categorical(name, c) for name, c in space.decisions.items()}
    return benchmark().evaluate(space.architecture(choices), fidelity=1, seed=None).value


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_it_finds_forecasters(case: Case, request: pytest.FixtureRequest) -> None:
    subject = Subject(case, request.getfixturevalue("scripted_model") if case.needs_model else None)
    other = {"dataset": DATASET} if "dataset" in case.params else {}
    strategy = subject.make(space=benchmark().space, **other)
    strategy.task = Task.of(benchmark(), 1)
    study = optuna.create_study(sampler=strategy, direction="minimize", study_name=case.name)
    study.optimize(error, n_trials=min(TRIALS, case.trials))
    history = strategy.history(study, benchmark().space)
    assert len(history.trials) == min(TRIALS, case.trials)
    assert all(trial.score == -trial.value < 0 for trial in history.trials)
    assert strategy.recommend(history) in history.seen
    assert history.best.value == min(trial.value for trial in history.trials)
