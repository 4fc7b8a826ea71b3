"""What a search is about: the data set, and what its score means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from harness.benchmarks.base import Metric
from harness.errors import SpaceError

if TYPE_CHECKING:
    from harness.benchmarks import Benchmark
    from harness.spaces import Architecture
    from harness.spaces import Cost
    from harness.spaces import SearchSpace


@dataclass(frozen=True)
class Task:
    """What a strategy may know of its benchmark besides the search space. Holds no scores.

    In a bare Optuna study nothing of it is known, and the defaults say so.

    Attributes:
        dataset: Name of the data set; empty where it is not known.
        metric: What is scored, with its unit and direction.
        fidelity: Epochs (or what the benchmark counts) of the evaluation that guides the search.
        benchmark: Registered name of the benchmark; empty where it is not known.
        proxy: Name of the training-free score that guides the search; ``None`` where it is a trained score.
        description: What the data are and what is to be predicted; empty where the name of the data set says it.
        size: Size of the networks that are scored, as the space names it; ``None`` is the usual one.
        measures: What is measured of every architecture: the metric first, then what a strategy may look at, too.
    """

    dataset: str = ""
    metric: Metric = field(default_factory=lambda: Metric("score", ""))
    fidelity: int | None = None
    benchmark: str = ""
    proxy: str | None = None
    description: str = ""
    size: Mapping[str, int] | None = None
    measures: tuple[Metric, ...] = ()

    @classmethod
    def of(cls, benchmark: Benchmark, fidelity: int) -> Task:
        """The task of a benchmark at the fidelity of a sweep's objective."""
        proxy = getattr(benchmark, "proxy", None)
        return cls(
            dataset=benchmark.dataset,
            metric=benchmark.metric,
            fidelity=fidelity,
            benchmark=benchmark.name,
            proxy=proxy,
            description=benchmark.description,
            size=benchmark.size,
            # A proxy is all that is measured in a search by proxy.
            measures=benchmark.measures if proxy is None else (benchmark.metric,),
        )

    def cost(self, space: SearchSpace, arch: Architecture) -> Cost | None:
        """Exact parameters and FLOPs of an architecture on this data set; ``None`` where nobody knows them."""
        try:
            return space.cost(arch, self.dataset, self.size)
        except SpaceError:
            return None
