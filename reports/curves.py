"""Anytime curves: how good the best architecture found so far is, over what was spent to find it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports import statistics
from reports.load import by_run
from reports.scores import seed_means

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

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


class _Trials(NamedTuple):
    """The trials of a run as arrays ``(trials,)``.

    Attributes:
        ncode: Architectures.
        valid: Their scores.
        seen: The same of complete trials, NaN for all others.
        duplicate: Whether the trial asked for a known architecture.
        gpu_hours: Of its evaluation, and of what strategy and models spent on proposing it.
        tokens: Read and written for its proposal.
    """

    ncode: NDArray[np.object_]
    valid: Floats
    seen: Floats
    duplicate: NDArray[np.bool_]
    gpu_hours: Floats
    tokens: Floats


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
    trials = _trials(results, finished)
    best = {run: statistics.incumbents(own.seen, higher_is_better=better) for run, own in trials.items()}

    scores = None
    if rescored := ceiling.benchmark is not None and not _sees_final_scores(finished, ceiling.benchmark):
        assert ceiling.benchmark is not None
        scores = _table(ceiling.benchmark, trials, best)
    values = {run: _values(own, best[run], scores) for run, own in trials.items()}

    groups = [
        (str(strategy), list(group.index)) for strategy, group in finished.groupby("strategy", sort=False)
    ]
    over_architectures = []
    over_hours = []
    over_tokens = []
    levels = []
    for strategy, members in groups:
        aligned = statistics.align(
            [statistics.by_architectures(values[run], trials[run].duplicate) for run in members]
        )
        over_architectures.append(_curve(strategy, np.arange(1, aligned.shape[1] + 1, dtype=float), aligned))
        hours = [trials[run].gpu_hours for run in members]
        over_hours.append(_over_cost(strategy, [values[run] for run in members], hours))
        tokens = [trials[run].tokens for run in members]
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


def _trials(results: Results, runs: pd.DataFrame) -> dict[int, _Trials]:
    """The trials of some runs, by the index of the run."""
    trials = results.trials[results.trials["run"].isin(runs.index)]
    columns = {
        "ncode": trials["ncode"],
        "valid": trials["valid"],
        # A pruned trial was scored at a lower fidelity: its value compares with nothing.
        "seen": trials["valid"].where(trials["state"] == "complete"),
        "duplicate": trials["duplicate"],
        "gpu_hours": (trials["gpu_seconds"] + _proposing_seconds(results, trials)) / 3600,
        "tokens": (trials["prompt_tokens"] + trials["completion_tokens"]).astype(float),
    }
    frame = pd.DataFrame({"run": trials["run"]} | columns)
    return {run: _Trials(*values) for run, values in by_run(frame, *columns).items()}


def _proposing_seconds(results: Results, trials: pd.DataFrame) -> pd.Series:
    """GPU seconds that strategy and models spent on the proposal of each trial."""
    timings = results.timings[results.timings["run"].isin(trials["run"])]
    spent = timings["llm_gpu_seconds"] + timings["strategy_gpu_seconds"]
    which = ["run", "trial"]
    if not np.array_equal(timings[which], trials[which]):
        # Lines were lost with a machine, or are ahead of the trajectory of a run that was cut off.
        spent.index = pd.MultiIndex.from_frame(timings[which])
        spent = spent.reindex(pd.MultiIndex.from_frame(trials[which]), fill_value=0.0)
    return spent.set_axis(trials.index)


def _sees_final_scores(runs: pd.DataFrame, benchmark: Benchmark) -> bool:
    """Whether the searches of these runs saw the very scores that the table shows."""
    final = {"fidelity": benchmark.final_fidelity, "noise": "mean"}
    return all(spec["objective"] == final for spec in runs["spec"])


def _table(
    benchmark: Benchmark, trials: Mapping[int, _Trials], best: Mapping[int, NDArray[np.intp]]
) -> dict[str, float] | None:
    """Final score of every architecture that was the best of its run at some time."""
    ncodes = sorted({n for run, own in trials.items() for n in own.ncode[np.maximum(best[run], 0)]})
    scores = seed_means(benchmark, ncodes)
    return None if scores is None else dict(zip(ncodes, scores.tolist(), strict=True))


def _values(trials: _Trials, best: NDArray[np.intp], scores: Mapping[str, float] | None) -> Floats:
    at = np.maximum(best, 0)
    values = trials.valid[at] if scores is None else np.array([scores[ncode] for ncode in trials.ncode[at]])
    return np.where(best < 0, np.nan, values)


def _curve(strategy: str, x: Floats, values: Floats) -> Curve:
    low, high = statistics.interval(values)
    mean = values.mean(axis=0)
    known = ~np.isnan(mean)
    return Curve(strategy, x[known], mean[known], low[known], high[known], len(values))
