"""Checks that every registered strategy passes, in the manner of scikit-learn's estimator checks.

A strategy that is registered and not listed in :data:`STRATEGIES` fails the tests. Each check takes a
:class:`Subject`, which makes strategies and runs them as the sampler of an Optuna study on NAS-Bench-201.
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import NoReturn

import numpy as np
import optuna
import torch
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from harness import registry
from harness.benchmarks.nasbench201 import NASBench201
from harness.models import Endpoint
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.strategy import ATTRIBUTES
from harness.strategy import Strategy
from llm_strategies.models.client import ChatModel

if TYPE_CHECKING:
    from optuna.study import Study

optuna.logging.set_verbosity(optuna.logging.WARNING)

FIDELITIES = (12, 200)

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Case:
    """How the checks run one strategy.

    Attributes:
        name: Its registered name.
        params: Hyper-parameters that make few trials go through all of its phases.
        needs_model: Whether it asks a language model.
        trials: Number of trials of one run.
        cuts: After how many trials a run is cut off.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    needs_model: bool = False
    trials: int = 30
    cuts: tuple[int, ...] = (0, 1, 9, 10, 11, 23)


# A search with a supernet so small that an epoch takes a tenth of a second.
_TINY: Mapping[str, Any] = {
    "dataset": "cifar10",
    "images": "digits",
    "train_images": 32,
    "batch_size": 8,
    "size": {"channels": 2, "cells": 1},
}


def _one_shot(name: str, **params: Any) -> Case:
    return Case(name, {**_TINY, "epochs": 12, **params}, trials=12, cuts=(0, 1, 5, 9))


STRATEGIES = (
    _one_shot("beta_darts"),
    Case("bohb", {"n_startup_trials": 6}),
    Case("collm_nas", {"min_batch": 3, "max_batch": 4}, needs_model=True),
    _one_shot("darts"),
    _one_shot("darts_minus"),
    _one_shot("darts_pt", epochs=2, tuning=2),
    _one_shot("drnas"),
    _one_shot("enas", samples=2, controller_steps=1, controller_batch=2),
    Case("evoprompting", {"seeds": 3, "prompts": 2, "samples": 5}, needs_model=True),
    _one_shot("fair_darts"),
    _one_shot("fairnas", epochs=6, generations=6, population=6, parents=3, samples=2),
    Case("first_proposal", needs_model=True, trials=12, cuts=(0, 1, 9)),
    _one_shot("gdas"),
    Case("genetic_algorithm", {"population": 6}),
    Case("genius", {"iterations": None}, needs_model=True),
    Case("ists", {"reasoning": "tot", "rounds": 5, "cell_size": 2}, needs_model=True),
    Case(
        "llm_ranking",
        {"n": 3, "sample_seed": None, "attempts": 50},
        needs_model=True,
        trials=3,
        cuts=(0, 1, 2),
    ),
    Case("llmatic", {"initial_networks": 4, "mutation_probability": 0.5}, needs_model=True),
    Case(
        "lm_searcher",
        {"random_starts": 2, "candidates": 4, "candidate_source": "half"},
        needs_model=True,
    ),
    Case("local_search"),
    _one_shot("oles", interval=2),
    Case("opro", {"random_starts": 2, "pairs": 4, "proposals": 5}, needs_model=True),
    _one_shot("p_darts", warm_up=1),
    _one_shot("pc_darts", partial=2, warm_up=1),
    Case("proxy_ensemble", {"proxies": ["flops", "parameters"], "candidates": 200, "dataset": "cifar10"}),
    Case("proxy_evolution", {"random_starts": 5, "population": 6}),
    _one_shot("r_darts", epochs=3),
    Case("random_search"),
    Case("regularized_evolution"),
    Case("reinforce", {"learning_rate": 0.5}),
    _one_shot("rlnas", epochs=6, generations=6, population=6, parents=3, samples=2),
    _one_shot("rsps", samples=2),
    Case("rz_nas", {"random_starts": 4, "population": 6}, needs_model=True),
    _one_shot("sdarts", perturbation="adversarial", steps=1),
    _one_shot("setn", samples=2),
    _one_shot("snas"),
    _one_shot("spos", epochs=6, generations=6, population=6, parents=3, samples=2),
    Case("tpe", {"n_startup_trials": 6}),
)


@cache
def benchmark() -> NASBench201:
    return NASBench201()


@dataclass(frozen=True)
class Row:
    """One trial as it is compared."""

    params: Mapping[str, Any]
    state: str
    value: float | None
    attributes: Mapping[str, Any]


