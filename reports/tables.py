"""One table per benchmark: what every strategy found, what it cost, and whether the difference is noise."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from harness.budget import Budget
from harness.store import FINISHED
from reports import published
from reports import statistics
from reports.formats import decimals
from reports.formats import epochs
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
    "evaluation_gpu_hours",
    "strategy_gpu_hours",
    "llm_gpu_hours",
    "llm_seconds",
    "llm_calls",
    "prompt_tokens",
    "completion_tokens",
    "llm_tokens",
    "rejected",
    "fallbacks",
    "duplicates",
    "architectures",
    "trials",
    "pruned",
)
"""What a run spent or counted; a table gives mean and standard deviation over runs.

All of it comes from trajectories and transcripts, so a replay from transcripts gives the same tables. What a clock
measured beside them is in :mod:`reports.measured`.
"""

OPTIMUM = "Optimum"

ABSENT = ("missing", "left_out")
"""Planned runs that are in no mean, beside the statuses of those that are read."""

_SPLIT_NAMES = {"valid": "validation", "test": "test"}


@dataclass(frozen=True)
class BenchmarkTable:
    """The numbers of one benchmark.

    Attributes:
        benchmark: Label.
        title: What it is called.
        frame: One row per strategy in the order of the sweep, then the optimum. Columns: ``benchmark``,
            ``strategy``, ``role`` (``strategy`` or ``optimum``); per split ``<split>_mean``, ``_std``,
            ``_low``, ``_high`` (95 % bootstrap interval of the mean), ``_n`` (runs scored),
            ``<split>_distance_mean``, ``_std``; per measure of :data:`MEASURES` ``_mean`` and ``_std``;
            ``p_value`` against the best baseline; and what :func:`status_counts` gives.
        facts: What a caption must say, as name and text.
        footnotes: Remarks on columns, as ``(column, text)``: the text belongs at the head of that column.
        comparison: What was tested against what, and how; or why no test is possible.
        reference: Label of the best baseline; ``None`` without one.
        decimals: Decimals of a score.
        metric: What the scores are, with unit and direction.
        cost_kind: Whether GPU hours are ``simulated`` or ``measured``.
    """

    benchmark: str
    title: str
    frame: pd.DataFrame
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[tuple[str, str], ...]
    comparison: str
    reference: str | None
    decimals: int
    metric: Mapping[str, Any]
    cost_kind: str


def run_table(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per run with all its raw numbers: labels, status, recommendation, scores or why it has none, measures."""
    runs = results.runs
    frame = runs[["benchmark", "strategy", "seed", "status", "ncode", "text"]].copy()
    frame[list(scores)] = scores
    return pd.concat([frame, run_costs(results)], axis=1)


def run_costs(results: Results) -> pd.DataFrame:
    """One row per run, with what it spent or counted: :data:`MEASURES`."""
    runs = results.runs
    evaluation, llm = runs["gpu_seconds"] / 3600, runs["llm_gpu_seconds"] / 3600
    strategy = runs["strategy_gpu_seconds"] / 3600
    spent = runs.assign(
        gpu_hours=evaluation + llm + strategy,
        evaluation_gpu_hours=evaluation,
        strategy_gpu_hours=strategy,
        llm_gpu_hours=llm,
        llm_tokens=runs["prompt_tokens"] + runs["completion_tokens"],
    )
    return spent[list(MEASURES)]


def status_counts(results: Results) -> pd.DataFrame:
    """How the runs of each strategy on each benchmark ended.

    Args:
        results: The runs.

    Returns:
        One row per benchmark and strategy of which a run is planned or there, in the order of the sweep. Columns:
        ``benchmark``, ``strategy``; the number of runs per status, ``missing`` (planned, but not there) and
        ``left_out`` (planned, but what is there is not that run, or damaged); ``runs``, their sum; ``finished``,
        those that a mean is taken of.
    """
    absent = {
        "missing": Counter(_group(path) for path in results.missing),
        "left_out": Counter(
            map(_group, set(results.left_out) & set(results.plan["runs"]) - set(results.missing))
        ),
    }
    found = Counter(results.runs[["benchmark", "strategy", "status"]].itertuples(index=False, name=None))
    rows = []
    for benchmark, strategy in itertools.product(results.benchmarks, results.strategies):
        counts = {status: found[benchmark, strategy, status] for status in STATUSES}
        counts |= {kind: number[benchmark, strategy] for kind, number in absent.items()}
        if runs := sum(counts.values()):
            finished = sum(counts[status] for status in FINISHED)
            rows.append(
                {"benchmark": benchmark, "strategy": strategy, **counts, "runs": runs, "finished": finished}
            )
    return pd.DataFrame(rows)


