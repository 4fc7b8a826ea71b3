"""Every registered strategy: our checks, and the suites that Optuna has for its own samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.testing.pytest_samplers import RelativeSamplerTestCase
from optuna.testing.pytest_samplers import SingleOnlySamplerTestCase

from harness import registry
from tests.strategy_checks import CHECKS
from tests.strategy_checks import STRATEGIES
from tests.strategy_checks import Subject

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

# Optuna's suites make small studies of which a strategy may have seen everything.
pytestmark = pytest.mark.filterwarnings("ignore:.*Drawing uniformly from here on")


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=case.name) for case in STRATEGIES],
)
def subject(request: pytest.FixtureRequest) -> Subject:
    case = request.param
    return Subject(case, request.getfixturevalue("scripted_model") if case.needs_model else None)


def test_every_registered_strategy_is_checked() -> None:
    assert [case.name for case in STRATEGIES] == registry.names("strategy")


@pytest.mark.parametrize("check", [pytest.param(check, id=check.__name__) for check in CHECKS])
def test_strategy(check: Callable[[Subject], None], subject: Subject) -> None:
    check(subject)


class _Sampler:
    @pytest.fixture
    def sampler(self, subject: Subject) -> Callable[[], BaseSampler]:
        # As Optuna's own tests have it: no random start, where there is a choice.
        start = {"n_startup_trials": 0} if "n_startup_trials" in subject.case.params else {}
        return lambda: subject.make(seed=None, **start)


class TestBasic(_Sampler, BasicSamplerTestCase): ...


class TestRelative(_Sampler, RelativeSamplerTestCase): ...


class TestSingleObjective(_Sampler, SingleOnlySamplerTestCase): ...
