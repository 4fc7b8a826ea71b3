"""What a model sees of a search space, and how what it writes is read back."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spaces import Architecture
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from llm_strategies.models.reply import Rejected
from llm_strategies.models.reply import Reply
from llm_strategies.views import NAMES
from llm_strategies.views import Names
from llm_strategies.views import View
from tests.llm_strategies.scripted_server import fitting

CELLS = NASBench201Space()
MIXED = SearchSpace(
    {"depth": (1, 2, 3), "width": (0.5, 1.0), "residual": (True, False), "norm": (None, "batch", "layer")}
)
LARGE = SearchSpace({f"channels {i}": tuple(range(8, 8 * 41, 8)) for i in range(3)})
WIDE = SearchSpace({"width": tuple(range(12)), "depth": (1, 2), "heads": tuple(range(36))})
SPACES = {"cells": CELLS, "mixed": MIXED, "large": LARGE, "wide": WIDE}

VIEWS = [
    pytest.param(View(space, names, 0), id=f"{name}-{names}")
    for name, space in SPACES.items()
    for names in NAMES
]


def some(space: SearchSpace, n: int = 50) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.random(rng) for _ in range(n)]


@pytest.mark.parametrize("view", VIEWS)
class TestEveryView:
    def test_what_is_written_is_read(self, view: View) -> None:
        for arch in some(view.space):
            assert view.read(view.value(arch)) == arch
            written = view.write(arch)
            assert view.read(written if view.names == "ncode" else json.loads(written)) == arch

    def test_schema_admits_what_is_written(self, view: View) -> None:
        for arch in some(view.space):
            value = view.value(arch)
            one = {"architecture": value} if view.names == "ncode" else value
            jsonschema.validate(one, view.schema())
            assert view.read(one) == arch

    def test_schema_of_several(self, view: View) -> None:
        archs = list(dict.fromkeys(some(view.space)))[:3]
        value = {"architectures": [view.value(arch) for arch in archs]}
        jsonschema.validate(value, view.schema(3))
        assert view.read_many(value) == (archs, {})
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"architectures": value["architectures"][:2]}, view.schema(3))

    def test_every_reply_that_fits_the_schema_is_legal(self, view: View) -> None:
        if view.space is LARGE and view.names == "ncode":
            pytest.skip("more choices than digits: the parser decides")
        rng = np.random.default_rng(1)
        for _ in range(50):
            arch = view.read(fitting(view.schema(), rng))
            assert view.space.architecture(view.space.params(arch)) == arch

    def test_choices(self, view: View) -> None:
        for decision, radix in enumerate(view.space.radices):
            words = [view.word(decision, choice) for choice in range(radix)]
            assert sorted(map(str, words)) == sorted(map(str, view.words(decision)))
            for choice, word in enumerate(words):
                part = view.part([decision])
                value = part.value(Architecture([choice]))
                if view.names != "ncode":
                    assert value == {view.decisions[decision]: word}
                jsonschema.validate(value, part.architecture_schema())
                assert part.read(value) == (choice,)

    @pytest.mark.parametrize(
        "value", [None, 1, 2.5, True, [], {}, {"architecture": {}}, [[]], {"a": {"b": 1}}]
    )
    def test_wrong_shape(self, view: View, value: Any) -> None:
        with pytest.raises(Rejected, match="wrong shape"):
            view.read(value)

    def test_illegal_choice(self, view: View) -> None:
        if view.names == "ncode":
            value: Any = "z" * len(view.space.decisions)
        else:
            value = view.value(some(view.space)[0]) | {view.decisions[0]: "conv_9x9"}
        with pytest.raises(Rejected, match="illegal choice"):
            view.read(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=7)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["architecture", "architectures", "code"]), inner
        )
    ),
    max_leaves=10,
)


@given(JSON, st.sampled_from([parameter.values[0] for parameter in VIEWS]))
def test_any_value_is_read_or_rejected(value: Any, view: View) -> None:
    for read in (view.read, view.read_many):
        with suppress(Rejected):
            read(value)


@pytest.mark.parametrize(
    "value",
    [
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|",
        ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1"],
        {"architecture": ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1"]},
    ],
)
def test_other_forms_of_a_cell(value: Any) -> None:
    arch = View(CELLS, "plain", 0).read(value)
    assert (
        CELLS.format(arch)
        == "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    )


@pytest.mark.parametrize("text", ["412340", '{"architecture": 412340}', '{"architecture": 012340}'])
def test_codes_without_quotes(text: str) -> None:
    code = "".join(filter(str.isdigit, text))
    assert Reply(text, "stop", 1, 1).read(View(CELLS, "ncode", 0).read) == CELLS.from_ncode(code)


def test_one_architecture_per_line() -> None:
    view = View(CELLS, "plain", 0)
    archs = list(dict.fromkeys(some(CELLS, 10)))
    text = "\n".join(f"{i}. {view.write(arch)}" for i, arch in enumerate(archs))
    reply = Reply(text, "stop", 1, 1)
    assert reply.read(view.read_many) == (archs, {})
    # Where one is asked for, the last one is the decision.
    assert reply.read(view.read) == archs[-1]
    final = f'{text}\nSo: {{"architectures": [{view.write(archs[3])}]}}'
    assert Reply(final, "stop", 1, 1).read(view.read_many) == ([archs[3]], {})


def test_several_with_mistakes() -> None:
    view = View(CELLS, "plain", 0)
    good, other = (view.value(arch) for arch in some(CELLS, 2))
    archs, rejected = view.read_many([good, {"x": 1}, good, good | {"0->1": "conv"}, other, "?"])
    assert [view.value(arch) for arch in archs] == [good, other]
    assert rejected == {"wrong shape": 1, "duplicate": 1, "illegal choice": 2}


@pytest.mark.parametrize("names", ["permuted", "ncode"])
@pytest.mark.parametrize("space", [CELLS, MIXED], ids=["cells", "mixed"])
def test_blind_views_show_no_choice(space: SearchSpace, names: Names) -> None:
    view = View(space, names, 3)
    seen = view.describe() + view.form() + json.dumps([view.schema(), view.schema(2)])
    seen += " ".join(view.write(arch) for arch in some(space))
    told = {str(choice) for choices in space.decisions.values() for choice in choices if len(str(choice)) > 3}
    assert told
    assert not [word for word in told if word in seen]
    assert space.name not in seen
    assert not [name for name in space.decisions if name in seen]
    assert view.blind


def test_permutation_depends_on_the_seed_alone() -> None:
    def table(entropy: int) -> list[list[Any]]:
        view = View(CELLS, "permuted", entropy)
        return [[view.word(i, j) for j in range(5)] for i in range(6)]

    assert table(1) == table(1)
    assert len({json.dumps(table(entropy)) for entropy in range(20)}) > 10
    # The same operations have the same symbols on every edge, and no others.
    assert all(row == table(1)[0] for row in table(1))
    assert View(CELLS, "permuted", 1).words(0) == View(CELLS, "permuted", 2).words(0)


def test_order_of_symbols_says_nothing() -> None:
    """Each operation has each place in the description equally often."""
    places = [View(CELLS, "permuted", entropy).word(0, 3) for entropy in range(500)]
    counts = [places.count(symbol) for symbol in View(CELLS, "permuted", 0).words(0)]
    assert sum(counts) == 500
    assert min(counts) > 65
    assert max(counts) < 140
