"""Which sweeps of ``experiments.yaml`` would measure what nobody has measured yet."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from harness import registry
from harness.arguments import default_arguments
from harness.benchmarks.data import DEFAULT_SOURCE
from harness.experiment import Sweep
from reports import ranking
from reports.papers.measured import ACCURACY
from reports.papers.measured import ERROR
from reports.papers.measured import SECONDS
from reports.papers.measured import SPEARMAN
from reports.papers.measured import TAU
from reports.published.facts import asks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence

    from harness.entries import BenchmarkEntry
    from harness.experiment import ExperimentsFile
    from reports.published.papers import Value

TEST_SCORES = "a source with test scores"

# What searches have scores of, and the time that they take.
_OF_RUNS = frozenset({ACCURACY, ERROR, "MAE", "RMSE", "MAPE", SECONDS})


@dataclass(frozen=True)
class Filler:
    """A sweep that would measure numbers.

    Attributes:
        sweep: Its name.
        numbers: How many, of those that no sweep before it has.
        needs: What has to be set in the file first, to how many of the numbers need it.
    """

    sweep: str
    numbers: int
    needs: Mapping[str, int]


@dataclass(frozen=True)
class _Offer:
    """What a sweep would have runs or scores of, as far as matching needs to know it."""

    sweep: str
    space: str
    dataset: str
    proxy: str | None
    has_test: bool
    strategy: Mapping[str, Any] | None = None
    models: Mapping[str, Mapping[str, Any]] | None = None
    scorer: str | None = None


class Offers:
    """What the sweeps of a file would measure.

    Only what the file says is known, so that no data need be there: strategies with their parameters, data sets, search
    spaces, proxies and models. The source that comes with the harness is known to have no test scores; any other counts
    as whole. A sweep on a table of trainings names neither space nor data set, and offers nothing.

    Args:
        file: The sweeps.

    Attributes:
        path: The file.

    Raises:
        SpecError: It names a strategy or parameter that there is not.
    """

    def __init__(self, file: ExperimentsFile) -> None:
        self.path = file.path
        self._of: dict[tuple[str, str], list[_Offer]] = defaultdict(list)
        for name in file.experiments.sweeps:
            for offer in _offers(file, name):
                self._of[offer.space, offer.dataset].append(offer)

    def fillers(self, values: Sequence[Value]) -> list[Filler]:
        """The sweeps that would measure some numbers, each with those that the ones before it lack, the most first.

        What a sweep measures as it stands comes before what takes a change to the file.
        """
        ready: dict[str, set[int]] = defaultdict(set)
        changed: dict[str, dict[int, tuple[str, ...]]] = defaultdict(dict)
        for i, value in enumerate(values):
            for offer in self._of[value.space, value.dataset]:
                needs = _needs(value, offer)
                if needs == ():
                    ready[offer.sweep].add(i)
                elif needs is not None:
                    known = changed[offer.sweep].get(i, needs)
                    changed[offer.sweep][i] = min(known, needs, key=len)
        chosen = _cover(ready)
        done: set[int] = set().union(*chosen.values())
        # A sweep that is to run anyway goes before one that is not.
        rest = {
            name: changed[name].keys() - done for name in sorted(changed, key=lambda name: name not in chosen)
        }
        later = _cover(rest)
        return [
            Filler(
                name,
                len(chosen.get(name, ())) + len(later.get(name, ())),
                dict(Counter(need for i in sorted(later.get(name, ())) for need in changed[name][i])),
            )
            for name in dict.fromkeys([*chosen, *later])
        ]


def _cover(covers: Mapping[str, set[int]]) -> dict[str, set[int]]:
    """Greedily, the most first: what each has that those before it lack."""
    left = dict(covers)
    chosen: dict[str, set[int]] = {}
    covered: set[int] = set()
    while left:
        name = max(left, key=lambda name: len(left[name] - covered))
        more = left.pop(name) - covered
        if not more:
            break
        chosen[name] = more
        covered |= more
    return chosen


def _offers(file: ExperimentsFile, name: str) -> Iterator[_Offer]:
    sweep = file.experiments.sweeps[name]
    places = []
    for position, entry in enumerate(sweep.benchmarks):
        with file.locate(("sweeps", name, "benchmarks", position)):
            places += list(_places(entry))
    if isinstance(sweep, Sweep):
        for strategy in file.strategies(name).values():
            cls = registry.load("strategy", strategy.name)
            named = [strategy.params[parameter] for parameter in getattr(cls, "model_parameters", ())]
            models = {model: file.model(model) for model in named if model is not None}
            for place in places:
                yield _Offer(name, **place, strategy=strategy.model_dump(), models=models)
    else:
        for scorer in sweep.scorers:
            for place in places:
                yield _Offer(name, **place, scorer=scorer.name)


def _places(entry: BenchmarkEntry) -> Iterator[dict[str, Any]]:
    """Search space, data set and proxy of each benchmark of an entry, and whether it has test scores."""
    defaults = default_arguments(registry.load("benchmark", entry.name))
    for _, given in entry.expand():
        params = defaults | given
        space = {
            "nasbench201": "nasbench201",
            "proxy": params.get("of"),
            "forecasting": params.get("space"),
        }.get(entry.name)
        if space is not None:
            yield {
                "space": space,
                "dataset": params["dataset"],
                "proxy": params.get("proxy"),
                "has_test": params.get("source") != DEFAULT_SOURCE,
            }


def _needs(value: Value, offer: _Offer) -> tuple[str, ...] | None:
    """What has to be set before a sweep measures a number; ``None`` where it never does."""
    if not _is_of(value, offer):
        return None
    needs = []
    if value.split == "test" and not offer.has_test:
        needs.append(TEST_SCORES)
    model = value.subject.model
    if model is not None and not asks(offer.models or {}, model):
        needs.append(f"model {model}")
    return tuple(needs)


def _is_of(value: Value, offer: _Offer) -> bool:
    """Whether a sweep has runs or scores of what a number is of, whatever the model."""
    subject = value.subject
    correlation = value.measure in {TAU, SPEARMAN}
    if offer.strategy is None:
        return correlation and subject.strategy is None and subject.proxy == offer.scorer
    if correlation != (offer.strategy["name"] == ranking.STRATEGY):
        return False
    if not correlation and value.measure not in _OF_RUNS:
        return False
    if subject.strategy is None:
        # The best of a space is known with the first run. References are trained apart: `harness tabulate`.
        return subject.optimum
    if subject.strategy != offer.strategy["name"]:
        return False
    spec = {
        "strategy": offer.strategy,
        "benchmark": {"params": {"proxy": offer.proxy} if offer.proxy else {}},
        "models": {},
    }
    return subject.model_copy(update={"model": None}).is_strategy(spec)
