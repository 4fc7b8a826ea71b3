"""RZ-NAS: what is shown to the model when, what becomes of its mutants, and its ablations."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING
from typing import Any

import optuna
import pytest

from harness import registry
from harness.benchmarks.proxy import ProxyBenchmark
from harness.errors import SpecError
from harness.history import Exhausted
from harness.spaces import SearchSpace
from harness.spaces.nasbench201 import OPERATIONS
from harness.task import Task
from llm_strategies.base import TEXT_LENGTH
from llm_strategies.models.client import ChatModel
from llm_strategies.rz_nas import RZNAS
from tests.llm_strategies.driver import MIXED
from tests.llm_strategies.driver import benchmark
from tests.llm_strategies.driver import connect
from tests.llm_strategies.driver import search
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping

    from harness.history import Proposal
    from harness.models import Endpoint
    from harness.spaces import Architecture

SPACE = benchmark().space
PROXY = ProxyBenchmark("flops")
TASK = Task.of(PROXY, 0)
SMALL: dict[str, Any] = {"random_starts": 3, "population": 4}


def flops(arch: Architecture) -> float:
    return PROXY.evaluate(arch, fidelity=0, seed=None).value


def run(server: ScriptedServer, trials: int, task: Task = TASK, **settings: Any) -> list[Proposal]:
    options = {"score": flops} | {
        name: settings.pop(name) for name in ("space", "score", "minimise", "failing") if name in settings
    }
    with server as endpoint:
        strategy = RZNAS(model=ChatModel(endpoint), **{"seed": 0, **SMALL, **settings})
        return search(connect(strategy, task), trials, **options)


def is_mutation(request: Mapping[str, Any]) -> bool:
    return "Mutate this architecture" in request["messages"][-1]["content"]


def mutations(server: ScriptedServer) -> list[Mapping[str, Any]]:
    return [request for request in server.requests if is_mutation(request)]


def reflections(server: ScriptedServer) -> list[Mapping[str, Any]]:
    return [request for request in server.requests if not is_mutation(request)]


def question(request: Mapping[str, Any]) -> str:
    text: str = request["messages"][-1]["content"]
    return text


def system(request: Mapping[str, Any]) -> str:
    text: str = request["messages"][0]["content"]
    return text


def shown(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The architectures of a question: the parent, or what a reflection looks at."""
    return [json.loads(line) for line in question(request).splitlines() if line.startswith('{"arch"')]


def example(server: ScriptedServer) -> tuple[dict[str, Any], dict[str, Any]]:
    """The architecture of the made-up question, and the reply to it."""
    asked, answered = mutations(server)[0]["messages"][1:3]
    return json.loads(asked["content"].splitlines()[1]), json.loads(answered["content"])


def ncode(value: Mapping[str, Any]) -> str:
    return SPACE.ncode(SPACE.architecture(value["arch"]))


def codes(proposals: list[Proposal]) -> list[str]:
    return [SPACE.ncode(proposal.architecture) for proposal in proposals]


def sources(proposals: list[Proposal]) -> list[str]:
    return [proposal.attributes["source"] for proposal in proposals]


def answering(*replies: str | Callable[[Mapping[str, Any]], str]) -> ScriptedServer:
    """Gives these replies to questions for a mutation, then legal ones; advice is numbered."""
    left = list(replies)
    given = iter(range(1000))

    def answer(request: Mapping[str, Any]) -> Answer:
        if not is_mutation(request):
            return Answer(json.dumps({"text": f"Advice {next(given)}."}))
        if not left:
            return legal(request)
        reply = left.pop(0)
        return Answer(reply if isinstance(reply, str) else reply(request))

    return ScriptedServer(answer)


def cell(code: str) -> str:
    return json.dumps({"reasoning": "So.", **SPACE.params(SPACE.from_ncode(code))})


def test_defaults_are_those_of_the_paper() -> None:
    defaults = {name: p.default for name, p in inspect.signature(RZNAS).parameters.items()}
    assert defaults | {"options": None} == {
        "random_starts": 100,
        "population": 100,
        "selection": "random",
        "temperature": None,
        "temperatures": (0.2, 0.4, 0.6, 0.8, 1.0),
        "max_parameters": None,
        "max_flops": None,
        "max_depth": None,
        "example": True,
        "reflection": True,
        "text": True,
        "code": True,
        "options": None,
    }


