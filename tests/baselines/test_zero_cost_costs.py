"""Parameters and FLOPs as proxies."""

from __future__ import annotations

import pytest

from harness import registry
from harness.errors import SpecError
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace

SPACE = NASBench201Space()


@pytest.mark.parametrize(
    ("name", "ncode", "score"),
    [
        # As the benchmark's own files give them, for the smallest and the largest network.
        ("parameters", "000000", 73_306),
        ("parameters", "333333", 1_531_546),
        ("flops", "000000", 7_783_040),
        ("flops", "333333", 220_119_680),
    ],
)
def test_they_are_exact(name, ncode, score):
    proxy = registry.load("proxy", name)()
    value = proxy.score(SPACE, SPACE.from_ncode(ncode), "cifar10")
    assert isinstance(value, float)
    assert value == score


@pytest.mark.parametrize("name", ["parameters", "flops"])
def test_a_space_without_costs_is_refused(name):
    with pytest.raises(SpecError, match="needs exact costs: search space 'categorical' has no exact costs"):
        registry.load("proxy", name)().check(SearchSpace({"a": (1, 2)}), "cifar10")
