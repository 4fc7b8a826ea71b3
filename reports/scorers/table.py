"""How well each scorer orders the architectures of a benchmark, beside floors and ceilings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from reports import correlation
from reports import published
from reports.correlation import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reports.correlation import Counts
    from reports.correlation import Floats
    from reports.scorers.load import Ranked

TARGETS = {"test": "test", "valid": "validation"}
"""Trained scores that scorers are compared with, and what they are called; the first that there is counts."""

MEASURES = ("tau", "spearman", "top", "gain")

TOP = 0.1
"""Share of the architectures, the best by trained score, that a second tau is of."""
# Tau of fewer takes few values, and says nothing.
FEWEST_OF_TOP = 10
#: Share of the architectures that a scorer must have scored to be called the best.
COVERAGE = 0.9

FLOOR = "parameters"
SEED_TO_SEED = "seed against seed"
VALID_TO_TEST = "valid against test"

_ORDER = ("scorer", "floor", "ceiling")

Row = dict[str, Any]


@dataclass(frozen=True)
class Best:
    """The scorer with the highest tau, against the floors.

    Attributes:
        scorer: Its label.
        tau: Its tau.
        over: Label of a floor to how much higher its tau is.
    """

    scorer: str
    tau: Estimate
    over: Mapping[str, Estimate]


@dataclass(frozen=True)
class RankingTable:
    """The numbers of one benchmark.

    Attributes:
        ranked: The scores.
        frame: One row per scorer, then floors, then ceilings. Columns: ``benchmark``, ``scorer`` (label), ``name``
            (registered), ``role``; of each of :data:`TARGETS` and :data:`MEASURES` ``<measure>_<target>`` with its
            ``_low`` and ``_high`` (``top`` is tau of the best :data:`TOP`, ``gain`` tau minus that of the parameters);
            ``scored`` and ``failed`` architectures, ``ties`` (share of pairs with equal scores), ``seconds`` (median)
            and ``seconds_kind``, ``published_tau``, ``published_spearman``, ``missing`` (why there are no scores).
        target: The target that counts.
        floor: Label of the parameters; ``None`` where the space cannot count them.
        best: ``None`` where no scorer has a tau and has scored :data:`COVERAGE` of the architectures.
        resamples: Number of bootstrap resamples.
    """

    ranked: Ranked
    frame: pd.DataFrame
    target: str
    floor: str | None
    best: Best | None
    resamples: int


def ranking_table(ranked: Ranked) -> RankingTable:
    """Correlate the scores of a benchmark with its trained scores."""
    record = ranked.record
    labels = sorted(record.scorers, key=lambda label: _ORDER.index(record.scorers[label].role))
    trained = {target: trained_scores(ranked, target) for target in TARGETS}
    orders = {label: scores_of(ranked, label) for label in labels} | {VALID_TO_TEST: trained["valid"]}
    counts = correlation.resamples(len(ranked.scores))
    targets = {name: _Target(name, values, orders, counts) for name, values in trained.items()}
    floors = [
        label for label in labels if record.scorers[label].role == "floor" and _is_scored(ranked, label)
    ]
    floor = next((label for label in floors if record.scorers[label].name == FLOOR), None)

    rows = []
    for label in labels:
        row = _facts(ranked, label)
        for target in targets.values():
            row |= target.measures(label)
            if floor not in {None, label}:
                row |= target.columns("gain", target.gain(label, floor))
        rows.append(row)
    rows.append(_seed_to_seed(ranked, targets))
    both = _known(trained["valid"]) & _known(trained["test"])
    missing = "the source lacks one of the two"
    rows.append(
        _ceiling(ranked, VALID_TO_TEST, both, missing)
        | targets["valid"].nothing()
        | targets["test"].measures(VALID_TO_TEST)
    )
    frame = pd.DataFrame(rows)
    for column in ("scored", "failed"):
        frame[column] = frame[column].astype("Int64")
    first = next(name for name in TARGETS if name not in record.missing)
    return RankingTable(
        ranked=ranked,
        frame=frame,
        target=first,
        floor=floor,
        best=_best(frame, targets[first], floors),
        resamples=counts.shape[1],
    )


def scores_of(ranked: Ranked, label: str) -> Floats:
    """A scorer's scores, turned so that higher is better; NaN where there is none."""
    record = ranked.record.scorers[label]
    if record.missing is not None:
        return np.full(len(ranked.scores), math.nan)
    return _turned(ranked.scores[label], higher_is_better=record.higher_is_better)


