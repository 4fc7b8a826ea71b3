"""Figures of a ranking: how well scorers rank, and how far they agree with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reports import correlation
from reports.heatmaps import HeatMap
from reports.scorers.table import SEED_TO_SEED
from reports.scorers.table import TARGETS
from reports.scorers.table import VALID_TO_TEST
from reports.scorers.table import scores_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.correlation import Floats
    from reports.scorers.load import Ranked
    from reports.scorers.table import RankingTable


def tau_maps(tables: Sequence[RankingTable]) -> list[HeatMap]:
    """Tau of every scorer on every benchmark, one heat map per trained score that there is."""
    maps = []
    for target, name in TARGETS.items():
        known = [table for table in tables if target not in table.ranked.record.missing]
        if not known:
            continue
        # The order of the first benchmark's table; scorers that only others have come last.
        rows = list(dict.fromkeys(scorer for table in known for scorer in table.frame["scorer"]))
        ceilings = [label for label in rows if label in {SEED_TO_SEED, VALID_TO_TEST}]
        rows = [label for label in rows if label not in ceilings] + ceilings
        taus = [table.frame.set_index("scorer")[f"tau_{target}"].reindex(rows) for table in known]
        values = np.column_stack(taus)
        shown = ~np.isnan(values).all(axis=1)
        maps.append(
            HeatMap(
                name=f"taus-{target}",
                title=f"Kendall's tau, {name}",
                rows=[label for label, keep in zip(rows, shown, strict=True) if keep],
                columns=[table.ranked.label for table in known],
                values=values[shown],
                limits=_limits(values),
                caption=f"Kendall's tau-b between the {name} scores and those of each scorer, floor and ceiling; the "
                "tables have the intervals.",
            )
        )
    return maps


def _limits(values: Floats) -> tuple[float, float]:
    """From no order, or the lowest tau where that is below it, to the same order."""
    return min(0.0, float(np.nanmin(values, initial=0.0))), 1.0


def agreement_map(ranked: Ranked, labels: Sequence[str]) -> HeatMap:
    """Tau between every two scorers, on the architectures that both have scored.

    Args:
        ranked: The scores.
        labels: Scorers in their order; those without any score are left out.
    """
    orders = {label: scores_of(ranked, label) for label in labels if label in ranked.scores}
    values = np.full((len(orders), len(orders)), np.nan)
    for i, first in enumerate(orders.values()):
        for j, second in enumerate(list(orders.values())[: i + 1]):
            both = ~np.isnan(first) & ~np.isnan(second)
            values[i, j] = values[j, i] = correlation.kendall(first[both], second[both])
    return HeatMap(
        name=f"agreement-{ranked.label}",
        title=f"{ranked.label}: tau between scorers",
        rows=list(orders),
        columns=list(orders),
        values=values,
        limits=_limits(values),
        caption=f"Kendall's tau-b between the scores of every two scorers on {ranked.label}. Two that agree closely "
        "measure the same.",
    )
