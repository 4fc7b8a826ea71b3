"""What was measured, number by number, in the terms in which papers report theirs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import HarnessError
from harness.errors import StoreError
from harness.ranking.run import KIND
from reports import measures
from reports import ranking
from reports import scores
from reports import seconds
from reports import tables
from reports.load import load_results
from reports.scorers.load import load_rankings
from reports.scorers.table import TARGETS
from reports.scorers.table import ranking_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Iterator
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from harness.benchmarks import Benchmark
    from reports.load import Results
    from reports.scores import Ceiling

TAU = "Kendall's tau"
SPEARMAN = "Spearman's correlation"
SECONDS = "seconds"

_PARTS_WITH_MODEL = {"search": "llm_trial", "simulation": "evaluation_trial", "total": "total_trial"}
_PARTS_WITH_SUPERNET = {"search": "supernet_trial", "projection": "projection_trial"}
_CORRELATIONS = {TAU: "tau", SPEARMAN: "spearman"}


@dataclass(frozen=True)
class Measured:
    """Numbers of one kind that were measured of one thing.

    Attributes:
        sweep: Name of the sweep.
        benchmark: Label of the benchmark.
        label: Of the strategy or scorer in that sweep; registered name of a reference; empty for an optimum.
        space: Search space.
        dataset: Published data set.
        measure: What was measured.
        unit: Its unit.
        split: Of scores.
        part: Of what is measured in parts, the part.
        values: One per run, or training of a reference.
        spec: Specification of the runs; ``None`` where they are none of a strategy.
        scorer: Registered name, of a scorer's rank correlation.
        reference: Registered name of a network that people designed.
        optimum: Whether it is the best of the whole space.
        trials: Mean number of trials of a run; NaN where it is no run.
        gpu_hours: Mean per run, of all that it computed; NaN where it is no run.
        tokens: Mean number of tokens per run; NaN where it is no run.
        absent: How much of the data set it lacks; empty where nothing.
        settings: What a reader should know of how it was measured.
    """

    sweep: str
    benchmark: str
    label: str
    space: str
    dataset: str
    measure: str
    unit: str
    split: str | None
    part: str | None
    values: tuple[float, ...]
    spec: Mapping[str, Any] | None = None
    scorer: str | None = None
    reference: str | None = None
    optimum: bool = False
    trials: float = math.nan
    gpu_hours: float = math.nan
    tokens: float = math.nan
    absent: str = ""
    settings: str = ""


def sweep_folders(folder: Path) -> list[Path]:
    """The folder of a sweep itself, or those of all sweeps in a folder of several.

    Raises:
        StoreError: There is no such folder, or no sweep in it.
    """
    if not folder.is_dir():
        raise StoreError(
            f"{folder}: there is no such folder. Give a results folder, of one sweep or of several."
        )
    if (folder / "sweep.json").is_file():
        return [folder]
    found = sorted(file.parent for file in folder.glob("*/sweep.json"))
    if not found:
        raise StoreError(
            f"{folder}: this is no results folder: neither it nor a folder in it has a sweep.json. Run a sweep first: "
            "`harness run`."
        )
    return found


def collect(folders: Iterable[Path]) -> tuple[list[Measured], list[str]]:
    """All numbers of some sweeps, and a sentence for each sweep that has none to give.

    Args:
        folders: Results folders, one per sweep.
    """
    found: list[Measured] = []
    remarks = []
    for folder in folders:
        try:
            found += _of_ranking(folder) if _is_ranking(folder) else of_results(load_results(folder))
        except HarnessError as error:
            remarks.append(f"Sweep {folder.name} is left out: {error}")
    return found, remarks


def of_results(results: Results, known: Mapping[str, Ceiling] | None = None) -> list[Measured]:
    """All numbers of a sweep of searches.

    Args:
        results: The runs.
        known: Of every benchmark, where that is known already.
    """
    known = scores.ceilings(results) if known is None else known
    return [
        *_scores(results, known),
        *_references(results, known),
        *_optima(results, known),
        *_rankings_by_models(results, known),
        *_seconds(results, known),
    ]


def _is_ranking(folder: Path) -> bool:
    try:
        plan = json.loads((folder / "sweep.json").read_bytes())
    except (OSError, ValueError):
        # What is wrong is said by whoever reads all of it.
        return False
    return isinstance(plan, dict) and plan.get("kind") == KIND


def _scores(results: Results, known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    frame = measures.run_scores(results, known, splits=scores.SPLITS)
    about = _about(results)
    for (label, strategy, split, measure), group in frame.dropna(subset="value").groupby(
        ["benchmark", "strategy", "split", "measure"], sort=False
    ):
        benchmark = _scoring(known[label])
        unit = next(m.unit for m in benchmark.measures if m.name == measure)
        yield Measured(
            sweep=results.name,
            benchmark=label,
            label=strategy,
            measure=measure,
            unit=unit,
            split=split,
            part=None,
            values=tuple(group["value"]),
            **_of_benchmark(benchmark),
            **about[label, strategy],
        )


def _references(results: Results, known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    for on in measures.scored(known):
        frame = measures.reference_scores([on])
        for (name, measure), group in frame.groupby(["reference", "measure"], sort=False):
            yield Measured(
                sweep=results.name,
                benchmark=on.label,
                label=name,
                measure=measure,
                unit=next(m.unit for m in on.benchmark.measures if m.name == measure),
                split=on.split,
                part=None,
                values=tuple(group["value"]),
                reference=name,
                **_of_benchmark(on.benchmark),
            )


def _optima(results: Results, known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    for on in measures.scored(known):
        for split, best in known[on.label].optimum.items():
            if not math.isnan(best):
                yield Measured(
                    sweep=results.name,
                    benchmark=on.label,
                    label="",
                    measure=on.benchmark.reported.name,
                    unit=on.benchmark.reported.unit,
                    split=split,
                    part=None,
                    values=(best,),
                    optimum=True,
                    **_of_benchmark(on.benchmark),
                )


def _rankings_by_models(results: Results, known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    about = _about(results)
    taus = ranking.run_taus(results, known).dropna(subset="tau")
    for (label, strategy), group in taus.groupby(["benchmark", "strategy"], sort=False):
        if known[label].benchmark is not None:
            yield Measured(
                sweep=results.name,
                benchmark=label,
                label=strategy,
                measure=TAU,
                unit="",
                split=None,
                part=None,
                values=tuple(group["tau"]),
                **_of_benchmark(_scoring(known[label])),
                **about[label, strategy],
            )


def _seconds(results: Results, known: Mapping[str, Ceiling]) -> Iterator[Measured]:
    about = _about(results)
    for (label, strategy), group in seconds.run_seconds(results).groupby(
        ["benchmark", "strategy"], sort=False
    ):
        if known[label].benchmark is None:
            continue
        parts = _PARTS_WITH_MODEL if about[label, strategy]["spec"]["models"] else _PARTS_WITH_SUPERNET
        for part, column in parts.items():
            if values := tuple(group[column].dropna()):
                yield Measured(
                    sweep=results.name,
                    benchmark=label,
                    label=strategy,
                    measure=SECONDS,
                    unit="s",
                    split=None,
                    part=part,
                    values=values,
                    **_of_benchmark(_scoring(known[label])),
                    **about[label, strategy],
                )


def _of_ranking(folder: Path) -> Iterator[Measured]:
    rankings = load_rankings(folder)
    for ranked in rankings.benchmarks:
        record = ranked.record
        frame = ranking_table(ranked).frame
        for row in frame[frame["role"] == "scorer"].to_dict("records"):
            for split in TARGETS:
                for measure, column in _CORRELATIONS.items():
                    if not math.isnan(value := row[f"{column}_{split}"]):
                        yield Measured(
                            sweep=rankings.plan.name,
                            benchmark=ranked.label,
                            label=str(row["scorer"]),
                            space=record.space,
                            dataset=record.dataset,
                            measure=measure,
                            unit="",
                            split=split,
                            part=None,
                            values=(value,),
                            scorer=str(row["name"]),
                            settings=f"{int(row['scored'])} architectures",
                        )


def _scoring(ceiling: Ceiling) -> Benchmark:
    assert ceiling.benchmark is not None, "only what can score has scores"
    return ceiling.benchmark


def _of_benchmark(benchmark: Benchmark) -> dict[str, Any]:
    extent = benchmark.extent
    absent = ", ".join(f"{have:,} of {whole:,} {kind}" for kind, (have, whole) in extent.part.items())
    return {"space": benchmark.space.name, "dataset": extent.dataset, "absent": absent}


def _about(results: Results) -> dict[tuple[str, str], dict[str, Any]]:
    """Of each benchmark and strategy: specification, means of costs, and what a reader should know."""
    runs = tables.run_costs(results)[["trials", "gpu_hours", "llm_tokens"]]
    return {
        (benchmark, strategy): _about_runs(group, runs.loc[group.index])
        for (benchmark, strategy), group in results.runs[results.runs["finished"]].groupby(
            ["benchmark", "strategy"], sort=False
        )
    }


def _about_runs(runs: pd.DataFrame, costs: pd.DataFrame) -> dict[str, Any]:
    return {
        "spec": runs["spec"].iloc[0],
        "trials": float(costs["trials"].mean()),
        "gpu_hours": float(costs["gpu_hours"].mean()),
        "tokens": float(costs["llm_tokens"].mean()),
    }
