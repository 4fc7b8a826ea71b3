"""Numbers that papers report, in YAML files beside this module, each with its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field

from harness.yaml_file import YamlFile

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = Path(__file__).parent
_Correlation = Annotated[float, Field(ge=-1, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Correlations(_Part):
    """How well a proxy ranks, as a paper reports it."""

    kendall: _Correlation
    spearman: _Correlation


class Rankings(_Part):
    """Rank correlations of proxies with trained scores.

    Attributes:
        paper: Short name of the paper, for the head of a column.
        source: Where in which paper.
        target: What the proxies are compared with there.
        space: Search space.
        proxies: Data set to registered name of a proxy to its correlations.
    """

    paper: str
    source: str
    target: str
    space: str
    proxies: dict[str, dict[str, Correlations]]

    def of(self, space: str, dataset: str) -> Mapping[str, Correlations]:
        """What was reported of a data set; empty where nothing was."""
        return self.proxies.get(dataset, {}) if space == self.space else {}


class Accuracy(_Part):
    """Trained accuracy of what runs recommended, mean and standard deviation."""

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}"


class Splits(_Part):
    """Accuracy on each split."""

    valid: Accuracy
    test: Accuracy


class OnProxy(_Part):
    """Searches on one proxy.

    Attributes:
        alone: Without a language model.
        mutated: With mutations by one.
    """

    alone: Splits
    mutated: Splits


class Searches(_Part):
    """What searches on proxies recommended.

    Attributes:
        paper: Short name of the paper.
        source: Where in which paper.
        space: Search space.
        unit: Of the accuracies.
        runs: Number of runs behind each.
        results: Data set to registered name of a proxy to what was found on it.
    """

    paper: str
    source: str
    space: str
    unit: str
    runs: int
    results: dict[str, dict[str, OnProxy]]

    def on(self, space: str, dataset: str, proxy: str) -> OnProxy | None:
        """What was reported; ``None`` where nothing was."""
        return self.results.get(dataset, {}).get(proxy) if space == self.space else None


@cache
def rz_nas_searches() -> Searches:
    """RZ-NAS, Table 2, lower part."""
    return Searches.model_validate(YamlFile(_FOLDER / "rz_nas_searches.yaml").content)


@cache
def rz_nas() -> Rankings:
    """RZ-NAS, Table 3."""
    return Rankings.model_validate(YamlFile(_FOLDER / "rz_nas.yaml").content)
