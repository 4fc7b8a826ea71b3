"""Final scores of what the runs recommend, and the optimum of each benchmark."""

from __future__ import annotations

import math
from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from harness.benchmarks.tabular import TabularBenchmark
from harness.errors import DataError
from harness.errors import HarnessError
from harness.errors import SpaceError
from harness.scoring import final_score
from harness.scoring import make_benchmark

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping

    from harness.benchmarks import Benchmark
    from harness.spaces import Architecture
    from reports.load import Results
    from reports.statistics import Floats

SPLITS = ("valid", "test")


@dataclass(frozen=True)
class Ceiling:
    """What is known of a benchmark beside its runs.

    Attributes:
        benchmark: The benchmark; ``None`` where it cannot score here.
        optimum: Split to the best seed-mean score of the space at the highest fidelity; NaN where not known.
        missing: Split to the reason why it has no scores; holds only splits that lack them.
        title: What it is called in tables: its label, and its data set where that does not say it.
    """

    benchmark: Benchmark | None
    optimum: Mapping[str, float]
    missing: Mapping[str, str]
    title: str

    @property
    def split(self) -> str:
        """The split that counts: test, or validation where there are no test scores."""
        return "valid" if "test" in self.missing else "test"

    def metric(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the final scores are; they may be something else than what the runs searched by.

        Args:
            record: ``run.json`` of one of the runs, which knows what they searched by.
        """
        return record["metric"] if self.benchmark is None else asdict(self.benchmark.reported)


def ceilings(results: Results) -> dict[str, Ceiling]:
    """Benchmark label to its ceiling, for every benchmark of which there is a run."""
    return {
        str(label): _ceiling(str(label), group)
        for label, group in results.runs.groupby("benchmark", sort=False)
    }


def final_scores(results: Results, known: Mapping[str, Ceiling]) -> pd.DataFrame:
    """Scores of the recommendations at the highest fidelity, mean over training seeds.

    Args:
        results: The runs.
        known: What :func:`ceilings` gives for them.

    Returns:
        One row per run. Columns ``valid`` and ``test``: NaN where a run has no recommendation or the source lacks the
        split. ``no_score``: why the source, which has the split, has no score of the recommendation; else ``None``.

    Raises:
        DataError: A recommendation is no architecture of its search space.
    """
    columns = results.runs[["benchmark", "ncode", "path", "record"]].itertuples(index=False)
    rows = [
        _score(known[label], ncode, f"{results.folder / path}/run.json", record)
        for label, ncode, path, record in columns
    ]
    frame = pd.DataFrame([values for values, _ in rows], index=results.runs.index, columns=list(SPLITS))
    # As strings, pandas would turn None into NaN.
    frame["no_score"] = pd.Series([why for _, why in rows], index=frame.index, dtype=object)
    return frame


def recommended(ceiling: Ceiling, ncode: str, file: str) -> Architecture:
    """The architecture that a run recommends.

    Args:
        ceiling: Of a benchmark that can score here.
        ncode: Of the recommendation.
        file: Where it was read from.

    Raises:
        DataError: It is no architecture of the search space.
    """
    assert ceiling.benchmark is not None
    try:
        return ceiling.benchmark.space.from_ncode(ncode)
    except SpaceError as error:
        raise DataError(f"{file}: recommendation: {error}") from None


def seed_means(benchmark: Benchmark, ncodes: Iterable[str]) -> Floats | None:
    """Validation scores at the highest fidelity, mean over training seeds; ``None`` where there are none."""
    space = benchmark.space
    scores = [final_score(benchmark, space.from_ncode(ncode), "valid").value for ncode in ncodes]
    return None if None in scores else np.array(scores, dtype=float)


def every_score(ceiling: Ceiling, fidelity: int) -> Floats | None:
    """Validation scores of all architectures in the order of the space, mean over training seeds.

    Args:
        ceiling: Of the benchmark.
        fidelity: Epochs.

    Returns:
        ``None`` where there is no table of them.
    """
    if not isinstance(ceiling.benchmark, TabularBenchmark):
        return None
    try:
        scores: Floats = ceiling.benchmark.scores(split="valid", fidelity=fidelity)
    except DataError:
        return None
    return scores


def _ceiling(label: str, runs: pd.DataFrame) -> Ceiling:
    # Runs of another benchmark under this label were left out when the folder was read.
    first = runs["spec"].iloc[0]["benchmark"]
    try:
        benchmark = make_benchmark(first["name"], first["params"])
    except HarnessError as error:
        return _without_scores(label, f"the benchmark cannot be used here: {error}")
    digests = {record["data"].get("digest") for record in runs["record"]}
    if digests != {benchmark.digest}:
        return _without_scores(
            label,
            f"the runs searched data of digest {', '.join(sorted(str(d)[:12] for d in digests))}, and this "
            f"machine has {benchmark.digest[:12]}",
        )
    optimum = {}
    missing = {}
    for split in SPLITS:
        if split not in benchmark.splits:
            missing[split] = "the data behind these runs hold none; harness data status lists which do"
            optimum[split] = math.nan
            continue
        try:
            best = benchmark.optimum(split=split, fidelity=benchmark.final_fidelity)
        except DataError as error:
            missing[split] = str(error)
            best = None
        optimum[split] = best[1] if best else math.nan
    title = label if benchmark.dataset in label else f"{label} ({benchmark.dataset})"
    return Ceiling(benchmark, optimum, missing, title)


def _without_scores(label: str, reason: str) -> Ceiling:
    return Ceiling(None, dict.fromkeys(SPLITS, math.nan), dict.fromkeys(SPLITS, reason), label)


def _score(
    ceiling: Ceiling, ncode: str | None, file: str, record: Mapping[str, Any]
) -> tuple[list[float], str | None]:
    """Scores on all splits, and why one is missing."""
    if ceiling.benchmark is None or ncode is None:
        return [math.nan] * len(SPLITS), None
    arch = recommended(ceiling, ncode, file)
    # Asking for a split that there is not takes a thousand times longer than an answer, for the error names others.
    scores = {
        split: final_score(ceiling.benchmark, arch, split)
        for split in SPLITS
        if split in ceiling.benchmark.splits
    }
    missing = [
        score.missing for split, score in scores.items() if score.missing and split not in ceiling.missing
    ]
    # The run itself knows best what became of the training that its recommendation was given.
    why = record.get("unsettled", missing[0]) if missing else None
    found = {split: score.value for split, score in scores.items() if score.value is not None}
    return [found.get(split, math.nan) for split in SPLITS], why
