"""Results folders written by hand, on a benchmark whose every score can be computed in the head."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness.benchmarks import Benchmark
from harness.benchmarks import Evaluation
from harness.benchmarks import Extent
from harness.benchmarks import Metric
from harness.benchmarks.tabular import TabularBenchmark
from harness.errors import DataError
from harness.spaces import ISTSSpace
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from reports import scores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.spaces import Architecture

Row = dict[str, Any]


class Toy(TabularBenchmark):
    """Nine architectures ``ab``: validation ``50 + 10a + b``, test ``40 + a + 10b``, a quarter hour each.

    At 10 epochs validation is ten points lower. Of its two training seeds, the second turns the order round.

    Args:
        splits: What it can score.
    """

    name = "toy"
    dataset = "toy"
    metric = Metric("accuracy", "%")
    fidelities = (10, 100)
    digest = "d" * 64
    source = "toy table"

    def __init__(self, splits: Sequence[str] = ("valid", "test")) -> None:
        self.space = SearchSpace({"a": ("x", "y", "z"), "b": ("x", "y", "z")})
        self.splits = tuple(splits)

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        value = self.query(arch, split="valid", fidelity=fidelity)
        return Evaluation(value, fidelity, seed, 900.0, "simulated")

    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        if split not in self.splits:
            raise DataError(f"toy table has no {split} scores.")
        a, b = arch
        return (50.0 + 10 * a + b if split == "valid" else 40.0 + a + 10 * b) - (10 if fidelity == 10 else 0)

    def scores(
        self, *, split: str, fidelity: int, seed: int | None = None, measure: str | None = None
    ) -> NDArray[np.float64]:
        every = (self.space.from_index(i) for i in range(self.space.size))
        scores = np.array([self.query(arch, split=split, fidelity=fidelity) for arch in every])
        return -scores if seed == 2 else scores

    def seeds(self, *, split: str, fidelity: int) -> tuple[int, ...]:
        return 1, 2

    def optimum(self, *, split: str, fidelity: int) -> tuple[Architecture, float]:
        best = self.space.from_ncode("22")
        return best, self.query(best, split=split, fidelity=fidelity)

    @property
    def measures(self) -> tuple[Metric, ...]:
        return (self.metric,)


class Roads(Benchmark):
    """Forecasts of traffic at one sensor of METR-LA, of which lower errors are better.

    With a sum s of the digits of an architecture, its validation MAE is ``3 + s / 10``; test adds 1. RMSE is twice as
    much, MAPE is ``s`` percent. Nothing is known of ``222222``. One evaluation costs 10 seconds.

    Args:
        dataset: Its name.
        part: How many sensors there are, of 207.
        references: Network to the test MAE of each training; RMSE and MAPE are the same numbers.
        splits: What it can score.
    """

    name = "roads"
    metric = Metric("MAE", "mph", higher_is_better=False)
    fidelities = (1, 8)
    digest = Toy.digest
    source = "roads"
    cost_kind = "measured"

    def __init__(
        self,
        dataset: str = "metr-la-1",
        part: int = 1,
        references: dict[str, list[float]] | None = None,
        splits: Sequence[str] = ("valid", "test"),
    ) -> None:
        self.dataset = dataset
        self.space = ISTSSpace()
        self.splits = tuple(splits)
        self._part = part
        self._references = references or {}

    @property
    def extent(self) -> Extent:
        return Extent("metr-la", {"sensors": (self._part, 207)} if self._part < 207 else {})

    @property
    def measures(self) -> tuple[Metric, ...]:
        rmse = Metric("RMSE", "mph", higher_is_better=False)
        return self.metric, rmse, Metric("MAPE", "%", higher_is_better=False)

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(self._references)

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        value = self.query(arch, split="valid", fidelity=fidelity)
        return Evaluation(value, fidelity, seed, 10.0, "measured")

    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        if self.space.ncode(arch) == "222222" or split not in self.splits:
            raise DataError(f"{self.space.ncode(arch)} was not trained. `harness run` trains it.")
        mae = 3 + sum(arch) / 10 + (split == "test")
        return {"MAE": mae, "RMSE": 2 * mae, "MAPE": float(sum(arch))}[measure or "MAE"]

    def query_reference(
        self, name: str, *, split: str, fidelity: int, seed: int | None = None, measure: str | None = None
    ) -> float:
        scores = self._references.get(name, [])
        if seed is None or seed >= len(scores):
            raise DataError(f"no training {seed} of {name}.")
        return scores[seed]


class Cells(TabularBenchmark):
    """The cells of NAS-Bench-201, with scores of our own: ``70 + s`` on validation, ``66 + s`` on test.

    ``s`` is the sum of the digits of an architecture, at most 24.

    Args:
        dataset: Its name.
        splits: What it can score.
        proxy: What stands in the place of the score in a search, if anything does.
    """

    name = "cells"
    metric = Metric("accuracy", "%")
    fidelities = (12, 100)
    digest = Toy.digest
    source = "cells"

    def __init__(
        self,
        dataset: str = "cifar10",
        splits: Sequence[str] = ("valid", "test"),
        proxy: str | None = None,
    ) -> None:
        self.dataset = dataset
        self.space = NASBench201Space()
        self.splits = tuple(splits)

    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        if split not in self.splits:
            raise DataError(f"cells has no {split} scores.")
        return float({"valid": 70, "test": 66}[split] + sum(arch))

    def seeds(self, *, split: str, fidelity: int) -> tuple[int, ...]:
        return ()

    def optimum(self, *, split: str, fidelity: int) -> tuple[Architecture, float]:
        best = self.space.from_ncode("444444")
        return best, self.query(best, split=split, fidelity=fidelity)

    @property
    def measures(self) -> tuple[Metric, ...]:
        return (self.metric,)


BENCHMARKS: dict[str, type[Toy | Roads | Cells]] = {"toy": Toy, "roads": Roads, "cells": Cells}


class Folder:
    """A results folder that grows run by run.

    Args:
        path: The sweep's folder.
        strategies: Labels, in the order of the sweep.
        seeds: Seeds of the sweep.
        splits: What the toy benchmark can score.
        objective: In place of validation at 100 epochs, mean over training seeds.
        benchmark: Registered name and arguments, in place of the toy benchmark.
        labels: Of the benchmarks, in the order of the sweep.
        name: Of the sweep.
    """

    def __init__(
        self,
        path: Path,
        strategies: Sequence[str] = ("random_search",),
        seeds: Sequence[int] = (0,),
        splits: Sequence[str] = ("valid", "test"),
        objective: Row | None = None,
        benchmark: Row | None = None,
        labels: Sequence[str] = ("toy-a",),
        name: str = "handmade",
    ) -> None:
        self.path = path
        self.benchmark = benchmark or {"name": "toy", "params": {"splits": list(splits)}}
        self.objective = objective or {"fidelity": 100, "noise": "mean"}
        path.mkdir(parents=True)
        plan = {
            "format": 1,
            "name": name,
            "description": "Written by a test.",
            "benchmarks": list(labels),
            "strategies": list(strategies),
            "seeds": list(seeds),
            "budget": {"architectures": 3},
            "objective": self.objective,
            "runs": [
                f"{label}/{strategy}/seed-{seed}"
                for label in labels
                for strategy in strategies
                for seed in seeds
            ],
            "made": "2025-01-01T00:00:00+00:00",
        }
        (path / "sweep.json").write_text(json.dumps(plan))

    def run(
        self,
        strategy: str,
        seed: int,
        ncodes: str,
        *,
        status: str = "complete",
        error: str | None = None,
        recommend: str | None = None,
        spec: Row | None = None,
        changes: dict[int, Row] | None = None,
        timings: dict[int, Row] | None = None,
        record: Row | None = None,
        on: str = "toy-a",
    ) -> Path:
        """Write a run.

        Args:
            strategy: Label, and registered name.
            seed: Seed.
            ncodes: The trials, as NCodes separated by spaces.
            status: As in ``run.json``.
            error: Content of ``error.txt``.
            recommend: NCode; the best of the trials without.
            spec: Keys of the specification that differ.
            changes: Keys of single trials that differ.
            timings: Keys of the timings of single trials that differ.
            record: Keys of ``run.json`` that differ.
            on: Label of the benchmark.
        """
        folder = self.path / on / strategy / f"seed-{seed}"
        folder.mkdir(parents=True)
        scored = BENCHMARKS[self.benchmark["name"]]()
        higher = scored.metric.higher_is_better
        seen: set[str] = set()
        rows: list[Row] = []
        for number, ncode in enumerate(ncodes.split()):
            valid = scored.query(scored.space.from_ncode(ncode), split="valid", fidelity=100)
            rows.append(
                {
                    "trial": number,
                    "ncode": ncode,
                    "state": "complete",
                    "valid": valid,
                    "fidelity": 100,
                    "seed": None,
                    "gpu_seconds": 0.0 if ncode in seen else 900.0,
                    "duplicate": ncode in seen,
                }
                | (changes or {}).get(number, {})
            )
            seen.add(ncode)
        seconds = [
            {"trial": row["trial"], "search_seconds": 0.5, "llm_seconds": 0.25, "evaluation_seconds": 0.0}
            | (timings or {}).get(row["trial"], {})
            for row in rows
        ]
        write_lines(folder / "trajectory.jsonl", rows)
        write_lines(folder / "timings.jsonl", seconds)
        ended = status in {"complete", "exhausted", "stalled"}
        pick = max if higher else min
        best = recommend or (pick(rows, key=lambda row: row["valid"])["ncode"] if rows else None)
        content = {
            "format": 1,
            "id": f"{strategy}-{seed}" if on == "toy-a" else f"{on}-{strategy}-{seed}",
            "status": status,
            "spec": {
                "strategy": {"name": strategy, "params": {}},
                "benchmark": self.benchmark,
                "objective": self.objective,
                "budget": {
                    "architectures": 3,
                    "trials": None,
                    "gpu_seconds": None,
                    "duplicates_in_a_row": 1000,
                },
                "seed": seed,
                # "clever" stands for a strategy with a language model.
                "models": {"m": {"kind": "embedded"}} if strategy == "clever" else {},
                "labels": {"sweep": "handmade", "benchmark": on, "strategy": strategy},
            }
            | (spec or {}),
            "space": "categorical",
            "metric": asdict(scored.metric),
            "cost_kind": scored.cost_kind,
            "data": {"source": scored.source, "digest": scored.digest},
            "versions": {"harness": "0.1.0"},
            "git": {"commit": "c0ffee", "changed": True},
            "host": {"cpus": 2, "platform": "Linux"},
            "recommendation": {"ncode": best, "text": best, "trial": 0} if ended and best else None,
            "started": "2025-01-01T00:00:00+00:00",
            "seconds": 1.0,
        } | (record or {})
        (folder / "run.json").write_text(json.dumps(content))
        if error is not None:
            (folder / "error.txt").write_text(error)
        return folder


def call(verdict: str = "used", model: str = "m", **changes: Any) -> Row:
    """A call of a model, as ``timings.jsonl`` holds it: 100 tokens read, 10 written, 2 seconds, half of a GPU's."""
    return {
        "key": "k",
        "model": model,
        "verdict": verdict,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "started": 0.0,
        "seconds": 2.0,
        "gpu_seconds": 1.0,
    } | changes


