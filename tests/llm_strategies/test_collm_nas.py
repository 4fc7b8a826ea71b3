"""CoLLM-NAS: who sees what in which iteration, what is thrown away, and how a run ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import optuna
import pytest

from harness.arguments import arguments_model
from harness.benchmarks.base import Metric
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import History
from harness.history import Proposal
from harness.history import Trial
from harness.models import Endpoint
from harness.models import Models
from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from harness.strategy import ATTRIBUTES
from harness.task import Task
from llm_strategies.base import NoUsableReply
from llm_strategies.collm_nas import CoLLMNAS
from llm_strategies.collm_prompts import PHRASINGS
from llm_strategies.models.client import ChatModel
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

SPACE = NASBench201Space()
TASK = Task("cifar10", Metric("accuracy", "%"), 200, "nasbench201")
SMALL = {"min_batch": 1, "max_batch": 3}

Request = Mapping[str, Any]
Recruit = Callable[..., "Team"]


def is_generator(request: Request) -> bool:
    """Whether architectures are asked for, and no text."""
    return "JSON alone" in request["messages"][-1]["content"]


def batch(*indices: int | Mapping[str, str]) -> dict[str, Any]:
    """A reply with the architectures of these indices, or with objects as they are."""
    return {
        "architectures": [
            SPACE.params(SPACE.from_index(index)) if isinstance(index, int) else index for index in indices
        ]
    }


class Team:
    """Plays both parts: numbers the Navigator's strategies, and answers with the batches given.

    Args:
        batches: The Generator's replies, in order.
    """

    def __init__(self, *batches: Any) -> None:
        self.batches = iter(batches)
        self.strategies = 0
        self.server = ScriptedServer(self.answer)

    def answer(self, request: Request) -> Answer:
        if is_generator(request):
            reply = next(self.batches)
            return reply if isinstance(reply, Answer) else Answer(json.dumps(reply))
        self.strategies += 1
        text = f"strategy {self.strategies}"
        return Answer(json.dumps({"text": text}) if "response_format" in request else text)

    @property
    def navigator(self) -> list[Request]:
        return [request for request in self.server.requests if not is_generator(request)]

    @property
    def generator(self) -> list[Request]:
        return [request for request in self.server.requests if is_generator(request)]


@pytest.fixture
def recruit() -> Iterator[Recruit]:
    """Makes teams whose server runs until the test ends."""
    with ExitStack() as stack:

        def make(*batches: Any) -> Team:
            team = Team(*batches)
            stack.enter_context(team.server)
            return team

        yield make


class Run:
    """A run in memory whose scores are ten plus the number of the trial.

    Args:
        team: Who answers.
        task: What the search is about.
        settings: Of the strategy.
    """

    def __init__(self, team: Team, task: Task = TASK, **settings: Any) -> None:
        self.team = team
        self.task = task
        self.settings = {**SMALL, **settings}
        self.trials: list[Trial] = []
        self.proposals: list[Proposal] = []

    def strategy(self) -> CoLLMNAS:
        strategy = CoLLMNAS(model=ChatModel(self.team.server.endpoint), space=SPACE, seed=0, **self.settings)
        strategy.connect(self.task, Models())
        return strategy

    def go(self, trials: int) -> Run:
        """Make so many more trials, with a new instance: whatever it must know is in the history."""
        strategy = self.strategy()
        for _ in range(trials):
            proposal = strategy.propose(self.history())
            assert isinstance(proposal, Proposal)
            attributes = json.loads(json.dumps(dict(proposal.attributes)))
            value = 10.0 + len(self.trials)
            score = value if self.task.metric.higher_is_better else -value
            self.trials.append(Trial(len(self.trials), proposal.architecture, score, value, attributes))
            self.proposals.append(proposal)
        return self

    def end(self) -> Exhausted:
        """How the next proposal ends the run."""
        with pytest.raises(Exhausted) as end:
            self.strategy().propose(self.history())
        return end.value

    def history(self) -> History:
        number = len(self.trials)
        return History(
            SPACE,
            list(self.trials),
            number=number,
            seen={trial.architecture for trial in self.trials},
            make_rng=lambda: np.random.default_rng(number),
            folds={},
        )

    @property
    def indices(self) -> list[int]:
        return [SPACE.index(trial.architecture) for trial in self.trials]


def told(request: Request) -> list[tuple[str, str]]:
    """Roles and contents of a chat."""
    return [(message["role"], message["content"]) for message in request["messages"]]


def text_of(index: int) -> str:
    return json.dumps(SPACE.params(SPACE.from_index(index)), separators=(",", ":"))


# The loop of Algorithm 1.


def test_defaults_are_those_of_the_paper() -> None:
    defaults = {name: field.default for name, field in arguments_model(CoLLMNAS).model_fields.items()}
    assert defaults["iterations"] == 20
    assert (defaults["min_batch"], defaults["max_batch"]) == (10, 20)
    assert (defaults["temperature"], defaults["generator_temperature"]) == (0.6, None)
    assert (defaults["navigator_memory"], defaults["generator_memory"], defaults["single"]) == (
        True,
        False,
        False,
    )


def test_strategy_then_batch_then_one_trial_each_without_asking(recruit: Recruit) -> None:
    team = recruit(batch(1, 2, 3), batch(4))
    run = Run(team).go(3)
    assert run.indices == [1, 2, 3]
    assert [is_generator(request) for request in team.server.requests] == [False, True]
    assert [proposal.usage is not None for proposal in run.proposals] == [True, False, False]
    assert [trial.attributes["iteration"] for trial in run.trials] == [1, 1, 1]
    assert run.trials[0].attributes["begins"] == [
        {
            "number": 1,
            "strategy": "strategy 1",
            "batch": ["000001", "000002", "000003"],
            "illegal": 0,
            "known": 0,
            "costly": [],
        }
    ]
    run.go(1)
    assert run.indices == [1, 2, 3, 4]
    assert run.trials[3].attributes["iteration"] == 2
    assert len(team.server.requests) == 4


def test_navigator_keeps_its_chat_and_the_generator_sees_the_last_strategy_alone(recruit: Recruit) -> None:
    team = recruit(batch(1, 2), batch(3), batch(4))
    Run(team).go(4)
    first, second, third = (told(request) for request in team.navigator)
    assert [role for role, _ in third] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert first == third[:2]
    assert second == third[:4]
    assert third[2] == ("assistant", "strategy 1")
    assert third[4] == ("assistant", "strategy 2")
    # Results of an iteration, best first, in the question after it and in no other.
    assert f"{text_of(2)}: 11\n{text_of(1)}: 10\n" in third[3][1]
    assert f"{text_of(3)}: 12\n" in third[5][1]
    assert text_of(1) not in third[5][1]
    assert "Best accuracy so far: 12." in third[5][1]
    for number, request in enumerate(team.generator, start=1):
        chat = told(request)
        assert [role for role, _ in chat] == ["system", "user"]
        assert f"strategy {number}\n" in chat[1][1]
        assert "strategy" not in chat[1][1].replace(f"strategy {number}\n", "").replace("this strategy", "")


def test_first_question_has_no_results(recruit: Recruit) -> None:
    team = recruit(batch(1))
    Run(team).go(1)
    system, question = told(team.navigator[0])
    assert "highest possible accuracy (%) on cifar10" in system[1]
    assert "Nothing has been evaluated yet" in question[1]


def test_settings_of_both_models(recruit: Recruit) -> None:
    team = recruit(batch(1))
    Run(team).go(1)
    assert [request["temperature"] for request in team.server.requests] == [0.6, 0.6]
    other = recruit(batch(1))
    Run(other, temperature=0.2, generator_temperature=0.9).go(1)
    assert [request["temperature"] for request in other.server.requests] == [0.2, 0.9]


def test_schema_bounds_the_batch(recruit: Recruit) -> None:
    team = recruit(batch(1))
    Run(team, min_batch=10, max_batch=20).go(1)
    schema = team.generator[0]["response_format"]["json_schema"]["schema"]["properties"]["architectures"]
    assert (schema["minItems"], schema["maxItems"]) == (10, 20)
    assert "10 to 20 different architectures" in team.generator[0]["messages"][-1]["content"]


def test_another_model_generates(recruit: Recruit) -> None:
    navigator, generator = recruit(), recruit(batch(1), batch(2))
    run = Run(navigator, generator_model=ChatModel(generator.server.endpoint)).go(2)
    assert run.indices == [1, 2]
    assert [is_generator(request) for request in navigator.server.requests] == [False, False]
    assert [is_generator(request) for request in generator.server.requests] == [True, True]


# The archive.


def test_visited_and_illegal_are_thrown_away_counted_and_reported(recruit: Recruit) -> None:
    illegal = {**SPACE.params(SPACE.from_index(7)), "0->1": "conv_7x7"}
    team = recruit(batch(1, 2), batch(2, illegal, 3, 3), batch(4))
    run = Run(team).go(4)
    assert run.indices == [1, 2, 3, 4]
    assert run.proposals[2].rejected == {"duplicate": 2, "illegal choice": 1}
    feedback = team.navigator[2]["messages"][-1]["content"]
    assert f"{text_of(3)}: 12\n" in feedback
    assert "1 entries were no legal architectures." in feedback
    assert "2 architectures were repetitions" in feedback


def test_a_batch_of_which_nothing_is_left_is_an_iteration(recruit: Recruit) -> None:
    illegal = {**SPACE.params(SPACE.from_index(7)), "0->1": "conv_7x7"}
    team = recruit(batch(1), batch(1), batch(illegal), batch(2), batch(3))
    run = Run(team).go(2)
    assert run.indices == [1, 2]
    attributes = run.trials[1].attributes
    assert [each["number"] for each in attributes["begins"]] == [2, 3, 4]
    assert attributes["iteration"] == 4
    assert run.proposals[1].rejected == {"duplicate": 1, "illegal choice": 1}
    assert "no architecture of this batch was evaluated" in team.navigator[2]["messages"][-1]["content"]
    assert "1 architectures were repetitions" in team.navigator[2]["messages"][-1]["content"]
    assert "1 entries were no legal" in team.navigator[3]["messages"][-1]["content"]
    # A resumed run tells the Navigator the same.
    run.go(1)
    assert told(team.navigator[4])[: len(told(team.navigator[3]))] == told(team.navigator[3])
    assert run.trials[2].attributes["iteration"] == 5


def test_unreadable_replies_are_asked_again(recruit: Recruit) -> None:
    team = recruit(Answer("no idea"), Answer('{"architectures": 3}'), batch(1))
    run = Run(team).go(1)
    assert run.proposals[0].rejected == {"not JSON": 1, "wrong shape": 1}
    assert [is_generator(request) for request in team.server.requests] == [False, True, True, True]
    assert len({request["seed"] for request in team.server.requests}) == 4


def test_a_model_that_writes_nothing_readable_is_exhausted(recruit: Recruit) -> None:
    end = Run(recruit(*[Answer("no idea")] * 3), attempts=3).end()
    assert isinstance(end, NoUsableReply)
    assert end.rejected == {"not JSON": 3}
    assert end.usage.calls == 4


def test_random_trials_on_the_way_belong_to_no_iteration(recruit: Recruit) -> None:
    team = recruit(batch(1, 2), Answer("no idea"), batch(3), batch(4))
    run = Run(team, attempts=1, on_exhausted="random").go(5)
    assert [trial.attributes["source"] for trial in run.trials] == [
        "model",
        "model",
        "fallback",
        "model",
        "model",
    ]
    assert [trial.attributes.get("iteration") for trial in run.trials] == [1, 1, None, 2, 3]
    assert team.navigator[1]["messages"][:3] == team.navigator[2]["messages"][:3]
    best = max(trial.value for trial in run.trials[:3])
    assert f"Best accuracy so far: {best:g}." in team.navigator[2]["messages"][3]["content"]


@pytest.mark.parametrize("on_exhausted", ["end", "random"])
def test_batches_of_which_nothing_is_left_exhaust_the_model(recruit: Recruit, on_exhausted: str) -> None:
    illegal = Answer('{"architectures": [{"0->1": "conv_7x7"}, "|conv_7x7~0|"]}')
    run = Run(recruit(*[illegal] * 6), attempts=3, structured="none", on_exhausted=on_exhausted)
    if on_exhausted == "end":
        end = run.end()
        assert isinstance(end, NoUsableReply)
        assert end.rejected == {"wrong shape": 3, "illegal choice": 3}
    else:
        assert [trial.attributes["source"] for trial in run.go(2).trials] == ["fallback"] * 2


# How a run ends.


def test_ends_after_the_last_iteration(recruit: Recruit) -> None:
    run = Run(recruit(batch(1, 2), batch(3)), iterations=2).go(3)
    end = run.end()
    assert "finished after 2 iterations" in str(end)
    assert not isinstance(end, NoUsableReply)
    assert end.usage.calls == 0


def test_iterations_that_come_to_nothing_are_paid_for(recruit: Recruit) -> None:
    end = Run(recruit(batch(1), batch(1), batch(1)), iterations=3).go(1).end()
    assert "finished after 3 iterations" in str(end)
    assert not isinstance(end, NoUsableReply)
    assert end.usage.calls == 4
    assert end.rejected == {"duplicate": 2}


@pytest.mark.parametrize("higher", [True, False])
def test_target_ends_the_run_after_its_iteration(recruit: Recruit, higher: bool) -> None:
    task = Task("cifar10", Metric("accuracy" if higher else "error", "%", higher_is_better=higher))
    team = recruit(batch(1, 2, 3), batch(4))
    run = Run(team, task, target=11.0 if higher else 10.0).go(3)
    assert "target of 1" in str(run.end())
    assert len(team.server.requests) == 2
    bound = "at least 11" if higher else "at most 10"
    assert bound in team.navigator[0]["messages"][0]["content"]
    missed = recruit(batch(1, 2, 3), batch(4))
    assert Run(missed, task, target=12.5 if higher else 9.5).go(4).indices == [1, 2, 3, 4]


def test_a_space_that_is_visited_whole_ends_the_run() -> None:
    space = SearchSpace({"a": (1, 2)})
    trials = [Trial(i, Architecture([i]), 1.0, 1.0, {}) for i in range(2)]
    seen = {trial.architecture for trial in trials}
    history = History(space, trials, number=2, seen=seen, make_rng=lambda: np.random.default_rng(0), folds={})
    with pytest.raises(Exhausted, match="all architectures of the search space are visited"):
        CoLLMNAS(model="unused", space=space, seed=0).propose(history)


# Limits of cost.


def test_over_the_limit_is_not_evaluated_but_reported_with_its_cost(recruit: Recruit) -> None:
    cheap, costly = SPACE.from_ncode("111111"), SPACE.from_ncode("333333")
    limit = TASK.cost(SPACE, costly)
    assert limit is not None
    team = recruit(batch(SPACE.index(costly), SPACE.index(cheap)), batch(1))
    run = Run(team, max_flops=limit.flops - 1, max_parameters=1e9).go(2)
    assert run.trials[0].architecture == cheap
    assert run.proposals[0].rejected == {"too costly": 1}
    system, feedback = (team.navigator[1]["messages"][i]["content"] for i in (0, -1))
    assert f"FLOPs of at most {limit.flops - 1:,} and parameters of at most 1,000,000,000" in system
    assert f"(FLOPs {limit.flops:,}, parameters {limit.parameters:,})\n" in feedback
    assert f"(FLOPs {TASK.cost(SPACE, cheap).flops:,}, " in feedback
    # Exactly at the limit is within it.
    assert (
        Run(recruit(batch(SPACE.index(costly))), max_flops=limit.flops).go(1).trials[0].architecture == costly
    )


def test_costs_are_told_only_where_they_are_limited(recruit: Recruit) -> None:
    team = recruit(batch(1), batch(2))
    Run(team).go(2)
    assert "FLOPs" not in json.dumps(team.server.requests)


def test_limit_on_a_space_without_costs() -> None:
    with pytest.raises(
        SpecError, match="max_parameters cannot be kept to.*'categorical'.*leave the limit out"
    ):
        CoLLMNAS(model="unused", space=SearchSpace({"a": (1, 2)}), max_parameters=10)
    strategy = CoLLMNAS(model=ChatModel(Endpoint("", "unused")), space=SPACE, max_flops=1e8)
    with pytest.raises(SpecError, match="max_flops cannot be kept to.*on data set 'mnist' are not known"):
        strategy.connect(Task("mnist"), Models())


# Ablations.


def test_navigator_without_memory_sees_the_last_results_alone(recruit: Recruit) -> None:
    team = recruit(batch(1), batch(2), batch(3))
    Run(team, navigator_memory=False).go(3)
    third = told(team.navigator[2])
    assert [role for role, _ in third] == ["system", "user"]
    assert f"{text_of(2)}: 11" in third[1][1]
    assert text_of(1) not in third[1][1]


def test_generator_with_memory_sees_its_own_replies(recruit: Recruit) -> None:
    illegal = {**SPACE.params(SPACE.from_index(7)), "0->1": "conv_7x7"}
    replies = [batch(1, illegal), batch(2), batch(3)]
    team = recruit(*replies)
    Run(team, generator_memory=True).go(3)
    third = told(team.generator[2])
    assert [role for role, _ in third] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [json.loads(text) for role, text in third if role == "assistant"] == replies[:2]
    assert ["strategy 1" in third[1][1], "strategy 2" in third[3][1], "strategy 3" in third[5][1]] == [
        True
    ] * 3


@pytest.mark.parametrize("memory", [True, False])
def test_single_model_reflects_then_generates_in_one_chat(recruit: Recruit, memory: bool) -> None:
    team = recruit(batch(1), batch(2))
    Run(team, single=True, navigator_memory=memory).go(2)
    reflects, generates = told(team.navigator[1]), told(team.generator[1])
    assert generates[:-2] == reflects
    assert generates[-2] == ("assistant", "strategy 2")
    roles = [role for role, _ in reflects]
    assert roles == ["system", *(["user", "assistant"] * 2 if memory else []), "user"]
    if memory:
        assert json.loads(reflects[4][1]) == batch(1)
    assert "Navigator" not in json.dumps(team.server.requests)
    assert "Generator" not in json.dumps(team.server.requests)


def test_phrasings_say_the_same_in_other_words(recruit: Recruit) -> None:
    cost = TASK.cost(SPACE, SPACE.from_index(1))
    assert cost is not None
    chats = {}
    for phrasing in PHRASINGS:
        illegal = {**SPACE.params(SPACE.from_index(7)), "0->1": "conv_7x7"}
        team = recruit(batch(1, illegal, SPACE.index(SPACE.from_ncode("333333"))), batch(2))
        Run(team, phrasing=phrasing, target=94.5, max_flops=1e8).go(2)
        navigator, generator = team.navigator[1]["messages"], team.generator[1]["messages"]
        for message in (navigator[0], generator[0]):
            assert (
                "accuracy (%) on cifar10 of at least 94.5, with FLOPs of at most 100,000,000"
                in message["content"]
            )
            assert SPACE.describe() in message["content"]
        assert "120 words" in navigator[0]["content"]
        feedback = navigator[-1]["content"]
        for fact in (
            f"{text_of(1)} (FLOPs {cost.flops:,}): 10\n",
            text_of(SPACE.index((3,) * 6)),
            "94.5",
            "higher",
        ):
            assert fact in feedback
        assert "strategy 2" in generator[-1]["content"]
        assert "1 to 3" in generator[-1]["content"]
        chats[phrasing] = [message["content"] for message in navigator + generator]
    assert len(chats) == 4
    for position in range(len(chats["base"])):
        texts = {chat[position] for chat in chats.values()}
        assert len(texts) in (1, 4)


@pytest.mark.parametrize("names", ["permuted", "ncode"])
@pytest.mark.parametrize("phrasing", PHRASINGS)
@pytest.mark.parametrize("single", [True, False])
def test_blind_prompts_name_nothing(names: str, phrasing: str, single: bool) -> None:
    server = ScriptedServer()
    with server as endpoint:
        strategy = CoLLMNAS(
            model=ChatModel(endpoint),
            names=names,
            phrasing=phrasing,
            single=single,
            max_flops=1e8,
            target=90.0,
            space=SPACE,
            seed=0,
            **SMALL,
        )
        strategy.connect(TASK, Models())
        trials: list[Trial] = []
        while len(trials) < 5:
            seen = {trial.architecture for trial in trials}
            history = History(
                SPACE,
                trials,
                number=len(trials),
                seen=seen,
                make_rng=lambda: np.random.default_rng(len(trials)),
                folds={},
            )
            proposal = strategy.propose(history)
            trials.append(Trial(len(trials), proposal.architecture, 1.5, 1.5, proposal.attributes))
    assert len(server.requests) >= 4
    everything = json.dumps([request["messages"] for request in server.requests]).lower()
    for secret in (
        "cifar",
        "accuracy",
        "bench",
        "conv",
        "pool",
        "skip",
        "neural",
        "image",
        "flops",
        "parameters",
    ):
        assert secret not in everything


# What fits the context.


def limited(team: Team, letters: int) -> Callable[[Request], Answer]:
    """A team whose context holds so many letters."""

    def answer(request: Request) -> Answer:
        if sum(len(message["content"]) for message in request["messages"]) > letters:
            return Answer("this model's maximum context length is exceeded", status=400)
        return team.answer(request)

    return answer


def test_oldest_iterations_are_left_out_first_then_the_worst_results(recruit: Recruit) -> None:
    team = recruit(batch(1, 2, 3), batch(4), batch(5, 6, 7), batch(8))
    run = Run(team).go(7)
    whole = told(team.navigator[2])
    team.server.answer = limited(team, sum(len(text) for _, text in whole))
    run.go(1)
    chat = told(team.navigator[-1])
    # 7 trials are too many, 3 are those of the last iteration; none of the earlier questions is left.
    assert [role for role, _ in chat] == ["system", "user"]
    assert all(text_of(i) in chat[1][1] for i in (5, 6, 7))
    assert run.proposals[-1].rejected == {"too long": 1}

    team.batches = iter([batch(9)])
    run.trials, run.proposals = run.trials[:7], run.proposals[:7]
    team.server.answer = limited(team, sum(len(text) for _, text in chat) - 10)
    run.go(1)
    (_, (_, shorter)) = told(team.navigator[-1])
    assert [text_of(i) in shorter for i in (5, 6, 7)] == [False, False, True]
    assert "2 worse ones are not shown" in shorter
    assert run.proposals[-1].rejected == {"too long": 2}


# Real studies.


def test_free_form_and_structured_prompts_are_the_same(recruit: Recruit) -> None:
    chats = []
    for structured in ("schema", "none"):
        team = recruit(batch(1, 2), batch(3))
        run = Run(team, structured=structured).go(3)
        assert run.indices == [1, 2, 3]
        assert all(
            ("response_format" in request) == (structured == "schema") for request in team.server.requests
        )
        chats.append([request["messages"] for request in team.server.requests])
    assert chats[0] == chats[1]


def test_bare_study_of_another_space(scripted_model: Endpoint) -> None:
    def objective(trial: optuna.Trial) -> float:
        return sum(trial.suggest_categorical(name, (1, 2, 4)) for name in ("depth", "width", "heads"))

    for names in ("plain", "permuted", "ncode"):
        strategy = CoLLMNAS(model=ChatModel(scripted_model), names=names, seed=0, **SMALL)
        study = optuna.create_study(sampler=strategy, direction="minimize")
        study.optimize(objective, n_trials=8)
        # The first trial of a study says what the space is.
        sources = [trial.system_attrs.get(ATTRIBUTES, {}).get("source") for trial in study.trials]
        assert sources == [None] + ["model"] * 7
        assert len({tuple(trial.params.values()) for trial in study.trials[1:]}) == 7


def test_with_a_real_model(embedded_model: Endpoint) -> None:
    strategy = CoLLMNAS(
        model=ChatModel(embedded_model),
        names="ncode",
        phrasing="brief",
        min_batch=2,
        max_batch=3,
        space=SPACE,
        seed=0,
    )
    history = History(SPACE, [], number=0, seen=set(), make_rng=lambda: np.random.default_rng(0), folds={})
    proposal = strategy.propose(history)
    assert isinstance(proposal, Proposal)
    assert proposal.attributes["begins"][0]["strategy"]
    assert 1 <= len(proposal.attributes["begins"][0]["batch"]) <= 3


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"iterations": 0}, "iterations is 0"),
        ({"min_batch": 0}, "min_batch is 0"),
        ({"min_batch": 5, "max_batch": 4}, "max_batch is 4; it must be at least 5"),
        ({"max_flops": 0}, "max_flops is 0"),
        ({"generator_temperature": -0.1}, "generator_temperature is -0.1"),
        ({"phrasing": "bried"}, "unknown phrasing 'bried', did you mean 'brief'"),
        ({"single": True, "generator_memory": True}, "its memory is navigator_memory"),
        ({"single": True, "generator_model": "other"}, "name the one model in `model`"),
        ({"max_flops": 1e8, "on_exhausted": "random"}, "leave it at 'end'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        CoLLMNAS(model="unused", space=SPACE, **settings)
