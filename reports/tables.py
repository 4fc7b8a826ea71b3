"""One table per benchmark: what every strategy found, what it cost, and whether the difference is noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from harness.budget import Budget
from reports import statistics
from reports.records import STATUSES
from reports.scores import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from reports.load import Results
    from reports.scores import Ceiling

FLOOR = "random_search"

MEASURES = (
    "gpu_hours",
    "search_seconds",
    "llm_seconds",
    "evaluation_seconds",
    "llm_calls",
    "llm_tokens",
    "rejected",
    "duplicates",
    "architectures",
    "trials",
    "pruned",
)
"""What a run spent or counted; a table gives mean and standard deviation over runs."""

OPTIMUM = "Optimum"

_SPLIT_NAMES = {"valid": "validation", "test": "test"}


@dataclass(frozen=True)
class BenchmarkTable:
    """The numbers of one benchmark.

    Attributes:
        benchmark: Label.
        frame: One row per strategy in the order of the sweep, then the optimum. Columns: ``benchmark``,
            ``strategy``, ``role`` (``strategy`` or ``optimum``); per split ``<split>_mean``, ``_std``,
            ``_low``, ``_high`` (95 % bootstrap interval of the mean), ``_n`` (runs scored),
            ``<split>_distance_mean``, ``_std``; per measure of :data:`MEASURES` ``_mean`` and ``_std``;
            ``p_value`` against the best baseline; ``runs`` (planned or found) and the number of them per
            status, ``missing`` (planned, but not there) and ``left_out`` (planned, but what is there is not
            that run, or damaged).
        facts: What a caption must say, as name and text.
        footnotes: Remarks on columns, as ``(column, text)``: the text belongs at the head of that column.
        comparison: What was tested against what, and how; or why no test is possible.
        reference: Label of the best baseline; ``None`` without one.
        decimals: Decimals of a score.
        metric: As in ``run.json``.
        cost_kind: Whether GPU hours are ``simulated`` or ``measured``.
    """

    benchmark: str
    frame: pd.DataFrame
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[tuple[str, str], ...]
    comparison: str
    reference: str | None
    decimals: int
    metric: Mapping[str, Any]
    cost_kind: str


def run_table(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per run with all its raw numbers: labels, status, recommendation, scores, measures."""
    runs = results.runs
    frame = runs[["benchmark", "strategy", "seed", "status", "ncode", "text"]].copy()
    frame[list(SPLITS)] = scores
    frame["gpu_hours"] = runs["gpu_seconds"] / 3600
    frame["llm_tokens"] = runs["prompt_tokens"] + runs["completion_tokens"]
    for measure in MEASURES:
        if measure not in frame:
            frame[measure] = runs[measure]
    return frame


def benchmark_table(results: Results, label: str, table: pd.DataFrame, ceiling: Ceiling) -> BenchmarkTable:
    """Aggregate the runs of one benchmark.

    Means are over finished runs. A run that failed or still runs has no recommendation, so it counts in no
    mean; its status is counted beside them.

    Args:
        results: The runs.
        label: Label of the benchmark.
        table: What :func:`run_table` gives.
        ceiling: Of this benchmark.
    """
    mine = results.runs["benchmark"] == label
    runs, table = results.runs[mine], table[mine]
    record = runs["record"].iloc[0]
    better = bool(record["metric"]["higher_is_better"])
    finished = table[runs["finished"]]
    absent = {
        "missing": _strategies_of(results.missing, label),
        "left_out": _strategies_of(
            set(results.left_out) & set(results.plan["runs"]) - set(results.missing), label
        ),
    }

    rows = []
    for strategy in results.strategies:
        statuses = runs.loc[runs["strategy"] == strategy, "status"]
        lost = {kind: strategies.count(strategy) for kind, strategies in absent.items()}
        if len(statuses) or any(lost.values()):
            row: dict[str, Any] = {"strategy": strategy, "role": "strategy"}
            row |= _measured(finished[finished["strategy"] == strategy], ceiling, better)
            counts = {status: int((statuses == status).sum()) for status in STATUSES}
            rows.append(row | counts | lost)
    frame = pd.DataFrame([*rows, _optimum(ceiling)])
    frame.insert(0, "benchmark", label)
    frame["runs"] = frame[[*STATUSES, *absent]].sum(axis=1, min_count=1)
    # The optimum has no counts, and a whole number must not look like a measurement.
    whole = [*STATUSES, *absent, "runs", *(f"{split}_n" for split in SPLITS)]
    frame[whole] = frame[whole].astype("Int64")

    split = "valid" if "test" in ceiling.missing else "test"
    comparison = _compare(runs, finished, split, better)
    frame["p_value"] = frame["strategy"].map(comparison.p_values).astype(float)
    return BenchmarkTable(
        benchmark=label,
        frame=frame,
        facts=_facts(runs, ceiling),
        footnotes=_footnotes(runs, ceiling, _stopped(results, runs[runs["finished"]])),
        comparison=_describe(comparison, split),
        reference=comparison.reference,
        decimals=2 if record["metric"]["unit"] == "%" else 4,
        metric=record["metric"],
        cost_kind=record["cost_kind"],
    )


