"""What strategies owe to names: final scores of plain runs minus those of blind ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reports import first_proposals
from reports import ranking
from reports import statistics
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import lay_out
from reports.formats import plain
from reports.formats import spread
from reports.sheets import asked
from reports.sheets import difference_columns
from reports.sheets import differences
from reports.sheets import group_columns
from reports.sheets import model_columns
from reports.sheets import plain_partner
from reports.sheets import run_columns
from reports.tables import status_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.load import Results
    from reports.scores import Ceiling

_DECIMALS = 2

_OWN_TABLES = {first_proposals.STRATEGY, ranking.STRATEGY}


def by_heart_sheet(results: Results, table: pd.DataFrame, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Final scores of every blind strategy beside those of the one that differs from it in the names alone.

    Args:
        results: The runs.
        table: What :func:`reports.tables.run_table` gives.
        known: Of every benchmark.

    Returns:
        One row per blind strategy with such a partner; ``split`` is ``test``, or ``valid`` where there is no test
        score. ``None`` without a pair. First proposals and rankings have tables of their own.
    """
    finished = table[results.runs["finished"]]
    rows = []
    for counts in status_counts(results).to_dict("records"):
        benchmark, blind = counts["benchmark"], counts["strategy"]
        partner = plain_partner(results, benchmark, blind)
        runs = results.runs[(results.runs["benchmark"] == benchmark) & (results.runs["strategy"] == blind)]
        if partner is None or runs["spec"].iloc[0]["strategy"]["name"] in _OWN_TABLES:
            continue
        ceiling = known[benchmark]
        split = "valid" if "test" in ceiling.missing else "test"
        own = finished[finished["benchmark"] == benchmark]
        samples = [own.loc[own["strategy"] == label, split].dropna() for label in (partner, blind)]
        row = {"benchmark": benchmark, "strategy": blind, **asked(runs), "partner": partner, "split": split}
        for name, values in zip(("plain", "blind"), samples, strict=True):
            row |= {f"{name}_mean": statistics.mean(values), f"{name}_std": statistics.std(values)}
        better = bool(ceiling.metric(runs["record"].iloc[0])["higher_is_better"])
        rows.append(row | differences(*samples, higher_is_better=better) | counts)
    if not rows:
        return None
    columns = [
        *group_columns(known),
        *model_columns(),
        Column("partner", "Plain strategy", plain("partner")),
        Column("split", "Split", plain("split"), "Split"),
        Column("plain", "Plain", spread("plain", _DECIMALS), "Plain"),
        Column("blind", "Blind", spread("blind", _DECIMALS), "Blind"),
        *difference_columns(_DECIMALS),
        *run_columns(),
    ]
    return Sheet(
        name="by-heart",
        title="Plain minus blind",
        caption="Final scores of strategies that see the search space under neutral symbols, beside the same ones that "
        "see its names, its description and, where they show any, code. The difference is what the model made of what "
        "it knew beforehand; its interval is a bootstrap interval over the runs of both. Positive: better with names.",
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, rows, names=2),
        narrow=lay_out(columns, rows, names=2, narrow=True),
    )
