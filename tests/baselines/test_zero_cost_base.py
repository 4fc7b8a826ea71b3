"""Settings of proxies that build networks: what is refused, and what decides a table of scores."""

from __future__ import annotations

import pytest

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.gradients import GradNorm
from baselines.zero_cost.synflow import SynFlow
from harness.errors import SpecError
from harness.proxies import ScoreTable
from harness.proxies import make_proxy
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace

SPACE = NASBench201Space()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, "batch_size must be at least 2, for batch normalisation needs two, not 1"),
        ({"seed": -1}, "seed must not be negative: -1"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here: Expected one of cpu, cuda.*Legal are `cpu`"),
        ({"images": "digit"}, "unknown image set 'digit', did you mean 'digits'"),
        ({"size": {"width": 8}}, "needs a network: unknown size of a network of 'nasbench201' 'width'"),
        ({"size": {"cells": 0}}, "needs a network: cells must be at least 1, not 0"),
        ({"batches": 2}, "unknown setting of proxy 'grad_norm' 'batches', did you mean 'batch_size'"),
    ],
)
def test_what_is_wrong_is_named(settings, message):
    with pytest.raises(SpecError, match=message):
        make_proxy("grad_norm", {"images": "digits"} | settings).check(SPACE, "cifar10")


def test_a_space_without_networks_is_refused():
    with pytest.raises(SpecError, match="needs a network: search space 'categorical' builds no networks"):
        GradNorm(images="digits").check(SearchSpace({"a": (1, 2)}), "cifar10")


def test_images_of_the_data_set_are_needed_by_those_who_look_at_them():
    with pytest.raises(SpecError, match="image set 'cifar10' is not imported.*set `images: digits`"):
        GradNorm().check(SPACE, "cifar10")
    SynFlow().check(SPACE, "cifar10")


def digest(**settings) -> str:
    proxy = make_proxy("grad_norm", {"images": "digits"} | settings)
    return ScoreTable("grad_norm", proxy, SPACE, "cifar10").digest


@pytest.mark.parametrize(
    "settings", [{"seed": 1}, {"batch_size": 32}, {"repeats": 2}, {"size": {"cells": 1}}]
)
def test_what_decides_a_score_decides_its_table(settings):
    assert digest(**settings) != digest()


def test_what_is_the_default_anyway_decides_nothing():
    said = {
        "seed": 0,
        "batch_size": 64,
        "repeats": 1,
        "size": {"channels": 16, "cells": 5},
        "device": "cpu",
    }
    assert digest(**said) == digest()
    assert digest(size={"cells": 5}) == digest()


class Norm(NetworkProxy):
    """A norm of the gradients, with a setting of its own."""

    description = "A norm of the gradients."

    def __init__(self, power: float = 2.0, **options):
        super().__init__(**options)
        self.power = power

    def measure(self, probe):
        return sum(float(gradient.norm(self.power)) for gradient in probe.gradients)


def test_a_setting_of_its_own_decides_score_and_table():
    small = {"images": "digits", "batch_size": 4, "size": {"channels": 4, "cells": 1}}
    proxies = [Norm(**small), Norm(power=2.0, **small), Norm(power=1.0, **small), Norm(seed=1, **small)]
    first, same, *others = [ScoreTable("norm", proxy, SPACE, "cifar10").digest for proxy in proxies]
    assert first == same
    assert len({first, *others}) == 3
    arch = SPACE.from_ncode("333333")
    two, _, one, _ = [proxy.score(SPACE, arch, "cifar10") for proxy in proxies]
    assert two == GradNorm(**small).score(SPACE, arch, "cifar10") < one


def test_another_version_has_a_table_of_its_own(monkeypatch):
    first = digest()
    monkeypatch.setattr(GradNorm, "version", GradNorm.version + 1)
    assert digest() != first