def _strategies_of(paths: Iterable[str], label: str) -> list[str]:
    parts = (path.split("/") for path in paths)
    return [strategy for benchmark, strategy, _ in parts if benchmark == label]


def _measured(runs: pd.DataFrame, ceiling: Ceiling, better: bool) -> dict[str, float]:
    row: dict[str, float] = {}
    for split in SPLITS:
        values = runs[split].dropna().to_numpy(dtype=float)
        low, high = statistics.interval(values)
        row |= {
            f"{split}_mean": statistics.mean(values),
            f"{split}_std": statistics.std(values),
            f"{split}_low": float(low),
            f"{split}_high": float(high),
            f"{split}_n": len(values),
        }
        gaps = statistics.distance(values, ceiling.optimum[split], higher_is_better=better)
        row |= {
            f"{split}_distance_mean": statistics.mean(gaps),
            f"{split}_distance_std": statistics.std(gaps),
        }
    for measure in MEASURES:
        row[f"{measure}_mean"] = statistics.mean(runs[measure])
        row[f"{measure}_std"] = statistics.std(runs[measure])
    return row


def _optimum(ceiling: Ceiling) -> dict[str, Any]:
    row: dict[str, Any] = {"strategy": OPTIMUM, "role": "optimum"}
    for split in SPLITS:
        best = ceiling.optimum[split]
        row |= {f"{split}_mean": best, f"{split}_distance_mean": math.nan if math.isnan(best) else 0.0}
    return row


def _facts(runs: pd.DataFrame, ceiling: Ceiling) -> tuple[tuple[str, str], ...]:
    # Runs of another objective or budget were left out when the folder was read.
    spec = runs["spec"].iloc[0]
    data = _distinct(f"{r['data']['source']}, digest {str(r['data']['digest'])[:12]}" for r in runs["record"])
    facts = [
        ("Data", "; ".join(data)),
        ("Search", f"validation, {_objective(spec['objective'])}"),
    ]
    if ceiling.benchmark is not None:
        splits = " and ".join(name for split, name in _SPLIT_NAMES.items() if split not in ceiling.missing)
        epochs = max(ceiling.benchmark.fidelities)
        facts.append(
            (
                "Reported",
                f"{splits}, {epochs} epochs, mean over training seeds, of the architecture that each run "
                "recommends",
            )
        )
    return (
        *facts,
        ("Budget", str(Budget.model_validate(spec["budget"]))),
        ("Seeds", _ranges(sorted(set(runs["seed"])))),
    )


