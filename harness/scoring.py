"""Final scores of what a run recommends. Called after the search has ended: here alone the test split is read."""

from __future__ import annotations

import json
from dataclasses import asdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Any

from harness import registry
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.benchmarks import Benchmark
    from harness.spaces import Architecture
    from harness.strategy import Strategy


@dataclass(frozen=True)
class Score:
    """A score at the final fidelity, seed mean, with its distance to the best of the whole space.

    Attributes:
        value: The score, in the unit of the reported metric; ``None`` where the source lacks the column.
        optimum: The best seed-mean score of the space on this split; ``None`` where not known.
        missing: Why ``value`` is ``None``.
    """

    value: float | None
    optimum: float | None = None
    missing: str | None = None


def final_score(benchmark: Benchmark, arch: Architecture, split: str) -> Score:
    """Score an architecture on a split at the benchmark's final fidelity, mean over seeds."""
    fidelity = benchmark.final_fidelity
    try:
        value = benchmark.query(arch, split=split, fidelity=fidelity)
        best = benchmark.optimum(split=split, fidelity=fidelity)
    except DataError as error:
        return Score(None, missing=str(error))
    return Score(value, best[1] if best else None)


def facts(benchmark: Benchmark, strategy: Strategy) -> dict[str, Any]:
    """What ``run.json`` says of what a run is on: ``space``, ``metric``, ``cost_kind`` and ``data``."""
    read = strategy.digest(benchmark.space, benchmark.dataset)
    return {
        "space": benchmark.space.name,
        "metric": asdict(benchmark.metric),
        "cost_kind": benchmark.cost_kind,
        "data": {"source": benchmark.source, "digest": benchmark.digest}
        | ({} if read is None else {"strategy": read}),
    }


def make_benchmark(name: str, params: dict[str, Any]) -> Benchmark:
    """The benchmark of a run spec, one object per process and spec.

    Raises:
        SpecError: The name is unknown, or a parameter is not legal.
        DataError: Its data are missing or corrupt.
    """
    return _make_benchmark(name, json.dumps(params, sort_keys=True))


@lru_cache(maxsize=32)
def _make_benchmark(name: str, params: str) -> Benchmark:
    benchmark: Benchmark = registry.load("benchmark", name)(**json.loads(params))
    return benchmark
