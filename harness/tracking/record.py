"""A finished run as it is logged: read from its folder, in plain types, without MLflow."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from pydantic import TypeAdapter
from pydantic import ValidationError

from harness.errors import DataError
from harness.errors import HarnessError
from harness.scoring import final_score
from harness.scoring import make_benchmark
from harness.store import FORMAT
from harness.tracking.layout import ENDINGS
from harness.tracking.layout import Call
from harness.tracking.layout import Run
from harness.tracking.layout import Timing
from harness.tracking.layout import Trial
from harness.tracking.layout import milliseconds

if TYPE_CHECKING:
    from pathlib import Path

#: Files of a run's folder that are kept as artifacts, where they exist.
ARTIFACTS = ("run.json", "trajectory.jsonl", "timings.jsonl", "error.txt")

_TOTALS = (
    "trials",
    "architectures",
    "duplicates",
    "rejected",
    "search_seconds",
    "strategy_gpu_seconds",
    "llm_seconds",
    "llm_gpu_seconds",
    "evaluation_seconds",
    "llm_calls",
    "prompt_tokens",
    "completion_tokens",
)
# Below the limits of every tracking server; MLflow refuses longer ones.
_LONGEST_VALUE = 5000
_LONGEST_KEY = 250
_ILLEGAL_IN_KEY = re.compile(r"[^\w\-. :]", re.ASCII)
_RUN = TypeAdapter(Run)
_TRIALS = TypeAdapter(list[Trial])
_TIMINGS = TypeAdapter(list[Timing])
_MAKE_ANEW = "delete the folder, and `harness run` makes this run anew"

_Checked = TypeVar("_Checked")


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class RunRecord:
    """What is logged of one run.

    Attributes:
        folder: The run's folder.
        ending: Which run it is and how it ended.
        group_name: For people, e.g. ``"random_search on nasbench201-cifar10"``.
        name: For people.
        started: Milliseconds since the epoch.
        params: Flattened spec.
        tags: Labels, status, versions.
        points: Metrics: the trials in order, then the final ones, no two of one key and step.
    """

    folder: Path
    ending: Ending
    group_name: str
    name: str
    started: int
    params: dict[str, str]
    tags: dict[str, str]
    points: tuple[Point, ...]

    @property
    def mlflow_status(self) -> str:
        """The run's status in MLflow's words."""
        return "FAILED" if self.ending.status == "failed" else "FINISHED"

    @property
    def latest(self) -> dict[str, Point]:
        """The last point of each metric."""
        return {point.key: point for point in self.points}

    @property
    def artifacts(self) -> list[Path]:
        """Files to keep with the run."""
        return [path for name in ARTIFACTS if (path := self.folder / name).is_file()]


@dataclass(frozen=True)
class Ending:
    """Which run a folder holds, and how it ended: what tells whether it was logged before.

    Attributes:
        run_id: Hash of the run's spec, without its labels.
        group_id: Hash of the spec without its seed, with its labels: runs of one group share a parent.
        status: As in ``run.json``.
        ended: Milliseconds since the epoch.
    """

    run_id: str
    group_id: str
    status: str
    ended: int

    @property
    def key(self) -> tuple[str, str]:
        """What one run of MLflow stands for: the same spec under another label is another."""
        return self.run_id, self.group_id


class TracedCall(NamedTuple):
    """A call, and the trial that it led to; ``None`` where it led to none."""

    trial: int | None
    call: Call


class UnreadableRun(DataError):
    """A run's folder cannot be read.

    Args:
        folder: The run's folder.
        reason: What is wrong with which of its files, and what to do.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder}: {reason}")
        self.reason = reason


