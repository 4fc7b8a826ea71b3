"""What vLLM answers, asked by the client of the harness: behind HTTP and in this process."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import jsonschema
import pytest

from harness.errors import ModelError
from harness.spaces import NASBench201Space
from llm_strategies.models.client import ChatModel
from llm_strategies.models.external import ExternalServer
from llm_strategies.models.reply import TOO_LONG
from llm_strategies.models.reply import Rejected
from llm_strategies.views import NAMES
from llm_strategies.views import View
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.strategy_checks import STRATEGIES
from tests.strategy_checks import Subject

if TYPE_CHECKING:
    from harness.models import Endpoint
    from llm_strategies.models.reply import Reply
    from llm_strategies.views import Names

pytestmark = pytest.mark.vllm

#: As in :mod:`tests.vllm.tiny_model`, which only the environment with vLLM can import.
CONTEXT = 4096
HOT = {"temperature": 1.0, "max_tokens": 64}


def ask(endpoint: Endpoint, text: str = "Say anything.", seed: int = 0, **arguments: Any) -> Reply:
    arguments = {"sampling": HOT, **arguments}
    return ChatModel(endpoint).chat([{"role": "user", "content": text}], seed=seed, **arguments)


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("n", [1, 4])
def test_architectures_are_legal(endpoint: Endpoint, names: Names, n: int) -> None:
    view = View(NASBench201Space(), names, 7)
    for seed in range(5):
        reply = ask(endpoint, schema=view.schema(n), seed=seed, sampling={"max_tokens": 1000})
        architectures, _ = reply.read(view.read_many)
        assert 1 <= len(architectures) <= n
        assert reply.text == json.dumps(json.loads(reply.text), separators=(",", ":")), "white space"


def test_choices_are_legal(endpoint: Endpoint) -> None:
    view = View(NASBench201Space(), "plain", 0)
    for seed in range(5):
        value = json.loads(ask(endpoint, schema=view.part([2]).schema(), seed=seed).text)
        assert 0 <= view.part([2]).read(value)[0] < 5


@cache
def schemas(strategy: str) -> list[dict[str, Any]]:
    """The schemas that a strategy sends in a search, one of each shape."""
    (case,) = (case for case in STRATEGIES if case.name == strategy)
    script = ScriptedServer()
    with script as endpoint:
        Subject(case, endpoint).run()
    sent = [request["response_format"]["json_schema"]["schema"] for request in script.requests]
    return list({_shape(schema): schema for schema in sent}.values())


def _shape(schema: Any) -> str:
    """A schema without the choices in it, which are others in every question."""

    def outline(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: len(item) if key == "enum" else outline(item) for key, item in value.items()}
        return [outline(item) for item in value] if isinstance(value, list) else value

    return json.dumps(outline(schema), sort_keys=True)


@pytest.mark.parametrize("strategy", [case.name for case in STRATEGIES if case.needs_model])
def test_every_reply_fits_the_schemas_of_a_strategy(endpoint: Endpoint, strategy: str) -> None:
    found = schemas(strategy)
    assert found
    for schema in found:
        # Random tokens are up to four to a letter, and texts are of up to 800 letters.
        reply = ask(endpoint, schema=schema, sampling={"temperature": 1.0, "max_tokens": 3800})
        reply.read(partial(jsonschema.validate, schema=schema))


def test_seeds(endpoint: Endpoint) -> None:
    texts = [ask(endpoint, seed=seed).text for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[3]
    assert len(set(texts)) == 3


def test_same_replies_alone_and_eight_at_a_time(endpoint: Endpoint) -> None:
    view = View(NASBench201Space(), "plain", 0)

    def reply(number: int) -> tuple[str, int, int]:
        # Prompts and replies of many lengths, some with a schema.
        schema = view.schema() if number % 3 == 0 else None
        sampling = {"temperature": 1.0, "max_tokens": 20 + 5 * number}
        one = ask(endpoint, "word " * number, seed=number, schema=schema, sampling=sampling)
        return one.text, one.prompt_tokens, one.completion_tokens

    alone = [reply(number) for number in range(24)]
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(reply, range(24)))
    assert together == alone


def test_long_prompts_at_the_same_time(endpoint: Endpoint) -> None:
    """More tokens than vLLM computes in one step, which it would split where that is not prevented."""

    def reply(number: int) -> str:
        return ask(endpoint, f"{number} " + "\x01" * 3000, seed=number, sampling=HOT).text

    with ThreadPoolExecutor(8) as clients:
        assert len(set(clients.map(reply, range(8)))) == 8


def test_server_and_engine_reply_the_same(server: Endpoint, engine: Endpoint) -> None:
    assert (server.model, server.identity) == (engine.model, engine.identity)
    schema = View(NASBench201Space(), "permuted", 0).schema()
    for asked in ({}, {"schema": schema}, {"sampling": {"temperature": 0.0, "max_tokens": 30}}):
        behind_http, in_process = (ask(place, seed=5, **asked) for place in (server, engine))
        for field in ("text", "finish_reason", "prompt_tokens", "completion_tokens"):
            assert getattr(behind_http, field) == getattr(in_process, field)


def test_truncated(endpoint: Endpoint) -> None:
    view = View(NASBench201Space(), "plain", 0)
    reply = ask(endpoint, schema=view.schema(), sampling={"max_tokens": 10})
    assert (reply.finish_reason, reply.completion_tokens) == ("length", 10)
    with pytest.raises(Rejected) as rejected:
        reply.read(view.read)
    assert rejected.value.reason == "truncated"


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": "string", "pattern": "("}])
def test_bad_schema(endpoint: Endpoint, schema: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"model 'tiny'.* refused the request: .*(nonsense|parenthesis)"):
        ask(endpoint, schema=schema)
    assert ask(endpoint).text, "it goes on for others"


def test_prompt_longer_than_the_context(endpoint: Endpoint) -> None:
    for words in (CONTEXT, 20 * CONTEXT):
        reply = ask(endpoint, "word " * words)
        assert (reply.finish_reason, reply.prompt_tokens, reply.completion_tokens) == (TOO_LONG, 0, 0)
        with pytest.raises(Rejected) as rejected:
            reply.prose()
        assert rejected.value.reason == "too long"


def test_prompts_about_as_long_as_the_context(endpoint: Endpoint) -> None:
    """No length falls between what fits and what is too long."""
    frame = ask(endpoint, "").prompt_tokens
    sampling = {"temperature": 1.0, "max_tokens": 2}
    reasons = [
        # A control character is a token of its own.
        ask(endpoint, "\x01" * (CONTEXT - frame + more), sampling=sampling).finish_reason
        for more in range(-3, 4)
    ]
    # From the length of the context on there is no place for a reply.
    assert reasons == ["length"] * 3 + [TOO_LONG] * 4


def test_wrong_model_name(server: Endpoint) -> None:
    with pytest.raises(ModelError, match="model 'tine' at .* was not found"):
        ask(replace(server, model="tine"))
    with pytest.raises(ModelError, match="unknown model 'tine', did you mean 'tiny'"):
        ExternalServer(base_url=server.base_url, model="tine").start()
