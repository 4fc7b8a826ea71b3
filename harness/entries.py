"""Entries of a sweep: a registered name, an optional label, and keyword arguments."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING
from typing import Any

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import field_validator
from pydantic import model_validator

from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What names a folder.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MOST_LETTERS = 100
# Names of the sweep's own files and folders.
_RESERVED = {"report", "sessions.jsonl", "sweep.json", "sweep.tmp"}


class NamedEntry(BaseModel):
    """An entry that names a registered class; the other keys are its keyword arguments."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    name: str
    label: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("label")
    @classmethod
    def _label_is_a_folder_name(cls, value: str | None) -> str | None:
        if value is not None and not (
            LABEL.fullmatch(value) and len(value) <= _MOST_LETTERS and value not in _RESERVED
        ):
            raise ValueError(
                "a label names a folder: letters, digits, '.', '_', '+' and '-', the first a letter or digit, "
                f"at most {_MOST_LETTERS}, and none of {', '.join(sorted(_RESERVED))}"
            )
        return value

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class StrategyEntry(NamedEntry):
    """A strategy of a sweep: its registered name, an optional label, and its hyper-parameters."""


class BenchmarkEntry(NamedEntry):
    """A benchmark of a sweep. A parameter given as a list makes one benchmark of each item."""

    def expand(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Label and parameters of each benchmark that this entry stands for."""
        lists = {k: v for k, v in self.params.items() if isinstance(v, list)}
        if empty := [key for key, values in lists.items() if not values]:
            raise SpecError(f"`{empty[0]}` is an empty list; give at least one value.")
        for values in itertools.product(*lists.values()):
            params = self.params | dict(zip(lists, values, strict=True))
            marks = list(values)
            if "dataset" in params and "dataset" not in lists and self.label is None:
                marks.insert(0, params["dataset"])
            yield "-".join([self.label or self.name, *map(str, marks)]), params
