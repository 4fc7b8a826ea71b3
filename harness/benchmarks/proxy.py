"""A zero-cost proxy in the place of trained accuracy: the search sees it, reports read the trained scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from harness import registry
from harness import scoring
from harness.arguments import arguments_model
from harness.benchmarks import data
from harness.benchmarks.base import Benchmark
from harness.benchmarks.base import Evaluation
from harness.benchmarks.base import Metric
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.proxies import ScoreTable
from harness.proxies import make_proxy

if TYPE_CHECKING:
    from harness.proxies import ProxyScore
    from harness.spaces import Architecture

#: A proxy trains nothing.
EPOCHS = 0


class ProxyBenchmark(Benchmark):
    """A zero-cost proxy guides the search; the trained scores of another benchmark judge what it finds.

    The space and the data set are those of the other benchmark. A search sees the proxy alone, in its own unit
    and direction, at fidelity 0. Reports read what the other benchmark knows of the recommendation: its metric,
    its splits, its optimum.

    Args:
        proxy: Registered name of the proxy, such as ``parameters``.
        of: Registered name of the other benchmark.
        dataset: Its data set.
        source: Its table.
        settings: Keyword arguments of the proxy; without, its defaults.

    Raises:
        SpecError: Unknown proxy, benchmark, data set or setting, or a proxy that cannot score this space.
        DataError: See the other benchmark.
    """

    name = "proxy"
    cost_kind = "measured"
    fidelities = (EPOCHS,)

    def __init__(
        self,
        proxy: str,
        of: str = "nasbench201",
        dataset: str = "cifar10",
        source: str = data.DEFAULT_SOURCE,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.proxy = proxy
        self._scorer = make_proxy(proxy, settings or {})
        if of == self.name:
            raise SpecError("`of` names a benchmark with trained scores, and not another proxy.")
        if not {"dataset", "source"} <= arguments_model(registry.load("benchmark", of)).model_fields.keys():
            raise SpecError(
                f"`of` names a benchmark that has a `dataset` and a `source`, such as nasbench201; {of!r} has not."
            )
        self._trained = scoring.make_benchmark(of, {"dataset": dataset, "source": source})
        self._scorer.check(self._trained.space, dataset)
        self.dataset = dataset
        self.space = self._trained.space
        self.metric = Metric(proxy, self._scorer.unit, self._scorer.higher_is_better)
        self.splits = self._trained.splits
        self.source = f"proxy {proxy}; trained scores of {self._trained.source}"
        self._table = ScoreTable(proxy, self._scorer, self.space, dataset)
        identity = [self._trained.digest, self._table.digest]
        self.digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    @property
    def reported(self) -> Metric:
        return self._trained.reported

    @property
    def final_fidelity(self) -> int:
        return self._trained.final_fidelity

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        """The proxy's score of an architecture.

        It is computed once, and kept in a table that later runs read (:class:`~harness.proxies.ScoreTable`). It costs
        the seconds that it took then, or nothing where the proxy is in closed form.

        Args:
            arch: The architecture.
            fidelity: 0.
            seed: ``None``: a proxy trains nothing.

        Raises:
            DataError: Another fidelity, or a training seed.
            ScoreError: The proxy cannot score this architecture.
            StoreError: The table cannot be read or written.
        """
        if fidelity != EPOCHS or seed is not None:
            raise DataError(
                f"proxy {self.proxy!r} trains nothing: it has fidelity {EPOCHS} alone, and no training seeds."
            )
        score = self._score(arch)
        if score.value is None:
            raise ScoreError(
                f"proxy {self.proxy!r} cannot score this architecture: {score.problem}", score.seconds
            )
        return Evaluation(score.value, fidelity, None, score.seconds, "measured")

    def _score(self, arch: Architecture) -> ProxyScore:
        if self._scorer.closed_form:
            return self._compute(arch)
        score = self._table.get(arch)
        if score is None:
            # Perhaps a run beside this one has come across it.
            self._table.refresh()
            score = self._table.get(arch)
        if score is None:
            self._table.add({arch: self._compute(arch)})
            score = self._table.get(arch)
            assert score is not None
        return score

    def _compute(self, arch: Architecture) -> ProxyScore:
        (score,) = self._scorer.score_together([self._scorer], self.space, arch, self.dataset)
        return score

    def draws_seeds(self, fidelity: int) -> bool:
        return False

    @property
    def measures(self) -> tuple[Metric, ...]:
        return self._trained.measures

    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        """A trained score of the other benchmark; see there."""
        return self._trained.query(arch, split=split, fidelity=fidelity, seed=seed, measure=measure)

    def optimum(self, *, split: str, fidelity: int) -> tuple[Architecture, float] | None:
        """The architecture of the best trained score in the other benchmark; see there."""
        return self._trained.optimum(split=split, fidelity=fidelity)
