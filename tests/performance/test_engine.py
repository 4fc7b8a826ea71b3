"""The engine tracks as many trials per second as was promised."""

from __future__ import annotations

import os

import pytest

from tests.performance import bench_engine
from tests.performance.bench_engine import OPTUNA

pytestmark = pytest.mark.performance

CORES = 2


@pytest.mark.skipif((os.cpu_count() or 1) < CORES, reason="the promise is for two cores")
def test_tracked_trials_per_second() -> None:
    rows = {name: [measurement] for name, measurement in bench_engine.measure(runs=300, workers=CORES)}
    bench_engine.show(rows, markdown=False)
    optuna = rows[OPTUNA][0]
    for strategy in ("random_search", "regularized_evolution"):
        tracked = rows[f"{strategy}, trajectories and MLflow, {CORES} workers"][0]
        assert tracked.trials / tracked.wall >= 2500
        assert tracked.trials / tracked.cpu >= 0.6 * optuna.trials / optuna.cpu
