"""What a zero-cost proxy is: a score of an architecture that needs no training."""

from __future__ import annotations

import inspect
import math
import textwrap
import time
from abc import ABC
from abc import abstractmethod
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from harness import registry
from harness.arguments import arguments_model
from harness.arguments import checked_arguments
from harness.errors import ScoreError

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


@dataclass(frozen=True)
class ProxyScore:
    """What a proxy makes of an architecture.

    Attributes:
        value: The score; ``None`` where the proxy cannot score the architecture. No number stands for that.
        seconds: What it took, or would have taken alone where proxies shared work. 0 in closed form.
        problem: Why there is no score; ``None`` where there is one.
    """

    value: float | None
    seconds: float
    problem: str | None = None

    @classmethod
    def of(cls, value: float, seconds: float) -> ProxyScore:
        """The score; one that is not finite is a problem, and no score."""
        if math.isfinite(value):
            return cls(value, seconds)
        return cls(None, seconds, f"the score is {value}")


class Proxy(ABC):
    """A score of an architecture that needs no training.

    A class is registered under ``harness.proxies``. What it needs besides the architecture (images, a seed, a
    device) are keyword arguments with defaults, which are JSON values; ``settings`` of the benchmark sets them.
    Equal settings give equal scores: nothing is drawn from a global generator.

    Attributes:
        description: What it measures, in sentences for people and language models.
        unit: Unit of the score; empty where it has none.
        higher_is_better: Which scores promise a better architecture.
        closed_form: Whether the score is arithmetic on the architecture, which costs nothing. Otherwise the
            seconds that it takes are measured: a GPU must be waited for before :meth:`score` returns.
    """

    description: ClassVar[str]
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    closed_form: ClassVar[bool] = False

    @abstractmethod
    def score(self, space: SearchSpace, arch: Architecture, dataset: str) -> float:
        """Score an architecture; the same for the same arguments.

        Args:
            space: The search space; its ``build_network`` gives the network, its ``cost`` the size.
            arch: The architecture.
            dataset: Name of the data set.

        Raises:
            ScoreError: This architecture cannot be scored. No number stands for that.
        """

    def check(self, space: SearchSpace, dataset: str) -> None:  # noqa: B027  (most can score any space)
        """Refuse what can never be scored, before anything runs.

        Raises:
            SpecError: No architecture of this space has a score on this data set.
        """

    def identity(self, space: SearchSpace, dataset: str) -> Mapping[str, Any]:
        """What decides the scores besides space, data set and architecture, as JSON values.

        Scores are kept in tables under this identity. By default the keyword arguments, which must then be
        attributes of the same names. What only says where the work is done is no part of it.
        """
        return {key: getattr(self, key) for key in arguments_model(type(self)).model_fields}

    @property
    def shares(self) -> Hashable | None:
        """Proxies of equal keys are scored in one call of :meth:`score_together`; ``None`` shares nothing."""
        return None

    @classmethod
    def score_together(
        cls, proxies: Sequence[Proxy], space: SearchSpace, arch: Architecture, dataset: str
    ) -> list[ProxyScore]:
        """Score one architecture by several proxies whose :attr:`shares` are equal, which may share work.

        Args:
            proxies: The proxies; one alone, if it shares nothing.
            space: See :meth:`score`.
            arch: See :meth:`score`.
            dataset: See :meth:`score`.

        Returns:
            A score for each, in their order; what :meth:`score` would return, for seconds that it would take.
        """
        return [_timed(proxy, space, arch, dataset) for proxy in proxies]

    @classmethod
    def code(cls) -> str:
        """The Python code of :meth:`score`, for a language model."""
        return textwrap.dedent(inspect.getsource(cls.score))


def make_proxy(name: str, settings: Mapping[str, Any]) -> Proxy:
    """A proxy by its registered name.

    Raises:
        SpecError: Unknown proxy or setting, or a value that the proxy refuses.
    """
    cls: type[Proxy] = registry.load("proxy", name)
    return cls(**checked_arguments(cls, f"proxy {name!r}", settings))


def _timed(proxy: Proxy, space: SearchSpace, arch: Architecture, dataset: str) -> ProxyScore:
    began = time.perf_counter()
    try:
        value = proxy.score(space, arch, dataset)
    except ScoreError as error:
        return ProxyScore(None, time.perf_counter() - began, str(error))
    return ProxyScore.of(value, 0.0 if proxy.closed_form else time.perf_counter() - began)
