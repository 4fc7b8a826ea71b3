"""Runs that wait for a model wait side by side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.performance.bench_llm_concurrency import measure
from tests.performance.bench_llm_concurrency import sweep

pytestmark = pytest.mark.performance

RUNS = 16


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="the promise is for two cores")
def test_sixteen_runs_take_little_longer_than_one() -> None:
    one, many = measure(runs=RUNS, calls=30, delay=0.2)
    print(f"one run {one.seconds:.2f} s, {RUNS} runs {many.seconds:.2f} s")
    assert many.in_flight > RUNS // 2
    assert many.seconds <= 1.5 * one.seconds


def test_runs_beside_each_other_are_those_made_one_by_one(tmp_path: Path) -> None:
    beside = sweep(tmp_path / "beside", runs=RUNS, concurrency=RUNS, calls=10, delay=0.05)
    alone = sweep(tmp_path / "alone", runs=RUNS, concurrency=1, calls=10, delay=0.05)
    assert alone.in_flight == 1
    assert beside.trajectories == alone.trajectories
    assert len(alone.trajectories) == RUNS