def test_a_random_population_comes_first() -> None:
    server = ScriptedServer()
    proposals = run(server, 5)
    assert sources(proposals) == ["random"] * 3 + ["mutation"] * 2
    assert len(mutations(server)) == 2
    assert len(reflections(server)) == 1


def test_the_parent_is_shown_with_the_proxy_and_its_score() -> None:
    server = ScriptedServer()
    proposals = run(server, 8)
    for request, proposal in zip(mutations(server), proposals[3:], strict=True):
        (parent,) = shown(request)
        number = proposal.attributes["parent"]
        assert ncode(parent) == codes(proposals)[number]
        assert parent["type"] == "flops"
        assert parent["score"] == float(f"{flops(proposals[number].architecture):.6g}")


def test_system_message_holds_both_codes_and_all_operations() -> None:
    server = ScriptedServer()
    run(server, 4)
    text = system(mutations(server)[0])
    assert "class Cell(nn.Module):" in text
    assert "return float(space.cost(arch, dataset).flops)" in text
    assert "The number of multiply-accumulate operations" in text
    assert "Higher is better" in text
    assert all(f"- {operation}" in text for operation in OPERATIONS)


def test_the_example_is_a_legal_mutation_of_one_decision_in_the_form_asked_for() -> None:
    server = ScriptedServer()
    run(server, 4)
    messages = mutations(server)[0]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    parent, reply = example(server)
    assert next(iter(reply)) == "reasoning"
    changed = [edge for edge in SPACE.decisions if parent["arch"][edge] != reply[edge]]
    assert len(changed) == 1
    assert SPACE.architecture({edge: reply[edge] for edge in SPACE.decisions})
    schema = mutations(server)[0]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == list(reply) == schema["required"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_example_is_an_improvement_where_a_proxy_is_arithmetic(
    seed: int, higher_is_better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.load("proxy", "flops"), "higher_is_better", higher_is_better)
    server = ScriptedServer()
    run(server, 4, Task.of(ProxyBenchmark("flops"), 0), seed=seed, minimise=not higher_is_better)
    parent, reply = example(server)
    before = flops(SPACE.architecture(parent["arch"]))
    after = flops(SPACE.architecture({edge: reply[edge] for edge in SPACE.decisions}))
    assert (after > before) is higher_is_better
    assert after != before
    assert parent["score"] == pytest.approx(before, rel=1e-5)
    assert f"from {parent['score']} to {float(f'{after:.6g}'):.0f}." in reply["reasoning"]
    assert "Its scores are real" in system(mutations(server)[0])


@pytest.mark.parametrize(
    ("task", "names"), [(Task.of(benchmark(), 200), "plain"), (TASK, "permuted"), (Task(), "plain")]
)
def test_the_example_claims_nothing_where_its_scores_are_not_known(task: Task, names: Any) -> None:
    server = answering()
    run(server, 4, task, names=names)
    parent, reply = example(server)
    assert "score" not in parent
    assert not re.search(r"[0-9]\.[0-9]|from .* to|better|score", reply["reasoning"])
    assert "says nothing of what is better" in system(mutations(server)[0])


def test_a_proxy_that_takes_time_is_not_asked_for_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.load("proxy", "flops"), "closed_form", False)
    server = ScriptedServer()
    run(server, 4)
    assert "score" not in example(server)[0]


def test_scores_have_at_most_six_digits() -> None:
    server = answering()
    run(server, 6, Task.of(benchmark(), 200), score=lambda arch: 82.20399998413086)
    assert "82.204" in question(mutations(server)[0])
    assert "82.20399" not in json.dumps(server.requests)


