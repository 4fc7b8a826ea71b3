"""LLM ranking: one question without scores, then one trial per architecture in the predicted order."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness.benchmarks.base import Metric
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import History
from harness.history import Proposal
from harness.history import Trial
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from harness.task import Task
from llm_strategies.base import NoUsableReply
from llm_strategies.llm_ranking import LLMRanking
from llm_strategies.models.client import ChatModel
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

SPACE = NASBench201Space()


def numbered(request: Mapping[str, Any]) -> dict[int, str]:
    """The architectures in a question, by their number."""
    lines = re.findall(r"^(\d+): (.+)$", request["messages"][1]["content"], re.MULTILINE)
    return {int(number): text for number, text in lines}


def by_name(request: Mapping[str, Any]) -> Answer:
    """Ranks by the text of the architectures."""
    shown = numbered(request)
    return Answer(json.dumps({"ranking": sorted(shown, key=lambda number: shown[number])}))


def run(
    strategy: LLMRanking, space: SearchSpace = SPACE, trials: list[Trial] | None = None
) -> list[Proposal]:
    """All proposals until the end, each scored by its number."""
    trials = trials or []
    proposals = []
    while True:
        number = len(trials)
        history = History(
            space,
            list(trials),
            number=number,
            seen={trial.architecture for trial in trials},
            make_rng=lambda: np.random.default_rng(number),  # noqa: B023  (called before the next round)
            folds={},
        )
        try:
            proposal = strategy.propose(history)
        except NoUsableReply:
            raise
        except Exhausted:
            return proposals
        assert isinstance(proposal, Proposal)
        proposals.append(proposal)
        trials.append(Trial(number, proposal.architecture, 123.75, 123.75, proposal.attributes))


def test_one_question_then_the_predicted_order() -> None:
    server = ScriptedServer(by_name)
    with server as endpoint:
        proposals = run(LLMRanking(model=ChatModel(endpoint), space=SPACE, seed=0))
    assert len(server.requests) == 1
    assert server.requests[0]["temperature"] == 0.6
    shown = numbered(server.requests[0])
    assert len(proposals) == len(set(shown.values())) == 10
    texts = [SPACE.format(proposal.architecture) for proposal in proposals]
    assert texts == sorted(shown.values())
    for rank, proposal in enumerate(proposals, start=1):
        attributes = proposal.attributes
        assert (attributes["source"], attributes["rank"], attributes["of"]) == ("model", rank, 10)
        assert shown[attributes["position"]] == texts[rank - 1]
    assert [proposal.usage is not None for proposal in proposals] == [True] + [False] * 9


def test_a_run_that_was_cut_off_keeps_its_ranking() -> None:
    server = ScriptedServer(by_name)
    with server as endpoint:
        whole = run(LLMRanking(model=ChatModel(endpoint), n=4, space=SPACE, seed=0))
        begun = [Trial(i, p.architecture, 1.0, 1.0, p.attributes) for i, p in enumerate(whole[:2])]
        rest = run(LLMRanking(model=ChatModel(endpoint), n=4, space=SPACE, seed=0), trials=begun)
    assert len(server.requests) == 1
    assert rest == whole[2:]


def test_all_runs_rank_the_same_in_another_order() -> None:
    def asked(**settings: Any) -> list[str]:
        server = ScriptedServer(by_name)
        with server as endpoint:
            strategy = LLMRanking(model=ChatModel(endpoint), space=SPACE, **settings)
            rng = np.random.default_rng(settings["seed"])
            strategy.propose(History(SPACE, [], number=0, seen=set(), make_rng=lambda: rng, folds={}))
        return list(numbered(server.requests[0]).values())

    assert set(asked(seed=0, sample_seed=None)) != set(asked(seed=1, sample_seed=None))
    assert set(asked(seed=0, sample_seed=7)) != set(asked(seed=0))
    assert set(asked(seed=0)) == set(asked(seed=1))
    assert asked(seed=0) != asked(seed=1)


def test_listed_architectures() -> None:
    listed = [SPACE.format(SPACE.from_index(i)) for i in (5, 500, 15000)]
    server = ScriptedServer(by_name)
    with server as endpoint:
        proposals = run(LLMRanking(model=ChatModel(endpoint), architectures=listed, space=SPACE, seed=0))
    assert sorted(SPACE.format(proposal.architecture) for proposal in proposals) == sorted(listed)


def test_small_space_is_ranked_whole() -> None:
    space = SearchSpace({"depth": (1, 2), "residual": (True, False)})
    with ScriptedServer(by_name) as endpoint:
        proposals = run(LLMRanking(model=ChatModel(endpoint), seed=0), space)
    assert sorted(proposal.architecture for proposal in proposals) == sorted(space)


@pytest.mark.parametrize(
    ("ranking", "reason"),
    [
        ([1, 2, 2], "wrong shape"),
        ([1, 2], "wrong shape"),
        ([1, 2, 3, 4], "illegal choice"),
        ([0, 1, 2], "illegal choice"),
        ("1, 2, 3", "wrong shape"),
        ([[1], 2, 3], "illegal choice"),
    ],
)
def test_no_permutation_is_rejected_and_asked_again(ranking: Any, reason: str) -> None:
    replies = iter([{"ranking": ranking}, {"ranking": ["3", 1, 2]}])
    server = ScriptedServer(lambda request: Answer(json.dumps(next(replies))))
    with server as endpoint:
        first, *rest = run(LLMRanking(model=ChatModel(endpoint), n=3, space=SPACE, seed=0))
    assert first.rejected == {reason: 1}
    assert first.usage is not None
    assert first.usage.calls == 2
    assert [proposal.attributes["position"] for proposal in [first, *rest]] == [3, 1, 2]
    # The order is drawn anew, so that a model at temperature 0 has something new to answer.
    assert numbered(server.requests[0]) != numbered(server.requests[1])


def test_a_model_that_cannot_rank_is_exhausted() -> None:
    with ScriptedServer(lambda request: Answer('{"ranking": [1, 1, 1]}')) as endpoint:
        strategy = LLMRanking(model=ChatModel(endpoint), n=3, attempts=4, space=SPACE, seed=0)
        with pytest.raises(NoUsableReply) as end:
            run(strategy)
    assert end.value.rejected == {"wrong shape": 4}


@pytest.mark.parametrize("names", ["permuted", "ncode"])
@pytest.mark.parametrize("structured", ["schema", "none"])
def test_blind_question_names_nothing(names: Any, structured: Any) -> None:
    server = ScriptedServer(by_name)
    with server as endpoint:
        model = ChatModel(endpoint)
        strategy = LLMRanking(model=model, names=names, structured=structured, space=SPACE, seed=0)
        strategy.task = Task("cifar10", Metric("accuracy", "%"), 200, "nasbench201")
        assert len(run(strategy)) == 10
    told = json.dumps(server.requests[0]["messages"]).lower()
    for secret in ("cifar", "accuracy", "bench", "conv", "pool", "skip", "neural", "image"):
        assert secret not in told
    assert ("response_format" in server.requests[0]) == (structured == "schema")


def test_plain_question_names_the_metric_and_not_the_data_set() -> None:
    server = ScriptedServer(by_name)
    with server as endpoint:
        strategy = LLMRanking(model=ChatModel(endpoint), space=SPACE, seed=0)
        strategy.task = Task("cifar10", Metric("latency", "ms", higher_is_better=False))
        run(strategy)
    system, user = (message["content"] for message in server.requests[0]["messages"])
    assert "latency" in system
    assert "lower is better" in user
    assert "cifar10" not in system + user


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"n": 1}, "n is 1; it must be at least 2"),
        ({"sample_seed": -1}, "sample_seed is -1"),
        ({"on_exhausted": "random"}, "on_exhausted is 'random'.*leave it at 'end'"),
        ({"architectures": ["000000"]}, "lists 1; a ranking needs at least 2"),
        ({"architectures": ["|none~0|", "x"]}, r"architectures: architecture '\|none~0\|' has 1 node"),
        ({"architectures": [SPACE.format(SPACE.from_index(0))] * 2}, "twice"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        LLMRanking(model="unused", space=SPACE, seed=0, **settings)