class Subject:
    """A strategy under test.

    Args:
        case: Which one, and how.
        endpoint: Where the language model answers, for those that need one.
    """

    def __init__(self, case: Case, endpoint: Endpoint | None = None) -> None:
        self.case = case
        self.endpoint = endpoint
        self.cls: type[Strategy] = registry.load("strategy", case.name)
        self._runs: dict[int, list[Row]] = {}

    def make(self, seed: int | None = 0, **params: Any) -> Strategy:
        """A new instance; without ``space`` it takes that of the study."""
        models = self.cls.model_parameters if self.endpoint is not None else ()
        model = {name: ChatModel(self.endpoint) for name in models}
        return self.cls(**{**self.case.params, **model, **params}, seed=seed)

    def study(self, seed: int = 0, direction: Direction = "maximize") -> Study:
        return self._study(self.make(seed, space=NASBench201Space()), direction)

    def bare_study(self) -> Study:
        """A study whose strategy has to find out about the search space by itself."""
        return self._study(self.make(), "maximize")

    def _study(self, strategy: Strategy, direction: Direction) -> Study:
        return optuna.create_study(
            sampler=strategy,
            pruner=strategy.pruner(FIDELITIES) or optuna.pruners.NopPruner(),
            direction=direction,
            # Hyperband's brackets depend on it.
            study_name=self.case.name,
        )

    def go_on(self, study: Study, trials: int | None = None, sign: int = 1) -> list[Row]:
        """Run a study until it has as many trials; all of the case's, if not said."""
        missing = (self.case.trials if trials is None else trials) - len(study.trials)
        study.optimize(lambda trial: self._objective(trial, sign), n_trials=missing)
        return rows(study)

    def run(self, seed: int = 0) -> list[Row]:
        """The trials of a whole run; run once for each seed, as some strategies are slow."""
        if seed not in self._runs:
            self._runs[seed] = self.go_on(self.study(seed))
        return self._runs[seed]

    def _objective(self, trial: optuna.Trial, sign: int) -> float:
        space = benchmark().space
        arch = space.architecture(
            {name: trial.suggest_categorical(name, choices) for name, choices in space.decisions.items()}
        )
        if self.cls.multi_fidelity:
            # The table has one fidelity. One training seed ranks cells as a short schedule does: with noise.
            noisy = benchmark().evaluate(arch, fidelity=FIDELITIES[1], seed=0).value
            trial.report(sign * noisy, FIDELITIES[0])
            if trial.should_prune():
                raise optuna.TrialPruned
        return sign * benchmark().evaluate(arch, fidelity=FIDELITIES[1], seed=None).value


def rows(study: Study) -> list[Row]:
    return [
        Row(trial.params, trial.state.name, trial.value, trial.system_attrs.get(ATTRIBUTES, {}))
        for trial in study.trials
    ]


def _asked(number: int) -> FrozenTrial:
    trial = optuna.create_trial(state=TrialState.RUNNING)
    trial.number = number
    return trial


# How it is made.


def check_arguments(subject: Subject) -> None:
    """Hyper-parameters are keywords with a default, and explained; ``experiments.yaml`` relies on it."""
    found = set()
    for owner in subject.cls.__mro__:
        parameters = (
            inspect.signature(vars(owner)["__init__"]).parameters.items() if "__init__" in vars(owner) else ()
        )
        for name, parameter in parameters:
            if name == "self":
                continue
            assert f"        {name}: " in (owner.__doc__ or ""), f"{name} is not documented"
            # The base class explains what is passed on to it.
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                continue
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
            assert parameter.default is not inspect.Parameter.empty or name in subject.cls.model_parameters, (
                name
            )
            assert parameter.annotation is not inspect.Parameter.empty, name
            found.add(name)
        if "seed" in found:
            break
    assert {"space", "seed"} <= found


# Seeds.


def check_same_seed_same_trials(subject: Subject) -> None:
    assert subject.go_on(subject.study()) == subject.run()


def check_other_seed_other_trials(subject: Subject) -> None:
    assert [row.params for row in subject.run(seed=1)] != [row.params for row in subject.run()]


def check_same_trials_in_another_process(subject: Subject) -> None:
    """No dependence on the hashes of strings, which differ from process to process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    endpoint = None if subject.endpoint is None else vars(subject.endpoint)
    finished = subprocess.run(
        [sys.executable, "-m", "tests.strategy_checks", subject.case.name, json.dumps(endpoint)],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == json.loads(json.dumps([vars(row) for row in subject.run()]))


def check_reseed_changes_samples(subject: Subject) -> None:
    study = subject.study()
    study.sampler.reseed_rng()
    assert [row.params for row in subject.go_on(study)] != [row.params for row in subject.run()]


def check_leaves_global_generators_alone(subject: Subject) -> None:
    # Libraries that are imported on the way may draw a name.
    subject.run()
    before = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
    subject.go_on(subject.study(seed=2))
    after = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002
    assert after == before


# State.


def check_state_is_rebuilt_from_history(subject: Subject) -> None:
    """A run that was cut off, and goes on with a new instance, makes the trials of one that was not."""
    whole = subject.study()
    subject.go_on(whole)
    for cut in subject.case.cuts:
        resumed = subject.study()
        for trial in whole.trials[:cut]:
            resumed.add_trial(trial)
        assert subject.go_on(resumed) == subject.run(), f"cut off after {cut} trials"


def check_pickled_goes_on_alike(subject: Subject) -> None:
    """As Optuna's users pickle samplers; runs of the harness never do."""
    for make in (subject.bare_study, subject.study):
        whole, pickled = make(), make()
        subject.go_on(pickled, subject.case.cuts[-1])
        pickled.sampler = pickle.loads(pickle.dumps(pickled.sampler))  # noqa: S301 made just now
        assert subject.go_on(pickled) == subject.go_on(whole)


