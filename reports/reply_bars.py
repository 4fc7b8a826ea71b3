"""Validity of replies as a figure: what became of the calls of every strategy and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.stacked import Stack
from reports.stacked import StackedBars
from reports.validity import REASONS
from reports.validity import USED

if TYPE_CHECKING:
    from reports.load import Results


def reply_bars(results: Results) -> StackedBars | None:
    """Shares of the recorded calls that were used, and thrown away by reason, over all runs, finished or not.

    Args:
        results: The runs.

    Returns:
        One row per strategy and model, in the order of the sweep; ``None`` where no call was recorded.
    """
    if results.calls.empty:
        return None
    calls = results.calls[["model", "verdict"]].astype(str)
    calls["strategy"] = results.calls["run"].map(results.runs["strategy"]).astype(str)
    counts = calls.groupby(["strategy", "model", "verdict"]).size().unstack(fill_value=0)
    # Strategies in the order of the sweep, and what no reason of ours explains behind all others.
    order = sorted(counts.index, key=lambda row: results.strategies.index(row[0]))
    known = [USED, *REASONS]
    verdicts = [v for v in known if v in counts] + sorted(set(counts) - set(known))
    counts = counts.loc[order, verdicts]
    totals = counts.sum(axis=1)
    models = counts.index.get_level_values("model").nunique()
    shares = 100 * counts.div(totals, axis=0)
    return StackedBars(
        name="validity-replies",
        title="What became of replies",
        rows=[f"{strategy}, {model}" if models > 1 else strategy for strategy, model in counts.index],
        stacks=[
            Stack(
                "Share of calls (%)",
                {verdict: shares[verdict].to_numpy() for verdict in verdicts},
                [f"{total:,} call{'' if total == 1 else 's'}" for total in totals],
                whole=100.0,
            )
        ],
        caption="Share of the recorded calls of language models whose replies were used, or thrown away by reason, "
        "over all benchmarks and runs, finished or not.",
    )
