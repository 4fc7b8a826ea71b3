"""Every measure of what strategies recommend, beside networks that people designed and what papers report."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import pandas as pd

from harness.errors import DataError
from reports import statistics
from reports.published import papers
from reports.scores import recommended
from reports.tables import status_counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence

    from harness.benchmarks import Benchmark
    from harness.benchmarks import Metric
    from reports.load import Results
    from reports.published.papers import Value
    from reports.scores import Ceiling

REFERENCE = "reference"
"""``role`` of a network that people designed."""

MOST_TRAININGS = 100
"""Of a reference: seeds that are looked for."""

_RUN_COLUMNS = ("benchmark", "strategy", "seed", "split", "measure", "value", "no_score")
_REFERENCE_COLUMNS = ("benchmark", "reference", "measure", "value")


@dataclass(frozen=True)
class Scored:
    """A benchmark whose scores can be read here.

    Attributes:
        label: Its label.
        title: What it is called.
        split: The split that counts.
        benchmark: What scores.
    """

    label: str
    title: str
    split: str
    benchmark: Benchmark


def scored(known: Mapping[str, Ceiling]) -> list[Scored]:
    """The benchmarks that can score, in the order of the sweep."""
    return [
        Scored(label, ceiling.title, ceiling.split, ceiling.benchmark)
        for label, ceiling in known.items()
        if ceiling.benchmark is not None
    ]


def run_scores(
    results: Results, known: Mapping[str, Ceiling], *, splits: Sequence[str] | None = None
) -> pd.DataFrame:
    """Every measure of what each finished run recommends, at the highest fidelity, mean over training seeds.

    Args:
        results: The runs.
        known: Of every benchmark.
        splits: Those of which scores are wanted, where there are any; the split that counts without.

    Returns:
        One row per run, split and measure: labels ``benchmark`` and ``strategy``, ``seed``, ``split``, ``measure``,
        ``value``; NaN where the benchmark has no score of the recommendation, and then ``no_score`` says why.

    Raises:
        DataError: A recommendation is no architecture of its search space.
    """
    runs = results.runs[results.runs["finished"] & results.runs["ncode"].notna()]
    columns = runs[["benchmark", "strategy", "seed", "path", "ncode", "record"]].to_dict("records")
    rows = [row for run in columns for row in _of_run(results, run, known[run["benchmark"]], splits)]
    frame = pd.DataFrame(rows, columns=list(_RUN_COLUMNS))
    return frame.astype({"value": float, "no_score": object})


def reference_scores(benchmarks: list[Scored]) -> pd.DataFrame:
    """Every measure of the networks that people designed, at the highest fidelity.

    Args:
        benchmarks: Those that can score.

    Returns:
        One row per benchmark, network, training and measure: ``benchmark``, ``reference``, ``measure``, ``value``.
    """
    rows = [
        (on.label, name, measure.name, value)
        for on in benchmarks
        for name in on.benchmark.references
        for measure in on.benchmark.measures
        for value in _trainings(on, name, measure)
    ]
    return pd.DataFrame(rows, columns=list(_REFERENCE_COLUMNS)).astype({"value": float})


def measure_table(results: Results, known: Mapping[str, Ceiling]) -> pd.DataFrame:
    """All measures of all benchmarks that have more than one.

    Args:
        results: The runs.
        known: Of every benchmark.

    Returns:
        One row per benchmark, strategy and measure, then one per benchmark, reference and measure. Columns:
        ``benchmark`` (label), ``title``, ``dataset``, ``split``, ``strategy`` (label, or registered name of a
        reference), ``role``, ``measure``, ``unit``, ``direction``; ``mean``, ``std`` over runs, or over trainings of a
        reference, ``low`` and ``high`` (95 % bootstrap interval of the mean), ``n`` (how many); ``published_mean``,
        ``published_spread``, ``published_runs``, ``published_in``, ``published_note`` of what a paper reports;
        ``part``: how much of its data set there is, empty for all of it. Empty where no benchmark has several measures.
    """
    benchmarks = [on for on in scored(known) if len(on.benchmark.measures) > 1]
    runs, references = run_scores(results, known), reference_scores(benchmarks)
    strategies = {
        label: group.drop_duplicates("strategy").set_index("strategy")["spec"]
        for label, group in results.runs.groupby("benchmark", sort=False)
    }
    planned = status_counts(results)
    named = list(dict.fromkeys(references["reference"]))
    rows = []
    for on in benchmarks:
        for strategy in planned.loc[planned["benchmark"] == on.label, "strategy"]:
            mine = runs[(runs["benchmark"] == on.label) & (runs["strategy"] == strategy)]
            spec = strategies[on.label].get(strategy)
            for measure in on.benchmark.measures:
                found = (
                    None
                    if spec is None
                    else papers.of_strategy(spec, space=on.benchmark.space.name, **_key(on, measure))
                )
                rows.append(
                    _facts(on, strategy, "strategy", measure)
                    | _summary(mine.loc[mine["measure"] == measure.name, "value"])
                    | _published(found)
                )
    for on in benchmarks:
        for name in named:
            mine = references[(references["benchmark"] == on.label) & (references["reference"] == name)]
            rows += [
                _facts(on, name, REFERENCE, measure)
                | _summary(mine.loc[mine["measure"] == measure.name, "value"])
                | _published(papers.of_reference(name, **_key(on, measure)))
                for measure in on.benchmark.measures
            ]
    return pd.DataFrame(rows)


def _of_run(
    results: Results, run: Mapping[str, Any], ceiling: Ceiling, splits: Sequence[str] | None
) -> Iterator[tuple[Any, ...]]:
    benchmark = ceiling.benchmark
    if benchmark is None:
        return
    arch = recommended(ceiling, run["ncode"], f"{results.folder / run['path']}/run.json")
    wanted = (
        [ceiling.split] if splits is None else [split for split in splits if split not in ceiling.missing]
    )
    for split, measure in itertools.product(wanted, benchmark.measures):
        value, why = math.nan, None
        try:
            value = benchmark.query(
                arch, split=split, fidelity=benchmark.final_fidelity, measure=measure.name
            )
        except DataError as error:
            why = run["record"].get("unsettled", str(error))
        yield run["benchmark"], run["strategy"], run["seed"], split, measure.name, value, why


def _trainings(on: Scored, name: str, measure: Metric) -> Iterator[float]:
    """The scores of a reference, training by training."""
    for seed in range(MOST_TRAININGS):
        try:
            yield on.benchmark.query_reference(
                name, split=on.split, fidelity=on.benchmark.final_fidelity, seed=seed, measure=measure.name
            )
        except DataError:
            # There is no such training, or it had no score.
            continue


def _facts(on: Scored, name: str, role: str, measure: Metric) -> dict[str, Any]:
    return {
        "benchmark": on.label,
        "title": on.title,
        "dataset": on.benchmark.dataset,
        "split": on.split,
        "strategy": name,
        "role": role,
        "measure": measure.name,
        "unit": measure.unit,
        "direction": "higher" if measure.higher_is_better else "lower",
        "part": ", ".join(
            f"{have:,} of {whole:,} {kind}" for kind, (have, whole) in on.benchmark.extent.part.items()
        ),
    }


def _summary(values: pd.Series) -> dict[str, Any]:
    known = values.dropna().to_numpy(dtype=float)
    low, high = statistics.interval(known)
    return {
        "mean": statistics.mean(known),
        "std": statistics.std(known),
        "low": float(low),
        "high": float(high),
        "n": len(known),
    }


def _key(on: Scored, measure: Metric) -> dict[str, Any]:
    """What papers' numbers are looked up by."""
    return {"dataset": on.benchmark.extent.dataset, "measure": measure.name, "split": on.split}


def _published(found: Value | None) -> dict[str, Any]:
    if found is None:
        return {
            "published_mean": math.nan,
            "published_spread": math.nan,
            "published_runs": None,
            "published_in": "",
            "published_note": "",
        }
    return {
        "published_mean": found.mean,
        "published_spread": math.nan if found.spread is None else found.spread,
        "published_runs": found.runs,
        "published_in": f"{found.paper}, {found.table}",
        "published_note": found.note,
    }