def status_notes(row: Mapping[str, Any]) -> str:
    """How many runs did not end by their budget, by status; empty where all did.

    Args:
        row: Has what :func:`status_counts` gives.
    """
    others = [status for status in (*STATUSES, *ABSENT) if status != "complete" and not pd.isna(row[status])]
    return ", ".join(f"{int(row[s])} {s.replace('_', ' ')}" for s in others if row[s])


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
    metric = ceiling.metric(record)
    better = bool(metric["higher_is_better"])
    finished = table[runs["finished"]]
    rows = []
    for counts in status_counts(results).query("benchmark == @label").to_dict("records"):
        own = finished[finished["strategy"] == counts["strategy"]]
        rows.append(
            {"strategy": counts["strategy"], "role": "strategy"} | _measured(own, ceiling, better) | counts
        )
    frame = pd.DataFrame([*rows, _optimum(ceiling)])
    frame = frame[["benchmark", *frame.columns.drop("benchmark")]].assign(benchmark=label)
    # The optimum has no counts, and a whole number must not look like a measurement.
    whole = [*STATUSES, *ABSENT, "runs", "finished", *(f"{split}_n" for split in SPLITS)]
    frame[whole] = frame[whole].astype("Int64")

    comparison = _compare(runs, finished, ceiling.split, better)
    frame["p_value"] = frame["strategy"].map(comparison.p_values).astype(float)
    return BenchmarkTable(
        benchmark=label,
        title=ceiling.title,
        frame=frame,
        facts=_facts(runs, ceiling),
        footnotes=_footnotes(runs, finished, ceiling, _stopped(results, runs[runs["finished"]])),
        comparison=_describe(comparison, ceiling.split),
        reference=comparison.reference,
        decimals=decimals(metric["unit"]),
        metric=metric,
        cost_kind=record["cost_kind"],
    )


def _group(path: str) -> tuple[str, str]:
    benchmark, strategy, _ = path.split("/")
    return benchmark, strategy


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
        ("Search", _objective(spec["objective"], runs["record"].iloc[0]["metric"])),
    ]
    if ceiling.benchmark is not None:
        splits = " and ".join(name for split, name in _SPLIT_NAMES.items() if split not in ceiling.missing)
        facts.append(
            (
                "Reported",
                f"{splits}, {epochs(ceiling.benchmark.final_fidelity)}, mean over training seeds, of the architecture "
                "that each run recommends",
            )
        )
        reported = ceiling.benchmark.reported
        if not reported.higher_is_better:
            unit = f" in {reported.unit}" if reported.unit else ""
            facts.append(("Score", f"{reported.name}{unit}, lower is better"))
    return (
        *facts,
        ("Budget", str(Budget.model_validate(spec["budget"]))),
        ("Seeds", _ranges(sorted(set(runs["seed"])))),
    )