def _objective(objective: Mapping[str, Any]) -> str:
    noise = {"mean": "mean over training seeds", "drawn": "one training seed drawn per trial"}
    return f"{objective['fidelity']} epochs, {noise.get(objective['noise'], objective['noise'])}"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _ranges(seeds: list[int]) -> str:
    """``0-2, 7`` for 0, 1, 2 and 7."""
    breaks = np.flatnonzero(np.diff(seeds) != 1) + 1
    parts = [list(part) for part in np.split(np.array(seeds), breaks)]
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _footnotes(runs: pd.DataFrame, ceiling: Ceiling, stopped: Iterable[str]) -> tuple[tuple[str, str], ...]:
    notes = [("strategy", text) for text in stopped]
    if not runs["trials"].any():
        # A run that ends by its budget without a trial could not pay for the first one.
        why = ": the budget is too small for one evaluation" if (runs["status"] == "complete").any() else ""
        notes.append(("strategy", f"No run made a single trial{why}."))
    if FLOOR not in {spec["strategy"]["name"] for spec in runs["spec"]}:
        notes.append(("strategy", "Random search is not among these strategies, so this table has no floor."))
    notes += [
        (split, f"No {name} score: {ceiling.missing[split].rstrip('.')}.")
        for split, name in _SPLIT_NAMES.items()
        if split in ceiling.missing
    ]
    kinds = ", ".join(_distinct(record["cost_kind"] for record in runs["record"]))
    costs = f"GPU hours of evaluation are {kinds}; all costs and counts are means per run."
    return (*notes, ("gpu_hours", costs))


def _stopped(results: Results, runs: pd.DataFrame) -> list[str]:
    """One sentence per strategy that stopped trials early: how many, and after how many epochs."""
    trials = results.trials[results.trials["run"].isin(runs.index) & (results.trials["state"] == "pruned")]
    sentences = []
    for strategy, early in trials.groupby(trials["run"].map(runs["strategy"]), sort=False):
        share = len(early) / runs.loc[runs["strategy"] == strategy, "trials"].sum()
        epochs = ", ".join(map(str, sorted(early["fidelity"].unique())))
        sentences.append(f"{strategy} stopped {share:.0%} of its trials early, after {epochs} epochs.")
    return sentences


def _compare(runs: pd.DataFrame, finished: pd.DataFrame, split: str, better: bool) -> statistics.Comparison:
    # Any search without a language model is one that the others must beat.
    baselines = _distinct(
        label for label, spec in zip(runs["strategy"], runs["spec"], strict=True) if not spec["models"]
    )
    samples = {
        str(label): group[split].dropna().to_numpy(dtype=float)
        for label, group in finished.groupby("strategy", sort=False)
    }
    return statistics.compare_with_best_baseline(samples, baselines, higher_is_better=better)


def _describe(comparison: statistics.Comparison, split: str) -> str:
    if comparison.reference is None:
        return "No test: no strategy without a language model has a final score to compare with."
    if not comparison.n:
        return f"No test: {comparison.reference} has no other strategy to be compared with."
    if set(comparison.n.values()) == {comparison.n_reference}:
        sizes = f"{comparison.n_reference} each"
    else:
        sizes = ", ".join(f"{label} {n}" for label, n in comparison.n.items())
        sizes = f"{comparison.reference} {comparison.n_reference}, {sizes}"
    if not comparison.p_values:
        return (
            f"No test against the best baseline, {comparison.reference}, is possible with so few seeds "
            f"({sizes}): it needs at least {comparison.needed} per strategy to reach "
            f"p = {statistics.SIGNIFICANCE:g}."
        )
    results = "; ".join(f"{label} p = {p:.3g}" for label, p in comparison.p_values.items())
    untested = [label for label in comparison.n if label not in comparison.p_values]
    rest = f" Too few seeds for a test of {', '.join(untested)}." if untested else ""
    return (
        f"Two-sided Mann-Whitney U test on the final {_SPLIT_NAMES[split]} score against the best baseline, "
        f"{comparison.reference}, chosen on the same scores (seeds: {sizes}), Holm-corrected over "
        f"{len(comparison.p_values)}: {results}.{rest}"
    )
