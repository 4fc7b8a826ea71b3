"""Statistics of 10,000 runs stay affordable."""

from __future__ import annotations

import pytest

from tests.performance import bench_statistics

pytestmark = pytest.mark.performance


def test_statistics_take_less_than_loops():
    for timing in bench_statistics.Study().timings():
        print(f"{timing.name}: {timing.ours:.3f} s, loop {timing.loop:.2f} s")
        # What takes a moment anyway may take longer than bare calls that check and say nothing.
        assert timing.ours < max(timing.loop, 0.1), timing.name
