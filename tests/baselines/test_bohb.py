"""BOHB."""

from __future__ import annotations

import binascii

import optuna
import pytest
from optuna.trial import TrialState

from baselines.bohb import BOHB
from harness.benchmarks.nasbench201 import NASBench201
from harness.errors import SpecError
from harness.spaces import NASBench201Space

SPACE = NASBench201Space()
FIDELITIES = (12, 200)


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    strategy = BOHB(space=SPACE, seed=0)
    benchmark = NASBench201()
    study = optuna.create_study(
        direction="maximize", sampler=strategy, pruner=strategy.pruner(FIDELITIES), study_name="bohb"
    )

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_categorical(name, choices) for name, choices in SPACE.decisions.items()}
        arch = SPACE.architecture(params)
        # One training seed stands for the short schedule, which the default table lacks: noisy, and cheaper.
        trial.report(benchmark.evaluate(arch, fidelity=200, seed=0).value, FIDELITIES[0])
        if trial.should_prune():
            raise optuna.TrialPruned
        return benchmark.evaluate(arch, fidelity=200, seed=None).value

    study.optimize(objective, n_trials=150)
    return study


def bracket(trial: optuna.trial.FrozenTrial) -> int:
    """Of 12 to 200 epochs with eta 3: three brackets of 9, 5 and 3 in 17 trials."""
    place = binascii.crc32(f"bohb_{trial.number}".encode()) % 17
    return (place >= 9) + (place >= 14)


def test_stops_at_the_low_fidelity_in_the_first_bracket_alone(study: optuna.Study) -> None:
    """The others ask for more than 12 epochs before they judge, and the next rung is the last."""
    states = {number: [t.state for t in study.trials if bracket(t) == number] for number in range(3)}
    assert set(states[1] + states[2]) == {TrialState.COMPLETE}
    pruned = states[0].count(TrialState.PRUNED)
    # Two of three are stopped, but for the first of the rung, which lead it for a while.
    assert 0.4 < pruned / len(states[0]) <= 0.75


def test_stopped_trials_are_worse_than_those_that_went_on(study: optuna.Study) -> None:
    scores = {
        state: [t.intermediate_values[12] for t in study.trials if t.state == state and bracket(t) == 0]
        for state in (TrialState.PRUNED, TrialState.COMPLETE)
    }
    median = sorted(scores[TrialState.COMPLETE])[len(scores[TrialState.COMPLETE]) // 2]
    assert sum(score < median for score in scores[TrialState.PRUNED]) > 0.8 * len(scores[TrialState.PRUNED])


def test_recommends_a_trial_of_the_highest_fidelity(study: optuna.Study) -> None:
    strategy = study.sampler
    assert isinstance(strategy, BOHB)
    history = strategy.history(study, SPACE)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert len(history) == len(complete)
    assert SPACE.params(strategy.recommend(history)) == study.best_trial.params
    assert len(history.seen) > len({trial.architecture for trial in history.trials})


def test_stopped_trials_enter_the_model(study: optuna.Study) -> None:
    asked = optuna.create_trial(state=TrialState.RUNNING)
    asked.number = len(study.trials)
    without = optuna.create_study(direction="maximize", study_name="bohb")
    without.add_trials([trial for trial in study.trials if trial.state == TrialState.COMPLETE])
    assert BOHB(seed=1).ask(study, asked, SPACE) != BOHB(seed=1).ask(without, asked, SPACE)


def test_illegal_factor_is_refused() -> None:
    with pytest.raises(SpecError, match="reduction_factor"):
        BOHB(reduction_factor=1)
