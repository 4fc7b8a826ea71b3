"""The folder of a ranking as frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

import pandas as pd
from pydantic import BaseModel
from pydantic import ValidationError

from harness.errors import StoreError
from harness.ranking.folder import PROBLEMS
from harness.ranking.folder import RECORD
from harness.ranking.folder import SCORES
from harness.ranking.folder import SECONDS
from harness.ranking.folder import RankingFolder
from harness.ranking.folder import Record
from harness.ranking.run import SESSIONS
from harness.store import FORMAT

if TYPE_CHECKING:
    from pathlib import Path

_AGAIN = "the same `harness run` makes it"


class Plan(BaseModel):
    """``sweep.json`` of a ranking; the keys are described in ``docs/results-folder.md``."""

    format: Literal[1]
    kind: Literal["ranking"]
    name: str
    description: str = ""
    benchmarks: list[str]
    scorers: list[str]
    architectures: int | Literal["all"]
    seed: int


@dataclass(frozen=True)
class Ranked:
    """A benchmark with its scores.

    Attributes:
        label: Its label.
        record: What its ``ranking.json`` says.
        scores: One row per architecture. Columns: ``ncode``, ``valid`` and ``test`` (mean over training seeds, where
            the source has them), ``valid/<seed>``, ``test/<seed>``, and one per scorer; NaN where there is no score.
        problems: ``ncode``, ``scorer`` and ``problem`` of each score that could not be computed.
        seconds: What each score took, one row per architecture, one column per scorer.
    """

    label: str
    record: Record
    scores: pd.DataFrame
    problems: pd.DataFrame
    seconds: pd.DataFrame


@dataclass(frozen=True)
class Rankings:
    """A ranking in memory.

    Attributes:
        folder: Where it was read from.
        plan: What was asked for.
        benchmarks: Those with scores, in the order of the sweep.
        sessions: What ``sessions.jsonl`` says: one entry per benchmark and call that scored something.
        remarks: What is missing or left out, one sentence each.
    """

    folder: Path
    plan: Plan
    benchmarks: tuple[Ranked, ...]
    sessions: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...]


def load_rankings(folder: Path) -> Rankings:
    """Read the results folder of a ranking.

    Args:
        folder: ``results/<sweep>``.

    Raises:
        StoreError: It is damaged, of another version, or no benchmark has scores yet.
    """
    plan = _read_plan(folder / "sweep.json")
    found: list[Ranked] = []
    remarks: list[str] = []
    for label in plan.benchmarks:
        try:
            ranked = _read(folder / label, plan)
        except StoreError as error:
            remarks.append(str(error))
            continue
        found.append(ranked)
        remarks += [
            f"{label} has no scores of {scorer} yet; {_AGAIN}."
            for scorer in plan.scorers
            if scorer not in ranked.record.scorers
        ]
    if not found:
        raise StoreError(f"{folder}: this ranking has no scores yet. {' '.join(remarks)}")
    return Rankings(folder, plan, tuple(found), _sessions(folder / SESSIONS), tuple(remarks))


def _read_plan(file: Path) -> Plan:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise StoreError(f"{file}: cannot be read: {error.strerror}.") from error
    except ValueError:
        raise StoreError(
            f"{file}: this is no JSON; delete it, and the same `harness run` writes it anew."
        ) from None
    if content.get("format") != FORMAT:
        raise StoreError(
            f"{file}: made by another version of the harness (layout {content.get('format')!r}; this one reads "
            f"{FORMAT}). Use that version."
        )
    try:
        return Plan.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise StoreError(
            f"{file}: `{'.'.join(map(str, first['loc']))}` is damaged ({first['msg']}); delete the file, and the same "
            "`harness run` writes it anew."
        ) from None


def _read(path: Path, plan: Plan) -> Ranked:
    label = path.name
    folder = RankingFolder(path)
    record = folder.record
    if record is None:
        state = "is not written whole" if (path / RECORD).exists() else "is not scored yet"
        raise StoreError(f"{label} {state}; {_AGAIN}.")
    sample = record.sample
    whole = plan.architectures == "all"
    if sample.architectures != (sample.of if whole else plan.architectures) or sample.seed not in {
        None,
        plan.seed,
    }:
        raise StoreError(
            f"{label} holds a sample of {sample.architectures:,} architectures (seed {sample.seed}), and the sweep "
            f"one of {plan.architectures} (seed {plan.seed}); it is left out."
        )
    scores, problems, seconds = (folder.columns(name) for name in (SCORES, PROBLEMS, SECONDS))
    return Ranked(
        label,
        record,
        _numbers(scores, path / SCORES),
        pd.DataFrame(problems, dtype=object),
        _numbers(seconds, path / SECONDS),
    )


def _numbers(columns: dict[str, list[str]], file: Path) -> pd.DataFrame:
    frame = pd.DataFrame({"ncode": pd.Series(columns["ncode"], dtype=object)})
    try:
        for name, texts in columns.items():
            if name != "ncode":
                frame[name] = [float(text) if text else float("nan") for text in texts]
    except ValueError as error:
        raise StoreError(f"{file}: column {name!r} is damaged ({error}).") from None
    return frame


def _sessions(file: Path) -> tuple[dict[str, Any], ...]:
    try:
        # What stands behind the last end of a line is being written, or was when its process died.
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        return tuple(json.loads(line) for line in lines)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{file}: cannot be read ({error}); restore it, or delete it, and the report says nothing of machines."
        ) from None
