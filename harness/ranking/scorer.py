"""What gives architectures scores whose order is compared with that of trained ones."""

from __future__ import annotations

import hashlib
import json
from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal

from harness import registry
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.models import Models
from harness.proxies import Proxy
from harness.proxies import ProxyScore
from harness.proxies import make_proxy
from harness.proxies import score_all
from harness.proxies import score_digest

if TYPE_CHECKING:
    from harness.benchmarks.tabular import TabularBenchmark
    from harness.spaces import Architecture

Role = Literal["scorer", "floor", "ceiling"]
Seconds = Literal["none", "measured", "simulated"]
Progress = Callable[[int, int], None]

#: Proxies that every other scorer has to beat: a report has them whether they are listed or not.
FLOORS = ("parameters", "flops")


@dataclass(frozen=True)
class Resources:
    """What a ranking gives its scorers to work with. No score depends on it.

    Attributes:
        workers: Number of processes.
        models: The language models that they name.
        concurrency: How many questions a model may be asked at the same time, by its name.
        message: Told what a person should know now.
    """

    workers: int = 1
    models: Models = field(default_factory=Models)
    concurrency: Mapping[str, int] = field(default_factory=dict)
    message: Callable[[str], None] = field(default=lambda text: None)


class Scorer(ABC):
    """Gives every architecture a score, or a reason why it has none.

    Every proxy is a scorer under its own name. Others are registered under ``harness.scorers``; their settings are
    keyword arguments.

    Attributes:
        model_parameters: Settings that name a language model, an entry of ``models`` in ``experiments.yaml``. The
            engine starts these models, and what decides their replies is part of what the scores are known by.
        role: What it is in a table: something that is judged, or a bound for what is judged.
        unit: Unit of the score; empty where it has none.
        higher_is_better: Which scores promise a better architecture, whatever the benchmark.
        seconds: What the seconds of its scores are: none (arithmetic), measured here, or simulated (read from a
            table).
    """

    model_parameters: ClassVar[tuple[str, ...]] = ()
    role: Role = "scorer"
    unit: str = ""
    higher_is_better: bool = True
    seconds: Seconds = "measured"

    def check(self, benchmark: TabularBenchmark) -> None:  # noqa: B027  (most can score any space)
        """Refuse what can never be scored, before anything runs.

        Raises:
            SpecError: No architecture of this benchmark has a score.
        """

    def missing(self, benchmark: TabularBenchmark) -> str | None:
        """Why the data of this benchmark hold no scores, although the scorer is right; ``None`` where they do."""
        return None

    def prefers_higher(self, benchmark: TabularBenchmark) -> bool:
        """Which scores promise a better architecture of this benchmark: higher ones, or lower."""
        return self.higher_is_better

    @abstractmethod
    def identity(self, benchmark: TabularBenchmark) -> Mapping[str, Any]:
        """What decides the scores besides space, data set, architectures and models, as JSON values."""

    def digest(self, benchmark: TabularBenchmark) -> str:
        """Of everything that decides a score but the architectures and models."""
        identity = [
            type(self).__name__,
            benchmark.space.name,
            benchmark.dataset,
            dict(self.identity(benchmark)),
        ]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @classmethod
    @abstractmethod
    def score_together(
        cls,
        scorers: Mapping[str, Any],
        benchmark: TabularBenchmark,
        architectures: Sequence[Architecture],
        resources: Resources,
        *,
        progress: Progress,
    ) -> Mapping[str, Sequence[ProxyScore]]:
        """Score architectures by several scorers of this class, which may share work.

        What is finished when the process is killed is not computed again by the next call.

        Args:
            scorers: The scorers by label; one alone, if it asks models.
            benchmark: The benchmark, for its space and its data set. Trained scores are for reports.
            architectures: What to score.
            resources: What there is to work with.
            progress: Called with the number of scores that are there and their total.

        Returns:
            A score per architecture, in their order, for each label.

        Raises:
            ModelError: A model does not answer, or refuses. The other scorers go on.
        """


