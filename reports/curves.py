"""Anytime curves: how good the best architecture found so far is, over what was spent to find it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import numpy as np

from reports import statistics
from reports.scores import seed_means

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from harness.benchmarks import Benchmark
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Floats

Axis = Literal["architectures", "gpu-hours", "llm-tokens"]

_GRID_POINTS = 300


@dataclass(frozen=True)
class Curve:
    """One strategy's curve over its finished runs.

    Attributes:
        strategy: Label.
        x: ``(points,)``: distinct architectures, GPU hours, or tokens.
        mean: ``(points,)``: mean over runs.
        low: ``(points,)``: lower end of the 95 % bootstrap interval of the mean; NaN for a single run.
        high: ``(points,)``: its upper end.
        runs: Number of runs.
    """

    strategy: str
    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    runs: int


@dataclass(frozen=True)
class Panel:
    """The curves of one benchmark over one axis.

    Attributes:
        benchmark: Label.
        title: What the benchmark is called.
        axis: What ``x`` is.
        strategies: Labels of the whole sweep in its order, by which curves of all figures have their colours.
        curves: One per strategy with a finished run, in the order of the sweep.
        optimum: The best validation score of the space; NaN where not known, or not what the curves show.
        final: Whether values are scored as in the table; otherwise they are what the search saw.
        fidelity: Epochs of what the search saw.
        cost_kind: Whether the GPU hours of evaluations are ``simulated`` or ``measured``.
        llm_gpus: Whether GPU hours also hold those of language models.
        metric: What the curves show, with unit and direction.
        levels: Over tokens: the curves over architectures of strategies that asked no model. They spend nothing of
            what the axis counts, and have no place on it but the level that they reach.
    """

    benchmark: str
    title: str
    axis: Axis
    strategies: tuple[str, ...]
    curves: tuple[Curve, ...]
    optimum: float
    final: bool
    fidelity: int
    cost_kind: str
    llm_gpus: bool
    metric: Mapping[str, Any]
    levels: tuple[Curve, ...] = ()


def panels(results: Results, label: str, ceiling: Ceiling) -> tuple[Panel, ...]:
    """The curves of a benchmark over distinct architectures, over GPU hours, and over tokens of language models.

    The value after a trial is that of the best architecture so far by what the search saw, scored as in the
    table: at the highest fidelity, mean over training seeds. Where the search saw just that, nothing changes;
    where it saw one noisy seed or few epochs, the curve does not profit from luck. Runs that failed or still
    run are left out, as in the table; a run that ended early keeps its last value.

    Args:
        results: The runs.
        label: Label of the benchmark.
        ceiling: Of this benchmark.

    Returns:
        The panel over tokens only where a finished run asked a model.
    """
    runs = results.runs[results.runs["benchmark"] == label]
    record = runs["record"].iloc[0]
    better = bool(record["metric"]["higher_is_better"])
    finished = runs[runs["finished"] & runs["ncode"].notna() & (runs["trials"] > 0)]
    trials = dict(iter(results.trials[results.trials["run"].isin(finished.index)].groupby("run")))
    timings = dict(iter(results.timings[results.timings["run"].isin(finished.index)].groupby("run")))
    best = {run: _best_trials(frame, better) for run, frame in trials.items()}

    scores = None
    if rescored := ceiling.benchmark is not None and not _sees_final_scores(finished, ceiling.benchmark):
        assert ceiling.benchmark is not None
        scores = _table(ceiling.benchmark, trials, best)
    values = {run: _values(frame, best[run], scores) for run, frame in trials.items()}

    groups = [
        (str(strategy), list(group.index)) for strategy, group in finished.groupby("strategy", sort=False)
    ]
    over_architectures = []
    over_hours = []
    over_tokens = []
    levels = []
    for strategy, members in groups:
        aligned = statistics.align(
            [statistics.by_architectures(values[run], trials[run]["duplicate"]) for run in members]
        )
        over_architectures.append(_curve(strategy, np.arange(1, aligned.shape[1] + 1, dtype=float), aligned))
        hours = [_gpu_hours(trials[run], timings.get(run)) for run in members]
        over_hours.append(_over_cost(strategy, [values[run] for run in members], hours))
        tokens = [_tokens(trials[run]) for run in members]
        if any(spent.any() for spent in tokens):
            over_tokens.append(_over_cost(strategy, [values[run] for run in members], tokens))
        else:
            levels.append(over_architectures[-1])

    final = ceiling.benchmark is not None and (not rescored or scores is not None)
    common = {
        "benchmark": label,
        "title": ceiling.title,
        "strategies": results.strategies,
        "optimum": ceiling.optimum["valid"] if final else math.nan,
        "final": final,
        "fidelity": runs["spec"].iloc[0]["objective"]["fidelity"],
        "cost_kind": record["cost_kind"],
        "llm_gpus": bool((finished["llm_gpu_seconds"] > 0).any()),
        "metric": ceiling.metric(record) if final else record["metric"],
    }
    made = (
        Panel(axis="architectures", curves=tuple(over_architectures), **common),
        Panel(axis="gpu-hours", curves=tuple(over_hours), **common),
    )
    if not over_tokens:
        return made
    return *made, Panel(axis="llm-tokens", curves=tuple(over_tokens), levels=tuple(levels), **common)


def _over_cost(strategy: str, values: Sequence[Floats], costs: Sequence[Floats]) -> Curve:
    """The curve of a strategy over what its runs spent, from what holds after each trial and what that cost."""
    grid = np.linspace(0, max(np.cumsum(cost)[-1] for cost in costs), _GRID_POINTS)
    spent = [statistics.by_cost(own, cost, grid) for own, cost in zip(values, costs, strict=True)]
    return _curve(strategy, grid, np.array(spent))


def _tokens(trials: pd.DataFrame) -> Floats:
    """Tokens of each trial, read and written, for its proposal."""
    tokens: Floats = trials[["prompt_tokens", "completion_tokens"]].sum(axis=1).to_numpy(dtype=float)
    return tokens


def _gpu_hours(trials: pd.DataFrame, timings: pd.DataFrame | None) -> Floats:
    """GPU hours of each trial: its evaluation, and what its strategy and the models spent on proposing it."""
    seconds = trials.set_index("trial")["gpu_seconds"]
    if timings is not None:
        proposing = timings.set_index("trial")[["llm_gpu_seconds", "strategy_gpu_seconds"]].sum(axis=1)
        seconds = seconds.add(proposing.reindex(seconds.index, fill_value=0))
    return seconds.to_numpy() / 3600


def _best_trials(trials: pd.DataFrame, better: bool) -> NDArray[np.intp]:
    """Position of the best complete trial so far; -1 before the first."""
    # A pruned trial was scored at a lower fidelity: its value compares with nothing.
    seen = trials["valid"].where(trials["state"] == "complete")
    return statistics.incumbents(seen, higher_is_better=better)


def _sees_final_scores(runs: pd.DataFrame, benchmark: Benchmark) -> bool:
    """Whether the searches of these runs saw the very scores that the table shows."""
    final = {"fidelity": benchmark.final_fidelity, "noise": "mean"}
    return all(spec["objective"] == final for spec in runs["spec"])


def _table(
    benchmark: Benchmark, trials: Mapping[int, pd.DataFrame], best: Mapping[int, NDArray[np.intp]]
) -> dict[str, float] | None:
    """Final score of every architecture that was the best of its run at some time."""
    ncodes = sorted(
        {n for run, frame in trials.items() for n in frame["ncode"].iloc[np.maximum(best[run], 0)]}
    )
    scores = seed_means(benchmark, ncodes)
    return None if scores is None else dict(zip(ncodes, scores.tolist(), strict=True))


def _values(trials: pd.DataFrame, best: NDArray[np.intp], scores: Mapping[str, float] | None) -> Floats:
    at = np.maximum(best, 0)
    if scores is None:
        values = trials["valid"].to_numpy()[at]
    else:
        values = np.array([scores[ncode] for ncode in trials["ncode"].to_numpy()[at]])
    return np.where(best < 0, np.nan, values)


def _curve(strategy: str, x: Floats, values: Floats) -> Curve:
    low, high = statistics.interval(values)
    mean = values.mean(axis=0)
    known = ~np.isnan(mean)
    return Curve(strategy, x[known], mean[known], low[known], high[known], len(values))