class _Target:
    """Trained scores, and the correlations of orders with them.

    Args:
        name: One of :data:`TARGETS`.
        values: ``(architectures,)``, higher is better; NaN where there is none.
        orders: Scores by label, in the same way.
        counts: Resamples of the architectures.
    """

    def __init__(self, name: str, values: Floats, orders: Mapping[str, Floats], counts: Counts) -> None:
        self.name = name
        self.values = values
        self.counts = counts
        self._orders = orders
        self._taus: dict[tuple[str, bytes], tuple[float, Floats]] = {}

    def measures(self, label: str) -> Row:
        """Columns of all measures of an order, but without its gain."""
        rows = self._rows(label)
        scores, values, counts = self._orders[label][rows], self.values[rows], self.counts[rows]
        if len(scores) < 2:
            return self.nothing()
        spearman = (
            correlation.spearman(scores, values),
            correlation.spearman_of_resamples(scores, values, counts),
        )
        return {
            **self.nothing(),
            **self.columns("tau", correlation.estimate(*self.tau(label, rows), things=len(scores))),
            **self.columns("spearman", correlation.estimate(*spearman, things=len(scores))),
            **self.columns(
                "top", correlation.estimate(*_of_top(scores, values, values, counts), things=len(scores))
            ),
        }

    def gain(self, label: str, floor: str) -> Estimate:
        """Tau of an order minus that of a floor, on what both have scored, and on the same resamples."""
        rows = self._rows(label) & self._rows(floor)
        (tau, taus), (other, others) = self.tau(label, rows), self.tau(floor, rows)
        return correlation.estimate(tau - other, taus - others, things=int(rows.sum()))

    def tau(self, label: str, rows: NDArray[np.bool_]) -> tuple[float, Floats]:
        """Tau on some of the architectures, and that of each resample."""
        key = (label, rows.tobytes())
        if key not in self._taus:
            scores, values = self._orders[label][rows], self.values[rows]
            resampled = correlation.kendall_of_resamples(scores, values, self.counts[rows])
            self._taus[key] = (correlation.kendall(scores, values), resampled)
        return self._taus[key]

    def nothing(self) -> Row:
        """The columns where there is nothing to compare."""
        return {k: v for measure in MEASURES for k, v in self.columns(measure, Estimate()).items()}

    def columns(self, measure: str, estimate: Estimate) -> Row:
        """A number and its interval as columns."""
        key = f"{measure}_{self.name}"
        return {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}

    def _rows(self, label: str) -> NDArray[np.bool_]:
        return ~np.isnan(self._orders[label]) & ~np.isnan(self.values)


def _facts(ranked: Ranked, label: str) -> Row:
    """The columns of a scorer that are no correlations."""
    record = ranked.record.scorers[label]
    scored = _known(scores_of(ranked, label))
    reported = published.rz_nas().of(ranked.record.space, ranked.record.dataset).get(record.name)
    row = {
        "benchmark": ranked.label,
        "scorer": label,
        "name": record.name,
        "role": record.role,
        "scored": None,
        "failed": None,
        "ties": math.nan,
        "seconds": math.nan,
        "seconds_kind": record.seconds,
        "published_tau": reported.kendall if reported else math.nan,
        "published_spearman": reported.spearman if reported else math.nan,
        "missing": record.missing or "",
    }
    if record.missing is not None:
        return row
    return row | {
        "scored": int(scored.sum()),
        "failed": int((~scored).sum()),
        "ties": correlation.tied_pairs(scores_of(ranked, label)[scored]),
        # What other work on the machine held up would show in a mean.
        "seconds": float(ranked.seconds[label].median()),
    }