class FinishedRun:
    """The folder of a run that has ended. Only ``run.json`` is read until :meth:`record` is called.

    Args:
        folder: The run's folder.

    Attributes:
        ending: How the run ended; ``None`` while it has not.

    Raises:
        UnreadableRun: ``run.json`` is missing, damaged, or of another layout.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ending: Ending | None = None
        path = folder / "run.json"
        run = _parse(path, _read(path))
        found = run.get("format") if isinstance(run, dict) else None
        # Before its shape, which another layout may well have changed.
        if isinstance(found, int) and found != FORMAT:
            raise UnreadableRun(
                folder,
                f"run.json: made by another version of the harness (layout {found}; this one reads {FORMAT}); "
                "track it with that version",
            )
        _check(path, _RUN, run)
        self._run: dict[str, Any] = run
        if run["status"] not in ENDINGS:
            return
        if run["ended"] is None:
            raise UnreadableRun(folder, f"run.json: `ended` is null, `status` {run['status']}; {_MAKE_ANEW}")
        group_id = _group_id(run["spec"])
        self.ending = Ending(run["id"], group_id, run["status"], milliseconds(run["ended"]))

    @property
    def started(self) -> int:
        """Milliseconds since the epoch."""
        return milliseconds(self._run["started"])

    @property
    def llm_calls(self) -> int:
        """How many calls of language models the run made."""
        count: int = self._run["totals"]["llm_calls"]
        return count

    def calls(self) -> list[TracedCall]:
        """The calls of language models that were recorded, in the order in which they were made.

        Raises:
            UnreadableRun: A file of the run is damaged.
        """
        timings = _lines(self._folder / "timings.jsonl", _TIMINGS)
        calls = [TracedCall(number, call) for number, timing in enumerate(timings) for call in timing.calls]
        last = _RUN.validate_python(self._run).last_calls
        return [*calls, *(TracedCall(None, call) for call in last)]

    def record(self) -> RunRecord:
        """Read everything that is logged.

        Raises:
            UnreadableRun: A file of the run is damaged.
        """
        assert self.ending is not None, "the run has not ended"
        record = _record(self._folder, self._run, self.ending)
        for path in record.artifacts:
            # Here it costs one run; where the artifacts are copied, all that are logged with it.
            _openable(path)
        return record


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UnreadableRun(path.parent, f"{path.name}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UnreadableRun(path.parent, f"{path.name}: this is no UTF-8 text; {_MAKE_ANEW}") from None


def _parse(path: Path, text: str, where: str = "") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableRun(path.parent, f"{path.name}{where}: this is no JSON; {_MAKE_ANEW}") from None


def _openable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UnreadableRun(path.parent, f"{path.name}: {error.strerror}") from error


def _check(path: Path, shape: TypeAdapter[_Checked], value: object) -> _Checked:
    """What the file holds, as its reader wants it; the error names the first key that is not."""
    try:
        return shape.validate_python(value)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
    keys = list(error["loc"])
    line = f":{int(keys.pop(0)) + 1}" if keys and isinstance(keys[0], int) else ""
    what = f"`{'.'.join(map(str, keys))}`" if keys else "this"
    if error["type"] == "missing":
        problem = f"{what} is missing"
    elif error["type"] == "literal_error":
        problem = f"{what} is {json.dumps(error['input'])[:100]}, not {error['ctx']['expected']}"
    elif error["type"] in {"model_type", "dict_type"}:
        problem = f"{what} is no JSON object"
    else:
        problem = f"{what}: {error['msg'].removeprefix('Value error, ')}"
    raise UnreadableRun(path.parent, f"{path.name}{line}: {problem}; {_MAKE_ANEW}")


def _record(folder: Path, run: Mapping[str, Any], ending: Ending) -> RunRecord:
    spec = run["spec"]
    labels, seed = spec["labels"], spec["seed"]
    started, ended = milliseconds(run["started"]), ending.ended
    trials = _trials(folder / "trajectory.jsonl")
    timings = _lines(folder / "timings.jsonl", _TIMINGS)
    timestamps = _timestamps(timings, len(trials), started, ended)
    higher_is_better = run["metric"]["higher_is_better"]
    points = list(
        _trial_points(trials, timestamps, run["cost_kind"], higher_is_better, asks=bool(spec["models"]))
    )
    finals, missing = _final_scores(run)
    reasons = run["totals"]["rejected"]
    totals = run["totals"] | {"rejected": sum(reasons.values())}
    finals |= {name: float(totals.get(name, 0)) for name in _TOTALS}
    finals |= {_legal_key(f"rejected.{reason}"): float(count) for reason, count in reasons.items()}
    finals["fallbacks"] = float(sum(trial.attributes.get("source") == "fallback" for trial in trials))
    finals["seconds"] = float(run["seconds"])
    points += [Point(key, value, ended, 0) for key, value in finals.items()]
    return RunRecord(
        folder=folder,
        ending=ending,
        group_name=f"{labels['strategy']} on {labels['benchmark']}",
        name=f"{labels['strategy']} on {labels['benchmark']}, seed {seed}",
        started=started,
        params=texts(_params(spec)),
        tags=texts(_tags(run) | missing | {"harness.group_id": ending.group_id}),
        points=tuple(points),
    )


def _trials(path: Path) -> list[Trial]:
    trials = _lines(path, _TRIALS)
    for number, trial in enumerate(trials):
        # Two trials of one number would be two values of a metric at one step.
        if trial.trial != number:
            raise UnreadableRun(
                path.parent,
                f"{path.name}:{number + 1}: trial {trial.trial} stands where trial {number} belongs; "
                f"{_MAKE_ANEW}",
            )
    return trials


def _lines(path: Path, shape: TypeAdapter[list[_Checked]]) -> list[_Checked]:
    """The whole lines of a file of JSON lines; none where the run failed before it wrote the file."""
    if not path.exists():
        return []
    # A line that a kill cut off has no end, and is not part of the file.
    whole, _, _ = _read(path).rpartition("\n")
    try:
        # One call of the parser for the file, not one per line: half the time.
        lines = json.loads(f"[{whole.replace(chr(10), ',')}]")
    except (ValueError, RecursionError):
        lines = [_parse(path, line, f":{n}") for n, line in enumerate(whole.split("\n"), start=1)]
    return _check(path, shape, lines)


def _timestamps(timings: Sequence[Timing], trials: int, started: int, ended: int) -> list[int]:
    """When each trial ended, counting only the time that the run was at work; evenly where not measured."""
    if len(timings) < trials:
        step = (ended - started) / trials
        return [int(started + step * (i + 1)) for i in range(trials)]
    seconds = accumulate(t.search_seconds + t.llm_seconds + t.evaluation_seconds for t in timings[:trials])
    return [int(started + 1000 * s) for s in seconds]


def _trial_points(
    trials: Sequence[Trial],
    timestamps: Sequence[int],
    cost_kind: str,
    higher_is_better: bool,
    *,
    asks: bool,
) -> Iterator[Point]:
    better = max if higher_is_better else min
    hours_key = f"{cost_kind}_gpu_hours"
    best: float | None = None
    seconds = 0.0
    tokens = 0
    for trial, timestamp in zip(trials, timestamps, strict=True):
        step, valid = trial.trial, trial.valid
        if valid is not None:
            yield Point("valid", valid, timestamp, step)
        # A trial that was stopped early was scored at a lower fidelity: no rival to the others.
        if trial.state == "complete" and valid is not None and valid == valid:
            best = valid if best is None else better(best, valid)
        if best is not None:
            yield Point("best_valid", best, timestamp, step)
        seconds += trial.gpu_seconds
        yield Point(hours_key, seconds / 3600, timestamp, step)
        if asks:
            # Also of trials that asked nothing, so that other curves can be drawn over it.
            tokens += trial.llm.prompt_tokens + trial.llm.completion_tokens if trial.llm else 0
            yield Point("llm_tokens", float(tokens), timestamp, step)


def _final_scores(run: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Scores of the recommendation, and why some are missing. The search has ended: ``test`` may be read."""
    if not run["recommendation"]:
        return {}, {}
    try:
        return _scores(run)
    except HarnessError as error:
        return {}, {"missing.final": str(error)}
    except Exception as error:  # noqa: BLE001  (a failure of a benchmark, a plug-in, costs its scores alone)
        return {}, {"missing.final": f"{type(error).__name__}: {error}"}