class ProxyScorer(Scorer):
    """A zero-cost proxy.

    Args:
        name: Registered name of the proxy.
        settings: Its keyword arguments.
    """

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.proxy: Proxy = make_proxy(name, settings)
        self.role = "floor" if name in FLOORS else "scorer"
        self.unit = self.proxy.unit
        self.higher_is_better = self.proxy.higher_is_better
        self.seconds = "none" if self.proxy.closed_form else "measured"

    def check(self, benchmark: TabularBenchmark) -> None:
        self.proxy.check(benchmark.space, benchmark.dataset)

    def identity(self, benchmark: TabularBenchmark) -> Mapping[str, Any]:
        return self.proxy.identity(benchmark.space, benchmark.dataset)

    def digest(self, benchmark: TabularBenchmark) -> str:
        return score_digest(self.name, self.proxy, benchmark.space, benchmark.dataset)

    @classmethod
    def score_together(
        cls,
        scorers: Mapping[str, ProxyScorer],
        benchmark: TabularBenchmark,
        architectures: Sequence[Architecture],
        resources: Resources,
        *,
        progress: Progress,
    ) -> Mapping[str, Sequence[ProxyScore]]:
        proxies = {label: (scorer.name, scorer.proxy) for label, scorer in scorers.items()}
        scored = score_all(
            proxies,
            benchmark.space,
            benchmark.dataset,
            architectures,
            workers=resources.workers,
            progress=progress,
        )
        return {label: [scores[arch] for arch in architectures] for label, scores in scored.items()}


class Trained(Scorer):
    """Validation score after cheaper training, mean over training seeds, from the benchmark's own table.

    Args:
        fidelity: Epochs, fewer than those of the scores that a ranking is compared with.

    Raises:
        SpecError: ``fidelity`` is below 1.
    """

    role = "ceiling"
    seconds = "simulated"

    def __init__(self, fidelity: int) -> None:
        if fidelity < 1:
            raise SpecError(f"fidelity must be at least 1 epoch, not {fidelity}.")
        self.fidelity = fidelity

    def check(self, benchmark: TabularBenchmark) -> None:
        if self.fidelity >= benchmark.final_fidelity:
            raise SpecError(
                f"scores after {self.fidelity} epochs would be compared with those after "
                f"{benchmark.final_fidelity}, the highest of {benchmark.name!r}; name a lower fidelity."
            )

    def missing(self, benchmark: TabularBenchmark) -> str | None:
        if self.fidelity in benchmark.fidelities:
            return None
        has = ", ".join(map(str, benchmark.fidelities))
        return (
            f"source {benchmark.source!r} has validation scores after {has} epochs alone; `harness data status` lists "
            "what each table holds"
        )

    def prefers_higher(self, benchmark: TabularBenchmark) -> bool:
        return benchmark.metric.higher_is_better

    def identity(self, benchmark: TabularBenchmark) -> Mapping[str, Any]:
        return {"fidelity": self.fidelity, "data": benchmark.digest}

    @classmethod
    def score_together(
        cls,
        scorers: Mapping[str, Trained],
        benchmark: TabularBenchmark,
        architectures: Sequence[Architecture],
        resources: Resources,
        *,
        progress: Progress,
    ) -> Mapping[str, Sequence[ProxyScore]]:
        scores = {
            label: [_trained(benchmark, arch, scorer.fidelity) for arch in architectures]
            for label, scorer in scorers.items()
        }
        total = len(scorers) * len(architectures)
        progress(total, total)
        return scores


def _trained(benchmark: TabularBenchmark, arch: Architecture, fidelity: int) -> ProxyScore:
    try:
        evaluation = benchmark.evaluate(arch, fidelity=fidelity, seed=None)
    except DataError:
        # What it says names the file of the table, which is another one on every machine.
        return ProxyScore(None, 0.0, f"the table lacks its score or training time after {fidelity} epochs")
    except ScoreError as error:
        return ProxyScore(None, error.seconds, f"none of its trainings for {fidelity} epochs had a score")
    return ProxyScore(evaluation.value, evaluation.cost_seconds)


def settings_of(name: str) -> type:
    """The class whose keyword arguments are the settings of a scorer.

    Raises:
        SpecError: The name is unknown; names near misses.
    """
    scorers, proxies = registry.names("scorer"), registry.names("proxy")
    if name not in {*scorers, *proxies}:
        raise SpecError(unknown_name("scorer", name, {*scorers, *proxies}))
    cls: type = registry.load("scorer" if name in scorers else "proxy", name)
    return cls


def make_scorer(name: str, settings: Mapping[str, Any]) -> Scorer:
    """A scorer by its registered name, or by that of a proxy.

    Raises:
        SpecError: Unknown scorer or setting, or a value that it refuses.
    """
    cls = settings_of(name)
    if not issubclass(cls, Scorer):
        return ProxyScorer(name, settings)
    scorer: Scorer = cls(**settings)
    return scorer