def llm(*calls: Row) -> tuple[Row, Row]:
    """What a trial's line and its line of timings hold of its calls."""
    tokens = {key: sum(call[key] for call in calls) for key in ("prompt_tokens", "completion_tokens")}
    seconds = {f"llm_{key}": sum(call[key] for call in calls) for key in ("seconds", "gpu_seconds")}
    return {"llm": {"calls": len(calls)} | tokens}, seconds | {"calls": list(calls)}


def write_lines(path: Path, rows: Sequence[Row]) -> None:
    """Write a JSONL file as the store does."""
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def _toy_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the benchmarks of this module known to reports, beside the registered ones."""
    registered = scores.make_benchmark

    def make(name: str, params: dict[str, Any]) -> Benchmark:
        return BENCHMARKS[name](**params) if name in BENCHMARKS else registered(name, params)

    monkeypatch.setattr(scores, "make_benchmark", make)


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """Random search and a strategy over three seeds, every run complete.

    Random search recommends 11, 12, 20 (validation 61, 62, 70; test 51, 61, 42), evolution 21, 21, 22
    (validation 71, 71, 72; test 52, 52, 62).
    """
    folder = Folder(tmp_path / "handmade", ["random_search", "regularized_evolution"], [0, 1, 2])
    folder.run("random_search", 0, "00 11 01")
    folder.run("random_search", 1, "12 00 01")
    folder.run("random_search", 2, "00 01 20")
    folder.run("regularized_evolution", 0, "00 21 00 20")
    folder.run("regularized_evolution", 1, "21 20 01")
    folder.run("regularized_evolution", 2, "20 21 22")
    return folder.path
