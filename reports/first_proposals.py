"""First-proposal audit: how good what a model proposes is, before it has seen any score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from reports import statistics
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import between
from reports.formats import count
from reports.formats import fixed
from reports.formats import lay_out
from reports.formats import spread
from reports.load import FALLBACK
from reports.scores import every_score
from reports.sheets import NO_DIFFERENCE
from reports.sheets import asked
from reports.sheets import difference_columns
from reports.sheets import differences
from reports.sheets import group_columns
from reports.sheets import model_columns
from reports.sheets import plain_partner
from reports.sheets import run_columns
from reports.tables import FLOOR
from reports.tables import status_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Floats

STRATEGY = "first_proposal"

_SHOWN = {STRATEGY, FLOOR}


def proposal_sheet(results: Results, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Percentiles of first proposals in the search space, plain, blind, and minus each other.

    The percentile of a proposal is the share of all architectures with a worse validation score, at the fidelity of
    the objective and as a mean over training seeds; equal ones count half, so that random proposals have a mean
    of exactly 50; those of random search are shown beside them. Trials drawn at random because a model gave nothing
    usable are none of the model's, and left out.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        One row per benchmark and strategy: ``percentile_mean``, mean over runs of the mean over their proposals,
        ``_low`` and ``_high`` (bootstrap over runs, for a blind run shows one permutation in all its trials; over
        proposals where there is one run), ``_std`` over proposals, ``median``, ``proposals``, ``distinct``,
        ``by_heart`` of blind rows. ``None`` without such a run.
    """
    if STRATEGY not in {spec["strategy"]["name"] for spec in results.runs["spec"]}:
        return None
    audited = [
        (counts, own)
        for counts in status_counts(results).to_dict("records")
        if len(own := _runs(results, counts["benchmark"], counts["strategy"]))
    ]
    proposals = _proposals(results, pd.concat([own for _, own in audited]), known)
    rows = []
    for counts, own in audited:
        key = (counts["benchmark"], counts["strategy"])
        row = {"benchmark": key[0], "strategy": key[1], **asked(own), **_summary(_of(proposals, *key))}
        row |= _by_heart(results, proposals, *key)
        rows.append(row | counts)
    scored = proposals.groupby("benchmark", sort=False)["percentile"].count()
    lacking = [str(label) for label, number in scored.items() if not number]
    columns = [
        *group_columns(known),
        *model_columns(),
        Column("percentile", "Percentile", spread("percentile", 1), "Percentile"),
        Column("interval", "95 % interval of the mean", between("percentile", 1), "95 %"),
        Column("median", "Median", fixed("median", 1)),
        *difference_columns(1),
        Column("proposals", "Proposals", count("proposals"), "n"),
        Column("distinct", "Distinct", count("distinct")),
        *run_columns(),
    ]
    closing = (
        f"No percentiles on {', '.join(lacking)}: no table of all its architectures here." if lacking else ""
    )
    return Sheet(
        name="first-proposals",
        title="First proposals",
        caption="Quality percentile of what a model proposes before it has seen a score: share of all architectures "
        "of the space with a worse validation score at the fidelity of the objective (mean over training seeds, equal "
        "ones count half). Random architectures have 50.0 ± 28.9. Mean over runs ± standard deviation over proposals. "
        "Plain minus blind is what the model owes to the names of operations and of the data set: what it knew by "
        "heart.",
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, rows, names=2),
        narrow=lay_out(columns, rows, names=2, narrow=True),
        closing=closing,
        runs=proposals,
    )


def _runs(results: Results, benchmark: str, strategy: str) -> pd.DataFrame:
    runs = results.runs
    mine = runs[(runs["benchmark"] == benchmark) & (runs["strategy"] == strategy)]
    return mine[np.array([spec["strategy"]["name"] in _SHOWN for spec in mine["spec"]], dtype=bool)]


def _proposals(results: Results, runs: pd.DataFrame, known: Mapping[str, Ceiling]) -> pd.DataFrame:
    """One row per proposal of the finished runs, with its percentile; NaN where there is no table."""
    runs = runs[runs["finished"]]
    trials = results.trials[results.trials["run"].isin(runs.index)]
    trials = trials[np.array([a.get("source") != FALLBACK for a in trials["attributes"]], dtype=bool)]
    frame = trials[["trial", "ncode"]].copy()
    for position, key in enumerate(("benchmark", "strategy", "seed")):
        frame.insert(position, key, trials["run"].map(runs[key]))
    frame["percentile"] = math.nan
    for label, own in frame.groupby("benchmark", sort=False):
        spec = runs.loc[runs["benchmark"] == label, "spec"].iloc[0]
        ceiling = known[str(label)]
        scores = every_score(ceiling, spec["objective"]["fidelity"])
        if scores is None:
            continue
        assert ceiling.benchmark is not None
        space = ceiling.benchmark.space
        found = scores[[space.index(space.from_ncode(ncode)) for ncode in own["ncode"]]]
        better = ceiling.benchmark.metric.higher_is_better
        frame.loc[own.index, "percentile"] = statistics.percentiles(found, scores, higher_is_better=better)
    return frame


def _of(proposals: pd.DataFrame, benchmark: str, strategy: str) -> pd.DataFrame:
    return proposals[(proposals["benchmark"] == benchmark) & (proposals["strategy"] == strategy)]


def _summary(proposals: pd.DataFrame) -> dict[str, Any]:
    values = proposals["percentile"].dropna()
    low, high = statistics.interval(_samples(proposals))
    return {
        "percentile_mean": statistics.mean(_samples(proposals)),
        "percentile_std": statistics.std(values),
        "percentile_low": float(low),
        "percentile_high": float(high),
        "median": float(values.median()),
        "proposals": len(proposals),
        "distinct": proposals["ncode"].nunique(),
    }


def _by_heart(results: Results, proposals: pd.DataFrame, benchmark: str, strategy: str) -> Mapping[str, Any]:
    partner = plain_partner(results, benchmark, strategy)
    if partner is None:
        return NO_DIFFERENCE
    return differences(*(_samples(_of(proposals, benchmark, label)) for label in (partner, strategy)))


def _samples(proposals: pd.DataFrame) -> Floats:
    """What is resampled: the means of the runs, or of a single run its proposals."""
    known = proposals.dropna(subset="percentile")
    means = known.groupby("seed")["percentile"].mean()
    return (means if len(means) > 1 else known["percentile"]).to_numpy(dtype=float)
