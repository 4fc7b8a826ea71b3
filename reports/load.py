"""A results folder as frames: runs, trials, timings. The only module here that knows the files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import DataError
from harness.errors import StoreError
from harness.store import FINISHED
from harness.store import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

STATUSES = ("complete", "exhausted", "stalled", "failed", "running")
COUNTS = ("rejected", "llm_calls", "prompt_tokens", "completion_tokens")
SECONDS = ("search_seconds", "llm_seconds", "evaluation_seconds")

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Results:
    """A results folder in memory.

    Attributes:
        folder: Where it was read from.
        name: Name of the sweep.
        plan: What was asked for: the content of ``sweep.json``.
        benchmarks: Labels of the benchmarks, in the order of the sweep.
        strategies: Labels of the strategies, in the order of the sweep.
        runs: One row per run folder, in the order of the sweep (benchmark, strategy, seed). Columns: the
            labels ``benchmark`` and ``strategy``, ``seed``, ``path`` (below the sweep's folder), ``status``,
            ``finished`` (it ended by itself), ``spec``, ``record`` (the whole of ``run.json``), ``ncode`` and
            ``text`` of the recommendation (``None`` without one), ``error`` (traceback or ``None``), and what
            it spent: ``trials``, ``architectures``, ``duplicates``, ``pruned``, ``gpu_seconds``,
            :data:`COUNTS`, :data:`SECONDS`.
        trials: One row per trial, in the order of the runs. Columns: ``run`` (index of :attr:`runs`),
            ``trial``, ``ncode``, ``state``, ``valid``, ``fidelity``, ``gpu_seconds``, ``duplicate``,
            :data:`COUNTS`.
        timings: One row per trial: ``run``, ``trial``, :data:`SECONDS`.
        missing: Planned runs that have no folder yet, as ``benchmark/strategy/seed-n``.
        remarks: What was found incomplete or inconsistent, one sentence each.
    """

    folder: Path
    name: str
    plan: Mapping[str, Any]
    benchmarks: tuple[str, ...]
    strategies: tuple[str, ...]
    runs: pd.DataFrame
    trials: pd.DataFrame
    timings: pd.DataFrame
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


def load_results(folder: Path) -> Results:
    """Read the results folder of one sweep.

    Runs that are not finished are read as far as they got; a half-written last line is left out. Both are
    told in :attr:`Results.remarks` or by the run's status.

    Args:
        folder: ``results/<sweep>``.

    Raises:
        StoreError: No results folder of a sweep, empty, or of another format version.
        DataError: A file is damaged; names file and line.
    """
    plan = _read_plan(folder)
    paths = sorted(folder.glob("*/*/seed-*/"))
    benchmarks = _in_order(plan["benchmarks"], (path.parts[-3] for path in paths))
    strategies = _in_order(plan["strategies"], (path.parts[-2] for path in paths))

    remarks: list[str] = []
    readers = [reader for path in paths if (reader := _RunReader.open(path, remarks)) is not None]
    if not readers:
        raise StoreError(f"{folder}: this sweep has no run yet. Make one first: `harness run`.")
    readers.sort(key=lambda r: (benchmarks.index(r.benchmark), strategies.index(r.strategy), r.seed))
    present = {reader.name for reader in readers}

    trials = [reader.trials() for reader in readers]
    timings = [reader.timings() for reader in readers]
    for reader, columns in zip(readers, trials, strict=True):
        reader.check_totals(columns)
    return Results(
        folder=folder,
        name=plan["name"],
        plan=plan,
        benchmarks=benchmarks,
        strategies=strategies,
        runs=_frame([r.row(t, s) for r, t, s in zip(readers, trials, timings, strict=True)]),
        trials=_stack(trials, _TRIAL_COLUMNS),
        timings=_stack(timings, _TIMING_COLUMNS),
        missing=tuple(path for path in plan["runs"] if path not in present),
        remarks=tuple(remarks),
    )


def _read_plan(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise StoreError(f"{folder}: there is no such folder. Give the results folder of one sweep.")
    file = folder / "sweep.json"
    if not file.is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/sweep.json"))
        hint = f" It holds the sweeps {', '.join(inside)}; give one of them." if inside else ""
        raise StoreError(f"{folder}: this is no results folder of a sweep, it has no sweep.json.{hint}")
    return _read_object(file, _PLAN_KEYS)


def _in_order(planned: Iterable[str], found: Iterable[str]) -> tuple[str, ...]:
    """The planned labels in their order, then found ones that the sweep no longer names."""
    return tuple(dict.fromkeys([*planned, *sorted(set(found))]))


def _read_object(file: Path, keys: Mapping[str, type]) -> dict[str, Any]:
    """Read a JSON object of this version's layout that has keys of these types."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{file}: no JSON: {error}.") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise StoreError(
            f"{file}: made by another version of the harness (layout {found!r}; this one reads {FORMAT}). "
            "Use that version for its reports."
        )
    for key, kind in keys.items():
        if not isinstance(content.get(key), kind):
            raise DataError(f"{file}: {key!r} is missing or not of type {kind.__name__}.")
    return content  # type: ignore[no-any-return]


