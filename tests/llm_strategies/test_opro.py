"""OPRO: what the meta-prompt holds, and how a step is spread over trials."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness.benchmarks.base import Metric
from harness.errors import SpecError
from harness.history import Exhausted
from harness.task import Task
from llm_strategies.models.client import ChatModel
from llm_strategies.opro import OPRO
from tests.llm_strategies.driver import MIXED
from tests.llm_strategies.driver import accuracy
from tests.llm_strategies.driver import benchmark
from tests.llm_strategies.driver import connect
from tests.llm_strategies.driver import search
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history import Proposal
    from harness.models import Endpoint

SPACE = benchmark().space
PARTS = {"depth": 2, "residual": True, "act": "gelu", "rate": 0.5}


def run(server: ScriptedServer, trials: int, task: Task | None = None, **settings: Any) -> list[Proposal]:
    options = {
        name: settings.pop(name) for name in ("space", "score", "minimise", "failing") if name in settings
    }
    with server as endpoint:
        strategy = connect(OPRO(model=ChatModel(endpoint), seed=0, **settings), task)
        return search(strategy, trials, **options)


def text(request: Mapping[str, Any]) -> str:
    (message,) = request["messages"]
    content: str = message["content"]
    return content


def shown(request: Mapping[str, Any]) -> list[str]:
    """Architectures in a meta-prompt in plain names, as NCodes."""
    found = re.findall(r"^architecture: (.*)$", text(request), re.MULTILINE)
    return [SPACE.ncode(SPACE.architecture(json.loads(written))) for written in found]


def codes(proposals: list[Proposal]) -> list[str]:
    return [SPACE.ncode(proposal.architecture) for proposal in proposals]


def by_accuracy(proposals: list[Proposal]) -> list[str]:
    return codes(sorted(proposals, key=lambda proposal: accuracy(proposal.architecture)))


def test_defaults_are_those_of_the_paper() -> None:
    strategy = OPRO(model="any")
    assert (strategy.random_starts, strategy.pairs, strategy.proposals) == (5, 20, 8)
    assert (strategy.order, strategy.temperature) == ("ascending", 1.0)


def test_a_step_asks_one_question_several_times() -> None:
    server = ScriptedServer()
    proposals = run(server, 6)
    assert [proposal.attributes["source"] for proposal in proposals] == ["random"] * 5 + ["model"]
    assert len(server.requests) == 8
    assert len({text(request) for request in server.requests}) == 1
    assert len({request["seed"] for request in server.requests}) == 8
    assert {request["temperature"] for request in server.requests} == {1.0}
    assert proposals[-1].usage is not None
    assert proposals[-1].usage.calls == 8


def test_pairs_are_the_best_and_the_worst_of_them_comes_first() -> None:
    server = ScriptedServer()
    proposals = run(server, 30, pairs=6)
    asked = [i for i, proposal in enumerate(proposals) if proposal.usage and proposal.usage.calls]
    assert len(asked) >= 3
    for step, number in enumerate(asked):
        assert shown(server.requests[8 * step]) == by_accuracy(proposals[:number])[-6:]
        assert "from worst to best" in text(server.requests[8 * step])
    values = [
        float(value) for value in re.findall(r"^accuracy: (.*)$", text(server.requests[-1]), re.MULTILINE)
    ]
    assert values == sorted(values)
    best = max(accuracy(proposal.architecture) for proposal in proposals[: asked[-1]])
    assert values[-1] == pytest.approx(best, abs=0.005)


def test_descending_order() -> None:
    server = ScriptedServer()
    proposals = run(server, 6, order="descending")
    assert shown(server.requests[0]) == by_accuracy(proposals[:5])[::-1]
    assert "from best to worst" in text(server.requests[0])


def test_random_order() -> None:
    server = ScriptedServer()
    proposals = run(server, 20, order="random", random_starts=19)
    ascending = by_accuracy(proposals[:19])
    assert shown(server.requests[0]) not in (ascending, ascending[::-1])
    assert sorted(shown(server.requests[0])) == sorted(ascending)
    assert len({text(request) for request in server.requests}) == 1
    again = ScriptedServer()
    run(again, 20, order="random", random_starts=19)
    assert text(again.requests[0]) == text(server.requests[0])


@pytest.mark.parametrize(("digits", "written"), [(4, "91.23"), (2, "91"), (6, "91.2346"), (None, None)])
def test_digits(digits: int | None, written: str | None) -> None:
    server = ScriptedServer()
    run(server, 2, random_starts=1, digits=digits, score=lambda arch: 91.23456)
    values = re.findall(r"^accuracy: (.*)$", text(server.requests[0]), re.MULTILINE)
    assert values == ([] if written is None else [written])


def test_new_architectures_of_a_step_are_its_next_trials() -> None:
    server = ScriptedServer()
    proposals = run(server, 40)
    steps = [proposal.attributes["step"] for proposal in proposals[5:]]
    assert steps == sorted(steps)
    assert len(server.requests) == 8 * steps[-1]
    assert len(set(codes(proposals))) == 40
    for before, after in pairwise(proposals[5:]):
        if queue := before.attributes["queue"]:
            assert codes([after]) == queue[:1]
            assert after.usage is None
            assert after.attributes == {**before.attributes, "queue": queue[1:]}


def stubborn(request: Mapping[str, Any]) -> Answer:
    return Answer(json.dumps(PARTS))


def test_known_architectures_are_counted_and_thrown_away() -> None:
    settings: dict[str, Any] = {"task": Task(), "space": MIXED, "score": lambda arch: 1.0, "random_starts": 0}
    (proposal,) = run(ScriptedServer(stubborn), 1, **settings)
    assert MIXED.params(proposal.architecture) == PARTS
    assert proposal.rejected == {"duplicate": 7}
    with pytest.raises(Exhausted, match="40 duplicate") as end:
        run(ScriptedServer(stubborn), 2, **settings)
    assert end.value.rejected == {"duplicate": 40}
    assert end.value.usage.calls == 40


def test_whole_space_is_found_and_then_repeated() -> None:
    server = ScriptedServer()
    size = MIXED.size
    settings: dict[str, Any] = {"task": Task(), "space": MIXED, "score": lambda arch: 1.0, "attempts": 50}
    proposals = run(server, size + 3, **settings)
    assert len({proposal.architecture for proposal in proposals[:size]}) == size


def test_failed_trial_is_not_proposed_again() -> None:
    proposals = run(ScriptedServer(), 30, failing={7, 11, 12})
    assert len(set(codes(proposals))) == 30


def test_worst_pairs_go_first_where_the_context_is_short() -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        if text(request).count("\narchitecture: ") > 2:
            return Answer("This model's maximum context length is 500 tokens.", status=400)
        return legal(request)

    server = ScriptedServer(answer)
    proposals = run(server, 9, random_starts=8)
    assert [len(shown(request)) for request in server.requests] == [8] * 8 + [4] * 8 + [2] * 8
    assert shown(server.requests[-1]) == by_accuracy(proposals[:8])[-2:]
    assert proposals[-1].rejected["too long"] == 16


def test_metric_that_should_be_low() -> None:
    server = ScriptedServer()
    task = Task(dataset="toy", metric=Metric("loss", "nats", higher_is_better=False))
    run(server, 4, task, random_starts=3, space=MIXED, score=lambda arch: float(sum(arch)), minimise=True)
    assert "lowest loss (nats) on toy" in text(server.requests[0])
    values = [float(value) for value in re.findall(r"^loss: (.*)$", text(server.requests[0]), re.MULTILINE)]
    assert values == sorted(values, reverse=True)
    assert min(values) >= 0
    assert "a lower loss" in text(server.requests[0])


@pytest.mark.parametrize("names", ["plain", "permuted", "ncode"])
def test_free_form(names: str) -> None:
    """The schema is not sent, the prompt is the same, and the reply is found in prose."""
    constrained = ScriptedServer()
    settings: dict[str, Any] = {"names": names, "random_starts": 3, "proposals": 2}
    replies = iter(range(100))

    def answer(request: Mapping[str, Any]) -> Answer:
        assert "response_format" not in request
        schema = constrained.requests[0]["response_format"]
        reply = legal({**request, "response_format": schema, "seed": next(replies)}).text
        return Answer(f"<think>hm</think>Sure! ```json\n{reply}\n```")

    run(constrained, 4, **settings)
    free = ScriptedServer(answer)
    proposals = run(free, 5, structured="none", **settings)
    assert text(free.requests[0]) == text(constrained.requests[0])
    assert [proposal.attributes["source"] for proposal in proposals] == ["random"] * 3 + ["model"] * 2


def test_real_model(embedded_model: Endpoint) -> None:
    strategy = OPRO(
        model=ChatModel(embedded_model), seed=0, random_starts=2, pairs=2, proposals=2, attempts=20
    )
    proposals = search(connect(strategy, Task()), 3, space=MIXED, score=lambda arch: float(sum(arch)))
    assert len({proposal.architecture for proposal in proposals}) == 3
    assert {proposal.attributes["source"] for proposal in proposals[2:]} == {"model"}


@pytest.mark.parametrize(
    "setting",
    [{"random_starts": -1}, {"pairs": 0}, {"proposals": 0}, {"order": "sorted"}, {"digits": 0}],
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"OPRO: .*{next(iter(setting))}"):
        OPRO(model="any", **setting)
