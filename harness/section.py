"""A mapping of ``experiments.yaml`` whose keys are all known."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from typing import ClassVar

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from harness.errors import unknown_name


class Section(BaseModel):
    """A frozen, strictly validated mapping. An unknown key is an error that names near misses.

    Attributes:
        hints: What is said of unknown keys that have a place elsewhere.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    hints: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                message = cls.hints.get(key) or unknown_name("key", str(key), cls.model_fields)
                raise PydanticCustomError("unknown_key", "{message}", {"key": key, "message": message})
        return value
