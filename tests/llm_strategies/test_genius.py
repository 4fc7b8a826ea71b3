"""GENIUS: the chat, its end, and what of it fits the context."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness.benchmarks.base import Metric
from harness.errors import SpecError
from harness.history import Exhausted
from harness.task import Task
from llm_strategies.base import TEXT_LENGTH
from llm_strategies.genius import GENIUS
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

SPACE = benchmark().space
CELL = SPACE.params(SPACE.from_ncode("012343"))
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
    "torch",
    "neural",
    "deep",
    "%",
)


def run(server: ScriptedServer, trials: int, task: Task | None = None, **settings: Any) -> list[Proposal]:
    options = {
        name: settings.pop(name) for name in ("space", "score", "minimise", "failing") if name in settings
    }
    with server as endpoint:
        strategy = connect(GENIUS(model=ChatModel(endpoint), seed=0, **settings), task)
        return search(strategy, trials, **options)


def chat(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request["messages"]]


def always(text: str) -> ScriptedServer:
    return ScriptedServer(lambda request: Answer(text))


def test_chat_grows_by_what_the_model_said_and_by_its_score() -> None:
    replies = [
        json.dumps({"rationale": f"idea: {op}", "architecture": CELL | {"0->1": op}})
        for op in ("none", "skip_connect", "nor_conv_3x3")
    ]
    left = iter(replies)
    server = ScriptedServer(lambda request: Answer(next(left)))
    proposals = run(server, 3)
    chats = [chat(request) for request in server.requests]
    assert [role for role, _ in chats[0]] == ["system", "user"]
    assert [role for role, _ in chats[2]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert chats[2][:2] == chats[0]
    assert chats[2][:4] == chats[1]
    for i, (reply, proposal) in enumerate(zip(replies[:2], proposals[:2], strict=True)):
        said, heard = chats[2][2 + 2 * i][1], chats[2][3 + 2 * i][1]
        assert json.loads(said) == json.loads(reply)
        assert f"= {accuracy(proposal.architecture):.3f}." in heard
    assert SPACE.describe() in chats[0][1][1]
    assert "higher is better" in chats[0][1][1]


def test_defaults_are_those_of_the_released_code() -> None:
    server = ScriptedServer()
    run(server, 1)
    assert server.requests[0]["temperature"] == 0
    assert GENIUS(model="unused").iterations == 10


@pytest.mark.parametrize("on_exhausted", ["end", "random"])
def test_run_ends_after_ten_iterations(on_exhausted: str) -> None:
    server = ScriptedServer()
    with pytest.raises(Exhausted, match="ends after 10 iterations"):
        run(server, 11, on_exhausted=on_exhausted)
    assert len(server.requests) == 10


def test_failed_evaluations_are_iterations() -> None:
    with pytest.raises(Exhausted, match="ends after 3 iterations"):
        run(ScriptedServer(), 4, iterations=3, failing={1, 2})


def test_iterations_can_be_left_to_the_budget() -> None:
    assert len(run(ScriptedServer(), 12, iterations=None)) == 12


def test_a_repeated_architecture_is_an_iteration_of_which_the_model_is_told() -> None:
    server = always(json.dumps({"rationale": "", "architecture": CELL}))
    proposals = run(server, 3)
    assert {SPACE.ncode(proposal.architecture) for proposal in proposals} == {"012343"}
    assert [proposal.rejected for proposal in proposals] == [{}, {}, {}]
    heard = [content for role, content in chat(server.requests[2])[2:] if role == "user"]
    assert "same architecture" not in heard[0]
    assert "same architecture as in result 1" in heard[1]


def test_a_reply_that_cannot_be_used_is_asked_for_again_with_the_reason() -> None:
    left = iter(["Use more convolutions.", '{"architecture": {"0->1": "none"}}', json.dumps(CELL)])
    server = ScriptedServer(lambda request: Answer(next(left)))
    (proposal,) = run(server, 1)
    assert proposal.rejected == {"not JSON": 1, "wrong shape": 1}
    first, second, third = (chat(request)[-1][1] for request in server.requests)
    assert second.startswith(first)
    assert "could not be used: not JSON" in second
    assert "could not be used: wrong shape" in third


def test_exhausted() -> None:
    with pytest.raises(Exhausted, match=r"nothing usable in 2 calls \(2 empty\)") as end:
        run(always(""), 1, attempts=2)
    assert end.value.usage.calls == 2


def test_the_oldest_exchanges_go_first() -> None:
    def small(request: Mapping[str, Any]) -> Answer:
        if len(request["messages"]) > 2 + 2 * 3:
            return Answer("This model's maximum context length is exceeded.", status=400)
        return legal(request)

    server = ScriptedServer(small)
    proposals = run(server, 7)
    # Six exchanges are too long, three are not: the last three.
    assert proposals[-1].rejected == {"too long": 1}
    whole, cut = (chat(request) for request in server.requests[-2:])
    assert cut == whole[:2] + whole[-6:]


def test_other_trials_are_told_and_not_put_into_the_models_mouth() -> None:
    left = iter([Answer(json.dumps(CELL)), Answer(""), Answer(json.dumps(CELL))])
    server = ScriptedServer(lambda request: next(left))
    proposals = run(server, 3, attempts=1, on_exhausted="random")
    assert proposals[1].attributes == {"source": "fallback"}
    last = chat(server.requests[-1])
    assert [role for role, _ in last] == ["system", "user", "assistant", "user"]
    assert json.dumps(SPACE.params(proposals[1].architecture), separators=(",", ":")) in last[-1][1]
    assert f"{accuracy(proposals[1].architecture):.3f}" in last[-1][1]


@pytest.mark.parametrize("names", ["permuted", "ncode"])
@pytest.mark.parametrize("rationale", [True, False])
def test_blind_modes_leak_nothing(names: str, rationale: bool) -> None:
    server = ScriptedServer()
    proposals = run(server, 3, names=names, rationale=rationale)
    words = json.dumps(server.requests).lower().replace("application/json", "")
    assert [secret for secret in SECRETS if secret in words] == []
    assert f"score = {accuracy(proposals[0].architecture):.3f}." in chat(server.requests[-1])[3][1]


@pytest.mark.parametrize("names", ["plain", "permuted", "ncode"])
@pytest.mark.parametrize("rationale", [True, False])
def test_what_the_model_said_is_shown_in_the_form_that_is_asked_for(names: str, rationale: bool) -> None:
    server = ScriptedServer()
    run(server, 2, names=names, rationale=rationale)
    schema = server.requests[1]["response_format"]["json_schema"]["schema"]
    said = json.loads(chat(server.requests[1])[2][1])
    assert list(said) == list(schema["properties"])
    assert ("rationale" in said) is rationale
    assert ("<why>" in chat(server.requests[0])[1][1]) is rationale


def test_free_form_has_the_same_prompt() -> None:
    text = json.dumps({"rationale": "why not", "architecture": CELL})
    chats = {}
    for structured in ("schema", "none"):
        server = always(f"Here it is:\n```json\n{text}\n```")
        run(server, 2, structured=structured)
        chats[structured] = [chat(request) for request in server.requests]
        assert ("response_format" in server.requests[0]) is (structured == "schema")
    assert chats["schema"] == chats["none"]


def test_rationale_is_bounded_and_can_be_sent_back() -> None:
    server = always(json.dumps({"rationale": "\ud800" + "long " * 1000, "architecture": CELL}))
    first, _ = run(server, 2, structured="none")
    assert len(first.attributes["rationale"]) == TEXT_LENGTH
    assert json.loads(chat(server.requests[1])[2][1])["rationale"] == first.attributes["rationale"]


def test_code_of_the_space_is_shown_unless_switched_off() -> None:
    code = SPACE.code()
    assert code is not None
    for shown in (True, False):
        server = ScriptedServer()
        run(server, 1, code=shown)
        assert (code in chat(server.requests[0])[1][1]) is shown


def test_other_spaces_and_metrics() -> None:
    server = ScriptedServer()
    task = Task("digits", Metric("error", "%", higher_is_better=False))
    run(server, 2, task, space=MIXED, score=lambda arch: 12.34567, minimise=True)
    _, question, said, heard = (content for _, content in chat(server.requests[1]))
    assert "error (%) on digits: lower is better" in question
    assert MIXED.architecture(json.loads(said)["architecture"])
    assert "error = 12.346." in heard


def test_real_model(embedded_model: Endpoint) -> None:
    strategy = GENIUS(model=ChatModel(embedded_model), rationale=False, iterations=2)
    proposals = search(connect(strategy, Task()), 2, space=MIXED, score=sum)
    assert all(proposal.attributes == {"source": "model"} for proposal in proposals)
    assert proposals[1].usage.prompt_tokens > proposals[0].usage.prompt_tokens > 100


def test_bad_settings() -> None:
    with pytest.raises(SpecError, match="GENIUS: iterations is 0; it must be at least 1"):
        GENIUS(model="unused", iterations=0)
