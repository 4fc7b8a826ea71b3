"""Which of the runs that lie in a sweep's folder belong to it.

Folders are copied, renamed and merged by hand. A mean over runs of different budgets, or over one run and its
copy, looks like any other mean, so what does not belong is left out and named.
"""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections import defaultdict
from typing import TYPE_CHECKING
from typing import Any

from harness.budget import Budget
from harness.experiment import Objective

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Container
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence

    from reports.records import Run


def select(runs: Sequence[Run], plan: Mapping[str, Any]) -> tuple[list[Run], dict[str, str]]:
    """Part the runs that count from those that do not.

    A run counts where it lies at the path of its own specification, was not counted already, has the budget and
    the objective of the sweep, the benchmark and the objective of the others of its label, and the strategy and
    the models of the others of its strategy.

    Args:
        runs: All that were read.
        plan: The content of ``sweep.json``.

    Returns:
        The runs that count, and name to reason of all others; a reason goes on after the name.
    """
    planned = {name: position for position, name in enumerate(plan["runs"])}
    # What the sweep lists comes before what lies beside it, in every decision between two runs.
    runs = sorted(runs, key=lambda run: planned.get(run.name, len(planned)))
    out: dict[str, str] = {}

    def rest() -> list[Run]:
        return [run for run in runs if run.name not in out]

    by_name = {run.name: run for run in runs}
    for run in runs:
        if run.name != run.own_name:
            original = by_name.get(run.own_name)
            copied = original is not None and original.record.id == run.record.id
            out[run.name] = f"{'is a copy of' if copied else 'holds the run'} {_seen_from(run, run.own_name)}"
    for run in rest():
        if reason := _unlike_the_sweep(run, plan):
            out[run.name] = reason
    counted: dict[str, Run] = {}
    for run in rest():
        first = counted.setdefault(run.record.id, run)
        if first is not run:
            out[run.name] = f"is a copy of {_seen_from(run, first.name)}"
    for part in ("benchmark", "objective"):
        out |= _unlike_the_others(rest(), part, planned, lambda run: run.record.spec.labels.benchmark)
    for part in ("strategy", "models"):
        out |= _unlike_the_others(rest(), part, planned, lambda run: run.path.parent)
    return rest(), out


def _unlike_the_sweep(run: Run, plan: Mapping[str, Any]) -> str | None:
    """Why a run is none of this sweep's, by what ``sweep.json`` says of all."""
    spec = run.record.spec
    budget = Budget.model_validate(plan["budget"])
    if spec.budget != budget:
        return _another("budget", spec.budget.model_dump(), budget.model_dump())
    objective = Objective.model_validate(plan["objective"])
    if objective.fidelity is None:
        # The sweep leaves it to the benchmark.
        objective = objective.model_copy(update={"fidelity": spec.objective.fidelity})
    if spec.objective != objective:
        return _another("objective", spec.objective.model_dump(), objective.model_dump())
    return None


def _unlike_the_others(
    runs: Sequence[Run], part: str, planned: Container[str], group: Callable[[Run], Any]
) -> dict[str, str]:
    """Name to reason of the runs whose part of the specification is not that of most runs of their group."""
    groups = defaultdict(list)
    for run in runs:
        groups[group(run)].append(run)
    out = {}
    for members in groups.values():
        texts = {run.name: json.dumps(run.content["spec"][part], sort_keys=True) for run in members}
        if len(set(texts.values())) == 1:
            continue
        voters = [run for run in members if run.name in planned] or members
        usual = Counter(texts[run.name] for run in voters).most_common(1)[0][0]
        model = next(run for run in voters if texts[run.name] == usual)
        for run in members:
            if texts[run.name] != usual:
                specs = run.content["spec"][part], model.content["spec"][part]
                out[run.name] = _another(part, *specs, than=f" than {_seen_from(run, model.name)}")
    return out


def _another(part: str, here: Any, there: Any, than: str = "") -> str:
    what = "other models" if part == "models" else f"another {part}"
    return f"holds a run of {what}{than} ({', '.join(_changes(here, there))})"


def _changes(here: Any, there: Any, at: str = "") -> Iterator[str]:
    if isinstance(here, dict) and isinstance(there, dict):
        for key in here | there:
            if key not in here or key not in there or here[key] != there[key]:
                yield from _changes(here.get(key), there.get(key), f"{at}.{key}".removeprefix("."))
    else:
        # Shortened: a prompt is a parameter too.
        yield f"{at} {reprlib.repr(here)}, not {reprlib.repr(there)}"


def _seen_from(run: Run, name: str) -> str:
    """The name of another run, without what both names begin with."""
    folder = "/".join(run.path.parts[-3:-1]) + "/"
    return name.removeprefix(folder)
