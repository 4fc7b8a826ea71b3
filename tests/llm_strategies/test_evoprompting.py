"""EvoPrompting: parents, targets, temperatures, and how rounds are spread over trials."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness.benchmarks.base import Metric
from harness.errors import SpecError
from harness.history import Exhausted
from harness.task import Task
from llm_strategies.evoprompting import EvoPrompting
from llm_strategies.models.client import ChatModel
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
    from harness.spaces import Architecture

SPACE = benchmark().space
CHILD = {"depth": 2, "residual": True, "act": "gelu", "rate": 0.5}


def run(server: ScriptedServer, trials: int, task: Task | None = None, **settings: Any) -> list[Proposal]:
    options = {
        name: settings.pop(name) for name in ("space", "score", "minimise", "failing") if name in settings
    }
    with server as endpoint:
        strategy = connect(EvoPrompting(model=ChatModel(endpoint), seed=0, **settings), task)
        return search(strategy, trials, **options)


def text(request: Mapping[str, Any]) -> str:
    content: str = request["messages"][-1]["content"]
    return content


def metrics(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the examples, and last the target."""
    return [json.loads(line) for line in re.findall(r"^metrics: (.*)$", text(request), re.MULTILINE)]


def parameters(arch: Architecture) -> int:
    return SPACE.cost(arch, "cifar10").parameters


def fitness(proposal: Proposal) -> float:
    return -parameters(proposal.architecture) * (100 - accuracy(proposal.architecture))


def rounds(proposals: list[Proposal]) -> dict[int, list[int]]:
    """Numbers of the trials of each round."""
    found: dict[int, list[int]] = {}
    for number, proposal in enumerate(proposals):
        if position := proposal.attributes.get("position"):
            found.setdefault(position["round"], []).append(number)
    return found


def test_defaults_are_those_of_the_source() -> None:
    strategy = EvoPrompting(model="any")
    assert (strategy.prompts, strategy.samples, strategy.examples, strategy.survivors) == (10, 16, 2, 1)
    assert strategy.temperatures == (0.2, 0.6, 0.8, 1.0)
    assert (strategy.target_size, strategy.target_error) == (0.9, 0.95)


def test_prompt_shows_parents_and_asks_for_better() -> None:
    server = ScriptedServer()
    proposals = run(server, 5)
    assert [proposal.attributes["source"] for proposal in proposals] == ["random"] * 4 + ["model"]
    parents = [proposals[number].architecture for number in proposals[4].attributes["parents"]]
    assert len(set(parents)) == 2
    *examples, target = metrics(server.requests[0])
    assert examples == [
        {"parameters": parameters(parent), "accuracy": pytest.approx(accuracy(parent), abs=0.005)}
        for parent in parents
    ]
    assert target["parameters"] == int(0.9 * min(map(parameters, parents)))
    assert 100 - target["accuracy"] == pytest.approx(
        0.95 * min(100 - accuracy(p) for p in parents), abs=0.005
    )
    for parent in parents:
        assert json.dumps(SPACE.params(parent), separators=(",", ":")) in text(server.requests[0])


def test_children_of_a_prompt_draw_their_temperatures() -> None:
    server = ScriptedServer()
    run(server, 5, samples=40)
    drawn = Counter(request["temperature"] for request in server.requests)
    assert set(drawn) == {0.2, 0.6, 0.8, 1.0}
    assert drawn.total() == 40
    assert len({text(request) for request in server.requests}) == 1
    assert len({request["seed"] for request in server.requests}) == 40


def test_one_temperature() -> None:
    server = ScriptedServer()
    run(server, 5, temperature=0.3)
    assert {request["temperature"] for request in server.requests} == {0.3}


def test_rounds() -> None:
    """The parents of a round are the fittest of all that was evaluated before it, and of nothing later."""
    server = ScriptedServer()
    proposals = run(server, 60, seeds=3, prompts=2, samples=5, survivors=2)
    assert len({proposal.architecture for proposal in proposals}) == 60
    found = rounds(proposals)
    assert len(found) >= 5
    for number, trials in found.items():
        positions = [proposals[trial].attributes["position"] for trial in trials]
        assert {position["start"] for position in positions} == {trials[0]}
        assert {position["prompt"] for position in positions} <= {1, 2}
        parents = {parent for trial in trials for parent in proposals[trial].attributes["parents"]}
        if number == 1:
            assert parents <= {0, 1, 2}
        else:
            best = sorted(range(trials[0]), key=lambda trial: -fitness(proposals[trial]))[:2]
            assert parents == set(best)


def test_prompts_are_asked_when_their_children_are_needed() -> None:
    server = ScriptedServer()
    proposals = run(server, 30, samples=5)
    asked = [proposal for proposal in proposals if proposal.usage and proposal.usage.calls]
    assert len(server.requests) == 5 * len(asked)
    assert [p.attributes["position"]["prompt"] for p in asked] == list(range(1, len(asked) + 1))
    for proposal in proposals[4:]:
        if proposal not in asked:
            assert proposal.usage is None


