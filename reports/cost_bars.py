"""Costs as figures: GPU hours by what spent them, and tokens of language models beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.formats import amount
from reports.formats import count
from reports.stacked import Stack
from reports.stacked import StackedBars

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from reports.formats import Sheet
    from reports.scores import Ceiling

HOURS = {
    "evaluation_gpu_hours": "evaluation",
    "strategy_gpu_hours": "strategy",
    "llm_gpu_hours": "language models",
}
TOKENS = {"prompt_tokens": "tokens read", "completion_tokens": "tokens written"}
"""Measure of :func:`reports.costs.cost_sheet` to what it is called."""


def cost_bars(sheet: Sheet, known: Mapping[str, Ceiling]) -> list[StackedBars]:
    """Mean costs per finished run in parts, benchmark by benchmark.

    Args:
        sheet: What :func:`reports.costs.cost_sheet` gives.
        known: Of every benchmark.

    Returns:
        One figure per benchmark with a finished run. Strategies without one are left out, and so are parts that cost
        nothing anywhere, and tokens where there are none.
    """
    finished = sheet.frame[sheet.frame["finished"] > 0]
    return [
        _bars(str(label), known[str(label)].title, own)
        for label, own in finished.groupby("benchmark", sort=False)
    ]


def _bars(label: str, title: str, costs: pd.DataFrame) -> StackedBars:
    hours = _parts(costs, HOURS)
    tokens = _parts(costs, TOKENS)
    rows = costs.to_dict("records")
    stacks = [Stack("GPU hours per run", hours, [amount("gpu_hours_mean")(row) for row in rows])]
    if tokens:
        total = [{"tokens": sum(row[f"{measure}_mean"] for measure in TOKENS)} for row in rows]
        stacks.append(
            Stack(
                "Thousand tokens per run",
                {name: amounts / 1000 for name, amounts in tokens.items()},
                [f"{count('tokens')(row)} tokens" if row["tokens"] else "none" for row in total],
            )
        )
    return StackedBars(
        name=f"costs-{label}",
        title=f"{title}: what a run costs",
        rows=[str(strategy) for strategy in costs["strategy"]],
        stacks=stacks,
        caption=f"Mean costs per finished run on {title}: GPU hours by what spent them"
        f"{', and tokens of language models' if tokens else ''}. The table says where they come from.",
    )


def _parts(costs: pd.DataFrame, measures: Mapping[str, str]) -> dict[str, pd.Series]:
    """Name of a measure to its mean in every row; without those that are nothing everywhere."""
    means = {name: costs[f"{measure}_mean"].to_numpy(dtype=float) for measure, name in measures.items()}
    return {name: amounts for name, amounts in means.items() if amounts.any()}
