"""Numbers that papers report, in YAML files beside this module, each with its source.

:mod:`reports.published.papers` reads them. Two tables of RZ-NAS are put together here as reports of proxies need them:
by data set, then by proxy.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from typing import NamedTuple
from typing import TypeVar

from reports.published import papers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.published.papers import Value

_Number = TypeVar("_Number", int, float)

# RZ-NAS does not say which way to compute Zen-Score its numbers are of, so they stand beside both.
_ALSO = {"zen": ("zen_running",)}


class Correlations(NamedTuple):
    """How well a proxy ranks, as a paper reports it."""

    kendall: float
    spearman: float


@dataclass(frozen=True)
class Rankings:
    """Rank correlations of proxies with trained scores.

    Attributes:
        paper: Short name of the paper, for the head of a column.
        source: Where in which paper.
        target: What the proxies are compared with there.
        space: Search space.
        proxies: Data set to registered name of a proxy to its correlations.
    """

    paper: str
    source: str
    target: str
    space: str
    proxies: Mapping[str, Mapping[str, Correlations]]

    def of(self, space: str, dataset: str) -> Mapping[str, Correlations]:
        """What was reported of a data set; empty where nothing was."""
        return self.proxies.get(dataset, {}) if space == self.space else {}


class Accuracy(NamedTuple):
    """Trained accuracy of what runs recommended, mean and standard deviation."""

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}"


class Splits(NamedTuple):
    """Accuracy on each split."""

    valid: Accuracy
    test: Accuracy


class OnProxy(NamedTuple):
    """Searches on one proxy.

    Attributes:
        alone: Without a language model.
        mutated: With mutations by one.
    """

    alone: Splits
    mutated: Splits


@dataclass(frozen=True)
class Searches:
    """What searches on proxies recommended.

    Attributes:
        paper: Short name of the paper.
        source: Where in which paper.
        space: Search space.
        unit: Of the accuracies.
        runs: Number of runs behind each.
        results: Data set to registered name of a proxy to what was found on it.
    """

    paper: str
    source: str
    space: str
    unit: str
    runs: int
    results: Mapping[str, Mapping[str, OnProxy]]

    def on(self, space: str, dataset: str, proxy: str) -> OnProxy | None:
        """What was reported; ``None`` where nothing was."""
        return self.results.get(dataset, {}).get(proxy) if space == self.space else None


@cache
def rz_nas_searches() -> Searches:
    """RZ-NAS, Table 2, lower part."""
    paper, table = papers.find_table("rz-table2")
    values = [value for value in paper.values() if value.key == table.key and value.subject.proxy is not None]
    found = {(v.dataset, v.subject.proxy, v.subject.strategy, v.split): _accuracy(v) for v in values}
    results: dict[str, dict[str, OnProxy]] = defaultdict(dict)
    for dataset, proxy in dict.fromkeys((value.dataset, str(value.subject.proxy)) for value in values):
        alone, mutated = (
            Splits(*(found[dataset, proxy, strategy, split] for split in ("valid", "test")))
            for strategy in ("proxy_evolution", "rz_nas")
        )
        results[dataset][proxy] = OnProxy(alone, mutated)
    return Searches(
        paper=paper.paper,
        source=paper.cite(table),
        space=table.space,
        unit=values[0].unit,
        runs=_known(values[0].runs, values[0]),
        results=dict(results),
    )


@cache
def rz_nas() -> Rankings:
    """RZ-NAS, Table 3, without what a language model is said to make of the proxies."""
    paper, table = papers.find_table("rz-table3")
    values = [value for value in paper.values() if value.key == table.key and value.subject.strategy is None]
    found = {(value.dataset, value.subject.proxy, value.measure): value.mean for value in values}
    proxies: dict[str, dict[str, Correlations]] = defaultdict(dict)
    for dataset, proxy in dict.fromkeys((value.dataset, str(value.subject.proxy)) for value in values):
        for name in (proxy, *_ALSO.get(proxy, ())):
            proxies[dataset][name] = Correlations(
                kendall=found[dataset, proxy, "Kendall's tau"],
                spearman=found[dataset, proxy, "Spearman's correlation"],
            )
    return Rankings(
        paper=paper.paper,
        source=paper.cite(table),
        target=f"{table.split} accuracy",
        space=table.space,
        proxies=dict(proxies),
    )


def _accuracy(value: Value) -> Accuracy:
    return Accuracy(value.mean, _known(value.spread, value))


def _known(number: _Number | None, value: Value) -> _Number:
    if number is None:
        raise ValueError(
            f"{value.paper}, {value.table}, row {value.row!r}: its spread or its runs are missing."
        )
    return number
