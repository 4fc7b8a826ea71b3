"""The bootstrap of a ranking stays affordable."""

from __future__ import annotations

import pytest

from tests.performance import bench_correlation

pytestmark = pytest.mark.performance


@pytest.mark.parametrize(("things", "times"), [(1_000, 5), (15_625, 1.5)])
def test_resamples_take_less_than_calls_of_scipy(things, times):
    ours, theirs = bench_correlation.seconds(things)
    print(f"{things:,}: {ours:.3f} s, scipy {theirs:.3f} s")
    assert theirs > times * ours
