"""Reading what language models write when nothing constrains their form."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

# The decision stands at the end of a reply; what comes before a very long tail is not looked at.
_TAIL = 65_536
_MOST_FAILURES = 1_000
_DEEPEST = 64

_REASONING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
# Some chat templates put the opening tag into the prompt, so that the reply holds the closing one alone.
_REASONING_BEFORE = re.compile(r"^.*</(think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_REASONING_OPEN = re.compile(r"<(think|thinking|reasoning)>", re.IGNORECASE)
_CLOSING = {"{": "}", "[": "]"}
# A code without quotes, such as 012340: no number in JSON, so it can only be meant as text.
_ZEROS_FIRST = re.compile(r"(?<=[:\[,\s])0\d+(?=\s*[,}\]])")

# Python warns of escapes in a string that it does not know. What a model wrote is nobody's code to mend.
_SOURCE = "<reply>"
warnings.filterwarnings("ignore", category=SyntaxWarning, module=_SOURCE)


def without_reasoning(text: str) -> str:
    """The text without ``<think>`` blocks and surrounding white space.

    A block that was never closed runs to the end of the text.
    """
    if "<" in text:
        text = _REASONING.sub("", text)
        text = _REASONING_BEFORE.sub("", text)
        if opened := _REASONING_OPEN.search(text):
            text = text[: opened.start()]
    return text.strip()


def json_values(text: str) -> list[Any]:
    """Every outermost JSON object or array in a text, in order, whatever stands around them.

    Python literals count as well (single quotes, ``True``, tuples inside, a trailing comma). A text that is
    one JSON value of another kind, such as a string or a number, gives that value.
    """
    text = text[-_TAIL:]
    try:
        return [_sound(_json(text))]
    except (ValueError, RecursionError):
        pass
    return [_sound(value) for value in _embedded(text)]


def _sound(value: Any) -> Any:
    """The value without half characters (lone surrogates), which JSON can name and no file can hold."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_sound(item) for item in value]
        case dict():
            return {_sound(key): _sound(item) for key, item in value.items()}
    return value


def _embedded(text: str) -> Iterator[Any]:
    position = failures = 0
    while failures < _MOST_FAILURES:
        opening = min(
            (at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1
        )
        if opening < 0:
            return
        end = _end(text, opening)
        try:
            if end is None:
                raise ValueError("no closing bracket")
            value = _value(text[opening:end])
        except ValueError:
            # Prose in brackets, or one that is never closed: what it holds may still be a value.
            failures += 1
            position = opening + 1
        else:
            yield value
            position = end


def _end(text: str, opening: int) -> int | None:
    """Where the bracket at a position is closed, minding quotes; ``None`` where it is not."""
    expected = []
    quote = None
    position = opening
    while position < len(text):
        letter = text[position]
        if quote is not None:
            if letter == "\\":
                position += 1
            elif letter == quote:
                quote = None
        elif letter == '"' or (letter == "'" and not text[position - 1].isalnum()):
            quote = letter
        elif letter in _CLOSING:
            expected.append(_CLOSING[letter])
            if len(expected) > _DEEPEST:
                return None
        elif letter in "}]":
            if letter != expected.pop():
                return None
            if not expected:
                return position + 1
        position += 1
    return None


def _json(text: str) -> Any:
    # Models, and grammars that bound the length of a string (xgrammar), put bare line breaks into strings.
    return json.loads(text, strict=False)


def _value(text: str) -> Any:
    for candidate in (text, _ZEROS_FIRST.sub(r'"\g<0>"', text)):
        try:
            return _json(candidate)
        except (ValueError, RecursionError):
            pass
    try:
        value = ast.literal_eval(ast.parse(text, _SOURCE, "eval"))
        # Only what JSON can hold: no sets, bytes or numbers without end.
        return json.loads(json.dumps(value, allow_nan=False))
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error
