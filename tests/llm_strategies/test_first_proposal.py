"""First-proposal audit: the same question in every trial, and no score in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import optuna
import pytest

from harness.benchmarks.base import Metric
from harness.history import History
from harness.spaces import NASBench201Space
from harness.strategy import ATTRIBUTES
from harness.task import Task
from llm_strategies.base import NoUsableReply
from llm_strategies.first_proposal import FirstProposal
from llm_strategies.models.client import ChatModel
from llm_strategies.views import View
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.models import Endpoint

SPACE = NASBench201Space()
FAVOURITE = dict.fromkeys(SPACE.decisions, "nor_conv_3x3")


def favourite(request: Mapping[str, Any]) -> Answer:
    return Answer(json.dumps(FAVOURITE))


def search(strategy: FirstProposal, trials: int) -> list[optuna.trial.FrozenTrial]:
    def objective(trial: optuna.Trial) -> float:
        for name, choices in SPACE.decisions.items():
            trial.suggest_categorical(name, choices)
        return trial.number + 123.75

    study = optuna.create_study(sampler=strategy, direction="maximize")
    study.optimize(objective, n_trials=trials)
    return study.trials


def test_all_trials_put_the_same_question_with_another_seed() -> None:
    server = ScriptedServer()
    with server as endpoint:
        search(FirstProposal(model=ChatModel(endpoint), space=SPACE, seed=0), 4)
    questions = [request["messages"] for request in server.requests]
    assert questions == [questions[0]] * 4
    assert len({request["seed"] for request in server.requests}) == 4
    assert {request["temperature"] for request in server.requests} == {1.0}


def test_a_favourite_is_proposed_every_time() -> None:
    with ScriptedServer(favourite) as endpoint:
        trials = search(FirstProposal(model=ChatModel(endpoint), space=SPACE, seed=0), 3)
    assert [trial.params for trial in trials] == [FAVOURITE] * 3
    assert [trial.system_attrs[ATTRIBUTES] for trial in trials] == [{"source": "model"}] * 3


def test_a_free_form_reply_is_read_without_a_schema() -> None:
    server = ScriptedServer(
        lambda request: Answer(f"I would take this:\n```json\n{json.dumps(FAVOURITE)}\n```")
    )
    with server as endpoint:
        strategy = FirstProposal(model=ChatModel(endpoint), structured="none", space=SPACE, seed=0)
        trials = search(strategy, 1)
    assert trials[0].params == FAVOURITE
    assert "response_format" not in server.requests[0]


def question(names: Any) -> str:
    strategy = FirstProposal(model="unused", names=names, space=SPACE, seed=0)
    strategy.task = Task("cifar10", Metric("accuracy", "%"), 200, "nasbench201")
    (message,) = strategy.messages(View(SPACE, names, 0))
    return message["content"]


def test_plain_question_names_the_task() -> None:
    assert "accuracy (%) on cifar10; higher is better" in question("plain")
    assert "nor_conv_3x3" in question("plain")


@pytest.mark.parametrize("names", ["permuted", "ncode"])
def test_blind_question_names_nothing(names: str) -> None:
    told = question(names).lower()
    for secret in ("cifar", "accuracy", "bench", "conv", "pool", "skip", "neural", "image"):
        assert secret not in told


def test_direction_is_told() -> None:
    strategy = FirstProposal(model="unused", space=SPACE, seed=0)
    strategy.task = Task(metric=Metric("error", "%", higher_is_better=False))
    (message,) = strategy.messages(View(SPACE, "plain", 0))
    assert "error (%); lower is better" in message["content"]


def test_replies_that_are_no_architecture_exhaust_the_model() -> None:
    with ScriptedServer(lambda request: Answer('{"0->1": "none"}')) as endpoint:
        strategy = FirstProposal(model=ChatModel(endpoint), attempts=3, space=SPACE, seed=0)
        history = History(
            SPACE, [], number=0, seen=set(), make_rng=lambda: np.random.default_rng(0), folds={}
        )
        with pytest.raises(NoUsableReply) as end:
            strategy.propose(history)
    assert end.value.rejected == {"wrong shape": 3}
    assert end.value.usage.calls == 3


def test_with_a_real_model(embedded_model: Endpoint) -> None:
    strategy = FirstProposal(
        model=ChatModel(embedded_model), names="ncode", max_tokens=64, space=SPACE, seed=0
    )
    trials = search(strategy, 1)
    assert trials[0].system_attrs[ATTRIBUTES] == {"source": "model"}