def test_population_loses_its_worst() -> None:
    """A parent is among the best four of all trials so far."""
    server = ScriptedServer()
    proposals = run(server, 40)
    scores = [flops(proposal.architecture) for proposal in proposals]
    parents = [proposal.attributes.get("parent") for proposal in proposals]
    for number in range(3, 40):
        assert scores[parents[number]] >= sorted(scores[:number])[-4:][0]
    assert len(set(parents[20:])) > 1, "drawn at random"


def test_selection_of_the_best() -> None:
    proposals = run(ScriptedServer(), 15, selection="best")
    scores = [flops(proposal.architecture) for proposal in proposals]
    for number, proposal in enumerate(proposals[3:], start=3):
        assert proposal.attributes["parent"] == max(range(number), key=lambda n: scores[n])


def test_a_temperature_is_drawn_for_each_call_or_fixed() -> None:
    server = ScriptedServer()
    proposals = run(server, 30)
    assert {request["temperature"] for request in server.requests} == {0.2, 0.4, 0.6, 0.8, 1.0}
    assert [request["temperature"] for request in mutations(server)] == [
        proposal.attributes["temperature"] for proposal in proposals[3:]
    ]
    fixed = ScriptedServer()
    run(fixed, 8, temperature=0.7)
    assert {request["temperature"] for request in fixed.requests} == {0.7}


# Reflection.


def test_each_mutation_is_looked_back_on_before_the_next() -> None:
    server = answering()
    proposals = run(server, 6)
    assert [is_mutation(request) for request in server.requests] == [True, False, True, False, True]
    for number, request in enumerate(reflections(server), start=3):
        before, after = shown(request)
        assert ncode(before) == codes(proposals)[proposals[number].attributes["parent"]]
        assert ncode(after) == codes(proposals)[number]
        assert after["score"] == float(f"{flops(proposals[number].architecture):.6g}")
        assert "failed" not in question(request)
    assert [proposal.attributes.get("advice") for proposal in proposals[3:]] == [
        None,
        "Advice 0.",
        "Advice 1.",
    ]
    assert "Advice" not in question(mutations(server)[0])
    assert "Advice 1." in question(mutations(server)[2])
    assert "Advice 0." not in question(mutations(server)[2])


@pytest.mark.parametrize(
    ("reply", "reason", "problem"),
    [
        ("I would rather not.", "not JSON", "held no JSON"),
        ('{"depth": 3}', "wrong shape", "did not give one choice for each decision"),
        (
            cell("000000").replace("none", "conv"),
            "illegal choice",
            "a choice that its decision does not have",
        ),
        (lambda request: cell(ncode(shown(request)[0])), "duplicate", "tried before"),
        (
            cell("333333"),
            "too costly",
            "it has 220,119,680 multiply-accumulate operations, and at most 200,000,000",
        ),
    ],
)
def test_a_mutation_that_fails_is_counted_reflected_upon_and_asked_again(
    reply: Any, reason: str, problem: str
) -> None:
    server = answering(reply, cell("123012"))
    proposals = run(server, 4, max_flops=200_000_000)
    assert codes(proposals)[3] == "123012"
    assert proposals[3].rejected == {reason: 1}
    assert proposals[3].attributes["advice"] == "Advice 0."
    assert [is_mutation(request) for request in server.requests] == [True, False, True]
    assert problem in question(reflections(server)[0])
    assert "The mutation failed" in question(reflections(server)[0])
    assert "Advice 0." in question(mutations(server)[1])
    usage = proposals[3].usage
    assert usage is not None
    assert usage.calls == 3


def test_a_prompt_that_is_too_long_is_not_reflected_upon() -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        return Answer("the maximum context length is 1024 tokens", status=400)

    server = ScriptedServer(answer)
    with pytest.raises(Exhausted, match=r"2 calls \(2 too long\)"):
        run(server, 4, attempts=2)
    assert not reflections(server)


def test_a_reflection_that_fails_leaves_the_mutation_without_advice() -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        return legal(request) if is_mutation(request) else Answer("", finish_reason="length")

    proposals = run(ScriptedServer(answer), 5)
    assert proposals[4].attributes.keys() == {"source", "parent", "temperature"}
    assert proposals[4].rejected == {"truncated": 1}


