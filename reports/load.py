"""A results folder as frames: runs, trials, timings. The only module here that knows the files."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from harness.errors import DataError
from harness.errors import StoreError
from harness.store import FINISHED
from reports.folders import run_folders
from reports.folders import sweep_file
from reports.records import NoRunError
from reports.records import read_run
from reports.records import read_sweep
from reports.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from reports.records import Run

COUNTS = ("rejected", "llm_calls", "prompt_tokens", "completion_tokens")
SECONDS = ("search_seconds", "llm_seconds", "evaluation_seconds", "llm_gpu_seconds", "strategy_gpu_seconds")
_OPTIONAL_SECONDS = ("llm_gpu_seconds", "strategy_gpu_seconds")

FALLBACK = "fallback"
"""``source`` of a trial that a strategy drew at random because its model gave nothing usable."""

Lines = list[dict[str, Any]]

_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class Results:
    """A results folder in memory.

    Attributes:
        folder: Where it was read from.
        name: Name of the sweep.
        plan: What was asked for: the content of ``sweep.json``.
        benchmarks: Labels of the benchmarks, in the order of the sweep.
        strategies: Labels of the strategies, in the order of the sweep.
        runs: One row per run that counts, in the order of the sweep (benchmark, strategy, seed). Columns: the
            labels ``benchmark`` and ``strategy``, ``seed``, ``path`` (below the sweep's folder), ``status``,
            ``finished`` (it ended by itself), ``spec``, ``record`` (the whole of ``run.json``), ``ncode`` and
            ``text`` of the recommendation (``None`` without one), ``error`` (traceback or ``None``), ``parked``
            (which model did not answer, or ``None``), and what it spent: ``trials``, ``architectures``,
            ``duplicates``, ``pruned``, ``unscored`` (failed trials), ``fallbacks``, ``gpu_seconds`` (of evaluation),
            :data:`COUNTS`, :data:`SECONDS`; ``reasons`` is ``rejected`` by reason.
        trials: One row per trial, in the order of the runs. Columns: ``run`` (index of :attr:`runs`),
            ``trial``, ``ncode``, ``state``, ``valid``, ``fidelity``, ``gpu_seconds``, ``duplicate``,
            ``attributes`` (what the strategy attached), :data:`COUNTS`.
        timings: One row per trial: ``run``, ``trial``, :data:`SECONDS`.
        calls: One row per call of a language model that was recorded: ``run``, ``key`` (of its transcript), ``model``,
            ``verdict`` (``used``, or why the reply was thrown away), ``prompt_tokens``, ``completion_tokens``,
            ``seconds``, ``gpu_seconds``.
        missing: Planned runs that have no folder yet, as ``benchmark/strategy/seed-n``.
        left_out: Path below the sweep's folder to one sentence that says why it is in no frame, for every
            run folder that is damaged or does not belong to the sweep.
        remarks: What was found incomplete or inconsistent, one sentence each; those of :attr:`left_out` first.
    """

    folder: Path
    name: str
    plan: Mapping[str, Any]
    benchmarks: tuple[str, ...]
    strategies: tuple[str, ...]
    runs: pd.DataFrame
    trials: pd.DataFrame
    timings: pd.DataFrame
    calls: pd.DataFrame
    missing: tuple[str, ...]
    left_out: Mapping[str, str]
    remarks: tuple[str, ...]


def load_results(folder: Path) -> Results:
    """Read the results folder of one sweep.

    Runs that are not finished are read as far as they got; a half-written last line is left out. Both are
    told in :attr:`Results.remarks` or by the run's status. Runs that are damaged, copied, or of another
    specification than the sweep's are left out, see :attr:`Results.left_out`.

    Args:
        folder: ``results/<sweep>``.

    Raises:
        StoreError: No results folder of a sweep, without a run that counts, of another format version, or one that
            cannot be read.
    """
    plan = read_sweep(sweep_file(folder))
    found: list[Run] = []
    reasons: dict[str, str] = {}
    unmade = set()
    for path in run_folders(folder):
        name = "/".join(path.parts[-3:])
        try:
            found.append(read_run(path))
        except DataError as error:
            reasons[name] = str(error)
            if isinstance(error, NoRunError):
                unmade.add(name)
    counted, others = select(found, plan)
    reasons |= others
    left_out = {name: f"{name} {reasons[name]}; it is left out." for name in sorted(reasons)}
    if not counted:
        if reasons.keys() <= unmade:
            raise StoreError(f"{folder}: this sweep has no run yet. Make one first: `harness run`.")
        raise StoreError(f"{folder}: this sweep has no run that counts. {' '.join(left_out.values())}")

    remarks: list[str] = []
    readers = [_RunReader(run, remarks) for run in counted]
    benchmarks = _in_order(plan["benchmarks"], (reader.benchmark for reader in readers))
    strategies = _in_order(plan["strategies"], (reader.strategy for reader in readers))
    readers.sort(key=lambda r: (benchmarks.index(r.benchmark), strategies.index(r.strategy), r.seed))
    whole, trials, timings, calls = [], [], [], []
    for reader in readers:
        try:
            columns, (seconds, replies) = reader.trials(), reader.timings()
        except DataError as error:
            left_out[reader.name] = f"{reader.name} is damaged ({error}); it is left out."
            continue
        reader.check_totals(columns)
        whole.append(reader)
        trials.append(columns)
        timings.append(seconds)
        calls.append(replies)
    if not whole:
        raise StoreError(f"{folder}: this sweep has no run that counts. {' '.join(left_out.values())}")
    present = {reader.name for reader in whole} | (left_out.keys() - unmade)
    return Results(
        folder=folder,
        name=plan["name"],
        plan=plan,
        benchmarks=benchmarks,
        strategies=strategies,
        runs=_frame([r.row(t, s) for r, t, s in zip(whole, trials, timings, strict=True)]),
        trials=_stack(trials, _TRIAL_COLUMNS),
        timings=_stack(timings, _TIMING_COLUMNS),
        calls=_stack(calls, _CALL_COLUMNS),
        missing=tuple(path for path in plan["runs"] if path not in present),
        left_out=left_out,
        remarks=(*left_out.values(), *remarks),
    )


def by_run(frame: pd.DataFrame, *columns: str) -> dict[int, tuple[np.ndarray, ...]]:
    """Columns of :attr:`Results.trials` or :attr:`Results.timings`, run by run, as arrays.

    Of thousands of runs this takes a fiftieth of the time of ``groupby("run")``.

    Args:
        frame: Rows of a run stand together, as they do in the results, also after some runs were left out.
        columns: Names.

    Returns:
        Index of the run to the values of its rows, ``(rows,)`` per column; runs without a row are not in it.
    """
    runs = frame["run"].to_numpy()
    begins = np.flatnonzero(np.diff(runs, prepend=-1))
    values = [frame[column].to_numpy() for column in columns]
    ends = np.append(begins[1:], len(runs))[: len(begins)]
    return {
        int(runs[begin]): tuple(column[begin:end] for column in values)
        for begin, end in zip(begins, ends, strict=True)
    }


def _in_order(planned: Iterable[str], found: Iterable[str]) -> tuple[str, ...]:
    """The planned labels in their order, then found ones that the sweep no longer names."""
    return tuple(dict.fromkeys([*planned, *sorted(set(found))]))


class _RunReader:
    """Reads the files of one run.

    Args:
        run: What its ``run.json`` says.
        remarks: Gets a sentence for whatever is incomplete.
    """

    def __init__(self, run: Run, remarks: list[str]) -> None:
        self.path = run.path
        self.name = run.name
        self.content = run.content
        self.record = run.record
        self.benchmark = run.record.spec.labels.benchmark
        self.strategy = run.record.spec.labels.strategy
        self.seed = run.record.spec.seed
        self._remarks = remarks

    def trials(self) -> dict[str, np.ndarray]:
        """Column name to values, one per trial."""
        file = self.path / "trajectory.jsonl"
        return _columns(file, self._lines(file), _TRIAL_COLUMNS)

    def timings(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Column name to values, one per trial, and the same per call of a model."""
        file = self.path / "timings.jsonl"
        lines = self._lines(file)
        seconds = _columns(file, lines, _TIMING_COLUMNS | {"calls": _CALLS})
        calls = [call for calls in seconds.pop("calls") for call in calls]
        # Those of a last proposal that became no trial are in run.json.
        return seconds, _columns(file, [*calls, *self.record.last_calls], _CALL_COLUMNS, each="call")

    def check_totals(self, trials: Mapping[str, np.ndarray]) -> None:
        """Remark where a finished run has lost trials, or lacks its recommendation."""
        if self.record.status not in FINISHED:
            return
        count = self.record.totals.trials
        if count is not None and count != len(trials["trial"]):
            self._remarks.append(
                f"{self.name} ended after {count} trials, but its trajectory holds {len(trials['trial'])}."
            )
        if self.record.recommendation is None:
            self._remarks.append(f"{self.name} ended without a recommendation; it has no score.")

    def row(self, trials: Mapping[str, np.ndarray], timings: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The run's row of :attr:`Results.runs`."""
        recommendation = self.record.recommendation
        duplicates = int(trials["duplicate"].sum())
        totals = self.record.totals
        # Few trials have any, so it pays to pass over the others.
        rejected: Counter[str] = Counter()
        for reasons in filter(None, trials["reasons"]):
            rejected.update(reasons)
        sources = [attributes.get("source") for attributes in filter(None, trials["attributes"])]
        # A run's own totals also hold what it spent after its last trial, on a proposal that never came. Those of
        # a run that goes on were written when it started.
        known = {key: getattr(totals, key) for key in (*COUNTS, *SECONDS)}
        known["rejected"] = sum(totals.rejected.values())
        return {
            "benchmark": self.benchmark,
            "strategy": self.strategy,
            "seed": self.seed,
            "path": self.name,
            "status": self.record.status,
            "finished": self.record.status in FINISHED,
            "spec": self.content["spec"],
            "record": self.content,
            "ncode": recommendation and recommendation.ncode,
            "text": recommendation and recommendation.text,
            "error": self._error(),
            "parked": self.record.parked if self.record.status == "parked" else None,
            "trials": len(trials["trial"]),
            "architectures": len(trials["trial"]) - duplicates,
            "duplicates": duplicates,
            "pruned": int((trials["state"] == "pruned").sum()),
            "unscored": int((trials["state"] == "failed").sum()),
            "fallbacks": sources.count(FALLBACK),
            "reasons": dict(sorted((Counter(totals.rejected) | rejected).items())),
            "gpu_seconds": float(trials["gpu_seconds"].sum()),
            **{key: max(known[key], int(trials[key].sum())) for key in COUNTS},
            **{key: max(known[key], float(timings[key].sum())) for key in SECONDS},
        }

    def _error(self) -> str | None:
        """The traceback of a failed run, where one was kept."""
        try:
            return (self.path / "error.txt").read_text(errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"error.txt cannot be read: {error.strerror}"

    def _lines(self, file: Path) -> Lines:
        """The whole lines of a JSONL file, parsed; none where the file is not there yet."""
        try:
            *raw, rest = file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror}") from error
        if rest:
            self._remarks.append(
                f"{self.name}: the last line of {file.name} is half-written; it is left out."
            )
        try:
            # One call of the parser for the whole file: three times faster than one call of json per line.
            return from_json(b"[" + b",".join(raw) + b"]")  # type: ignore[no-any-return]
        except ValueError:
            return self._lines_one_by_one(file, raw)

    def _lines_one_by_one(self, file: Path, raw: Sequence[bytes]) -> Lines:
        lines = []
        for number, line in enumerate(raw, start=1):
            try:
                lines.append(json.loads(line))
            except ValueError as error:
                # A machine that lost power may leave a last line of the right length with wrong bytes.
                if number == len(raw):
                    self._remarks.append(
                        f"{self.name}: the last line of {file.name} is damaged; it is left out."
                    )
                    break
                raise DataError(f"{file}, line {number}: no JSON: {error}.") from None
        return lines


def _columns(
    file: Path, lines: Lines, columns: Mapping[str, _Column], each: str = "line"
) -> dict[str, np.ndarray]:
    """Column name to values; an error names the line (or what ``each`` is called) that is not as it should be."""
    try:
        return {key: column.of(lines) for key, column in columns.items()}
    except _WRONG:
        _locate(file, lines, columns, each)
        raise


def _locate(file: Path, lines: Lines, columns: Mapping[str, _Column], each: str) -> None:
    """Name the line that does not hold what the format says.

    Raises:
        DataError: Always, unless every line is fine by itself.
    """
    for number, line in enumerate(lines, start=1):
        for key, column in columns.items():
            try:
                column.of([line])
            except _WRONG:
                raise DataError(f"{file}, {each} {number}: {key!r} is missing or of a wrong type.") from None


@dataclass(frozen=True)
class _Column:
    """How a column is taken from lines, and its type.

    A sweep has millions of lines, so a column is taken from all lines of a file in one go.
    """

    take: Callable[[Lines], Sequence[Any]]
    dtype: type

    def of(self, lines: Lines) -> np.ndarray:
        """The column, with a value per line."""
        values = self.take(lines)
        if self.dtype is object:
            # Lists stay lists, also where all are of one length.
            return np.fromiter(values, object, len(values))
        return np.array(values, dtype=self.dtype)


def _plain(key: str, dtype: type) -> _Column:
    value = itemgetter(key)
    return _Column(lambda lines: list(map(value, lines)), dtype)


def _seconds(key: str) -> _Column:
    if key not in _OPTIONAL_SECONDS:
        return _plain(key, float)
    # Seconds of models, and of a strategy's own devices, are there only where there were any.
    return _Column(lambda lines: [line.get(key, 0.0) for line in lines], float)


def _optional(key: str, kind: type) -> _Column:
    """A JSON object or list that is left out where it is empty; lines without one share one."""

    def take(lines: Lines) -> list[Any]:
        nothing = kind()
        values = [line.get(key, nothing) for line in lines]
        if not all(isinstance(value, kind) for value in values if value is not nothing):
            raise TypeError(f"{key} is no {kind.__name__}")
        return values

    return _Column(take, object)


def _llm(key: str) -> _Column:
    # The key is there only where a model was called.
    return _Column(lambda lines: [line["llm"][key] if "llm" in line else 0 for line in lines], int)


def _valid(lines: Lines) -> list[float]:
    # A failed trial has no score.
    return [math.nan if line["state"] == "failed" else line["valid"] for line in lines]


def _rejected(lines: Lines) -> list[int]:
    return [sum(line["rejected"].values()) if "rejected" in line else 0 for line in lines]


_TRIAL_COLUMNS = {
    "trial": _plain("trial", int),
    "ncode": _plain("ncode", object),
    "state": _plain("state", object),
    "valid": _Column(_valid, float),
    "fidelity": _plain("fidelity", int),
    "gpu_seconds": _plain("gpu_seconds", float),
    "duplicate": _plain("duplicate", bool),
    "attributes": _optional("attributes", dict),
    "reasons": _optional("rejected", dict),
    "rejected": _Column(_rejected, int),
    "llm_calls": _llm("calls"),
    "prompt_tokens": _llm("prompt_tokens"),
    "completion_tokens": _llm("completion_tokens"),
}
_TIMING_COLUMNS = {"trial": _plain("trial", int)} | {key: _seconds(key) for key in SECONDS}
_CALLS = _optional("calls", list)
_CALL_COLUMNS = {
    # Of the transcript; calls without one are counted all the same.
    "key": _Column(lambda calls: [str(call.get("key", "")) for call in calls], object),
    "model": _plain("model", object),
    "verdict": _plain("verdict", object),
    "prompt_tokens": _plain("prompt_tokens", int),
    "completion_tokens": _plain("completion_tokens", int),
    "seconds": _plain("seconds", float),
    "gpu_seconds": _plain("gpu_seconds", float),
}


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    # As strings, pandas would turn None into NaN, which is true where None is false.
    for key in ("ncode", "text", "error", "parked"):
        frame[key] = pd.Series([row[key] for row in rows], dtype=object)
    return frame


def _stack(parts: Sequence[Mapping[str, np.ndarray]], columns: Mapping[str, _Column]) -> pd.DataFrame:
    """One frame of the columns of all runs, with the position of the run in ``run``."""
    lengths = [len(part[next(iter(columns))]) for part in parts]
    frame = pd.DataFrame({key: np.concatenate([part[key] for part in parts]) for key in columns})
    frame.insert(0, "run", np.repeat(np.arange(len(parts)), lengths))
    return frame
