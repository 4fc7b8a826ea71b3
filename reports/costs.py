"""What the runs of a sweep cost, in parts: evaluations, GPUs of language models, calls and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports import statistics
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import amount
from reports.formats import count
from reports.formats import lay_out
from reports.sheets import group_columns
from reports.sheets import run_columns
from reports.tables import status_counts

if TYPE_CHECKING:
    from reports.load import Results

MEASURES = (
    "gpu_hours",
    "evaluation_gpu_hours",
    "strategy_gpu_hours",
    "llm_gpu_hours",
    "llm_calls",
    "prompt_tokens",
    "completion_tokens",
    "llm_seconds",
)


def cost_sheet(results: Results, table: pd.DataFrame) -> Sheet | None:
    """Mean costs per finished run of every strategy on every benchmark.

    Args:
        results: The runs.
        table: What :func:`reports.tables.run_table` gives.

    Returns:
        The table, raw numbers with standard deviations; ``None`` where evaluations are all that costs anything, for
        then the tables of the benchmarks say it all.
    """
    if not results.runs[["llm_calls", "strategy_gpu_seconds"]].any(axis=None):
        return None
    finished = table[results.runs["finished"]]
    rows = []
    for counts in status_counts(results).to_dict("records"):
        own = finished[
            (finished["benchmark"] == counts["benchmark"]) & (finished["strategy"] == counts["strategy"])
        ]
        row = {key: counts[key] for key in ("benchmark", "strategy")}
        for measure in MEASURES:
            row[f"{measure}_mean"] = statistics.mean(own[measure])
            row[f"{measure}_std"] = statistics.std(own[measure])
        rows.append(row | counts)
    kinds = " or ".join(dict.fromkeys(record["cost_kind"] for record in results.runs["record"]))
    columns = [
        *group_columns(),
        Column("gpu_hours", "GPU hours", amount("gpu_hours_mean"), "GPU h"),
        Column("evaluation_gpu_hours", "of evaluation", amount("evaluation_gpu_hours_mean"), "of evaluation"),
        Column(
            "strategy_gpu_hours",
            "of strategies",
            amount("strategy_gpu_hours_mean"),
            "of strategies",
            optional=True,
        ),
        Column("llm_gpu_hours", "of LLMs", amount("llm_gpu_hours_mean"), "of LLMs"),
        Column("llm_calls", "LLM calls", count("llm_calls_mean"), "LLM calls"),
        Column("prompt_tokens", "Prompt tokens", count("prompt_tokens_mean"), "Prompt tokens"),
        Column(
            "completion_tokens", "Completion tokens", count("completion_tokens_mean"), "Completion tokens"
        ),
        Column("llm_seconds", "LLM s", amount("llm_seconds_mean"), "LLM s"),
        *run_columns(),
    ]
    return Sheet(
        name="costs",
        title="Costs",
        caption=f"Means per finished run. The GPU hours of evaluation are {kinds}. Those of a strategy are what it "
        "computes itself, on proxies or a supernet, measured on the device that it was given, a CPU or a GPU: the sum "
        "may add hours of different machines. Those of a language model are its requests' share of the time of its "
        "server's GPUs, none for a server on a CPU or one whose hardware is not known. LLM seconds are those waited "
        "for replies; a reply from a transcript counts what it took when it was first given.",
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, rows, names=2),
        narrow=lay_out(columns, rows, names=2, narrow=True),
    )
