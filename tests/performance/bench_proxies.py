"""Seconds per architecture of every zero-cost proxy, alone and together; searches on a table of scores.

Run it: ``python -m tests.performance.bench_proxies [--device cuda] [--cells 10] [--images digits]``. Cells are random
ones of NAS-Bench-201 at full size (16 channels, 5 cells per stage); a first one, not counted, warms up. One thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import optuna
from tabulate import tabulate

from harness import registry
from harness import scoring
from harness import search
from harness.benchmarks.proxy import ProxyBenchmark
from harness.budget import Budget
from harness.experiment import Labels
from harness.experiment import Named
from harness.experiment import Objective
from harness.experiment import RunSpec
from harness.models import Models
from harness.proxies import ProxyScore
from harness.proxies import make_proxy
from harness.spaces import NASBench201Space
from harness.store import JsonLines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from harness.proxies import Proxy
    from harness.spaces import Architecture

SPACE = NASBench201Space()
DATASET = "cifar10"
TRIALS = 2_000


def sample(count: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [SPACE.from_index(int(i)) for i in rng.choice(SPACE.size, count, replace=False)]


def proxies(images: str, device: str) -> dict[str, Proxy]:
    """Every registered proxy that takes time, in order of name."""
    made = {}
    for name in registry.names("proxy"):
        if not registry.load("proxy", name).closed_form:
            made[name] = make_proxy(name, {"images": images, "device": device})
    return made


def seconds_alone(proxy: Proxy, cells: Sequence[Architecture]) -> list[float]:
    """Wall-clock seconds of each cell but the first."""
    taken = []
    for cell in cells:
        began = time.perf_counter()
        proxy.score_together([proxy], SPACE, cell, DATASET)
        taken.append(time.perf_counter() - began)
    return taken[1:]


def seconds_together(team: Sequence[Proxy], cells: Sequence[Architecture]) -> list[float]:
    taken = []
    for cell in cells:
        began = time.perf_counter()
        team[0].score_together(team, SPACE, cell, DATASET)
        taken.append(time.perf_counter() - began)
    return taken[1:]


def teams(found: Mapping[str, Proxy]) -> list[list[str]]:
    """Names of those that share work."""
    groups = defaultdict(list)
    for name, proxy in found.items():
        groups[proxy.shares].append(name)
    return [names for names in groups.values() if len(names) > 1]


def trials_per_second(benchmark: str, params: Mapping[str, object], folder: Path) -> float:
    """Of one search of random cells in this process, trajectories written."""
    spec = RunSpec(
        strategy=Named(name="random_search", params={}),
        benchmark=Named(name=benchmark, params=dict(params)),
        objective=Objective(fidelity=0 if benchmark == "proxy" else 200),
        budget=Budget(architectures=TRIALS),
        seed=0,
        models={},
        labels=Labels(sweep="s", benchmark="b", strategy="s"),
    )
    made = search.Search(spec, scoring.make_benchmark(benchmark, dict(params)), Models())
    trajectory, timings = JsonLines(folder / "trajectory.jsonl"), JsonLines(folder / "timings.jsonl")
    began = time.perf_counter()
    made.go(trajectory, timings)
    elapsed = time.perf_counter() - began
    trajectory.close()
    timings.close()
    return TRIALS / elapsed


def searches() -> dict[str, float]:
    """Trials per second on the table of accuracies, on one of scores, and opening the latter, per second."""

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HARNESS_DATA"] = str(folder / "data")
        scoring._make_benchmark.cache_clear()
        settings = {"proxy": "grad_norm", "dataset": DATASET, "settings": {"images": "digits"}}
        # What a score is does not matter here.
        ProxyBenchmark(**settings)._table.add(
            {arch: ProxyScore(float(i), 0.5) for i, arch in enumerate(SPACE)}
        )
        scoring._make_benchmark.cache_clear()
        began = time.perf_counter()
        scoring.make_benchmark("proxy", settings)
        opening = time.perf_counter() - began
        rates = {}
        for label, benchmark, params in (
            ("table of accuracies", "nasbench201", {"dataset": DATASET}),
            ("table of scores", "proxy", settings),
        ):
            repeats = []
            for repeat in range(3):
                own = folder / f"{benchmark}-{repeat}"
                own.mkdir()
                repeats.append(trials_per_second(benchmark, params, own))
            rates[label] = statistics.median(repeats)
        return rates | {"seconds to open a table of 15,625 scores": opening}


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--images", default="digits")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", default=None)
    chosen = parser.parse_args()
    cells = sample(chosen.cells + 1)
    found = proxies(chosen.images, chosen.device)
    if chosen.only is not None:
        found = {name: found[name] for name in chosen.only}
    alone = {name: statistics.mean(seconds_alone(proxy, cells)) for name, proxy in found.items()}
    unit = alone.get("grad_norm", float("nan"))
    rows = [(name, f"{seconds:.3f}", f"{seconds / unit:.2f}") for name, seconds in alone.items()]
    print(tabulate(rows, ("proxy", "s per cell", "× grad_norm"), tablefmt="github", disable_numparse=True))
    rows = []
    for names in teams(found):
        together = statistics.mean(seconds_together([found[name] for name in names], cells))
        apart = sum(alone[name] for name in names)
        rows.append((", ".join(names), f"{together:.3f}", f"{together / apart:.2f}"))
    print(tabulate(rows, ("together", "s per cell", "× apart"), tablefmt="github", disable_numparse=True))
    print(tabulate(searches().items(), ("searches", "trials/s"), tablefmt="github", floatfmt=",.3g"))


if __name__ == "__main__":
    main()
