"""What a benchmark is: a search space, a data set, and a way to score an architecture."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING
from typing import Literal

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

CostKind = Literal["simulated", "measured"]


@dataclass(frozen=True)
class Metric:
    """What the score of an architecture means.

    Attributes:
        name: For people, e.g. ``"accuracy"``.
        unit: E.g. ``"%"``.
        higher_is_better: Direction of the search.
    """

    name: str
    unit: str
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score that a search may see, with its cost. Never holds anything of the test split.

    Attributes:
        value: Score on the ``valid`` split, in the unit of the benchmark's metric.
        fidelity: How much evaluation was spent (epochs).
        seed: The training seed whose score this is; ``None`` for the mean over seeds.
        cost_seconds: GPU seconds that this evaluation costs.
        cost_kind: Whether those seconds are simulated (read from a table) or measured here.
        measures: What else was measured on the ``valid`` split, by name, where that is more than the value.
    """

    value: float
    fidelity: int
    seed: int | None
    cost_seconds: float
    cost_kind: CostKind
    measures: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Extent:
    """How much of a published data set a benchmark has; numbers of its papers are of the whole.

    Attributes:
        dataset: Name of the published data set.
        part: Of what there is less than the whole (``sensors``, ``steps``), to how much there is and how much the whole
            has; empty where nothing is missing.
    """

    dataset: str
    part: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Benchmark(ABC):
    """A search space on a data set, with scores.

    Attributes:
        name: Registered name.
        dataset: Name of the data set.
        space: The search space.
        metric: What is scored.
        fidelities: Fidelities that a search can pay for, ascending (epochs).
        splits: Splits that :meth:`query` can answer.
        digest: Identifies the data behind the scores; a results folder is tied to it.
        source: Where the data come from, for people.
        cost_kind: Whether the GPU seconds of its evaluations are simulated or measured.
        size: Size of the networks that are scored, as the space names it; ``None`` is the usual one.
        description: What the data are and what is to be predicted, in a sentence or two; empty where the name says it.
    """

    name: str
    dataset: str
    space: SearchSpace
    metric: Metric
    fidelities: tuple[int, ...]
    splits: tuple[str, ...]
    digest: str
    source: str
    cost_kind: CostKind = "simulated"
    size: Mapping[str, int] | None = None
    description: str = ""

    @property
    def extent(self) -> Extent:
        """Which published data set this is, and how much of it."""
        return Extent(self.dataset)

    @property
    def measures(self) -> tuple[Metric, ...]:
        """What :meth:`query` can score: :attr:`reported` first, and whatever else is measured."""
        return (self.reported,)

    @property
    def reported(self) -> Metric:
        """What :meth:`query` and :meth:`optimum` score: what a search sees, unless something else guides it."""
        return self.metric

    @property
    def final_fidelity(self) -> int:
        """The fidelity at which reports score what a run recommends."""
        return max(self.fidelities)

    @abstractmethod
    def evaluate(self, arch: Architecture, *, fidelity: int, seed: int | None) -> Evaluation:
        """Score an architecture as a search may see it, on the ``valid`` split.

        Args:
            arch: The architecture.
            fidelity: One of :attr:`fidelities`.
            seed: ``None`` for the mean over training seeds; an integer draws one training seed, the same
                for the same integer.

        Raises:
            DataError: This benchmark has no score at this fidelity.
        """

    def draws_seeds(self, fidelity: int) -> bool:
        """Whether :meth:`evaluate` can draw one training seed at this fidelity, or knows means alone."""
        return True

    def settle(self, arch: Architecture) -> float:
        """Make ready what reports will ask of the architecture that a run recommends; tables have it already.

        Called when a search has ended. What it takes is no cost of the search.

        Returns:
            GPU seconds that it took, when it was made.

        Raises:
            ScoreError: The architecture cannot be scored.
        """
        return 0.0

    @property
    def references(self) -> tuple[str, ...]:
        """Registered names of networks that people designed, and whose scores are known."""
        return ()

    def query_reference(
        self, name: str, *, split: str, fidelity: int, seed: int | None = None, measure: str | None = None
    ) -> float:
        """A score of one of :attr:`references`, as :meth:`query` has those of architectures.

        Raises:
            DataError: It is not known.
        """
        raise DataError(f"benchmark {self.name!r} knows no score of {name!r}.")

    @abstractmethod
    def query(
        self,
        arch: Architecture,
        *,
        split: str,
        fidelity: int,
        seed: int | None = None,
        measure: str | None = None,
    ) -> float:
        """A score by name, for reports. There is no default split.

        Args:
            arch: The architecture.
            split: ``"valid"`` or ``"test"``.
            fidelity: Epochs.
            seed: A training seed that the source has, or ``None`` for the mean over its seeds.
            measure: Name of one of :attr:`measures`; :attr:`reported` without.

        Raises:
            DataError: The source lacks this column; the message says which source has it.
        """

    def check_measure(self, measure: str | None) -> None:
        """Refuse a measure that is none of :attr:`measures`.

        Raises:
            DataError: Names those that there are.
        """
        known = [known.name for known in self.measures]
        if measure is not None and measure not in known:
            raise DataError(
                f"benchmark {self.name!r} measures no {measure!r}; it measures {', '.join(known)}."
            )

    def optimum(self, *, split: str, fidelity: int) -> tuple[Architecture, float] | None:
        """The best architecture and its seed-mean score; ``None`` where it is not known.

        Raises:
            DataError: The source lacks this column.
        """
        return None
