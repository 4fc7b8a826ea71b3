"""A sweep of kind ``ranking`` as ``experiments.yaml`` declares it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated
from typing import ClassVar
from typing import Literal
from typing import Self

from pydantic import BeforeValidator
from pydantic import Field
from pydantic import model_validator

from harness.entries import BenchmarkEntry
from harness.entries import NamedEntry
from harness.section import Section

#: Columns of a file of scores that are no scorers.
COLUMNS = ("ncode", "valid", "test")


def _sample_size(value: object) -> object:
    if value == "all" or (type(value) is int and value >= 2):
        return value
    raise ValueError("architectures are a number of at least 2, or `all`")


class ScorerEntry(NamedEntry):
    """A scorer of a ranking: its registered name or that of a proxy, an optional label, and its settings."""

    @model_validator(mode="after")
    def _label_is_no_other_column(self) -> Self:
        if (self.label or self.name) in COLUMNS:
            raise ValueError(
                f"a scorer cannot have the label of another column: {', '.join(COLUMNS)}; set `label`"
            )
        return self


class Ranking(Section):
    """How well scorers order the architectures of benchmarks: one entry of ``experiments.yaml``.

    Attributes:
        kind: Tells it from a sweep of searches.
        description: For people.
        benchmarks: Benchmarks whose trained scores are in a table.
        scorers: What gives the orders.
        architectures: How many are drawn, evenly and without replacement; ``all`` takes the whole space.
        seed: Of the sample. A larger sample of one seed holds the smaller ones.
    """

    hints: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "strategies": "a sweep of kind 'ranking' searches nothing: it has `scorers` in the place of `strategies`.",
            "seeds": "a sweep of kind 'ranking' scores each architecture once: `seed` is that of the sample, and each "
            "scorer has its own settings.",
            "budget": "a sweep of kind 'ranking' has no budget: `architectures` says how many are scored.",
            "objective": "a sweep of kind 'ranking' has no objective: its scorers are compared with the scores after "
            "the highest fidelity.",
        }
    )

    kind: Literal["ranking"]
    description: str = ""
    benchmarks: Annotated[list[BenchmarkEntry], Field(min_length=1)]
    scorers: Annotated[list[ScorerEntry], Field(min_length=1)]
    architectures: Annotated[int | Literal["all"], BeforeValidator(_sample_size)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
