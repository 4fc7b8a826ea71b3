"""How well a model ranks architectures that it knows no score of (CoLLM-NAS, section 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from harness.benchmarks.tabular import TabularBenchmark
from harness.errors import DataError
from harness.errors import SpaceError
from reports import statistics
from reports.formats import Column
from reports.formats import Sheet
from reports.formats import between
from reports.formats import count
from reports.formats import fixed
from reports.formats import lay_out
from reports.formats import spread
from reports.heatmaps import HeatMap
from reports.sheets import NO_DIFFERENCE
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
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.benchmarks import Benchmark
    from harness.spaces import Architecture
    from reports.load import Results
    from reports.scores import Ceiling
    from reports.statistics import Floats

STRATEGY = "llm_ranking"

MOST_RANKS = 25
"""Of a heat map, which more would make unreadable."""

_TAUS = ("tau", "tau_parameters", "tau_flops", "tau_seeds")


def ranking_sheet(results: Results, known: Mapping[str, Ceiling]) -> Sheet | None:
    """Kendall's tau-b between predicted rank and validation score, beside its floors and the agreement of seeds.

    A finished run that evaluated every architecture of its ranking is one repeated trial. Floors are the tau of
    parameter count and of FLOPs (more is better) on the same architectures. The agreement of seeds is the tau between
    the scores of two training seeds, mean over all pairs of seeds, where a table holds several.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        One row per benchmark and strategy: ``tau_mean``, ``_std``, ``_low``, ``_high`` (bootstrap over runs), the means
        of floors and seeds, ``rankings`` (runs with a whole ranking), ``of`` (architectures of a ranking),
        ``by_heart`` of blind rows; its ``runs`` hold the same run by run. ``None`` without such a run.
    """
    runs = results.runs[_is_ranking(results.runs)]
    if runs.empty:
        return None
    taus = run_taus(results, known)
    rows = []
    for counts in status_counts(results).to_dict("records"):
        key = (counts["benchmark"], counts["strategy"])
        own = runs[(runs["benchmark"] == key[0]) & (runs["strategy"] == key[1])]
        if own.empty:
            continue
        row = {"benchmark": key[0], "strategy": key[1], **asked(own), **_summary(_of(taus, *key))}
        partner = plain_partner(results, *key)
        row |= (
            NO_DIFFERENCE
            if partner is None
            else differences(*(_of(taus, key[0], label)["tau"] for label in (partner, key[1])))
        )
        rows.append(row | counts)
    columns = [
        *group_columns(known),
        *model_columns(),
        Column("tau", "Kendall's tau", spread("tau", 3), "tau"),
        Column("interval", "95 % interval of the mean", between("tau", 3), "95 %"),
        *difference_columns(3),
        Column("tau_parameters", "tau of parameters", fixed("tau_parameters_mean", 3), "of params"),
        Column("tau_flops", "tau of FLOPs", fixed("tau_flops_mean", 3), "of FLOPs"),
        Column("tau_seeds", "tau seed to seed", fixed("tau_seeds_mean", 3), "seed to seed"),
        Column("of", "Architectures", count("of"), "n"),
        Column("rankings", "Rankings", count("rankings")),
        *run_columns(),
    ]
    return Sheet(
        name="ranking",
        title="Ranking by a model",
        caption="Kendall's tau-b between the rank that a model predicts and the validation score, mean ± standard "
        "deviation over runs; a run is one ranking. On the same architectures: the tau of parameter count and of FLOPs "
        "(floors), and that between two training seeds; a mean over seeds can be predicted better than one seed "
        "predicts another. CoLLM-NAS, section 3.1, reports 0.89 on CIFAR-10 and 0.90 on CIFAR-100, of Qwen3-30B-A3B "
        "over 40 rankings of the same 10 architectures of NAS-Bench-201, against test accuracy.",
        frame=pd.DataFrame(rows),
        wide=lay_out(columns, rows, names=2),
        narrow=lay_out(columns, rows, names=2, narrow=True),
        runs=taus,
    )


def run_taus(results: Results, known: Mapping[str, Ceiling]) -> pd.DataFrame:
    """The taus of every finished run that is a ranking by a model.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        One row per run: ``benchmark``, ``strategy``, ``seed``, ``of`` (architectures of its ranking), ``tau`` between
        predicted rank and validation score, and those of floors and seeds; NaN where the ranking is not whole.
    """
    runs = results.runs[_is_ranking(results.runs) & results.runs["finished"]]
    if runs.empty:
        return pd.DataFrame(columns=["benchmark", "strategy", "seed", "of", *_TAUS], dtype=float)
    return pd.DataFrame([_run(results, run, known) for _, run in runs.iterrows()])


def consistency_maps(results: Results) -> list[HeatMap]:
    """How often an architecture of each predicted rank has each true rank (CoLLM-NAS, Figure 1).

    Args:
        results: The runs.

    Returns:
        One per benchmark and strategy with a whole ranking of up to :data:`MOST_RANKS`: relative frequencies over its
        rankings, each row and each column of sum 1. Architectures of equal score share the ranks that they cover.
    """
    maps = []
    runs = results.runs[_is_ranking(results.runs) & results.runs["finished"]]
    for (benchmark, strategy), group in runs.groupby(["benchmark", "strategy"], sort=False):
        rankings = [ranking for _, run in group.iterrows() if (ranking := _ranking(results, run)).is_whole]
        # All of one label rank equally many, for their parameters are equal.
        if not rankings or rankings[0].of > MOST_RANKS:
            continue
        frequencies = np.mean([_true_ranks(ranking) for ranking in rankings], axis=0)
        names = [str(rank + 1) for rank in range(rankings[0].of)]
        times = f"{len(rankings)} {'ranking' if len(rankings) == 1 else 'rankings'}"
        maps.append(
            HeatMap(
                name=f"consistency-{benchmark}-{strategy}",
                title=f"{benchmark}: {strategy}",
                rows=names,
                columns=names,
                values=frequencies,
                limits=(0.0, float(frequencies.max())),
                caption=f"How often what {strategy} ranks so on {benchmark} (1 is best) has which rank by validation: "
                f"relative frequency over {times}. After CoLLM-NAS, Figure 1.",
                row_title="Predicted rank",
                column_title="True rank",
            )
        )
    return maps


@dataclass(frozen=True)
class _Ranking:
    """What a model predicted in one run.

    Attributes:
        ranks: Predicted rank of each evaluated architecture, 1 is best.
        scores: Their validation scores, higher is better.
        ncodes: The architectures.
        of: How many were to be ranked.
    """

    ranks: Floats
    scores: Floats
    ncodes: list[str]
    of: int

    @property
    def is_whole(self) -> bool:
        """Whether all of them were evaluated, and are enough to have an order."""
        return len(self.ranks) == self.of >= 2


def _is_ranking(runs: pd.DataFrame) -> NDArray[np.bool_]:
    return np.array([spec["strategy"]["name"] == STRATEGY for spec in runs["spec"]], dtype=bool)


def _ranking(results: Results, run: pd.Series) -> _Ranking:
    trials = results.trials[results.trials["run"] == run.name]
    trials = trials[np.array(["rank" in attributes for attributes in trials["attributes"]], dtype=bool)]
    sign = 1 if run["record"]["metric"]["higher_is_better"] else -1
    return _Ranking(
        ranks=np.array([attributes["rank"] for attributes in trials["attributes"]], dtype=float),
        scores=sign * trials["valid"].to_numpy(dtype=float),
        ncodes=list(trials["ncode"]),
        of=max((attributes["of"] for attributes in trials["attributes"]), default=0),
    )


def _true_ranks(ranking: _Ranking) -> Floats:
    """Predicted rank by true rank: 1 where an architecture has both, shared among the ranks of equals."""
    scores = ranking.scores[np.argsort(ranking.ranks)]
    better = (scores[:, None] < scores).sum(axis=1)
    equal = (scores[:, None] == scores).sum(axis=1)
    ranks = np.arange(ranking.of)
    within = (ranks >= better[:, None]) & (ranks < (better + equal)[:, None])
    shares: Floats = within / equal[:, None]
    return shares


def _run(results: Results, run: pd.Series, known: Mapping[str, Ceiling]) -> dict[str, Any]:
    """The taus of one run; NaN where its ranking is not whole."""
    ranking = _ranking(results, run)
    row = {
        "benchmark": run["benchmark"],
        "strategy": run["strategy"],
        "seed": run["seed"],
        "of": ranking.of or math.nan,
    }
    if not ranking.is_whole:
        return row | dict.fromkeys(_TAUS, math.nan)
    scores = ranking.scores
    row |= {"tau": statistics.kendall(-ranking.ranks, scores)}
    benchmark = known[run["benchmark"]].benchmark
    if benchmark is None:
        return row | dict.fromkeys(_TAUS[1:], math.nan)
    architectures = [benchmark.space.from_ncode(ncode) for ncode in ranking.ncodes]
    parameters, flops = _costs(benchmark, architectures)
    return row | {
        "tau_parameters": statistics.kendall(parameters, scores),
        "tau_flops": statistics.kendall(flops, scores),
        "tau_seeds": _seed_to_seed(benchmark, architectures, run["spec"]["objective"]["fidelity"]),
    }


def _costs(benchmark: Benchmark, architectures: Sequence[Architecture]) -> Floats:
    """Parameters and FLOPs, ``(2, architectures)``; nothing to compare where the space cannot compute them."""
    try:
        costs = [benchmark.space.cost(arch, benchmark.dataset) for arch in architectures]
    except SpaceError:
        return np.empty((2, 0))
    return np.array([[cost.parameters for cost in costs], [cost.flops for cost in costs]], dtype=float)


def _seed_to_seed(benchmark: Benchmark, architectures: Sequence[Architecture], fidelity: int) -> float:
    """Mean tau over the pairs of training seeds, each on the architectures that have both."""
    if not isinstance(benchmark, TabularBenchmark):
        return math.nan
    try:
        seeds = benchmark.seeds(split="valid", fidelity=fidelity)
        at = [benchmark.space.index(arch) for arch in architectures]
        columns = [benchmark.scores(split="valid", fidelity=fidelity, seed=seed)[at] for seed in seeds]
    except DataError:
        return math.nan
    taus = []
    for first, second in combinations(columns, 2):
        both = ~np.isnan(first) & ~np.isnan(second)
        taus.append(statistics.kendall(first[both], second[both]))
    known = [tau for tau in taus if not math.isnan(tau)]
    return statistics.mean(known)


def _of(taus: pd.DataFrame, benchmark: str, strategy: str) -> pd.DataFrame:
    mine = taus[(taus["benchmark"] == benchmark) & (taus["strategy"] == strategy)]
    return mine.dropna(subset="tau")


def _summary(taus: pd.DataFrame) -> dict[str, Any]:
    low, high = statistics.interval(taus["tau"])
    row = {
        "tau_mean": statistics.mean(taus["tau"]),
        "tau_std": statistics.std(taus["tau"]),
        "tau_low": float(low),
        "tau_high": float(high),
    }
    row |= {f"{key}_mean": statistics.mean(taus[key].dropna()) for key in _TAUS[1:]}
    return row | {"of": statistics.mean(taus["of"]), "rankings": len(taus)}