def check_failed_trials_do_not_stop_it(subject: Subject) -> None:
    study = subject.study()
    failing = iter(range(subject.case.trials))

    def objective(trial: optuna.Trial) -> float:
        value = subject._objective(trial, 1)
        if next(failing) % 3 == 1:
            raise RuntimeError("out of memory, say")
        return value

    study.optimize(objective, n_trials=subject.case.trials, catch=(RuntimeError,))
    assert len(study.trials) == subject.case.trials


def check_infinite_scores_do_not_stop_it(subject: Subject) -> None:
    for worst in (float("-inf"), float("inf")):
        study = subject.study()
        values = iter([worst, 1.0, worst, 2.0] * subject.case.trials)

        def objective(trial: optuna.Trial, values: Any = values) -> float:
            subject._objective(trial, 1)
            return float(next(values))

        subject_trials = min(subject.case.trials, 16)
        study.optimize(objective, n_trials=subject_trials)
        assert len(study.trials) == subject_trials


# What it proposes.


def check_engine_and_optuna_get_the_same(subject: Subject) -> None:
    """The engine asks without ``Study.ask``; it gets the same legal proposals, whose attributes JSON can hold."""
    whole, study = subject.study(), subject.study()
    subject.go_on(whole)
    strategy = study.sampler
    assert isinstance(strategy, Strategy)
    space = NASBench201Space()
    for trial in whole.trials:
        proposal = strategy.ask(study, _asked(trial.number), space)
        assert isinstance(proposal.architecture, Architecture)
        assert all(type(i) is int for i in proposal.architecture)
        assert space.architecture(space.params(proposal.architecture)) == proposal.architecture
        assert space.params(proposal.architecture) == trial.params
        assert json.loads(json.dumps(dict(proposal.attributes))) == proposal.attributes
        assert proposal.attributes == trial.system_attrs.get(ATTRIBUTES, {})
        study.add_trial(trial)


def check_asking_leaves_no_trace(subject: Subject) -> None:
    """The engine makes no trial before it asks; a strategy that wrote to one would fail."""
    study = subject.study()
    assert isinstance(study.sampler, Strategy)
    frozen = _asked(0)
    first = study.sampler.ask(study, frozen, NASBench201Space())
    assert first == study.sampler.ask(study, frozen, NASBench201Space())
    assert not study.trials


def check_recommends_what_it_visited(subject: Subject) -> None:
    study = subject.study()
    subject.go_on(study)
    strategy = study.sampler
    assert isinstance(strategy, Strategy)
    space = NASBench201Space()
    history = strategy.history(study, space)
    assert len(history) == sum(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert strategy.recommend(history) in {trial.architecture for trial in history.trials}
    best = study.best_params if strategy.uses_scores else study.trials[-1].params
    assert strategy.recommend(history) == space.architecture(best)


def check_minimising_mirrors_maximising(subject: Subject) -> None:
    mirrored = subject.go_on(subject.study(direction="minimize"), sign=-1)
    assert [row.params for row in mirrored] == [row.params for row in subject.run()]


# Other studies than those of the harness.


def check_foreign_search_space(subject: Subject) -> None:
    """Numbers, categories and conditions, with fewer categories than trials."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1.0, 1.0)
        n = trial.suggest_int("n", 1, 8, log=True)
        kind = trial.suggest_categorical("kind", ["linear", "square"])
        bias = trial.suggest_categorical("bias", [None, True, 1.5])
        if kind == "square":
            return x * x + n + trial.suggest_categorical("power", [1, 2])
        return x + n + float(bias or 0.0)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Drawing uniformly from here on")
        study = optuna.create_study(sampler=subject.make())
        study.optimize(objective, n_trials=2 * subject.case.trials)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    kinds = CategoricalDistribution(["linear", "square"])
    assert all(trial.distributions["kind"] == kinds for trial in study.trials)


def check_two_threads(subject: Subject) -> None:
    study = subject.study()
    study.optimize(lambda trial: subject._objective(trial, 1), n_trials=subject.case.trials, n_jobs=2)
    assert len(study.trials) == subject.case.trials
    assert all(trial.state != TrialState.FAIL for trial in study.trials)


CHECKS: tuple[Callable[[Subject], None], ...] = tuple(
    check for name, check in sorted(globals().items()) if name.startswith("check_")
)


def _main(name: str, endpoint: str) -> NoReturn:
    """Run one strategy, print its trials: the other side of :func:`check_same_trials_in_another_process`."""
    case = next(case for case in STRATEGIES if case.name == name)
    fields = json.loads(endpoint)
    subject = Subject(case, None if fields is None else Endpoint(**fields))
    json.dump([vars(row) for row in subject.run()], sys.stdout)
    sys.exit()


if __name__ == "__main__":
    _main(*sys.argv[1:])