def test_advice_is_bounded() -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        if not is_mutation(request):
            return Answer("Wider! " * 2000)
        return Answer(cell(next(codes_left)))

    codes_left = iter(["012340", "340123"])
    server = ScriptedServer(answer)
    proposals = run(server, 5, structured="none")
    assert len(proposals[4].attributes["advice"]) == TEXT_LENGTH
    assert len(question(mutations(server)[1])) < 1_000 + TEXT_LENGTH


def test_a_useless_model_is_exhausted() -> None:
    server = answering(*["No."] * 3)
    with pytest.raises(Exhausted) as end:
        run(server, 4, attempts=3)
    assert end.value.rejected == {"not JSON": 3}
    assert end.value.usage is not None
    assert end.value.usage.calls == 6


def test_a_trial_at_random_in_its_place_is_no_mutation_to_look_back_on() -> None:
    server = answering("No.", "No.")
    proposals = run(server, 5, attempts=2, on_exhausted="random")
    assert sources(proposals) == ["random"] * 3 + ["fallback", "mutation"]
    assert "advice" not in proposals[4].attributes


def test_a_failed_trial_is_reflected_upon() -> None:
    server = answering()
    proposals = run(server, 6, failing={4})
    assert sources(proposals) == ["random"] * 3 + ["mutation"] * 3
    last = reflections(server)[-1]
    _, after = shown(last)
    assert ncode(after) == codes(proposals)[4]
    assert "score" not in after
    assert "The mutation failed: it has no score: the trial failed." in question(last)


def test_why_a_trial_failed_is_not_told_to_a_blind_model() -> None:
    server = answering()
    run(server, 6, failing={4}, names="permuted")
    assert "The mutation failed: it has no score.\n" in question(reflections(server)[-1])


# Limits.


def test_limits_hold_for_everything_and_are_told() -> None:
    server = ScriptedServer()
    proposals = run(server, 20, max_parameters=600_000, max_flops=90_000_000, attempts=50)
    for proposal in proposals:
        cost = SPACE.cost(proposal.architecture, "cifar10")
        assert cost.parameters <= 600_000
        assert cost.flops <= 90_000_000
    assert sum(proposal.rejected.get("too costly", 0) for proposal in proposals) > 0
    assert "at most 600,000 parameters" in question(mutations(server)[0])
    assert "at most 90,000,000 multiply-accumulate operations" in question(mutations(server)[0])


def test_what_replaces_an_exhausted_model_may_exceed_them_and_counts_for_nothing() -> None:
    server = answering(*["No."] * 60)
    with server as endpoint:
        strategy = RZNAS(
            model=ChatModel(endpoint),
            seed=0,
            max_flops=40_000_000,
            attempts=1,
            on_exhausted="random",
            **SMALL,
        )
        proposals = search(connect(strategy, TASK), 30, score=flops)
    over = [p for p in proposals if flops(p.architecture) > 40_000_000]
    assert over
    assert {p.attributes["source"] for p in over} == {"fallback"}
    study = optuna.create_study(direction="maximize", sampler=strategy)
    for proposal in proposals:
        study.add_trial(
            optuna.create_trial(
                params=SPACE.params(proposal.architecture),
                distributions=dict(SPACE.distributions),
                value=flops(proposal.architecture),
            )
        )
    assert flops(strategy.recommend(strategy.history(study, SPACE))) <= 40_000_000


def test_limits_that_nothing_meets_end_the_run() -> None:
    with pytest.raises(Exhausted, match="none of 1,000 random architectures is within the limits"):
        run(ScriptedServer(), 1, max_parameters=10)


def test_limits_need_costs() -> None:
    with pytest.raises(SpecError, match="max_flops needs exact costs, and search space 'categorical'"):
        run(ScriptedServer(), 1, Task(), space=MIXED, max_flops=10, score=sum)


# What the model must not see, and ablations.


@pytest.mark.parametrize("names", ["permuted", "ncode"])
def test_blind_prompts_tell_neither_code_nor_proxy(names: Any) -> None:
    server = answering("No.")
    run(server, 8, names=names)
    everything = json.dumps(server.requests)
    words = [
        *OPERATIONS,
        "flops",
        "FLOP",
        "proxy",
        "proxies",
        "cifar",
        "NAS-Bench",
        "```",
        "multiply",
        "convolution",
        "neural",
    ]
    assert [word for word in words if word in everything] == []
    assert "so that its score becomes higher" in question(mutations(server)[0])


