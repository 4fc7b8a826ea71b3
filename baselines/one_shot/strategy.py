"""Weight-sharing methods as strategies: every trial is an epoch of the search."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import Self
from typing import get_args

import torch

from baselines.one_shot.images import ImageSource
from baselines.one_shot.record import SearchRecord
from baselines.one_shot.traffic import TrafficSource
from baselines.one_shot.training import Context
from baselines.one_shot.training import Settings
from harness.arguments import default_arguments
from harness.device import torch_device
from harness.errors import SpaceError
from harness.errors import SpecError
from harness.forecasting.partition import parse_shares
from harness.history import Exhausted
from harness.history import Finished
from harness.history import Proposal
from harness.spaces import CellSpace
from harness.strategy import Strategy

if TYPE_CHECKING:
    from baselines.one_shot.data import Source
    from baselines.one_shot.method import Method
    from harness.history import History
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

Precision = Literal["float32", "bfloat16"]


#: Arguments of every method, which a search is known by in another form, or not at all.
_COMMON = frozenset(
    {
        *(
            "epochs",
            "batch_size",
            "learning_rate",
            "architecture_learning_rate",
            "images",
            "train_images",
            "stride",
            "evaluation_stride",
            "search_partition",
            "size",
        ),
        *("dataset", "device", "precision", "threads", "space", "seed"),
    }
)


#: Arguments that mean something for data of one kind alone.
_OWN_ARGUMENTS = {
    # What sparse graphs are made of has no bfloat16.
    "images": ("images", "train_images", "judged_images", "precision"),
    "traffic": ("stride", "evaluation_stride", "search_partition"),
}


class OneShot(Strategy):
    """A weight-sharing method: one supernet holds every architecture, and its training is the search.

    Trial n proposes the architecture that the method would return after epoch n + 1, so that a run's trajectory is an
    anytime curve. Its evaluation is for the report alone: the supernet sees data, one half for its weights and one for
    the architecture, and never a score of the benchmark. So evaluations cost such a run nothing, and the measured
    seconds of its epochs are its cost. The run ends with the method's last epoch, and recommends what was read off
    then.

    What the halves are is up to the search space: for networks that see images, two halves of the training images; for
    those that forecast, the windows of the training and of the validation part of the traffic that a search may see.

    Everything that decides a search names a folder of the data folder, where epochs and a checkpoint are kept
    (:class:`~baselines.one_shot.record.SearchRecord`): a run that was killed goes on with the epoch that it was at, and
    a search that was made before is read. On one kind of device, equal settings give equal bits.

    Args:
        epochs: Passes over the weights' half. This and the next three: ``None`` is the setting of the source; on
            traffic, what networks are trained with (:meth:`~baselines.one_shot.traffic.TrafficSource.settings`).
        batch_size: Images or windows of a step.
        learning_rate: Of the weights, at the beginning.
        architecture_learning_rate: Of what is learned of architectures.
        images: Image set to learn from: that of the data set (``None``), or another by name, such as ``digits``
            (:func:`harness.images.load_images`).
        train_images: So many of its training images are used, both halves together; ``None`` uses all.
        stride: Of traffic, one in so many training windows is shown in an epoch. Windows overlap.
        evaluation_stride: Of traffic, one in so many validation windows compares architectures.
        search_partition: Of traffic, shares of training, validation and test steps, such as ``7/1/2``; ``None`` is that
            of the paper of ISTS. It must be that of the benchmark, or test steps of the one are training steps of the
            other.
        size: Width and depth of the supernet, as the space names them; entries that are left out have the values of the
            network that is trained.
        dataset: Data set to search for; ``None`` is that of the benchmark. A bare Optuna study knows none.
        device: Where it is computed, as PyTorch names it: ``cpu``, ``cuda``. Only the kind decides what comes out.
        precision: ``float32``, or ``bfloat16`` for what may be computed so (mixed precision), which is faster on a GPU;
            on images alone.
        threads: Threads of PyTorch on a CPU; other numbers round otherwise.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: A value is out of range, or the device is not there.
    """

    uses_scores = False
    #: Whether the weights of its supernet can rank architectures that it does not return.
    ranks: ClassVar[bool] = True
    #: Those of the method's source on NAS-Bench-201, or nearest to it.
    settings: ClassVar[Settings] = Settings()
    #: Counts changes of the method: searches of an earlier one are not gone on with.
    version: ClassVar[int] = 1
    #: So many images of the architecture's half compare architectures; ``None`` takes all.
    judged_images: int | None = None
    _arguments: Mapping[str, Any]

    def __new__(cls, *_: Any, **arguments: Any) -> Self:
        made = super().__new__(cls)
        # Whatever a method of anyone's adds to these decides its search.
        made._arguments = {**default_arguments(cls), **arguments}
        return made

    def __init__(
        self,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        architecture_learning_rate: float | None = None,
        images: str | None = None,
        train_images: int | None = None,
        stride: int = 1,
        evaluation_stride: int = 1,
        search_partition: str | None = None,
        size: Mapping[str, int] | None = None,
        dataset: str | None = None,
        device: str = "cpu",
        precision: Precision = "float32",
        threads: int = 1,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        self.require(
            epochs=epochs,
            batch_size=batch_size,
            train_images=train_images,
            stride=stride,
            evaluation_stride=evaluation_stride,
            threads=threads,
        )
        if search_partition is not None:
            parse_shares(search_partition)
        for key, value in {
            "learning_rate": learning_rate,
            "architecture_learning_rate": architecture_learning_rate,
        }.items():
            if value is not None and value <= 0:
                raise SpecError(f"{type(self).__name__}: {key} must be above 0, not {value}.")
        if precision not in get_args(Precision):
            raise SpecError(
                f"{type(self).__name__}: precision {precision!r} is none of {', '.join(get_args(Precision))}."
            )
        given = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "architecture_learning_rate": architecture_learning_rate,
        }
        self._given = {key: value for key, value in given.items() if value is not None}
        self.images = images
        self.train_images = train_images
        self.stride = stride
        self.evaluation_stride = evaluation_stride
        self.search_partition = search_partition
        self.size = dict(size or {})
        self.dataset = dataset
        self.device = torch_device(device)
        self.precision = precision
        self.threads = threads
        self._searches: dict[tuple[int, str, str], tuple[SearchRecord, int]] = {}

    def require(self, **counts: int | None) -> None:
        """Refuse counts below 1.

        Raises:
            SpecError: Names the one that is.
        """
        for key, value in counts.items():
            if value is not None and value < 1:
                raise SpecError(f"{type(self).__name__}: {key} must be at least 1, not {value}.")

    def require_learning(self, warm_up: int, epochs: int) -> None:
        """Refuse a search that ends before it begins to learn an architecture.

        Raises:
            SpecError: Says so.
        """
        if warm_up >= epochs:
            raise SpecError(
                f"{type(self).__name__}: {warm_up} epochs of {epochs} train weights alone, and none is left for the "
                "architecture; lower warm_up, or raise epochs."
            )

    @abstractmethod
    def method(self, context: Context) -> Method:
        """The method at its beginning.

        Args:
            context: What it works with.
        """

    def check(self, space: SearchSpace, dataset: str) -> None:
        dataset = self._searched(dataset)
        if not isinstance(space, CellSpace):
            raise SpecError(
                f"{type(self).__name__} shares weights between the edges of a cell, and search space {space.name!r} "
                "has no cells; in a bare study, pass a space that has, such as `space=NASBench201Space()`."
            )
        if not dataset:
            raise SpecError(f"{type(self).__name__}: a bare study knows no data set; pass `dataset`.")
        try:
            space.full_size(self.size, dataset)
        except SpaceError as error:
            raise SpecError(f"size: {error}") from None
        defaults = default_arguments(type(self))
        for name in _foreign_arguments(space):
            if self._arguments.get(name) != defaults.get(name):
                raise SpecError(
                    f"{type(self).__name__}: {name} is not for search space {space.name!r}, whose networks learn from "
                    f"{space.domain}; leave it out."
                )
        settings = self.training(space, dataset)
        self.source(space, dataset).check(type(self).__name__, settings.batch_size)
        self.check_search(space, dataset, settings)

    def check_search(self, space: CellSpace, dataset: str, settings: Settings) -> None:
        """Refuse what this method cannot search, before anything runs; most can search any space of cells.

        Args:
            space: The search space.
            dataset: Data set that is searched for.
            settings: Those of the search.

        Raises:
            SpecError: Says what is missing.
        """

    def _searched(self, dataset: str) -> str:
        """The data set that is searched for, on a benchmark of a data set."""
        return dataset if self.dataset is None else self.dataset

    def source(self, space: CellSpace, dataset: str) -> Source:
        """Where the examples of a search for a data set come from."""
        if space.domain == "traffic":
            return TrafficSource(dataset, self.search_partition, self.stride, self.evaluation_stride)
        return ImageSource(self.images, dataset, self.train_images, self.judged_images)

    def training(self, space: CellSpace, dataset: str) -> Settings:
        """Settings of a search for a data set."""
        return self.source(space, dataset).settings(self.settings, self._given)

    def digest(self, space: SearchSpace, dataset: str) -> str | None:
        assert isinstance(space, CellSpace)
        return self.source(space, self._searched(dataset)).digest

    def propose(self, history: History) -> Proposal:
        search, epochs = self._search(history.space)
        if history.number >= epochs:
            raise Finished(f"all {epochs:,} epochs of the search are made.")
        epoch = search.epoch(history.number)
        seconds = epoch.seconds
        if history.number == epochs - 1:
            seconds += epoch.read_seconds
        return Proposal(
            epoch.architecture, {"epoch": history.number + 1, **epoch.metrics}, gpu_seconds=seconds
        )

    def recommend(self, history: History) -> Architecture:
        """What the method would return after the last epoch of the run."""
        return history.trials[-1].architecture

    def search(self, space: SearchSpace, dataset: str) -> SearchRecord:
        """The search on disk, for a data set.

        Raises:
            SpecError: See :meth:`check`.
            StoreError: Its folder cannot be read.
        """
        self.check(space, dataset)
        assert isinstance(space, CellSpace)
        cls = type(self)
        identity = {
            "class": f"{cls.__module__}:{cls.__qualname__}",
            "version": self.version,
            "settings": dataclasses.asdict(self.training(space, dataset)),
            "own": {
                key: value
                for key, value in self._arguments.items()
                if key not in _COMMON and key not in _foreign_arguments(space)
            },
            **self.source(space, dataset).identity,
            "size": space.full_size(self.size, dataset),
            "device": self.device.type,
            "precision": self.precision,
            "threads": self.threads,
            "seed": self._entropy,
        }

        def make() -> Method:
            return self.method(self.context(space, dataset))

        return SearchRecord(type(self).__name__, identity, space, dataset, make, self.threads)

    def context(self, space: CellSpace, dataset: str) -> Context:
        """What a search for a data set works with."""
        return Context(
            space=space,
            dataset=dataset,
            size=space.full_size(self.size, dataset),
            data=self.source(space, dataset).load(self._entropy, self.device),
            settings=self.training(space, dataset),
            seed=self._entropy,
            device=self.device,
            autocast=torch.bfloat16 if self.precision == "bfloat16" else None,
        )

    def __getstate__(self) -> dict[str, Any]:
        # A search is read again from its folder.
        return super().__getstate__() | {"_searches": {}}

    def _search(self, space: SearchSpace) -> tuple[SearchRecord, int]:
        dataset = self._searched(self.task.dataset)
        key = (self._entropy, dataset, space.name)
        if key not in self._searches:
            try:
                search = self.search(space, dataset)
            except SpecError as error:
                if isinstance(space, CellSpace) and dataset:
                    raise
                # In a bare Optuna study nothing is known of a data set, and the space may be any.
                raise Exhausted(str(error)) from None
            assert isinstance(space, CellSpace)
            self._searches[key] = search, self.length(space, dataset)
        return self._searches[key]

    def length(self, space: CellSpace, dataset: str) -> int:
        """Number of epochs of the search, with those of a phase that follows training."""
        return self.training(space, dataset).epochs


def _foreign_arguments(space: CellSpace) -> list[str]:
    """Arguments that mean something for data of other kinds than this space's."""
    return [name for domain, names in _OWN_ARGUMENTS.items() if domain != space.domain for name in names]
