"""The folder of a ranking on one benchmark. See ``docs/results-folder.md``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import ValidationError

from harness import store
from harness.errors import StoreError
from harness.ranking.scorer import Role
from harness.ranking.scorer import Seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

RECORD = "ranking.json"
SCORES = "scores.csv"
PROBLEMS = "problems.csv"
SECONDS = "seconds.csv"
#: All files of a benchmark's folder.
FILES = (RECORD, SCORES, PROBLEMS, SECONDS)

#: Columns by name, one text per architecture; empty where there is no number.
Columns = dict[str, list[str]]

_ANEW = "delete the benchmark's folder, and the same `harness run` writes it anew"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Metric(_Part):
    """What the trained scores are."""

    name: str
    unit: str
    higher_is_better: bool


class Data(_Part):
    """Where the trained scores come from."""

    source: str
    digest: str


class Named(_Part):
    """A registered name with its arguments."""

    name: str
    params: dict[str, Any]


class Sample(_Part):
    """Which architectures: how many of how many, and the seed that drew them (``None`` for the whole space)."""

    architectures: int
    of: int
    seed: int | None


class ScorerRecord(_Part):
    """A scorer of a ranking; the keys are described in ``docs/results-folder.md``."""

    name: str
    params: dict[str, Any]
    role: Role
    unit: str
    higher_is_better: bool
    seconds: Seconds
    identity: dict[str, Any]
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    digest: str
    missing: str | None

    def what(self) -> dict[str, Any]:
        """What decides the scores, in words that a person wrote or knows."""
        return self.model_dump(include={"name", "params", "identity", "models"})


class Record(_Part):
    """``ranking.json``; the keys are described in ``docs/results-folder.md``."""

    format: Literal[1]
    benchmark: Named
    dataset: str
    space: str
    metric: Metric
    fidelity: int
    data: Data
    sample: Sample
    seeds: dict[str, list[int]]
    missing: dict[str, str]
    scorers: dict[str, ScorerRecord]
    versions: dict[str, str]
    digests: dict[str, str]

    def check(self, other: Record, path: Path) -> None:
        """Make sure that what is here belongs to the same ranking as another record.

        Raises:
            StoreError: It does not; names each difference and what to do.
        """
        changes = list(store.differences(self._what(), other._what()))
        for label in [label for label in self.scorers if label in other.scorers]:
            here, there = self.scorers[label], other.scorers[label]
            if (here.digest, here.models) != (there.digest, there.models):
                at = f"scorers.{label}"
                changes += list(store.differences(here.what(), there.what(), at)) or [
                    f"the scores of {label}"
                ]
        if changes:
            raise StoreError(
                f"{path}: this folder holds another ranking: {'; '.join(changes)}. Name the sweep anew, give another "
                "--results folder, or delete this one."
            )

    def _what(self) -> dict[str, Any]:
        return self.model_dump(include={"benchmark", "data", "sample"})


class RankingFolder:
    """The folder of a ranking on one benchmark.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        record: What ``ranking.json`` says; ``None`` before anything was scored, and where the files beside it are
            not those that it speaks of, for their writing was cut off.

    Raises:
        StoreError: ``ranking.json`` is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record: Record | None = None
        file = path / RECORD
        with store.storage_errors(file):
            if not file.exists():
                return
            content = file.read_bytes()
        record = _read_record(file, content)
        if all(self._digest(name) == digest for name, digest in record.digests.items()):
            self.record = record

    def columns(self, name: str) -> Columns:
        """The columns of a file that :attr:`record` speaks of.

        Args:
            name: :data:`SCORES`, :data:`PROBLEMS` or :data:`SECONDS`.

        Raises:
            StoreError: It cannot be read, is damaged, or is not what the record says.
        """
        assert self.record is not None
        path = self.path / name
        with store.storage_errors(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        rows = list(csv.reader(io.StringIO(text)))
        head = rows.pop(0) if rows else []
        if name == PROBLEMS:
            expected, length = ["ncode", "scorer", "problem"], len(rows)
        else:
            scored = [label for label, scorer in self.record.scorers.items() if scorer.missing is None]
            expected, length = ["ncode", *scored], self.record.sample.architectures
        whole = len(rows) == length and all(len(row) == len(head) for row in rows)
        if not (whole and set(expected) <= set(head)):
            raise StoreError(f"{path}: this is not what {RECORD} speaks of; {_ANEW}.")
        return {key: [row[i] for row in rows] for i, key in enumerate(head)}

    def write(self, record: Record, files: Mapping[str, Columns]) -> None:
        """Replace what is here; a reader that comes meanwhile sees that it is not whole.

        Args:
            record: All but :attr:`Record.digests`.
            files: Name to columns.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
        """
        with store.storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        digests = {}
        for name, columns in files.items():
            content = _to_csv(columns)
            store.write_whole(self.path / name, content)
            digests[name] = hashlib.sha256(content).hexdigest()
        # Seconds that were measured are no part of what equal specifications have in common.
        digests.pop(SECONDS)
        self.record = record.model_copy(update={"digests": digests})
        store.write_json(self.path / RECORD, self.record.model_dump(mode="json"))

    def _digest(self, name: str) -> str | None:
        path = self.path / name
        with store.storage_errors(path):
            return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _read_record(file: Path, content: bytes) -> Record:
    try:
        found = json.loads(content)
    except ValueError:
        raise StoreError(f"{file}: this is no JSON; {_ANEW}.") from None
    if isinstance(found, dict) and found.get("format") != store.FORMAT:
        raise StoreError(
            f"{file}: made by another version of the harness (layout {found.get('format')!r}; this one reads "
            f"{store.FORMAT}). Use that version, or give another --results folder."
        )
    try:
        return Record.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{file}: `{where}` is damaged ({first['msg']}); {_ANEW}.") from None


def _to_csv(columns: Mapping[str, Sequence[str]]) -> bytes:
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return output.getvalue().encode()
