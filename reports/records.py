"""``sweep.json`` and ``run.json`` as read and checked, so that nothing behind this fails on their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Literal
from typing import TypeVar
from typing import get_args

from pydantic import BaseModel
from pydantic import Field
from pydantic import ValidationError
from pydantic_core import from_json

from harness.budget import Budget
from harness.errors import DataError
from harness.errors import StoreError
from harness.experiment import Objective
from harness.experiment import RunSpec
from harness.store import FORMAT
from reports.folders import reading

if TYPE_CHECKING:
    from pathlib import Path

Status = Literal["complete", "exhausted", "stalled", "failed", "parked", "running"]
STATUSES: tuple[str, ...] = get_args(Status)

Json = dict[str, Any]
_Record = TypeVar("_Record", bound=BaseModel)


class SweepRecord(BaseModel):
    """What a report needs of ``sweep.json``; the keys are described in ``docs/results-folder.md``."""

    name: str
    description: str = ""
    benchmarks: list[str]
    strategies: list[str]
    seeds: list[int]
    budget: Budget
    objective: Objective
    runs: list[Annotated[str, Field(pattern=r"^[^/]+/[^/]+/seed-\d+$")]]


class _Commit(BaseModel):
    commit: str
    changed: bool = False


class _Host(BaseModel):
    cpus: int | None
    platform: str


class _Session(BaseModel):
    versions: dict[str, str] = Field(default_factory=dict)
    git: _Commit | None = None
    host: _Host | None = None


class _Metric(BaseModel):
    name: str
    unit: str
    higher_is_better: bool


class _Data(BaseModel):
    source: str
    digest: str


class _Totals(BaseModel):
    trials: int | None = None
    rejected: dict[str, int] = Field(default_factory=dict)
    llm_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    search_seconds: float = 0.0
    llm_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    llm_gpu_seconds: float = 0.0
    strategy_gpu_seconds: float = 0.0


class _Recommendation(BaseModel):
    ncode: str
    text: str


class RunRecord(_Session):
    """What a report needs of ``run.json``; the keys are described in ``docs/results-folder.md``."""

    id: str
    status: Status
    spec: RunSpec
    cost_kind: str
    space: str | None = None
    metric: _Metric
    data: _Data
    sessions: list[_Session] = Field(default_factory=list)
    started: str | None = None
    ended: str | None = None
    seconds: float = 0.0
    parked: str | None = None
    totals: _Totals = _Totals()
    last_calls: list[Json] = Field(default_factory=list)
    recommendation: _Recommendation | None = None


@dataclass(frozen=True)
class Run:
    """A run folder whose ``run.json`` is whole.

    Attributes:
        path: The folder.
        content: The whole of ``run.json``.
        record: The same, checked.
    """

    path: Path
    content: Json
    record: RunRecord

    @property
    def name(self) -> str:
        """Where it lies below the sweep's folder."""
        return "/".join(self.path.parts[-3:])

    @property
    def own_name(self) -> str:
        """Where a run of its specification belongs."""
        return self.record.spec.path.as_posix()


class NoRunError(DataError):
    """A folder holds no run yet."""


def read_sweep(file: Path) -> Json:
    """The content of ``sweep.json``.

    Raises:
        StoreError: It cannot be read, is damaged, or was made by another version.
    """
    with reading(file):
        written = file.read_bytes()
    try:
        return _parse(written, SweepRecord)[0]
    except DataError as error:
        raise StoreError(
            f"{file}: this file {error}. Where it is damaged, delete it and repeat `harness run`, which writes it "
            "anew."
        ) from None


def read_run(path: Path) -> Run:
    """The run in a folder.

    Raises:
        NoRunError: There is none yet. The text goes on after the folder's name.
        DataError: It cannot be used; the text likewise.
    """
    try:
        written = (path / "run.json").read_bytes()
    except FileNotFoundError:
        raise NoRunError("has no run.json") from None
    except OSError as error:
        raise DataError(f"has a run.json that cannot be read ({error.strerror})") from None
    try:
        content, record = _parse(written, RunRecord)
    except DataError as error:
        raise DataError(f"has a run.json that {error}") from None
    return Run(path, content, record)


def _parse(written: bytes, kind: type[_Record]) -> tuple[Json, _Record]:
    try:
        content = from_json(written)
    except ValueError as error:
        raise DataError(f"is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError("is damaged (no JSON object)")
    found = content.get("format")
    if found is None:
        raise DataError("is none of the harness (it has no `format`)")
    if found != FORMAT:
        raise DataError(
            f"was made by another version of the harness (layout {found!r}; this one reads {FORMAT})"
        )
    try:
        return content, kind.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"is damaged ({where}: {first['msg']})") from None
