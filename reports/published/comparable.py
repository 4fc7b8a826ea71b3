"""Published numbers made comparable: which are of the same method, and measured on the same.

Two numbers are of one method where nothing that is said sets them apart: their names, proxies, parameters, settings and
language models. Where a table names no language model, that of the method's own paper is meant.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING
from typing import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from reports.published.papers import Paper
    from reports.published.papers import Value

# Numbers are compared in the decimals that are printed; this is what binary fractions take away.
EPS = 1e-9


class Best(NamedTuple):
    """The best of a whole search space.

    Attributes:
        mean: The highest accuracy of an architecture as the mean over its training seeds, in percent.
        training: The highest of any single training.
    """

    mean: float
    training: float


# By space, data set and split.
Bests = dict[tuple[str, str, str], Best]

# After 200 epochs, in the official files (Dong and Yang 2020; NATS-Bench). What single trainings have on the test
# halves of CIFAR-100 and ImageNet16-120 follows from what they have on both halves and on the validation half.
NASBENCH201_BEST: Bests = {
    ("nasbench201", "cifar10", "valid"): Best(91.607, 91.72),
    ("nasbench201", "cifar10", "test"): Best(94.373, 94.56),
    ("nasbench201", "cifar100", "valid"): Best(73.493, 73.72),
    ("nasbench201", "cifar100", "test"): Best(73.513, 74.28),
    ("nasbench201", "ImageNet16-120", "valid"): Best(46.733, 47.40),
    ("nasbench201", "ImageNet16-120", "test"): Best(47.311, 48.033),
}


class Target(NamedTuple):
    """What a number says something about, besides its method.

    Attributes:
        space: Search space.
        dataset: Data set.
        measure: What was measured; errors count as accuracies.
        split: On which split.
        part: Of what is measured in parts, the part.
    """

    space: str
    dataset: str
    measure: str
    split: str | None
    part: str | None

    def __str__(self) -> str:
        return ", ".join(part for part in self if part)


class Score(NamedTuple):
    """A number, with an error turned into an accuracy.

    Attributes:
        value: The number.
        of: What it says something about.
        mean: The mean, or 100 minus it.
        method: Which method it is of; ``None`` for what no method has, such as properties of data sets and the optimum.
    """

    value: Value
    of: Target
    mean: float
    method: int | None


class Scores:
    """All numbers of papers.

    Args:
        papers: The papers.
        best: What is known of whole search spaces.

    Attributes:
        papers: The papers.
        all: Their numbers, in order; methods are numbered in the order in which they are first named.
    """

    def __init__(self, papers: Sequence[Paper], best: Bests) -> None:
        self.papers = papers
        self._best = best
        values = [value for paper in papers for value in paper.values()]
        models = {paper.strategy: paper.model for paper in papers if paper.strategy is not None}
        self._decimals = _decimals(values)
        methods: list[list[_Method]] = []
        self.all = [_score(value, _number(value, models, methods)) for value in values]

    def slack(self, value: Value) -> float:
        """Half a unit of the last digit that its column prints."""
        return 0.5 * 10.0 ** -self._decimals[value.key, value.column] + EPS

    def best(self, of: Target) -> Best | None:
        """What no accuracy exceeds; ``None`` where that is not known."""
        return self._best.get((of.space, of.dataset, of.split or "")) if of.measure == "accuracy" else None

    def is_best(self, score: Score) -> bool:
        """Whether it is the accuracy of the best architecture."""
        best = self.best(score.of)
        return best is not None and abs(score.mean - best.mean) <= self.slack(score.value)

    def agree(self, a: Score, b: Score) -> bool:
        """Whether both can be roundings of one number; of spreads, where both have one, they must be equal."""
        if abs(a.mean - b.mean) > max(self.slack(a.value), self.slack(b.value)):
            return False
        return a.value.spread is None or b.value.spread is None or abs(a.value.spread - b.value.spread) <= EPS


def decimals(value: Value) -> int:
    """How many digits a number has after its point, as printed."""
    return len(value.printed.partition(" ")[0].partition(".")[2])


def _decimals(values: Iterable[Value]) -> dict[tuple[str, str], int]:
    """The most of each column: zeros at the end of a number are not always known."""
    most: dict[tuple[str, str], int] = defaultdict(int)
    for value in values:
        most[value.key, value.column] = max(most[value.key, value.column], decimals(value))
    return most


def _score(value: Value, method: int | None) -> Score:
    error = value.measure == "error"
    measure = "accuracy" if error else value.measure
    of = Target(value.space, value.dataset, measure, value.split, value.subject.part)
    return Score(value, of, 100 - value.mean if error else value.mean, method)


class _Method(NamedTuple):
    """What tells methods from each other.

    Attributes:
        name: Of the strategy or reference, else the printed one in plain letters.
        proxy: See :class:`~reports.published.papers.Subject`.
        setting: See there.
        model: The language model.
        params: What is said of its parameters.
    """

    name: str
    proxy: str | None
    setting: str
    model: str | None
    params: tuple[tuple[str, object], ...]

    def may_be(self, other: _Method) -> bool:
        """Whether nothing tells the two apart."""
        mine, theirs = dict(self.params), dict(other.params)
        return self[:4] == other[:4] and all(mine[key] == theirs[key] for key in mine.keys() & theirs.keys())


def _number(value: Value, models: Mapping[str, str | None], methods: list[list[_Method]]) -> int | None:
    """Number of the method: the first from which nothing sets it apart, else a new one, which is added."""
    subject = value.subject
    if not value.method or subject.optimum:
        return None
    mine = _Method(
        subject.strategy or subject.reference or ("a proxy alone" if subject.proxy else _plain(value.method)),
        subject.proxy,
        subject.setting,
        subject.model or models.get(subject.strategy or ""),
        tuple(sorted(subject.params.items())),
    )
    for number, known in enumerate(methods):
        if all(mine.may_be(other) for other in known):
            if mine not in known:
                known.append(mine)
            return number
    methods.append([mine])
    return len(methods) - 1


def _plain(name: str) -> str:
    """A printed name without its head, citation and signs."""
    return re.sub(r"[^\w+-]", "", re.sub(r"\([^)]*(\d{4}\w?|al\.)\)", "", name.rpartition(": ")[2])).lower()
