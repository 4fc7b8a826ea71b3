"""What all strategies that ask a model have in common."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness.errors import ModelError
from harness.errors import SpecError
from harness.history import History
from harness.history import Proposal
from harness.models import Models
from harness.spaces import NASBench201Space
from harness.task import Task
from llm_strategies.base import TEXT_LENGTH
from llm_strategies.base import LLMStrategy
from llm_strategies.base import NoUsableReply
from llm_strategies.models.client import ChatModel
from llm_strategies.models.reply import Rejected
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping

    from harness.models import Endpoint
    from harness.spaces import Architecture
    from llm_strategies.views import View

SPACE = NASBench201Space()
CELL = {"architecture": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}


class Asker(LLMStrategy):
    """Asks for one architecture, as simply as can be."""

    def suggest(self, history: History, view: View) -> Architecture | Proposal:
        conversation = self.conversation(history)
        for _ in range(self.attempts):
            arch = conversation.ask(
                [{"role": "user", "content": f"{view.describe()}\n{view.form()}"}],
                view.read,
                schema=view.schema(),
            )
            if arch is not None:
                return conversation.proposal(arch, {"source": "model"})
        raise conversation.exhausted()


def history(seed: int = 0) -> History:
    rng = np.random.default_rng(seed)
    return History(SPACE, [], number=0, seen=set(), make_rng=lambda: rng, folds={})


def script(*answers: Answer | str) -> ScriptedServer:
    """Answers one after another."""
    left = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]
    return ScriptedServer(lambda request: left.pop(0))


def ask(server: ScriptedServer, **options: Any) -> Any:
    with server as endpoint:
        return Asker(model=ChatModel(endpoint), **options).propose(history())


def test_free_form_replies_are_counted_by_reason() -> None:
    server = script(
        "Let me think about it.",
        '{"a": "b"}',
        '{"architecture": "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|"}',
        Answer('{"architecture": "|no', finish_reason="length"),
        "",
        Answer("", message={"refusal": "no"}),
        Answer("This model's maximum context length is 5 tokens.", status=400),
        f"```json\n{json.dumps(CELL)}\n```",
    )
    proposal = ask(server, structured="none", attempts=8)
    assert SPACE.format(proposal.architecture) == CELL["architecture"]
    assert proposal.rejected == {
        "not JSON": 1,
        "wrong shape": 1,
        "illegal choice": 1,
        "truncated": 1,
        "empty": 1,
        "refused": 1,
        "too long": 1,
    }
    assert proposal.usage.calls == 8
    assert [call.verdict for call in proposal.usage.log] == [
        "not JSON",
        "wrong shape",
        "illegal choice",
        "truncated",
        "empty",
        "refused",
        "too long",
        "used",
    ]
    assert all("response_format" not in request for request in server.requests)


def test_schema_is_sent_and_the_prompt_is_the_same() -> None:
    sent = {}
    for structured in ("schema", "none"):
        server = script(json.dumps(CELL))
        ask(server, structured=structured)
        sent[structured] = server.requests[0]
    schema = sent["schema"].pop("response_format")["json_schema"]["schema"]
    assert sent["schema"] == sent["none"]
    assert schema == SPACE.json_schema()


def test_sampling_settings_are_sent() -> None:
    server = script(json.dumps(CELL))
    ask(server, temperature=0.6, top_p=0.9, max_tokens=77)
    assert {key: server.requests[0][key] for key in ("temperature", "top_p", "max_tokens")} == {
        "temperature": 0.6,
        "top_p": 0.9,
        "max_tokens": 77,
    }


def test_exhausted_ends_the_run_with_its_statistics() -> None:
    with pytest.raises(NoUsableReply, match=r"nothing usable in 3 calls \(2 empty, 1 not JSON\)") as end:
        ask(script("", "hm", ""), attempts=3)
    assert end.value.rejected == {"empty": 2, "not JSON": 1}
    assert end.value.usage.calls == 3


def test_random_fallback_is_explicit_and_counted() -> None:
    proposal = ask(script("", "hm"), attempts=2, on_exhausted="random")
    assert proposal.attributes == {"source": "fallback"}
    assert proposal.rejected == {"empty": 1, "not JSON": 1}
    assert proposal.usage.calls == 2


def test_attempts_have_seeds_of_their_own() -> None:
    server = script("", "", "")
    with pytest.raises(NoUsableReply):
        ask(server, attempts=3)
    assert len({request["seed"] for request in server.requests}) == 3


def conversation(endpoint: Endpoint, **options: Any) -> Any:
    return Asker(model=ChatModel(endpoint), **options).conversation(history())


def number(value: Any) -> int:
    if not isinstance(value, dict) or "n" not in value:
        raise Rejected("wrong shape")
    return int(value["n"])


NUMBER: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def echo(request: Mapping[str, Any]) -> Answer:
    return Answer(json.dumps({"n": int(request["messages"][0]["content"])}), delay=0.1)


def test_side_by_side_keeps_the_order_and_waits_once() -> None:
    server = ScriptedServer(echo)
    with server as endpoint:
        talk = conversation(endpoint)
        assert talk.ask_all([chat(str(i)) for i in range(8)], number, schema=NUMBER) == list(range(8))
    assert server.most_in_flight > 1
    assert talk.usage.calls == 8
    # Each waited 0.1 s, at the same time.
    assert talk.usage.seconds < sum(call.seconds for call in talk.usage.log) / 2
    assert len({request["seed"] for request in server.requests}) == 8


@pytest.mark.parametrize(("longest", "shown", "refused"), [(0, 0, 5), (3, 3, 3), (40, 30, 0)])
def test_history_is_cut_to_what_fits(longest: int, shown: int, refused: int) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        words = len(request["messages"][0]["content"].split())
        if words > longest:
            return Answer("exceed_context_size_error", status=400)
        return Answer(json.dumps({"n": words}))

    with ScriptedServer(answer) as endpoint:
        talk = conversation(endpoint)
        assert talk.ask_fitting(lambda n: chat("trial " * n), 30, number, schema=NUMBER) == shown
    assert talk.rejected["too long"] == refused


def test_a_question_that_never_fits_is_given_up() -> None:
    with ScriptedServer(lambda request: Answer("maximum context length", status=400)) as endpoint:
        talk = conversation(endpoint)
        assert talk.ask_fitting(lambda n: chat("trial " * n), 3, number, schema=NUMBER) is None
    assert talk.rejected == {"too long": 3}


class TestText:
    def test_structured(self) -> None:
        server = script('{"text": " Go wide. "}')
        with server as endpoint:
            assert conversation(endpoint).ask_text(chat("?")) == "Go wide."
        schema = server.requests[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["text"]["maxLength"] == TEXT_LENGTH

    def test_free(self) -> None:
        with script("<think>hm</think>Go wide.") as endpoint:
            assert conversation(endpoint, structured="none").ask_text(chat("?")) == "Go wide."

    @pytest.mark.parametrize(("text", "reason"), [('{"text": ""}', "empty"), ('{"text": 5}', "wrong shape")])
    def test_rejected(self, text: str, reason: str) -> None:
        with script(text) as endpoint:
            talk = conversation(endpoint)
            assert talk.ask_text(chat("?")) is None
        assert talk.rejected == {reason: 1}


class TestModels:
    def test_not_connected(self) -> None:
        with pytest.raises(ModelError, match=r"'tiny' is not connected.*pass a ChatModel"):
            Asker(model="tiny").propose(history())

    def test_unknown(self, scripted_model: Endpoint) -> None:
        with pytest.raises(SpecError, match="unknown model 'tinny', did you mean 'tiny'"):
            Asker(model="tinny").connect(Task(), Models({"tiny": scripted_model}))

    def test_calls_carry_the_name_in_the_file(self, scripted_model: Endpoint) -> None:
        strategy = Asker(model="tiny")
        strategy.connect(Task(), Models({"tiny": scripted_model}))
        proposal = strategy.propose(history())
        assert isinstance(proposal, Proposal)
        assert proposal.usage is not None
        assert [call.model for call in proposal.usage.log] == ["tiny"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"structured": "yes"}, "unknown structured 'yes'"),
        ({"names": "plane"}, "unknown names 'plane', did you mean 'plain'"),
        ({"on_exhausted": "stop"}, "unknown on_exhausted 'stop'"),
        ({"attempts": 0}, "attempts is 0; it must be at least 1"),
        ({"temperature": -0.1}, "temperature is -0.1; it must be at least 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 1.1}, "top_p is 1.1; it must be at most 1"),
        ({"max_tokens": 0}, "max_tokens is 0; it must be at least 1"),
    ],
)
def test_bad_options(option: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"Asker: {message}"):
        Asker(model="tiny", **option)


BLIND: list[Callable[..., Any]] = [partial(ask, names="permuted"), partial(ask, names="ncode")]


@pytest.mark.parametrize("blindly", BLIND, ids=["permuted", "ncode"])
def test_blind_prompts_name_no_operation(blindly: Callable[..., Any]) -> None:
    server = ScriptedServer()
    blindly(server)
    text = json.dumps(server.requests)
    assert not [name for name in ("conv", "pool", "skip", "none", "cifar", "NAS-Bench") if name in text]
