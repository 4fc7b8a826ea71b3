"""What tracking reads of a run's files, so that a damaged one is told from a sound one by name.

The files themselves are described in ``docs/results-folder.md``; keys that tracking does not read may be anything.
"""

from __future__ import annotations

from datetime import UTC
from datetime import datetime
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field

#: How a run can have ended.
ENDINGS = ("complete", "exhausted", "stalled", "failed")

# Up to three centuries: what is longer is no time of a clock, and its milliseconds may not fit a database.
_Seconds = Annotated[float, Field(ge=0, le=1e10)]


def milliseconds(text: str) -> int:
    """Milliseconds since the epoch of a time in ISO 8601; UTC where it names no zone.

    Raises:
        ValueError: It is none.
    """
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _is_time(text: str) -> str:
    try:
        milliseconds(text)
    except ValueError:
        raise ValueError("this is no time in ISO 8601") from None
    return text


_Time = Annotated[str, AfterValidator(_is_time)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Named(_Part):
    name: str
    params: dict[str, Any]


class _Labels(_Part):
    sweep: str
    strategy: str
    benchmark: str


class _Spec(_Part):
    strategy: _Named
    benchmark: _Named
    objective: dict[str, Any]
    budget: dict[str, Any]
    seed: int
    models: dict[str, Any]
    labels: _Labels


class _Metric(_Part):
    name: str
    higher_is_better: bool


class _Data(_Part):
    digest: str


class _Recommendation(_Part):
    ncode: str


class Call(_Part):
    """A call of a language model, in ``timings.jsonl`` and ``run.json``."""

    key: str
    model: str
    verdict: str
    prompt_tokens: int
    completion_tokens: int
    started: _Seconds
    seconds: _Seconds
    gpu_seconds: _Seconds


class _Totals(_Part):
    trials: int
    architectures: int
    duplicates: int
    rejected: dict[str, int]
    search_seconds: float
    llm_seconds: float
    evaluation_seconds: float
    # Not in folders of earlier versions.
    strategy_gpu_seconds: float = 0.0
    llm_gpu_seconds: float = 0.0
    llm_calls: int
    prompt_tokens: int
    completion_tokens: int


class Run(_Part):
    """``run.json``."""

    format: Literal[1]
    id: str
    status: Literal["running", "complete", "exhausted", "stalled", "failed", "parked"]
    spec: _Spec
    space: str
    metric: _Metric
    cost_kind: Literal["simulated", "measured"]
    data: _Data
    versions: dict[str, Any]
    started: _Time
    ended: _Time | None
    seconds: float
    totals: _Totals
    recommendation: _Recommendation | None
    last_calls: list[Call] = Field(default_factory=list)


class Sweep(_Part):
    """``sweep.json`` of a search."""

    format: Literal[1]
    name: str
    description: str = ""
    benchmarks: list[str]
    strategies: list[str]
    seeds: list[int]
    budget: dict[str, Any]
    objective: dict[str, Any]
    runs: list[str]


class Asked(_Part):
    """What a trial asked of language models, in ``trajectory.jsonl``."""

    prompt_tokens: int
    completion_tokens: int


class Trial(_Part):
    """A line of ``trajectory.jsonl``."""

    trial: int
    state: Literal["complete", "pruned", "failed"]
    valid: float | None
    gpu_seconds: float
    llm: Asked | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)


class Timing(_Part):
    """A line of ``timings.jsonl``."""

    search_seconds: _Seconds
    llm_seconds: _Seconds
    evaluation_seconds: _Seconds
    calls: list[Call] = Field(default_factory=list)
