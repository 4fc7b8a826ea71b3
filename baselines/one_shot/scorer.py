"""Rankings by inherited weights: how a weight-sharing method orders architectures after an epoch."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING
from typing import Any

from filelock import FileLock

from baselines.one_shot.record import reproducible
from baselines.one_shot.strategy import OneShot
from harness import registry
from harness.arguments import checked_arguments
from harness.errors import SpecError
from harness.proxies import ProxyScore
from harness.ranking.scorer import Scorer
from harness.spaces import CellSpace
from harness.store import JsonLines
from harness.store import storage_errors

if TYPE_CHECKING:
    from baselines.one_shot.record import SearchRecord
    from harness.benchmarks.tabular import TabularBenchmark
    from harness.ranking.scorer import Progress
    from harness.ranking.scorer import Resources
    from harness.spaces import Architecture

# Architectures that are scored between two lines on disk: what is lost with a kill.
_CHUNK = 16


class InheritedWeights(Scorer):
    """What a weight-sharing method thinks of an architecture after an epoch of its search.

    For most methods that is the quality with the weights of the supernet, on the half that architectures are judged on
    (Bender et al., ICML 2018; Yu et al., ICLR 2020, who ask how well it ranks): accuracy in percent on images. For
    RLNAS it is an angle. The search is made here, from the strategy's settings and the seed. Several scorers of one
    search at different epochs train it once; epochs before those that were made already are trained again.

    The seconds of a score are those of the comparison and, in equal shares, those of the training up to its epoch.

    Args:
        strategy: Registered name of the method.
        epoch: Number of epochs before the comparison, from 1; ``None`` takes those of the method's training.
        seed: Of the search.
        settings: Keyword arguments of the strategy; without, its defaults.

    Raises:
        SpecError: There is no such strategy, it shares no weights, it refuses a setting, or it has not so many epochs.
    """

    def __init__(
        self,
        strategy: str,
        epoch: int | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        cls = registry.load("strategy", strategy)
        if not issubclass(cls, OneShot):
            others = [
                n for n in registry.names("strategy") if issubclass(registry.load("strategy", n), OneShot)
            ]
            raise SpecError(f"strategy {strategy!r} shares no weights; those that do: {', '.join(others)}.")
        if not cls.ranks:
            raise SpecError(
                f"strategy {strategy!r} has no supernet in the end that all architectures have trained weights in."
            )
        if "dataset" in (settings or {}):
            raise SpecError("settings: the data set is that of the ranking's benchmark; leave `dataset` out.")
        if seed < 0:
            raise SpecError(f"seed must not be negative: {seed}.")
        arguments = checked_arguments(cls, f"strategy {strategy!r}", settings or {})
        self._strategy: OneShot = cls(**arguments, seed=seed)
        if epoch is not None and epoch < 1:
            raise SpecError(f"epoch must be at least 1, not {epoch}.")
        self._epoch = epoch

    def epoch(self, benchmark: TabularBenchmark) -> int:
        """Number of epochs before the comparison."""
        if self._epoch is not None:
            return self._epoch
        assert isinstance(benchmark.space, CellSpace)
        return self._strategy.training(benchmark.space, benchmark.dataset).epochs

    def check(self, benchmark: TabularBenchmark) -> None:
        self._strategy.check(benchmark.space, benchmark.dataset)
        assert isinstance(benchmark.space, CellSpace)
        length = self._strategy.length(benchmark.space, benchmark.dataset)
        if self.epoch(benchmark) > length:
            raise SpecError(f"epoch {self.epoch(benchmark)} is beyond the {length} epochs of the search.")

    def identity(self, benchmark: TabularBenchmark) -> Mapping[str, Any]:
        return {"search": self._search(benchmark).digest, "epoch": self.epoch(benchmark)}

    def _search(self, benchmark: TabularBenchmark) -> SearchRecord:
        return self._strategy.search(benchmark.space, benchmark.dataset)

    @classmethod
    def score_together(
        cls,
        scorers: Mapping[str, InheritedWeights],
        benchmark: TabularBenchmark,
        architectures: Sequence[Architecture],
        resources: Resources,
        *,
        progress: Progress,
    ) -> Mapping[str, Sequence[ProxyScore]]:
        searches: dict[str, SearchRecord] = {}
        of_search: dict[str, list[str]] = defaultdict(list)
        for label, scorer in scorers.items():
            search = scorer._search(benchmark)
            searches.setdefault(search.digest, search)
            of_search[search.digest].append(label)
        found: dict[str, Sequence[ProxyScore]] = {}
        total = len(scorers) * len(architectures)
        for digest, labels in of_search.items():
            # Earlier epochs first: only the newest state is kept.
            for label in sorted(labels, key=lambda label: scorers[label].epoch(benchmark)):
                done = len(found) * len(architectures)
                resources.message(f"{label}: training, then comparing {len(architectures):,} architectures")
                scorer = scorers[label]
                found[label] = _scored(
                    searches[digest],
                    scorer,
                    benchmark,
                    architectures,
                    lambda number, done=done: progress(done + number, total),
                )
        return {label: found[label] for label in scorers}


def _scored(
    search: SearchRecord,
    scorer: InheritedWeights,
    benchmark: TabularBenchmark,
    architectures: Sequence[Architecture],
    progress: Any,
) -> list[ProxyScore]:
    """The scores, kept in the folder of the search as they are made."""
    space = benchmark.space
    epochs = scorer.epoch(benchmark)
    file = search.folder / f"scores-{epochs}.jsonl"
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    # Of two rankings one waits for the other, and finds its scores.
    with FileLock(file.with_suffix(".lock")), closing(JsonLines(file)) as lines:
        known = {row["ncode"]: (row["score"], row["seconds"]) for row in lines.rows}
        missing = iter([arch for arch in dict.fromkeys(architectures) if space.ncode(arch) not in known])
        method = None
        while chunk := list(islice(missing, _CHUNK)):
            method = method or search.method_after(epochs - 1)
            began = time.perf_counter()
            with reproducible(scorer._strategy.threads):
                scores = method.scores(chunk)
            seconds = round((time.perf_counter() - began) / len(chunk), 6)
            for arch, score in zip(chunk, scores, strict=True):
                lines.append({"ncode": space.ncode(arch), "score": score, "seconds": seconds})
                known[space.ncode(arch)] = score, seconds
            progress(sum(space.ncode(arch) in known for arch in architectures))
    training = sum(search.epoch(number).seconds for number in range(epochs)) / len(architectures)
    found = (known[space.ncode(arch)] for arch in architectures)
    return [ProxyScore.of(score, seconds + training) for score, seconds in found]