class _RunReader:
    """Reads the files of one run.

    Args:
        path: The run's folder.
        record: The content of its ``run.json``.
        remarks: Gets a sentence for whatever is incomplete.
    """

    def __init__(self, path: Path, record: dict[str, Any], remarks: list[str]) -> None:
        self.path = path
        self.record = record
        self.benchmark, self.strategy = path.parts[-3:-1]
        self.seed = int(path.name.removeprefix("seed-"))
        self.name = "/".join(path.parts[-3:])
        self._remarks = remarks

    @classmethod
    def open(cls, path: Path, remarks: list[str]) -> _RunReader | None:
        """The reader of a run folder; ``None`` with a remark where there is no run in it."""
        if not path.name.removeprefix("seed-").isdecimal():
            return None
        file = path / "run.json"
        if not file.is_file():
            remarks.append(f"{'/'.join(path.parts[-3:])} has no run.json; it is left out.")
            return None
        record = _read_object(file, _RUN_KEYS)
        if record["status"] not in STATUSES:
            raise DataError(f"{file}: unknown status {record['status']!r}.")
        return cls(path, record, remarks)

    def trials(self) -> dict[str, np.ndarray]:
        """Column name to values, one per trial."""
        return self._columns("trajectory.jsonl", _TRIAL_COLUMNS)

    def timings(self) -> dict[str, np.ndarray]:
        """Column name to values, one per trial."""
        return self._columns("timings.jsonl", _TIMING_COLUMNS)

    def check_totals(self, trials: Mapping[str, np.ndarray]) -> None:
        """Remark where a finished run has lost trials, or lacks its recommendation."""
        if self.record["status"] not in FINISHED:
            return
        count = (self.record.get("totals") or {}).get("trials")
        if count is not None and count != len(trials["trial"]):
            self._remarks.append(
                f"{self.name} ended after {count} trials, but its trajectory holds {len(trials['trial'])}."
            )
        if not self.record.get("recommendation"):
            self._remarks.append(f"{self.name} ended without a recommendation; it has no score.")

    def row(self, trials: Mapping[str, np.ndarray], timings: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The run's row of :attr:`Results.runs`."""
        recommendation = self.record.get("recommendation") or {}
        duplicates = int(trials["duplicate"].sum())
        # A run's own totals also hold what it spent after its last trial, on a proposal that never came.
        totals = self.record.get("totals") or {}
        rejected = totals.get("rejected")
        error = self.path / "error.txt"
        return {
            "benchmark": self.benchmark,
            "strategy": self.strategy,
            "seed": self.seed,
            "path": self.name,
            "status": self.record["status"],
            "finished": self.record["status"] in FINISHED,
            "spec": self.record["spec"],
            "record": self.record,
            "ncode": recommendation.get("ncode"),
            "text": recommendation.get("text"),
            "error": error.read_text(errors="replace") if error.is_file() else None,
            "trials": len(trials["trial"]),
            "architectures": len(trials["trial"]) - duplicates,
            "duplicates": duplicates,
            "pruned": int((trials["state"] == "pruned").sum()),
            "gpu_seconds": float(trials["gpu_seconds"].sum()),
            **{key: totals.get(key, int(trials[key].sum())) for key in COUNTS},
            **{key: totals.get(key, float(timings[key].sum())) for key in SECONDS},
            "rejected": int(trials["rejected"].sum()) if rejected is None else sum(rejected.values()),
        }

    def _columns(self, file_name: str, columns: Mapping[str, _Column]) -> dict[str, np.ndarray]:
        file = self.path / file_name
        lines = self._lines(file)
        try:
            return {
                key: np.array([column.take(line) for line in lines], dtype=column.dtype)
                for key, column in columns.items()
            }
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            _locate(file, lines, columns)
            raise

    def _lines(self, file: Path) -> Lines:
        """The whole lines of a JSONL file, parsed; none where the file is not there yet."""
        try:
            raw = file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{file}: cannot be read: {error.strerror}.") from error
        if raw.pop():
            self._remarks.append(
                f"{self.name}: the last line of {file.name} is half-written; it is left out."
            )
        try:
            # One call of the parser for the whole file: four times faster than one call per line.
            return json.loads(b"[" + b",".join(raw) + b"]")  # type: ignore[no-any-return]
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


def _locate(file: Path, lines: Lines, columns: Mapping[str, _Column]) -> None:
    """Name the line that does not hold what the format says.

    Raises:
        DataError: Always, unless every line is fine by itself.
    """
    for number, line in enumerate(lines, start=1):
        for key, column in columns.items():
            try:
                np.array(column.take(line), dtype=column.dtype)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                raise DataError(f"{file}, line {number}: {key!r} is missing or of a wrong type.") from None


@dataclass(frozen=True)
class _Column:
    """How a column is taken from a line, and its type."""

    take: Callable[[dict[str, Any]], Any]
    dtype: type


def _plain(key: str, dtype: type) -> _Column:
    return _Column(lambda line: line[key], dtype)


def _llm(key: str) -> _Column:
    # The key is there only where a model was called.
    return _Column(lambda line: line["llm"][key] if "llm" in line else 0, int)


_PLAN_KEYS: dict[str, type] = {
    "name": str,
    "benchmarks": list,
    "strategies": list,
    "seeds": list,
    "runs": list,
}
_RUN_KEYS: dict[str, type] = {
    "spec": dict,
    "status": str,
    "cost_kind": str,
    "metric": dict,
    "data": dict,
}
_TRIAL_COLUMNS = {
    "trial": _plain("trial", int),
    "ncode": _plain("ncode", object),
    "state": _plain("state", object),
    "valid": _plain("valid", float),
    "fidelity": _plain("fidelity", int),
    "gpu_seconds": _plain("gpu_seconds", float),
    "duplicate": _plain("duplicate", bool),
    "rejected": _Column(lambda line: sum(line["rejected"].values()) if "rejected" in line else 0, int),
    "llm_calls": _llm("calls"),
    "prompt_tokens": _llm("prompt_tokens"),
    "completion_tokens": _llm("completion_tokens"),
}
_TIMING_COLUMNS = {"trial": _plain("trial", int)} | {key: _plain(key, float) for key in SECONDS}


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    # As strings, pandas would turn None into NaN, which is true where None is false.
    for key in ("ncode", "text", "error"):
        frame[key] = pd.Series([row[key] for row in rows], dtype=object)
    return frame


def _stack(parts: Sequence[Mapping[str, np.ndarray]], columns: Mapping[str, _Column]) -> pd.DataFrame:
    """One frame of the columns of all runs, with the position of the run in ``run``."""
    lengths = [len(part["trial"]) for part in parts]
    frame = pd.DataFrame({key: np.concatenate([part[key] for part in parts]) for key in columns})
    frame.insert(0, "run", np.repeat(np.arange(len(parts)), lengths))
    return frame
