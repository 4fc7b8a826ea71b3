"""TPE."""

from __future__ import annotations

from statistics import mean

import optuna
import pytest

from baselines.tpe import TPE
from harness import seeding
from harness.benchmarks.nasbench201 import NASBench201
from harness.spaces import NASBench201Space

SPACE = NASBench201Space()


def study_of(strategy: TPE, trials: int) -> optuna.Study:
    benchmark = NASBench201()
    study = optuna.create_study(direction="maximize", sampler=strategy)

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_categorical(name, choices) for name, choices in SPACE.decisions.items()}
        return benchmark.evaluate(SPACE.architecture(params), fidelity=200, seed=None).value

    study.optimize(objective, n_trials=trials)
    return study


def test_proposals_are_those_of_optuna() -> None:
    """On the same trials, with the seed that belongs to this proposal."""
    study = study_of(TPE(space=SPACE, seed=5), 30)
    asked = study.ask()
    frozen = study.trials[asked.number]
    ours = TPE(space=SPACE, seed=5).ask(study, frozen, SPACE).architecture
    theirs = optuna.samplers.TPESampler(seed=seeding.integer(5, "tpe", 30))
    assert SPACE.params(ours) == theirs.sample_relative(study, frozen, dict(SPACE.distributions))


@pytest.mark.parametrize("multivariate", [True, False])
def test_learns(multivariate: bool) -> None:
    gains = []
    for seed in range(5):
        values = [t.value for t in study_of(TPE(multivariate=multivariate, seed=seed), 60).trials]
        gains.append(mean(v or 0.0 for v in values[-20:]) - mean(v or 0.0 for v in values[:10]))
    # Ten random cells reach 83 % on average.
    assert mean(gains) > 2


def test_sees_trials_that_were_told_without_being_asked_of_optuna() -> None:
    """The engine adds trials to the storage itself; Optuna's cached list would be as old as the first call."""
    done = study_of(TPE(space=SPACE, seed=5), 30)
    study = optuna.create_study(direction="maximize")
    strategy = TPE(space=SPACE, seed=5)
    for trial in done.trials:
        asked = optuna.create_trial(state=optuna.trial.TrialState.RUNNING)
        asked.number = trial.number
        assert SPACE.params(strategy.ask(study, asked, SPACE).architecture) == trial.params
        study.add_trial(trial)