def test_one_survivor_is_shown_once() -> None:
    server = ScriptedServer()
    proposals = run(server, 16, prompts=1, samples=4)
    second = rounds(proposals)[2][0]
    (parent,) = proposals[second].attributes["parents"]
    assert fitness(proposals[parent]) == max(map(fitness, proposals[:second]))
    assert len(metrics(server.requests[4])) == 2


def test_size_can_be_switched_off() -> None:
    server = ScriptedServer()
    proposals = run(server, 30, prompts=1, samples=4, use_size=False)
    assert set(metrics(server.requests[0])[0]) == {"accuracy"}
    assert "parameters" not in text(server.requests[0])
    later = rounds(proposals)[3][0]
    (parent,) = proposals[later].attributes["parents"]
    assert parent == max(range(later), key=lambda trial: accuracy(proposals[trial].architecture))


def test_bare_study_has_neither_size_nor_error() -> None:
    server = ScriptedServer()
    proposals = run(
        server, 12, Task(), space=MIXED, score=lambda arch: float(sum(arch)), prompts=1, samples=2, seeds=3
    )
    *examples, target = metrics(server.requests[0])
    assert all(set(example) == {"score"} for example in examples)
    best = max(example["score"] for example in examples)
    assert target == {"score": f"higher than {best}"}
    second = rounds(proposals)[2][0]
    (parent,) = proposals[second].attributes["parents"]
    assert parent == max(range(second), key=lambda trial: sum(proposals[trial].architecture))


def test_metric_that_should_be_low() -> None:
    server = ScriptedServer()
    task = Task(dataset="toy", metric=Metric("loss", "nats", higher_is_better=False))
    run(server, 5, task, space=MIXED, score=lambda arch: 1.0 + sum(arch), minimise=True)
    *examples, target = metrics(server.requests[0])
    assert target["loss"] == pytest.approx(0.95 * min(example["loss"] for example in examples), rel=0.001)
    assert "loss (nats) on toy, the lower the better" in text(server.requests[0])


def test_known_children_are_counted_and_thrown_away() -> None:
    def stubborn(request: Mapping[str, Any]) -> Answer:
        return Answer(json.dumps(CHILD))

    settings: dict[str, Any] = {
        "task": Task(),
        "space": MIXED,
        "score": lambda arch: 1.0,
        "samples": 4,
        "seeds": 1,
    }
    proposal = run(ScriptedServer(stubborn), 2, **settings)[-1]
    assert MIXED.params(proposal.architecture) == CHILD
    assert proposal.rejected == {"duplicate": 3}
    with pytest.raises(Exhausted) as end:
        run(ScriptedServer(stubborn), 3, attempts=3, **settings)
    assert end.value.rejected == {"duplicate": 12}
    assert end.value.usage.calls == 12


def test_prompt_without_children_is_followed_by_the_next() -> None:
    calls = iter(range(100))

    def answer(request: Mapping[str, Any]) -> Answer:
        return Answer("no idea") if next(calls) < 12 else legal(request)

    proposal = run(ScriptedServer(answer), 5, samples=4, prompts=2)[-1]
    assert proposal.attributes["position"] == {"round": 2, "prompt": 2, "start": 4}
    assert proposal.rejected == {"not JSON": 12}


def test_failed_trial_is_not_proposed_again() -> None:
    proposals = run(ScriptedServer(), 30, samples=6, failing={6, 11, 12})
    assert len({proposal.architecture for proposal in proposals}) == 30


def test_blind() -> None:
    server = ScriptedServer()
    run(server, 5, names="permuted")
    assert set(metrics(server.requests[0])[0]) == {"size", "score"}
    assert "Metrics: score, the higher the better; size, the lower the better." in text(server.requests[0])


def test_blind_without_size() -> None:
    server = ScriptedServer()
    run(server, 5, names="permuted", use_size=False)
    assert set(metrics(server.requests[0])[0]) == {"score"}
    assert "size" not in text(server.requests[0])


def test_parents_go_where_the_context_is_short() -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        if len(metrics(request)) > 1:
            return Answer("the request exceeds the available context size", status=400)
        return legal(request)

    server = ScriptedServer(answer)
    proposal = run(server, 5, samples=3, temperature=1.0)[-1]
    assert [len(metrics(request)) - 1 for request in server.requests] == [2] * 3 + [1] * 3 + [0] * 3
    assert proposal.rejected["too long"] == 6
    assert len({json.dumps(metrics(request)[-1]) for request in server.requests}) == 1


def test_real_model(embedded_model: Endpoint) -> None:
    strategy = EvoPrompting(model=ChatModel(embedded_model), seed=0, seeds=2, samples=2, attempts=20)
    proposals = search(connect(strategy, Task()), 3, space=MIXED, score=lambda arch: float(sum(arch)))
    assert len({proposal.architecture for proposal in proposals}) == 3
    assert proposals[-1].attributes["source"] == "model"


@pytest.mark.parametrize(
    "setting",
    [
        {"seeds": 0},
        {"prompts": 0},
        {"samples": 0},
        {"examples": 0},
        {"survivors": 0},
        {"temperatures": ()},
        {"temperatures": (0.5, -1)},
        {"temperature": -0.5},
        {"target_size": -1},
        {"target_error": -1},
    ],
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"EvoPrompting: .*{next(iter(setting))}"):
        EvoPrompting(model="any", **setting)
