"""Which sweeps of ``experiments.yaml`` would measure what nobody has measured yet."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from harness.experiment import Sweep
from reports import ranking
from reports.papers.measured import SECONDS
from reports.papers.measured import SPEARMAN
from reports.papers.measured import TAU

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence

    from harness.entries import BenchmarkEntry
    from harness.experiment import ExperimentsFile
    from harness.ranking.entry import Ranking
    from reports.published.papers import Value

# What searches have scores of, and the time that they take.
_OF_RUNS = frozenset({"accuracy", "MAE", "RMSE", "MAPE", SECONDS})


def sweeps_for(values: Sequence[Value], file: ExperimentsFile) -> dict[str, int]:
    """Names of sweeps to how many more of the numbers each has runs of than those before it; the most first.

    Only what the file says is compared, so that no data need be there: strategies with their parameters, data sets,
    search spaces and proxies. A sweep on a table of trainings names none of these, and counts for nothing.

    Args:
        values: Published numbers.
        file: The sweeps.

    Raises:
        SpecError: The file names a strategy or parameter that there is not.
    """
    covers = {
        name: {
            i for i, value in enumerate(values) if any(_fits(value, candidate) for candidate in candidates)
        }
        for name, sweep in file.experiments.sweeps.items()
        if (candidates := list(_candidates(file, name, sweep)))
    }
    counts: dict[str, int] = {}
    covered: set[int] = set()
    while covers:
        name = max(covers, key=lambda sweep: len(covers[sweep] - covered))
        more = covers.pop(name) - covered
        if not more:
            break
        counts[name] = len(more)
        covered |= more
    return counts


def _candidates(file: ExperimentsFile, name: str, sweep: Sweep | Ranking) -> Iterator[dict[str, Any]]:
    """What a sweep has runs of, as far as matching needs to know."""
    places = [place for entry in sweep.benchmarks for place in _places(entry)]
    if isinstance(sweep, Sweep):
        for strategy in file.strategies(name).values():
            for place in places:
                yield place | {"strategy": strategy.model_dump()}
    else:
        for scorer in sweep.scorers:
            for place in places:
                yield place | {"scorer": scorer.name}


def _places(entry: BenchmarkEntry) -> Iterator[dict[str, Any]]:
    for _, params in entry.expand():
        space = {
            "nasbench201": "nasbench201",
            "proxy": params.get("of", "nasbench201"),
            "forecasting": params.get("space", "ists"),
        }.get(entry.name)
        if space is not None:
            yield {"space": space, "dataset": params.get("dataset"), "proxy": params.get("proxy")}


def _fits(value: Value, candidate: dict[str, Any]) -> bool:
    if (value.space, value.dataset) != (candidate["space"], candidate["dataset"]):
        return False
    subject = value.subject
    correlation = value.measure in {TAU, SPEARMAN}
    if "scorer" in candidate:
        return correlation and subject.strategy is None and subject.proxy == candidate["scorer"]
    if correlation != (candidate["strategy"]["name"] == ranking.STRATEGY):
        return False
    if not correlation and value.measure not in _OF_RUNS:
        return False
    if subject.strategy is None:
        # References are trained, and optima known, with the first run of any strategy.
        return subject.reference is not None or subject.optimum
    spec = {
        "strategy": candidate["strategy"],
        "benchmark": {"params": {"proxy": candidate["proxy"]} if candidate["proxy"] else {}},
        "models": {},
    }
    return subject.model_copy(update={"model": None}).is_strategy(spec)