def _scores(run: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    spec = run["spec"]["benchmark"]
    benchmark = make_benchmark(spec["name"], spec["params"])
    arch = benchmark.space.from_ncode(run["recommendation"]["ncode"])
    if benchmark.digest != run["data"]["digest"]:
        why = f"the run used the data {run['data']['digest']}, here are {benchmark.digest}"
        return {}, {"missing.final": why}
    scores: dict[str, float] = {}
    missing: dict[str, str] = {}
    for split in ("valid", "test"):
        if split not in benchmark.splits:
            missing[f"missing.final_{split}"] = f"no {split} scores in {benchmark.source}"
            continue
        score = final_score(benchmark, arch, split)
        if score.value is None:
            missing[f"missing.final_{split}"] = score.missing or "not known"
            continue
        scores[f"final_{split}"] = float(score.value)
        if score.optimum is not None:
            regret = score.optimum - score.value
            scores[f"final_{split}_regret"] = float(
                regret if benchmark.reported.higher_is_better else -regret
            )
    return scores, missing


def _params(spec: Mapping[str, Any]) -> dict[str, Any]:
    strategy, benchmark, models = spec["strategy"], spec["benchmark"], spec.get("models") or {}
    params = {"strategy": strategy["name"], "benchmark": benchmark["name"]}
    params |= flat("strategy", strategy["params"]) | flat("benchmark", benchmark["params"])
    if "dataset" in benchmark["params"]:
        params["dataset"] = benchmark["params"]["dataset"]
    params |= flat("", spec["objective"]) | flat("budget", spec["budget"])
    if models:
        params["model"] = ", ".join(models)
    return params | flat("models", models) | {"seed": spec["seed"]}


def _tags(run: Mapping[str, Any]) -> dict[str, Any]:
    spec, recommendation = run["spec"], run.get("recommendation") or {}
    labels = spec["labels"]
    tags = {
        "strategy": labels["strategy"],
        "benchmark": labels["benchmark"],
        "dataset": spec["benchmark"]["params"].get("dataset"),
        "sweep": labels["sweep"],
        "seed": spec["seed"],
        "status": run["status"],
        "space": run["space"],
        "metric": run["metric"]["name"],
        "cost_kind": run["cost_kind"],
        "harness.run_id": run["id"],
        "mlflow.source.name": "harness",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": _commit(run.get("git")),
    }
    tags |= flat("data", run["data"]) | flat("version", run["versions"])
    return tags | flat("recommendation", recommendation)


def _commit(git: object) -> object:
    return git.get("commit") if isinstance(git, dict) else git


def _group_id(spec: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in spec.items() if key != "seed"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def flat(prefix: str, value: object) -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if not isinstance(value, dict):
        return {prefix: value}
    joined: dict[str, Any] = {}
    for key, inner in value.items():
        joined |= flat(f"{prefix}.{key}" if prefix else str(key), inner)
    return joined


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Keys and values as MLflow takes them; what is not set is left out."""
    return {
        _legal_key(key): _text(value)[:_LONGEST_VALUE] for key, value in values.items() if value is not None
    }


def _legal_key(key: str) -> str:
    return _ILLEGAL_IN_KEY.sub("_", key)[:_LONGEST_KEY]


def _text(value: object) -> str:
    # JSON can hold half a character, which no database takes.
    return value.encode(errors="replace").decode() if isinstance(value, str) else json.dumps(value)
