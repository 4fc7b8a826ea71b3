"""What is known of a published number, besides the number."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

Split = Literal["valid", "test"]
Direction = Literal["lower", "higher", "none"]
SpreadKind = Literal["standard deviation", "standard error"]

# Before the name of a parameter where facts are written as one flat mapping.
_PARAM = "params."


class Part(BaseModel):
    """Part of a file of published numbers; knows all of its keys, and takes no value of another type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Subject(Part):
    """What a number is of, in our names; nothing where we have no such method.

    Attributes:
        strategy: Registered name of a strategy.
        params: Parameters that it must have; others may be any.
        model: Name of the language model that it must ask, or the words of it that count; ``None`` is any.
        proxy: Registered name of the zero-cost proxy that the search has as its objective; without a strategy, of the
            proxy itself.
        reference: Registered name of a network that people designed.
        part: Of what is measured in parts, such as seconds, the part.
        setting: What sets it apart where no parameter of ours does, such as a wording of the paper's own.
        optimum: Whether it is the best architecture of the whole space.
    """

    strategy: str | None = None
    params: dict[str, bool | int | float | str | list[str] | None] = Field(default_factory=dict)
    model: str | None = None
    proxy: str | None = None
    reference: str | None = None
    part: str | None = None
    setting: str = ""
    optimum: bool = False

    def is_strategy(self, spec: Mapping[str, Any]) -> bool:
        """Whether a run of this specification is one of it."""
        strategy = spec["strategy"]
        if strategy["name"] != self.strategy or self.setting:
            return False
        if spec["benchmark"]["params"].get("proxy") != self.proxy:
            return False
        if any(strategy["params"].get(key) != value for key, value in self.params.items()):
            return False
        return self.model is None or asks(spec["models"], self.model)


def asks(models: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether one of the models of a run is of a name, however its signs and capitals are written.

    Args:
        models: Name in the experiments file to what decides its replies.
        name: Of the model, or the part of it that counts.
    """
    wanted = _words(name)
    return any(wanted in _words(str(value)) for model in models.values() for value in model.values())


def _words(name: str) -> str:
    return f"-{re.sub(r'[^a-z0-9]+', '-', name.lower())}-"


class Facts(Subject):
    """What is known of numbers, besides what they are of.

    Attributes:
        space: Search space; empty where the paper names none.
        dataset: Published data set; empty for numbers of none.
        measure: What was measured, as benchmarks name it, or as the field does; empty for what has no name.
        unit: Its unit.
        direction: Which values are better.
        split: Of scores; ``None`` where that says nothing, or the paper does not say it.
        runs: How many runs a number is the mean of, where the paper says it.
        spreads: What stands behind ±.
    """

    space: str = ""
    dataset: str = ""
    measure: str = ""
    unit: str | None = None
    direction: Direction | None = None
    split: Split | None = None
    runs: Annotated[int, Field(ge=1)] | None = None
    spreads: SpreadKind = "standard deviation"


def joined(table: Facts, column: Facts, row: Facts, cell: Facts) -> Facts:
    """What a table, a column, a row and a cell say together of a number.

    Raises:
        ValueError: The column and the row contradict each other.
    """
    of_column, of_row = _said(column), _said(row)
    for name in sorted(of_column.keys() & of_row.keys()):
        if of_column[name] != of_row[name]:
            raise ValueError(f"its row and its column each have {name}, and not the same")
    flat = _said(table) | of_column | of_row | _said(cell)
    params = {key.removeprefix(_PARAM): value for key, value in flat.items() if key.startswith(_PARAM)}
    facts = {key: value for key, value in flat.items() if not key.startswith(_PARAM)}
    return Facts(**facts, params=params)


def _said(facts: Facts) -> dict[str, Any]:
    """The facts that were written down, each parameter as one of its own."""
    said = {name: getattr(facts, name) for name in Facts.model_fields if name in facts.model_fields_set}
    params = said.pop("params", {})
    return said | {f"{_PARAM}{key}": value for key, value in params.items()}