@pytest.mark.parametrize("names", ["plain", "permuted", "ncode"])
@pytest.mark.parametrize("reflection", [True, False])
def test_every_space_and_form(names: Any, reflection: bool) -> None:
    server = ScriptedServer()
    proposals = run(
        server,
        10,
        Task(),
        space=MIXED,
        score=sum,
        names=names,
        reflection=reflection,
        minimise=True,
        attempts=50,
    )
    assert sources(proposals)[3:] == ["mutation"] * 7


def test_a_trained_metric_is_described_in_the_place_of_a_proxy() -> None:
    server = ScriptedServer()
    run(server, 4, Task.of(benchmark(), 200))
    text = system(mutations(server)[0])
    assert "The score is accuracy (%) on cifar10. Higher is better." in text
    assert "proxy" not in text.lower()
    assert "class Cell" in text
    assert shown(mutations(server)[0])[0]["type"] == "accuracy"


def test_without_example() -> None:
    server = ScriptedServer()
    run(server, 4, example=False)
    assert [message["role"] for message in mutations(server)[0]["messages"]] == ["system", "user"]
    assert "example" not in json.dumps(server.requests)
    assert "first exchange" not in json.dumps(server.requests)


def test_without_reflection() -> None:
    server = answering("No.")
    proposals = run(server, 6, reflection=False)
    assert not reflections(server)
    everything = json.dumps(server.requests)
    assert "reasoning" not in everything
    assert "eflect" not in everything
    assert proposals[3].rejected == {"not JSON": 1}
    assert all("advice" not in proposal.attributes for proposal in proposals)


def test_without_code() -> None:
    server = ScriptedServer()
    run(server, 4, code=False)
    text = system(mutations(server)[0])
    assert "```" not in text
    assert "The number of multiply-accumulate operations" in text


def test_without_text() -> None:
    server = ScriptedServer()
    run(server, 5, text=False)
    text = re.sub(r"```.*?```", "", system(mutations(server)[0]), flags=re.DOTALL)
    assert "expert" not in text
    assert "nor_conv" not in text
    assert "class Cell" in system(mutations(server)[0])
    assert "nor_conv_3x3 (3)" not in system(reflections(server)[0])
    bare = ScriptedServer()
    run(bare, 4, text=False, code=False, example=False, reflection=False)
    assert [message["role"] for message in mutations(bare)[0]["messages"]] == ["user"]


def test_free_form_asks_the_same_without_a_schema() -> None:
    one, other = answering(), ScriptedServer(lambda request: Answer("```json\n" + cell("012340") + "\n```"))
    run(one, 4)
    proposals = run(other, 4, structured="none")
    assert codes(proposals)[3] == "012340"
    assert one.requests[0]["messages"] == other.requests[0]["messages"]
    assert "response_format" not in other.requests[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"random_starts": 0}, "random_starts is 0; it must be at least 1"),
        ({"population": 0}, "population is 0; it must be at least 1"),
        ({"selection": "worst"}, "unknown selection 'worst'"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperatures": ()}, "temperatures is empty"),
        ({"temperatures": (0.2, -0.2)}, "temperatures is -0.2"),
        ({"max_flops": 0}, "max_flops must be at least 1, not 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        RZNAS(model="x", **settings)


def test_a_real_model(embedded_model: Endpoint) -> None:
    # One call with a short prompt. This model repeats itself, and each repetition would be two calls more.
    strategy = RZNAS(
        model=ChatModel(embedded_model), seed=0, example=False, attempts=10, max_tokens=400, **SMALL
    )
    space = SearchSpace(dict.fromkeys(("a", "b", "c", "d"), ("none", "skip", "pool", "conv")))
    proposals = search(connect(strategy, Task()), 4, space=space, score=sum)
    assert sources(proposals) == ["random"] * 3 + ["mutation"]
