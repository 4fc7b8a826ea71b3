"""What strategies stand on: the history, its folds and generators, and the view of an Optuna study."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from harness import seeding
from harness.history import History
from harness.history import Trial
from harness.spaces import Architecture
from harness.spaces import SearchSpace
from harness.strategy import Strategy

SPACE = SearchSpace({"a": (0, 1, 2, 3), "b": ("x", "y")})


class Recorder(Strategy):
    """Proposes at random and keeps what it was shown."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.shown: list[History] = []

    def propose(self, history: History) -> Architecture:
        self.shown.append(history)
        return history.space.random(history.rng)


def trial(number: int, score: float = 0.0) -> Trial:
    return Trial(number, Architecture((0, 0)), score, score, {})


def history(trials: list[Trial], folds: dict[object, Any] | None = None) -> History:
    return History(
        SPACE,
        trials,
        number=len(trials),
        seen=set(),
        make_rng=lambda: seeding.generator(0),
        folds={} if folds is None else folds,
    )


def fold_numbers(of: History, steps: list[int]) -> list[int]:
    def step(state: list[int], trial: Trial) -> list[int]:
        steps.append(trial.number)
        return [*state, trial.number]

    return of.fold("numbers", list[int], step)


class TestFold:
    def test_goes_on_where_it_ended(self) -> None:
        folds: dict[object, Any] = {}
        steps: list[int] = []
        trials = [trial(n) for n in range(3)]
        assert fold_numbers(history(trials, folds), steps) == [0, 1, 2]
        trials += [trial(3), trial(4)]
        assert fold_numbers(history(trials, folds), steps) == [0, 1, 2, 3, 4]
        assert steps == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(
        "numbers",
        [[0, 1, 2, 3], [0, 2], [], [0, 1, 2, 3, 4, 5]],
        ids=["one in between", "fewer", "none", "in between and after"],
    )
    def test_starts_anew_when_the_past_has_changed(self, numbers: list[int]) -> None:
        """With several threads, trials finish out of order, and a proposal may know less than the last one."""
        folds: dict[object, Any] = {}
        fold_numbers(history([trial(n) for n in (0, 2, 3)], folds), [])
        assert fold_numbers(history([trial(n) for n in numbers], folds), []) == numbers

    def test_keys_are_separate(self) -> None:
        of = history([trial(0, 2.0), trial(1, 3.0)])
        assert of.fold("sum", float, lambda state, t: state + t.score) == 5.0
        assert of.fold("count", int, lambda state, _: state + 1) == 2


def test_best_is_the_first_of_the_highest() -> None:
    assert history([trial(0, 1.0), trial(1, 3.0), trial(2, 3.0)]).best.number == 1
    with pytest.raises(ValueError, match="empty"):
        _ = history([]).best


def test_generators_belong_to_seed_and_trial() -> None:
    """Every proposal has its own, the recommendation another, and a new instance of the strategy the same."""

    def draws(seed: int) -> list[float]:
        study = optuna.create_study()
        strategy = Recorder(seed=seed)
        for number in range(5):
            asked = optuna.create_trial(state=TrialState.RUNNING)
            asked.number = number
            strategy.ask(study, asked, SPACE)
        shown = [*strategy.shown, strategy.history(study, SPACE)]
        # The recorder has drawn once from each already, but for the last.
        return [float(h.rng.random()) for h in shown]

    assert len({*draws(0), *draws(1)}) == 12
    assert draws(0) == draws(0)


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_shows_a_study_as_history(direction: Any, sign: int) -> None:
    """Finished trials with higher scores better; of others, only that they were seen."""
    strategy = Recorder(space=SPACE, seed=0)
    study = optuna.create_study(sampler=strategy, direction=direction)
    ends = iter([1.0, TrialState.PRUNED, TrialState.FAIL, 4.0])
    for end in ends:
        asked = study.ask(dict(SPACE.distributions))
        study.tell(asked, *([end] if isinstance(end, float) else [None, end]))
    study.ask(dict(SPACE.distributions))
    shown = strategy.shown[-1]
    assert [(t.number, t.value, t.score) for t in shown.trials] == [
        (0, 1.0, sign * 1.0),
        (3, 4.0, sign * 4.0),
    ]
    params = [{name: t.params[name] for name in SPACE.decisions} for t in study.trials[:4]]
    assert shown.seen == {SPACE.architecture(p) for p in params}
    assert shown.number == 4


def test_late_trials_take_their_place() -> None:
    study = optuna.create_study(sampler=(strategy := Recorder(space=SPACE, seed=0)))
    early, late = (study.ask(dict(SPACE.distributions)) for _ in range(2))
    study.tell(late, 2.0)
    assert [t.number for t in strategy.history(study, SPACE).trials] == [1]
    study.tell(early, 1.0)
    assert [t.number for t in strategy.history(study, SPACE).trials] == [0, 1]


def test_history_is_never_stale() -> None:
    """Optuna's cached list of trials is renewed by ``Study.ask`` alone, which the engine does not call."""
    study = optuna.create_study()
    strategy = Recorder(space=SPACE, seed=0)
    for number in range(3):
        assert len(strategy.history(study, SPACE)) == number
        params = SPACE.params(Architecture((number, 0)))
        study.add_trial(
            optuna.create_trial(value=0.0, params=params, distributions=dict(SPACE.distributions))
        )
