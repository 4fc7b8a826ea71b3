"""LLMatic: its two archives, what is asked when, and at which temperature."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness.errors import SpecError
from harness.history import Exhausted
from harness.task import Task
from llm_strategies.llmatic import INSTRUCTIONS
from llm_strategies.llmatic import LLMatic
from llm_strategies.models.client import ChatModel
from llm_strategies.quality_diversity import Archive
from llm_strategies.quality_diversity import Descriptors
from tests.llm_strategies.driver import MIXED
from tests.llm_strategies.driver import accuracy
from tests.llm_strategies.driver import benchmark
from tests.llm_strategies.driver import connect
from tests.llm_strategies.driver import search
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from harness.history import Proposal
    from harness.models import Endpoint
    from harness.spaces import Architecture

SPACE = benchmark().space
SECRETS = (
    "conv",
    "skip",
    "pool",
    "none",
    "accuracy",
    "cifar",
    "nas-bench",
    "201",
    "image",
    "neural",
    "network",
    "%",
)


def run(server: ScriptedServer, trials: int, **settings: Any) -> list[Proposal]:
    options = {
        name: settings.pop(name) for name in ("space", "score", "minimise", "failing") if name in settings
    }
    task = settings.pop("task", None)
    with server as endpoint:
        strategy = connect(LLMatic(model=ChatModel(endpoint), **{"seed": 0, **settings}), task)
        return search(strategy, trials, **options)


def question(request: Mapping[str, Any]) -> str:
    content: str = request["messages"][-1]["content"]
    return content


def written(code: str) -> str:
    return json.dumps(SPACE.params(SPACE.from_ncode(code)), separators=(",", ":"))


def replies(*codes: str) -> ScriptedServer:
    """Architectures, one after another; then the last one for ever."""
    left = list(codes)
    return ScriptedServer(lambda request: Answer(written(left.pop(0) if len(left) > 1 else left[0])))


def archives(proposals: list[Proposal]) -> Iterator[list[Architecture]]:
    """The network archive before each proposal, and after the last: its architectures, best first."""
    archive: Archive[Architecture] = Archive(100, 25_000)
    describe = Descriptors(SPACE, Task.of(benchmark(), 200))
    yield archive.best()
    for proposal in proposals:
        archive.add(proposal.architecture, accuracy(proposal.architecture), describe(proposal.architecture))
        yield archive.best()


@pytest.fixture(scope="module")
def long_run() -> tuple[list[Proposal], list[Mapping[str, Any]]]:
    """A run with the settings of the paper."""
    server = ScriptedServer()
    return run(server, 120), server.requests


def test_defaults_are_those_of_the_paper() -> None:
    strategy = LLMatic(model="unused")
    assert (
        vars(strategy).items()
        >= {
            "niches": 100,
            "samples": 25_000,
            "initial_networks": 10,
            "mutation_probability": 0.85,
            "top": 3,
            "temperature": 0.6,
            "temperature_step": 0.05,
            "temperature_mutation": 0.1,
            "curiosity_reward": 1.0,
            "curiosity_penalty": 0.5,
        }.items()
    )
    assert len(set(INSTRUCTIONS)) == 13


def test_random_phase_ends_with_ten_archived(
    long_run: tuple[list[Proposal], list[Mapping[str, Any]]],
) -> None:
    proposals, requests = long_run
    sizes = [len(archive) for archive in archives(proposals)]
    end = sizes.index(10)
    operators = [proposal.attributes["operator"] for proposal in proposals]
    assert operators[:end] == ["random"] * end
    assert "random" not in operators[end:]
    for proposal, request in zip(proposals[:end], requests[:end], strict=True):
        # Each mutates the same initial architecture.
        assert proposal.attributes["parents"] == proposals[0].attributes["parents"]
        assert written(proposal.attributes["parents"][0]) in question(request)
        assert INSTRUCTIONS[proposal.attributes["prompt"]] in question(request)
        assert request["temperature"] == 0.6
    assert len({proposal.attributes["prompt"] for proposal in proposals[:end]}) > 3


def test_parents_come_from_the_archive(long_run: tuple[list[Proposal], list[Mapping[str, Any]]]) -> None:
    mutated, crossed = set(), set()
    for proposal, request, archive in zip(*long_run, archives(long_run[0]), strict=False):
        attributes = proposal.attributes
        if attributes["operator"] == "random":
            continue
        ranks = [archive.index(SPACE.from_ncode(parent)) for parent in attributes["parents"]]
        assert all(written(parent) in question(request) for parent in attributes["parents"])
        if attributes["operator"] == "mutation":
            mutated.update(ranks)
            assert INSTRUCTIONS[attributes["prompt"]] in question(request)
        else:
            assert ranks[0] == 0
            crossed.add(ranks[1])
            assert not any(instruction in question(request) for instruction in INSTRUCTIONS)
    assert mutated == {0, 1, 2}
    assert 0 not in crossed
    assert max(crossed) > 3


def test_share_of_mutations(long_run: tuple[list[Proposal], list[Mapping[str, Any]]]) -> None:
    operators = Counter(proposal.attributes["operator"] for proposal in long_run[0])
    share = operators["mutation"] / (operators["mutation"] + operators["crossover"])
    assert 0.75 < share < 0.95


@pytest.mark.parametrize(("probability", "operator"), [(0.0, "crossover"), (1.0, "mutation")])
def test_one_operator_alone(probability: float, operator: str) -> None:
    proposals = run(ScriptedServer(), 20, mutation_probability=probability, initial_networks=2)
    assert {proposal.attributes["operator"] for proposal in proposals[-10:]} == {operator}


def test_temperatures(long_run: tuple[list[Proposal], list[Mapping[str, Any]]]) -> None:
    proposals, requests = long_run
    temperatures = [proposal.attributes["temperature"] for proposal in proposals]
    assert [request["temperature"] for request in requests] == temperatures
    assert all(0.1 <= temperature <= 1.0 for temperature in temperatures)
    assert np.std(temperatures) > 0.02


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        # The second is better, and what equals the best counts as better.
        (("444444", "333333"), {0.8, 1.0}),
        # The second is worse each time that it is proposed, whatever it is asked at.
        (("333333", "444444"), {0.8, 0.6, 0.4}),
    ],
)
def test_temperature_rises_with_success_and_falls_without(
    codes: tuple[str, str], expected: set[float]
) -> None:
    proposals = run(
        replies(*codes),
        12,
        initial_networks=1,
        top=2,
        mutation_probability=1.0,
        temperature_mutation=0.0,
        temperature_step=0.2,
    )
    assert proposals[0].attributes["temperature"] == 0.6
    assert {proposal.attributes["temperature"] for proposal in proposals[1:]} == expected


def test_temperatures_stay_in_their_range() -> None:
    rising = run(replies("333333"), 20, temperature=1.0, initial_networks=1, temperature_mutation=0.0)
    assert {proposal.attributes["temperature"] for proposal in rising} == {1.0}


@pytest.mark.parametrize(("penalty", "others"), [(0.5, 1), (0.0, 0)])
def test_a_prompt_that_disappoints_gives_way_to_another(penalty: float, others: int) -> None:
    proposals = run(
        replies("333333"),
        6,
        initial_networks=1,
        top=1,
        mutation_probability=1.0,
        temperature_mutation=0.0,
        temperature_step=0.2,
        curiosity_penalty=penalty,
    )
    niches = [proposal.attributes["niche"] for proposal in proposals]
    assert niches[0] is None
    # The first prompt gained 1. It falls to 0.5, 0, -0.5, as low as its first child, and, being older, to -1.
    assert len(set(niches[1:5])) == 1
    assert len(set(niches[5:]) - {niches[1]}) == others


def test_known_architectures_are_trials() -> None:
    proposals = run(replies("333333"), 5, initial_networks=1)
    assert {SPACE.ncode(proposal.architecture) for proposal in proposals} == {"333333"}
    assert all(proposal.rejected == {} for proposal in proposals)


def test_another_proposal_is_drawn_after_a_useless_reply() -> None:
    left = iter(["Add a layer.", '{"0->1": "conv_7x7"}', written("333333")])
    server = ScriptedServer(lambda request: Answer(next(left)))
    (proposal,) = run(server, 1)
    assert proposal.rejected == {"not JSON": 1, "wrong shape": 1}
    assert len({question(request) for request in server.requests}) > 1
    assert INSTRUCTIONS[proposal.attributes["prompt"]] in question(server.requests[-1])


def test_exhausted() -> None:
    with pytest.raises(Exhausted, match=r"nothing usable in 3 calls \(3 not JSON\)"):
        run(ScriptedServer(lambda request: Answer("Add a layer.")), 1, attempts=3)


def test_fallbacks_and_failures_teach_no_prompt() -> None:
    left = iter([Answer(""), *[Answer(written(code)) for code in ("333333", "222222", "111111")]])
    server = ScriptedServer(lambda request: next(left))
    proposals = run(server, 4, attempts=1, on_exhausted="random", initial_networks=1, failing={1})
    assert proposals[0].attributes == {"source": "fallback"}
    # The archive holds the fallback, but no prompt is known before one has succeeded.
    assert [proposal.attributes["operator"] for proposal in proposals[1:3]] == ["random", "random"]
    assert proposals[3].attributes["operator"] != "random"


def test_small_space_leaves_the_random_phase() -> None:
    """Of its architectures, not even ten niches could be filled."""
    proposals = run(ScriptedServer(), 30, space=MIXED, score=sum, task=Task())
    operators = [proposal.attributes["operator"] for proposal in proposals]
    assert operators[:3] == ["random"] * 3
    assert operators[-1] != "random"


@pytest.mark.parametrize("names", ["permuted", "ncode"])
def test_blind_modes_leak_nothing(names: str) -> None:
    server = ScriptedServer()
    run(server, 12, names=names, initial_networks=2, mutation_probability=0.5)
    words = json.dumps(server.requests).lower()
    assert [secret for secret in SECRETS if secret in words] == []


@pytest.mark.parametrize("names", ["plain", "permuted", "ncode"])
def test_blind_instructions_do_not_speak_of_size(names: str) -> None:
    """More than one of the others gets into the prompt archive, and is drawn from it."""
    server = ScriptedServer()
    proposals = run(server, 150, names=names, initial_networks=40, mutation_probability=1.0)
    random = {p.attributes["prompt"] for p in proposals if p.attributes["operator"] == "random"}
    assert len(random) > 6
    archived = {p.attributes["prompt"] for p in proposals if p.attributes["operator"] == "mutation"}
    assert len(archived) > 1
    assert archived <= random
    told = [question(request) for request in server.requests]
    of_size = [text for text in told if re.search("capacity|larger|smaller", text)]
    assert bool(of_size) is (names == "plain")


def test_free_form_has_the_same_prompt() -> None:
    questions = {}
    for structured in ("schema", "none"):
        server = ScriptedServer(lambda request: Answer(f"Sure! ```json\n{written('123123')}\n```"))
        run(server, 3, structured=structured)
        questions[structured] = [question(request) for request in server.requests]
        assert ("response_format" in server.requests[0]) is (structured == "schema")
    assert questions["schema"] == questions["none"]


def test_seeds_start_from_different_architectures() -> None:
    starts = {run(ScriptedServer(), 1, seed=seed)[0].attributes["parents"][0] for seed in range(4)}
    assert len(starts) == 4


def test_real_model(embedded_model: Endpoint) -> None:
    strategy = LLMatic(model=ChatModel(embedded_model), seed=0, initial_networks=1)
    proposals = search(connect(strategy, Task()), 2, space=MIXED, score=sum)
    operators = [proposal.attributes["operator"] for proposal in proposals]
    assert operators[0] == "random"
    assert operators[1] in {"mutation", "crossover"}


@pytest.mark.parametrize(
    "setting",
    [
        {"niches": 0},
        {"samples": 99},
        {"initial_networks": 0},
        {"mutation_probability": 1.1},
        {"top": 0},
        {"temperature": 1.2},
        {"temperature_step": -0.1},
        {"temperature_mutation": -0.1},
        {"curiosity_reward": -1.0},
        {"curiosity_penalty": -1.0},
    ],
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"LLMatic: {next(iter(setting))} is "):
        LLMatic(model="unused", **setting)
