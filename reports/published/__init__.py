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


@cache
def rz_nas() -> Rankings:
    """RZ-NAS, Table 3."""
    return Rankings.model_validate(YamlFile(_FOLDER / "rz_nas.yaml").content)
