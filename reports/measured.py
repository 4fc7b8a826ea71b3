"""What a clock measured on the machines of a sweep: no two sweeps agree in it, not even a replay and its original.

It stands in a file and a table of its own, so that all others hold only what trajectories and transcripts say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import statistics
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import amount
from reports.formats import lay_out
from reports.sheets import group_columns

if TYPE_CHECKING:
    import pandas as pd

    from reports.load import Results

_SECONDS = {
    "search_seconds": "Search s",
    "evaluation_seconds": "Evaluation s",
    "seconds": "Whole run s",
}


def measured_runs(results: Results) -> pd.DataFrame:
    """One row per run: labels, seed, status, and the seconds that the strategy without its model, the evaluations,
    and all sessions of the run together took."""
    runs = results.runs
    frame = runs[["benchmark", "strategy", "seed", "status", "search_seconds", "evaluation_seconds"]].copy()
    frame["seconds"] = [float(record.get("seconds", 0.0)) for record in runs["record"]]
    return frame


def measured_sheet(results: Results) -> Sheet | None:
    """Means over the finished runs of each strategy on each benchmark; ``None`` where no run has finished."""
    runs = measured_runs(results)[results.runs["finished"]]
    if runs.empty:
        return None
    rows = []
    for (benchmark, strategy), group in runs.groupby(["benchmark", "strategy"], sort=False):
        means = {f"{key}_mean": statistics.mean(group[key]) for key in _SECONDS}
        rows.append({"benchmark": benchmark, "strategy": strategy} | means)
    columns = [
        *group_columns(),
        *(Column(key, head, amount(f"{key}_mean"), head) for key, head in _SECONDS.items()),
    ]
    return Sheet(
        name="measured-seconds",
        title="Measured seconds",
        caption="Wall-clock seconds, means per finished run: of the strategy without its model, of the evaluations, "
        "and of the whole run in all its sessions. They depend on the machine and on what else it did.",
        frame=runs,
        wide=lay_out(columns, rows, names=2),
        narrow=lay_out(columns, rows, names=2, narrow=True),
    )
