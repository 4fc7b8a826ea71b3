"""What is read out of a reply, and why one is rejected."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st

from llm_strategies.models.parsing import json_values
from llm_strategies.models.parsing import without_reasoning
from llm_strategies.models.reply import TOO_LONG
from llm_strategies.models.reply import Rejected
from llm_strategies.models.reply import Reply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONTAINER = st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4)
# Neither brackets nor quotes: whatever a model says before and after its answer.
PROSE = st.text(st.characters(codec="utf-8", exclude_characters="{}[]\"'\\<>"), max_size=60)


def sound(value: Any) -> Any:
    """As it comes back from a file."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))


@given(CONTAINER, PROSE, PROSE, st.sampled_from(["", "```json\n", "```\n", "~~~"]), st.booleans())
def test_json_is_found_whatever_stands_around_it(
    value: Any, before: str, after: str, fence: str, compact: bool
) -> None:
    text = json.dumps(value) if compact else json.dumps(value, indent=2)
    assert json_values(f"{before}{fence}{text}\n{fence[:3]}{after}") == [json.loads(text)]


@given(st.lists(CONTAINER, min_size=1, max_size=4), PROSE)
def test_several_values_come_in_order(values: list[Any], between: str) -> None:
    text = between.join(json.dumps(value) for value in values) + between + "."
    assert json_values(f"{text} ") == [json.loads(json.dumps(value)) for value in values]


@given(st.text())
@example('{"a": "\\ud800"}')
@example("{'a': '\\d'}")
@example("[" * 10_000)
@example("{" * 10_000 + "}" * 10_000)
@example("1" * 10_000)
@example('{"a":' * 900 + "1" + "}" * 900)
@example("\x00{'a': 1}\x00")
def test_any_text_is_read_and_gives_what_a_file_can_hold(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=SyntaxWarning, module="<reply>")
        values = json_values(without_reasoning(text))
    for value in values:
        json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{'op': 'skip', 'on': True, 'off': None,}", [{"op": "skip", "on": True, "off": None}]),
        ("choices = [('a', 1), ('b', 2)]", [[["a", 1], ["b", 2]]]),
        ('I would take {curly} words, no: {"a": 1}', [{"a": 1}]),
        ('It\'s the model\'s choice: {"a": "it\'s"}', [{"a": "it's"}]),
        ('{"a": "brackets } ] in { a [ string"}', [{"a": "brackets } ] in { a [ string"}]),
        ('{"a": "two\nlines\x01"}', [{"a": "two\nlines\x01"}]),
        ('{"a": 1', []),
        ('{"a": {"b": 2}', [{"b": 2}]),
        ("{1, 2}", []),
        ("{b'bytes': 1}", []),
        ("[1e999]", [[float("inf")]]),
        ("nothing of the kind", []),
        ('"|a~0|"', ["|a~0|"]),
        ("x" * 10**6 + '{"a": 1}', [{"a": 1}]),
        ("{" * 100 + '{"a": 1}', [{"a": 1}]),
        # Given up.
        ("{" * 10**6 + '{"a": 1}', []),
    ],
)
def test_examples(text: str, values: list[Any]) -> None:
    assert json_values(text) == values


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('<think>maybe {"a": 1}</think>{"a": 2}', '{"a": 2}'),
        ('maybe {"a": 1}</think>\n{"a": 2}', '{"a": 2}'),
        ("<THINK>one</THINK><think>two</think> three", "three"),
        ("before <think>never closed", "before"),
        ("<reasoning>a</reasoning>b", "b"),
        ("a < b and b > c", "a < b and b > c"),
    ],
)
def test_reasoning_is_no_answer(text: str, rest: str) -> None:
    assert without_reasoning(text) == rest


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("", "stop", "empty"),
        (" \n", "stop", "empty"),
        ("<think>and nothing else</think>", "stop", "empty"),
        ("I cannot help with that.", "stop", "not JSON"),
        ('{"a": 1}', "length", "truncated"),
        ("", "length", "truncated"),
        ("No.", "content_filter", "refused"),
        ("", TOO_LONG, "too long"),
        ("[]", "stop", "wrong shape"),
    ],
)
def test_rejected(text: str, finish_reason: str, reason: str) -> None:
    with pytest.raises(Rejected) as rejection:
        Reply(text, finish_reason, 1, 1).read(read_a)
    assert rejection.value.reason == reason


def test_the_last_acceptable_value_counts() -> None:
    text = 'First {"a": 1}, then {"a": 2}, as in {"b": 3}.'
    assert Reply(text, "stop", 1, 1).read(read_a) == 2


def test_where_no_value_is_acceptable_the_last_says_why() -> None:
    with pytest.raises(Rejected, match="illegal choice"):
        Reply('[] {"a": "one"}', "stop", 1, 1).read(read_a)


def test_prose() -> None:
    assert Reply("<think>hm</think> Go wide.\n", "stop", 1, 1).prose() == "Go wide."
    with pytest.raises(Rejected, match="truncated"):
        Reply("Go w", "length", 1, 1).prose()


def read_a(value: Any) -> int:
    if not isinstance(value, dict) or "a" not in value:
        raise Rejected("wrong shape")
    if not isinstance(value["a"], int):
        raise Rejected("illegal choice")
    return value["a"]
