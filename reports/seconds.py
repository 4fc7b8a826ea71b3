"""Where the seconds of a search go: language model, evaluations, supernet, projection (ISTS, Table 4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from reports import statistics
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import amount
from reports.formats import count
from reports.formats import lay_out
from reports.published import papers
from reports.sheets import group_columns
from reports.sheets import run_columns
from reports.tables import status_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.load import Results
    from reports.published.papers import Value
    from reports.scores import Ceiling

PARTS = {
    "llm": "LLM",
    "evaluation": "Evaluation",
    "supernet": "Supernet",
    "projection": "Projection",
    "total": "Total",
}
"""Parts of a search, and what they are called; ``supernet`` has whatever else strategies compute, such as proxies."""

DECIDED = "decided"
"""Attribute of a trial: how many edges a projection has decided, once the supernet is trained."""

_NONE = frozenset({"supernet", "projection", "llm"})
_MEASURE = "seconds"


def second_sheet(results: Results, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Seconds per run and per trial of every strategy on every benchmark, means over finished runs.

    A trial is a round of a search with a language model, and an epoch of one with a supernet. Seconds per trial of the
    supernet are those of the epochs that train it, and of the projection those of its own epochs.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        One row per benchmark and strategy: ``<part>_run_mean``, ``_std``, ``<part>_trial_mean``, ``_std`` of
        :data:`PARTS`, ``settle_mean`` (training of what is recommended, which is no part of the total),
        ``published_mean`` and ``published_in``. ``None`` where nothing but simulated seconds of evaluations is known.
    """
    measured = any(record["cost_kind"] == "measured" for record in results.runs["record"])
    if not measured and not results.runs[["llm_calls", "strategy_gpu_seconds"]].any(axis=None):
        return None
    runs = run_seconds(results)
    rows = []
    notes: dict[str, None] = {}
    for counts in status_counts(results).to_dict("records"):
        benchmark, strategy = counts["benchmark"], counts["strategy"]
        own = runs[(runs["benchmark"] == benchmark) & (runs["strategy"] == strategy)]
        row = {"benchmark": benchmark, "strategy": strategy, **_means(own)}
        specs = results.runs.query("benchmark == @benchmark and strategy == @strategy")["spec"]
        found = None if specs.empty else _published(specs.iloc[0], known[benchmark])
        if found is not None:
            notes[f"{found.paper}, {found.table}: {found.note}."] = None
        row["published_mean"] = math.nan if found is None else found.mean
        row["published_in"] = "" if found is None else f"{found.paper}, {found.table}"
        rows.append(row | counts)
    kinds = " or ".join(dict.fromkeys(record["cost_kind"] for record in results.runs["record"]))
    footnotes = (
        [("published", " ".join([*notes, "Seconds of other machines, data and networks."]))] if notes else []
    )
    return Sheet(
        name="seconds",
        title="Seconds",
        caption="Means over finished runs, of a whole run and of one trial: a round of a search with a language model, "
        "an epoch of one with a supernet. Seconds waited for the language model (a reply from a transcript counts what "
        f"it took when it was first given), of evaluations ({kinds}), and of what strategies compute themselves: "
        "training a supernet and reading off what it found, or proxies; and deciding edge after edge (projection), "
        "which has epochs of its own. What a run recommends is trained afterwards, which is no part of the total.",
        frame=pd.DataFrame(rows),
        wide=lay_out(_columns(rows, known), rows, names=2, footnotes=footnotes),
        narrow=lay_out(_columns(rows, known), rows, names=2, footnotes=footnotes, narrow=True),
    )


def _columns(rows: list[dict[str, Any]], known: Mapping[str, Ceiling]) -> list[Column]:
    per_run, per_trial = "Seconds per run", "Seconds per trial"
    columns = group_columns(known)
    for part, name in PARTS.items():
        if _is_spent(part, rows):
            columns.append(
                Column(f"{part}_trial", name, amount(f"{part}_trial_mean"), f"{name} s", group=per_trial)
            )
    columns.append(
        Column("published", "ISTS", amount("published_mean"), "ISTS s", optional=True, group=per_trial)
    )
    for part, name in PARTS.items():
        if _is_spent(part, rows):
            columns.append(Column(f"{part}_run", name, amount(f"{part}_run_mean"), group=per_run))
    if any(row["settle_mean"] > 0 for row in rows):
        columns.append(Column("settle", "Trained afterwards", amount("settle_mean"), group=per_run))
    return [*columns, Column("trials", "Trials", count("trials_mean"), "Trials"), *run_columns()]


def _is_spent(part: str, rows: list[dict[str, Any]]) -> bool:
    """Whether any strategy has seconds of this part, or it is one that all have."""
    return part not in _NONE or any(row[f"{part}_run_mean"] > 0 for row in rows)


def run_seconds(results: Results) -> pd.DataFrame:
    """One row per finished run: ``benchmark``, ``strategy``, ``trials``, seconds of each of :data:`PARTS` of the whole
    run (``<part>_run``) and per trial (``<part>_trial``), and ``settle``."""
    runs = results.runs[results.runs["finished"]]
    timings = results.timings.merge(
        results.trials[["run", "trial", "attributes"]], on=["run", "trial"], how="left"
    )
    # Most trials have no attributes.
    decides = np.array(
        [bool(attached) and _decides(attached) for attached in timings["attributes"]], dtype=bool
    )
    projecting = timings[decides].groupby("run")["strategy_gpu_seconds"]
    rounds = projecting.size().reindex(runs.index, fill_value=0)
    projection = projecting.sum().reindex(runs.index, fill_value=0.0)
    frame = runs[["benchmark", "strategy", "trials"]].copy()
    seconds = {
        "llm": runs["llm_seconds"],
        "evaluation": runs["gpu_seconds"],
        "supernet": runs["strategy_gpu_seconds"] - projection,
        "projection": projection,
    }
    seconds["total"] = sum(seconds.values(), start=pd.Series(0.0, index=runs.index))
    trials = dict.fromkeys(PARTS, runs["trials"]) | {
        "supernet": runs["trials"] - rounds,
        "projection": rounds,
    }
    for part, spent in seconds.items():
        frame[f"{part}_run"] = spent
        # What took no trial has no seconds of one.
        frame[f"{part}_trial"] = spent / trials[part].where(trials[part] > 0)
    frame["settle"] = [float(record.get("settle_seconds", 0.0)) for record in runs["record"]]
    return frame


def _decides(attributes: object) -> bool:
    return isinstance(attributes, dict) and float(attributes.get(DECIDED, 0.0)) > 0


def _means(runs: pd.DataFrame) -> dict[str, float]:
    row: dict[str, float] = {}
    for part in PARTS:
        for of in ("run", "trial"):
            values = runs[f"{part}_{of}"].dropna()
            row |= {f"{part}_{of}_mean": statistics.mean(values), f"{part}_{of}_std": statistics.std(values)}
    return row | {
        key: statistics.mean(runs[key.removesuffix("_mean")]) for key in ("settle_mean", "trials_mean")
    }


def _published(spec: Mapping[str, Any], ceiling: Ceiling) -> Value | None:
    """What a paper reports of a round or epoch: in all, or of the search alone where it has no sum."""
    if ceiling.benchmark is None:
        return None
    space, dataset = ceiling.benchmark.space.name, ceiling.benchmark.extent.dataset
    for part in ("total", "search"):
        if found := papers.of_strategy(
            spec, space=space, dataset=dataset, measure=_MEASURE, split=None, part=part
        ):
            return found
    return None
