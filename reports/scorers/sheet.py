"""How the table of a ranking is printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from reports import published
from reports.formats import NOTHING
from reports.formats import Column
from reports.formats import Row
from reports.formats import Sheet
from reports.formats import amount
from reports.formats import between
from reports.formats import fixed
from reports.formats import lay_out
from reports.formats import plain
from reports.scorers.table import COVERAGE
from reports.scorers.table import FEWEST_OF_TOP
from reports.scorers.table import FLOOR
from reports.scorers.table import TARGETS
from reports.scorers.table import TOP

if TYPE_CHECKING:
    from collections.abc import Callable

    from reports.correlation import Estimate
    from reports.scorers.table import RankingTable


def sheet(table: RankingTable) -> Sheet:
    """The table in all its forms."""
    rows = table.frame.to_dict("records")
    columns, notes = _columns(table), _footnotes(table)
    ranks = {f"tau_{target}": _ranks(table, f"tau_{target}") for target in TARGETS}
    floors = table.frame.query("role == 'floor'")["scorer"]
    return Sheet(
        name=table.ranked.label,
        title=table.ranked.label,
        caption=_caption(table),
        frame=table.frame,
        wide=lay_out(columns, rows, names=2, footnotes=notes, ranks=ranks),
        narrow=lay_out(columns, rows, footnotes=notes, ranks=ranks, narrow=True),
        closing=_closing(table),
        apart=None if floors.empty else str(floors.iloc[0]),
    )


def _caption(table: RankingTable) -> str:
    record = table.ranked.record
    sample = record.sample
    drawn = (
        f"all {sample.of:,} architectures of the space"
        if sample.seed is None
        else f"{sample.architectures:,} architectures, drawn evenly from {sample.of:,} (seed {sample.seed})"
    )
    splits = " and ".join(TARGETS[target] for target in TARGETS if target not in record.missing)
    return (
        f"Kendall's tau-b and Spearman's correlation between score and trained {record.metric.name} ({splits}, "
        f"{record.fidelity} epochs, mean over training seeds) over {drawn}. Data: {record.data.source}, digest "
        f"{record.data.digest[:12]}. Scores of which lower ones promise more are turned round. Equal scores count as "
        "tau-b counts them; an architecture that a scorer cannot score is in none of its pairs. Intervals: 95 %, "
        f"percentile bootstrap over architectures, {table.resamples:,} resamples."
    )


def _columns(table: RankingTable) -> list[Column]:
    columns = [
        Column("scorer", "Scorer", plain("scorer"), "Scorer"),
        Column("role", "Role", plain("role")),
    ]
    for target, name in TARGETS.items():
        first = target == table.target
        short = "test" if target == "test" else "valid"
        tau, spearman, top, gain = (f"{measure}_{target}" for measure in ("tau", "spearman", "top", "gain"))
        columns += [
            Column(tau, f"Kendall's tau, {name}", fixed(tau, 3), f"tau {short}" if first else None),
            Column(
                f"{tau}_interval",
                "95 % interval",
                between(tau, 3),
                "interval" if first else None,
                optional=True,
            ),
            Column(
                spearman,
                f"Spearman, {name}",
                fixed(spearman, 3),
                f"Spearman {short}" if first else None,
                optional=True,
            ),
            Column(f"{spearman}_interval", "95 % interval", between(spearman, 3), optional=True),
            Column(
                top,
                f"tau of the best {TOP:.0%}, {name}",
                fixed(top, 3),
                f"best {TOP:.0%}" if first else None,
                optional=True,
            ),
            Column(f"{top}_interval", "95 % interval", between(top, 3), optional=True),
            Column(
                gain,
                f"tau minus that of {FLOOR}, {name}",
                fixed(gain, 3, "+"),
                optional=True,
            ),
            Column(f"{gain}_interval", "95 % interval", between(gain, 3, "+"), optional=True),
        ]
    gain = f"gain_{table.target}"
    return [
        *columns,
        Column("beats", f"Beats {FLOOR}", _beats(gain), "beats params", optional=True),
        Column("scored", "Scored", _whole("scored"), "n"),
        Column("failed", "Failed", _whole("failed"), optional=True),
        Column("ties", "Equal pairs", _percent("ties")),
        Column("seconds", "Seconds per architecture", _seconds, "sec."),
        Column(
            "published_tau",
            f"{published.rz_nas().paper}: tau",
            fixed("published_tau", 2),
            published.rz_nas().paper,
            optional=True,
        ),
        Column(
            "published_spearman",
            f"{published.rz_nas().paper}: Spearman",
            fixed("published_spearman", 2),
            optional=True,
        ),
    ]


def _footnotes(table: RankingTable) -> list[tuple[str, str]]:
    record, frame = table.ranked.record, table.frame
    notes = [
        (f"tau_{target}", f"No {TARGETS[target]} scores: {why.rstrip('.')}.")
        for target, why in record.missing.items()
    ]
    if absent := [f"{row.scorer}: {row.missing.rstrip('.')}" for row in frame.itertuples() if row.missing]:
        notes.append(("scorer", f"No scores of {'; '.join(absent)}."))
    untrained = int(table.ranked.scores[table.target].isna().sum())
    if untrained:
        notes.append(
            (
                "scored",
                f"{untrained:,} architectures have no {TARGETS[table.target]} score, and are in no pair.",
            )
        )
    notes += _without_top(table)
    if not frame.query("role == 'scorer'")[f"gain_{table.target}"].isna().all():
        notes.append(
            (
                "beats",
                f"Whether the interval of tau ({TARGETS[table.target]}) minus that of {table.floor}, on what both have "
                "scored and on the same resamples, lies above 0 (yes), below (no), or holds it (unclear).",
            )
        )
    constant = [row.scorer for row in frame.itertuples() if row.ties == 1]
    if constant:
        notes.append(
            ("scorer", f"{', '.join(constant)}: all scores are equal, so there is no order and no tau.")
        )
    if len(table.ranked.problems):
        notes.append(("scored", _failures(table)))
    if (frame["seconds_kind"] == "measured").any():
        notes.append(
            (
                "seconds",
                "Median, as measured when the score was first computed. What is counted takes none; scores after "
                "training have the simulated seconds of their table.",
            )
        )
    if frame["published_tau"].notna().any():
        paper = published.rz_nas()
        notes.append(
            (
                "published_tau",
                f"{paper.source}: with {paper.target}, at full size, on images of the data set and a sample that it "
                "does not name; the settings here are those of the sweep.",
            )
        )
    return notes


def _without_top(table: RankingTable) -> list[tuple[str, str]]:
    """Which rows have a tau, but none of the best architectures alone."""
    tau, best = (table.frame[f"{measure}_{table.target}"] for measure in ("tau", "top"))
    lacking = table.frame.loc[tau.notna() & best.isna(), "scorer"]
    if lacking.empty:
        return []
    why = f"fewer than {FEWEST_OF_TOP} architectures, or all scores are equal"
    if best.isna().all():
        # The whole column is left out.
        return [("scored", f"No tau of the best {TOP:.0%}: {why}.")]
    return [(f"top_{table.target}", f"None of {', '.join(lacking)}: {why}.")]


def _failures(table: RankingTable) -> str:
    """How many scores each scorer failed to give, and why most of them."""
    texts = []
    for label, group in table.ranked.problems.groupby("scorer", sort=False):
        reasons = group["problem"].value_counts()
        mostly = "" if len(reasons) == 1 else f"{reasons.iloc[0]} times "
        texts.append(f"{label} {len(group)} ({mostly}{str(reasons.index[0]).rstrip('.')})")
    return f"Not scored: {'; '.join(texts)}."


def _closing(table: RankingTable) -> str:
    best = table.best
    if best is None:
        return f"No scorer has a tau on {COVERAGE:.0%} of the architectures, so none is compared with the floors."
    target = TARGETS[table.target]
    text = f"Highest tau ({target}) of the scorers: {best.scorer}, {_estimate(best.tau)}."
    for floor, gain in best.over.items():
        text += f" Minus that of {floor}: {_estimate(gain, '+')}, {_verdict(gain)}."
    if best.over:
        text += " It was chosen on the same architectures, which favours it where several scorers are close."
    return text


def _verdict(gain: Estimate) -> str:
    if math.isnan(gain.low):
        return "which cannot be judged"
    return {"yes": "so it beats that floor", "no": "so it is worse than that floor"}.get(
        _judge(gain.low, gain.high), "so it cannot be told from that floor"
    )


def _judge(low: float, high: float) -> str:
    if low > 0:
        return "yes"
    return "no" if high < 0 else "unclear"


def _estimate(estimate: Estimate, sign: str = "") -> str:
    if math.isnan(estimate.value):
        return NOTHING
    if math.isnan(estimate.low):
        return f"{estimate.value:{sign}.3f} (too few architectures for an interval)"
    return f"{estimate.value:{sign}.3f} ({estimate.low:{sign}.3f} to {estimate.high:{sign}.3f})"


def _beats(gain: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        low, high = row[f"{gain}_low"], row[f"{gain}_high"]
        return NOTHING if row["role"] != "scorer" or math.isnan(low) else _judge(low, high)

    return text


def _whole(key: str) -> Callable[[Row], str]:
    return lambda row: NOTHING if pd.isna(row[key]) else f"{row[key]:,}"


def _percent(key: str) -> Callable[[Row], str]:
    return lambda row: NOTHING if math.isnan(row[key]) else f"{row[key]:.1%}"


def _seconds(row: Row) -> str:
    return "counted" if row["seconds_kind"] == "none" else amount("seconds")(row)


def _ranks(table: RankingTable, key: str) -> list[int]:
    """Rank 1 and 2 of the scorers, equal where they look equal; 0 for floors and ceilings."""
    frame = table.frame
    values = frame[key].where(frame["role"] == "scorer").round(3)
    if values.count() < 2:
        return [0] * len(frame)
    order = values.rank(method="dense", ascending=False)
    return [int(rank) if rank <= 2 else 0 for rank in order]