def _ceiling(ranked: Ranked, label: str, rows: NDArray[np.bool_], missing: str) -> Row:
    """The columns of a ceiling that are no correlations; ``missing`` says why it has no scores, if it has none."""
    numbers = dict.fromkeys(("ties", "seconds", "published_tau", "published_spearman"), math.nan)
    return {
        "benchmark": ranked.label,
        "scorer": label,
        "name": "",
        "role": "ceiling",
        "scored": int(rows.sum()) if rows.any() else None,
        "failed": None,
        "seconds_kind": "",
        "missing": "" if rows.any() else missing,
        **numbers,
    }


def _seed_to_seed(ranked: Ranked, targets: Mapping[str, _Target]) -> Row:
    """Mean over the pairs of training seeds, each on the architectures that have both."""
    row: Row = {}
    scored = np.zeros(len(ranked.scores), dtype=bool)
    for name, target in targets.items():
        row |= target.nothing()
        seeds = [trained_scores(ranked, f"{name}/{seed}") for seed in ranked.record.seeds.get(name, ())]
        found: dict[str, list[tuple[float, Floats]]] = {"tau": [], "spearman": [], "top": []}
        for first, second in itertools.combinations(seeds, 2):
            rows = _known(first) & _known(second)
            if rows.sum() < 2:
                continue
            scored |= rows
            one, other, means, counts = first[rows], second[rows], target.values[rows], target.counts[rows]
            found["tau"].append(
                (correlation.kendall(one, other), correlation.kendall_of_resamples(one, other, counts))
            )
            found["spearman"].append(
                (correlation.spearman(one, other), correlation.spearman_of_resamples(one, other, counts))
            )
            found["top"].append(_of_top(one, other, means, counts))
        for measure, pairs in found.items():
            if pairs:
                values, replicates = zip(*pairs, strict=True)
                mean = correlation.estimate(
                    float(np.mean(values)), np.mean(replicates, axis=0), things=int(scored.sum())
                )
                row |= target.columns(measure, mean)
    missing = "the source has means over training seeds, and no scores of single ones"
    return _ceiling(ranked, SEED_TO_SEED, scored, missing) | row


def _of_top(first: Floats, second: Floats, trained: Floats, counts: Counts) -> tuple[float, Floats]:
    """Tau of two orders on the best architectures by trained score, which each resample has its own of."""
    best = correlation.top(trained, np.ones((len(trained), 1), dtype=np.float32), TOP)[:, 0] > 0
    drawn = correlation.top(trained, counts, TOP)
    rows = drawn.any(axis=1)
    if best.sum() < FEWEST_OF_TOP:
        return math.nan, np.full(counts.shape[1], math.nan)
    return (
        correlation.kendall(first[best], second[best]),
        correlation.kendall_of_resamples(first[rows], second[rows], drawn[rows]),
    )


def _best(frame: pd.DataFrame, target: _Target, floors: list[str]) -> Best | None:
    tau = f"tau_{target.name}"
    scorers = frame[(frame["role"] == "scorer") & frame[tau].notna()]
    # One that scores few is judged on those alone.
    scorers = scorers[scorers["scored"] >= COVERAGE * (scorers["scored"] + scorers["failed"])]
    if scorers.empty:
        return None
    row = scorers.loc[scorers[tau].idxmax()]
    label = str(row["scorer"])
    return Best(
        label,
        Estimate(*(float(row[key]) for key in (tau, f"{tau}_low", f"{tau}_high"))),
        {floor: target.gain(label, floor) for floor in floors},
    )


def trained_scores(ranked: Ranked, column: str) -> Floats:
    """A column of trained scores, such as ``test``, turned so that higher is better; NaN where there is none."""
    if column not in ranked.scores:
        return np.full(len(ranked.scores), math.nan)
    return _turned(ranked.scores[column], higher_is_better=ranked.record.metric.higher_is_better)


def _turned(scores: pd.Series, *, higher_is_better: bool) -> Floats:
    values: Floats = scores.to_numpy(dtype=float)
    return values if higher_is_better else -values


def _is_scored(ranked: Ranked, label: str) -> bool:
    return ranked.record.scorers[label].missing is None


def _known(values: Floats) -> NDArray[np.bool_]:
    return ~np.isnan(values)
