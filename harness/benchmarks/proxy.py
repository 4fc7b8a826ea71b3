"""A zero-cost proxy in the place of trained accuracy: the search sees it, reports read the trained scores."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import textwrap
import time
from abc import ABC
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from harness import registry
from harness import scoring
from harness.benchmarks import data
from harness.benchmarks.base import Benchmark
from harness.benchmarks.base import Evaluation
from harness.benchmarks.base import Metric
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.errors import unknown_name

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

#: A proxy trains nothing.
EPOCHS = 0


class Proxy(ABC):
    """A score of an architecture that needs no training.

    A class is registered under ``harness.proxies``. What it needs besides the architecture (images, a seed, a
    device) are keyword arguments with defaults; ``settings`` of the benchmark sets them. Equal settings give
    equal scores: nothing is drawn from a global generator.

    Attributes:
        description: What it measures, in sentences for people and language models.
        unit: Unit of the score; empty where it has none.
        higher_is_better: Which scores promise a better architecture.
        closed_form: Whether the score is arithmetic on the architecture, which costs nothing. Otherwise the
            seconds that it takes are measured: a GPU must be waited for before :meth:`score` returns.
    """

    description: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    closed_form: ClassVar[bool] = False

    @abstractmethod
    def score(self, space: SearchSpace, arch: Architecture, dataset: str) -> float:
        """Score an architecture; the same for the same arguments.

        Args:
            space: The search space; its ``build_network`` gives the network, its ``cost`` the size.
            arch: The architecture.
            dataset: Name of the data set.

        Raises:
            ScoreError: This architecture cannot be scored. No number stands for that.
        """

    def check(self, space: SearchSpace, dataset: str) -> None:  # noqa: B027  (most can score any space)
        """Refuse what can never be scored, before anything runs.

        Raises:
            SpecError: No architecture of this space has a score on this data set.
        """

    @classmethod
    def code(cls) -> str:
        """The Python code of :meth:`score`, for a language model."""
        return textwrap.dedent(inspect.getsource(cls.score))


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
        self._scorer = _make_proxy(proxy, settings or {})
        if of == self.name:
            raise SpecError("`of` names a benchmark with trained scores, and not another proxy.")
        self._trained = scoring.make_benchmark(of, {"dataset": dataset, "source": source})
        self._scorer.check(self._trained.space, dataset)
        self.dataset = dataset
        self.space = self._trained.space
        self.metric = Metric(proxy, self._scorer.unit, self._scorer.higher_is_better)
        self.splits = self._trained.splits
        self.source = f"proxy {proxy}; trained scores of {self._trained.source}"
        identity = [self._trained.digest, proxy, settings or {}]
        self.digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def reported(self) -> Metric:
        return self._trained.reported

    @property
    def final_fidelity(self) -> int:
        return self._trained.final_fidelity

    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        """The proxy's score of an architecture.

        It costs the seconds that the proxy takes, as measured here, or nothing where it is in closed form.

        Args:
            arch: The architecture.
            fidelity: 0.
            seed: ``None``: a proxy trains nothing.

        Raises:
            DataError: Another fidelity, or a training seed.
            ScoreError: The proxy cannot score this architecture, or its score is not finite.
        """
        if fidelity != EPOCHS or seed is not None:
            raise DataError(
                f"proxy {self.proxy!r} trains nothing: it has fidelity {EPOCHS} alone, and no training seeds."
            )
        began = time.perf_counter()
        value = self._scorer.score(self.space, arch, self.dataset)
        seconds = 0.0 if self._scorer.closed_form else time.perf_counter() - began
        if not math.isfinite(value):
            raise ScoreError(f"proxy {self.proxy!r} scores {self.space.format(arch)} as {value}.")
        return Evaluation(value, fidelity, None, seconds, "measured")

    def draws_seeds(self, fidelity: int) -> bool:
        return False

    def query(self, arch: Architecture, *, split: str, fidelity: int, seed: int | None = None) -> float:
        """A trained score of the other benchmark; see there."""
        return self._trained.query(arch, split=split, fidelity=fidelity, seed=seed)

    def optimum(self, *, split: str, fidelity: int) -> tuple[Architecture, float] | None:
        """The architecture of the best trained score in the other benchmark; see there."""
        return self._trained.optimum(split=split, fidelity=fidelity)


def _make_proxy(name: str, settings: Mapping[str, Any]) -> Proxy:
    cls: type[Proxy] = registry.load("proxy", name)
    legal = [] if cls.__init__ is object.__init__ else list(inspect.signature(cls).parameters)
    for key in settings:
        if key not in legal:
            raise SpecError(unknown_name(f"setting of proxy {name!r}", key, legal))
    return cls(**settings)