def _objective(objective: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    if objective["fidelity"] == 0:
        return f"{'highest' if metric['higher_is_better'] else 'lowest'} {metric['name']}, without training"
    noise = {"mean": "mean over training seeds", "drawn": "one training seed drawn per trial"}
    return f"validation, {epochs(objective['fidelity'])}, {noise.get(objective['noise'], objective['noise'])}"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _ranges(seeds: list[int]) -> str:
    """``0-2, 7`` for 0, 1, 2 and 7."""
    breaks = np.flatnonzero(np.diff(seeds) != 1) + 1
    parts = [list(part) for part in np.split(np.array(seeds), breaks)]
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _footnotes(
    runs: pd.DataFrame, finished: pd.DataFrame, ceiling: Ceiling, stopped: Iterable[str]
) -> tuple[tuple[str, str], ...]:
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
    notes += _without_score(finished, ceiling)
    if ceiling.benchmark is not None and all(math.isnan(best) for best in ceiling.optimum.values()):
        text = (
            "The best of the space is not known: not every architecture has a score at the highest fidelity."
        )
        notes.append(("valid_distance", text))
    kinds = ", ".join(_distinct(record["cost_kind"] for record in runs["record"]))
    costs = f"Evaluation ({kinds})"
    if runs["llm_calls"].any():
        costs += " plus the language models' share of their servers' GPUs (measured; none on a CPU)"
    if runs["strategy_gpu_seconds"].any():
        costs += (
            " plus what strategies compute themselves, on proxies or a supernet (measured, on the device that they "
            "were given: a CPU or a GPU)"
        )
    costs += "; all costs and counts are means per run."
    return (*notes, *_unscored(runs), *_fallbacks(runs), *_published(runs), ("gpu_hours", costs))


def _without_score(finished: pd.DataFrame, ceiling: Ceiling) -> list[tuple[str, str]]:
    """How many finished runs of each strategy are in no mean, for what they recommend has no score."""
    lacking = finished.dropna(subset="no_score")
    if lacking.empty:
        return []
    return [(ceiling.split, f"{in_no_mean(finished)} {lacking['no_score'].iloc[0]}")]


def in_no_mean(runs: pd.DataFrame) -> str:
    """A sentence on the runs whose recommendation has no score.

    Args:
        runs: Finished ones of a benchmark, columns ``strategy`` and ``no_score``, one of which at least has a reason.
    """
    counts = [
        f"{group['no_score'].notna().sum()} of {len(group)} of {strategy}"
        for strategy, group in runs.groupby("strategy", sort=False)
        if group["no_score"].notna().any()
    ]
    return f"Runs in no mean, for what they recommend has no score: {', '.join(counts)}."


def _published(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """What RZ-NAS reports of searches on the same proxy, whose settings may be others."""
    record = runs["record"].iloc[0]
    params = record["spec"]["benchmark"]["params"]
    theirs = published.rz_nas_searches()
    found = theirs.on(record["space"], str(params.get("dataset")), str(params.get("proxy")))
    if found is None:
        return []
    alone, mutated = (
        f"{rows.valid} {theirs.unit} validation and {rows.test} {theirs.unit} test"
        for rows in (found.alone, found.mutated)
    )
    text = (
        f"{theirs.source}, with settings of its own and {theirs.runs} runs, has {alone} on this proxy alone, and "
        f"{mutated} with a language model's mutations."
    )
    return [("strategy", text)]


def _unscored(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """How many trials of each strategy failed, for the benchmark has no score of their architectures."""
    sentences = [
        f"{strategy} {int(group['unscored'].sum())} of {int(group['trials'].sum())}"
        for strategy, group in runs.groupby("strategy", sort=False)
        if group["unscored"].any()
    ]
    if not sentences:
        return []
    return [
        (
            "strategy",
            f"Trials that failed, because their architecture cannot be scored: {'; '.join(sentences)}.",
        )
    ]


def _fallbacks(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """How much of each strategy's search was none of its model's: also that of runs that count in no mean."""
    sentences = []
    for strategy, group in runs.groupby("strategy", sort=False):
        drawn, trials = int(group["fallbacks"].sum()), int(group["trials"].sum())
        if drawn:
            sentences.append(
                f"{strategy} drew {drawn} of its {trials} trials ({drawn / trials:.1%}) at random"
            )
    if not sentences:
        return []
    return [("strategy", f"{'; '.join(sentences)}, because the model gave nothing usable for them.")]


def _stopped(results: Results, runs: pd.DataFrame) -> list[str]:
    """One sentence per strategy that stopped trials early: how many, and after how many epochs."""
    trials = results.trials[results.trials["run"].isin(runs.index) & (results.trials["state"] == "pruned")]
    sentences = []
    for strategy, early in trials.groupby(trials["run"].map(runs["strategy"]), sort=False):
        share = len(early) / runs.loc[runs["strategy"] == strategy, "trials"].sum()
        after = ", ".join(map(str, sorted(early["fidelity"].unique())))
        sentences.append(f"{strategy} stopped {share:.0%} of its trials early, after {after} epochs.")
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
