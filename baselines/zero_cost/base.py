"""Proxies that look at a freshly initialised network."""

from __future__ import annotations

import inspect
import statistics
import textwrap
import time
from abc import abstractmethod
from collections.abc import Hashable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

import torch
from torch import nn

from baselines.zero_cost.probe import Setup
from baselines.zero_cost.probe import draw_batches
from baselines.zero_cost.probe import make_probes
from baselines.zero_cost.probe import seed_of_repeat
from harness.device import torch_device
from harness.errors import ScoreError
from harness.errors import SpaceError
from harness.errors import SpecError
from harness.images import load_images
from harness.proxies import Proxy
from harness.proxies import ProxyScore

if TYPE_CHECKING:
    from baselines.zero_cost.probe import Probe
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


class NetworkProxy(Proxy):
    """A proxy that is measured on a freshly initialised network.

    A subclass names its :attr:`setup`, that of its source, and writes :meth:`measure`. Proxies of equal setups and
    settings are measured on the same :class:`~baselines.zero_cost.probe.Probe`, whose passes they share.

    Args:
        images: Image set that real images are drawn from: that of the data set (``None``), or another by name,
            such as ``digits`` (:func:`harness.images.load_images`).
        batch_size: Inputs of one batch; ``None`` is that of the source.
        repeats: How often weights and inputs are drawn anew and measured, for a score that is the mean; ``None`` is as
            often as in the source.
        seed: Seed of weights, batches, and what the proxy draws.
        size: Width and depth of the network, as the space names them; by default those of the source, which for most
            is the network that the benchmark trains.
        device: Where it is computed, as PyTorch names it: ``cpu``, ``cuda``. Only the kind is part of the identity.

    Raises:
        SpecError: A value is out of range, or the device is not there.
    """

    #: How the source makes the network ready, and what it shows it.
    setup: ClassVar[Setup] = Setup()
    #: Width and depth of the source's network, where it is not the one that is trained.
    source_size: ClassVar[Mapping[str, int]] = {}
    #: Counts changes of the definition: tables of scores of an earlier one are not read.
    version: ClassVar[int] = 1

    def __init__(
        self,
        images: str | None = None,
        batch_size: int | None = None,
        repeats: int | None = None,
        seed: int = 0,
        size: Mapping[str, int] | None = None,
        device: str = "cpu",
    ) -> None:
        if batch_size is not None and batch_size < 2:
            raise SpecError(
                f"batch_size must be at least 2, for batch normalisation needs two, not {batch_size}."
            )
        if repeats is not None and repeats < 1:
            raise SpecError(f"repeats must be at least 1, not {repeats}.")
        if seed < 0:
            raise SpecError(f"seed must not be negative: {seed}.")
        self.images = images
        self.batch_size = batch_size
        self.repeats = repeats
        self.seed = seed
        self.size = dict(self.source_size if size is None else size)
        self.device = device
        self._device = torch_device(device)
        self._setup = replace(
            self.setup,
            batch_size=batch_size or self.setup.batch_size,
            repeats=repeats or self.setup.repeats,
        )

    @staticmethod
    @abstractmethod
    def measure(probe: Probe) -> float:
        """The score, of one draw of weights and inputs.

        Args:
            probe: The network, what it is shown, and the passes that proxies share.

        Raises:
            ScoreError: This network cannot be scored.
        """

    def score(self, space: SearchSpace, arch: Architecture, dataset: str) -> float:
        (score,) = self.score_together([self], space, arch, dataset)
        if score.value is None:
            assert score.problem is not None
            raise ScoreError(score.problem, score.seconds)
        return score.value

    def check(self, space: SearchSpace, dataset: str) -> None:
        try:
            with torch.device("meta"):
                space.build_network(space.from_index(0), dataset, self.size)
        except SpaceError as error:
            raise SpecError(f"this proxy needs a network: {error}") from None
        if self._setup.inputs == "images":
            available = len(load_images(self._images(dataset), dataset).train_images)
            wanted = self._setup.batch_size * self._setup.batches
            # Patches of an image differ.
            if self._setup.crop is None and wanted > available:
                raise SpecError(
                    f"image set {self._images(dataset)!r} has {available:,} training images, and {self._setup.batches} "
                    f"batches of {self._setup.batch_size:,} are shown; lower batch_size."
                )

    def identity(self, space: SearchSpace, dataset: str) -> Mapping[str, Any]:
        digest = (
            load_images(self._images(dataset), dataset).digest if self._setup.inputs == "images" else None
        )
        return {
            # With the settings that a subclass adds.
            **super().identity(space, dataset),
            "version": self.version,
            "images": digest,
            "batch_size": self._setup.batch_size,
            "repeats": self._setup.repeats,
            "seed": self.seed,
            "size": space.full_size(self.size, dataset),
            "device": self._device.type,
        }

    @property
    def shares(self) -> Hashable:
        settings = (self.images, self.seed, tuple(sorted(self.size.items())), self.device)
        return ("network", self._setup, *settings)

    @classmethod
    def score_together(
        cls, proxies: Sequence[Proxy], space: SearchSpace, arch: Architecture, dataset: str
    ) -> list[ProxyScore]:
        first = proxies[0]
        assert isinstance(first, NetworkProxy)
        measured: list[list[ProxyScore]] = [[] for _ in proxies]
        with _reproducible():
            _warm_up(first, space, dataset)
            began = time.perf_counter()
            for probe in make_probes(
                space,
                arch,
                dataset,
                first._setup,
                images=first._images(dataset),
                seed=first.seed,
                device=first.device,
                size=first.size,
            ):
                ready = time.perf_counter() - began
                for proxy, scores in zip(proxies, measured, strict=True):
                    assert isinstance(proxy, NetworkProxy)
                    scores.append(_measured(proxy, probe, ready))
                began = time.perf_counter()
        return [_mean(scores) for scores in measured]

    @classmethod
    def code(cls) -> str:
        return textwrap.dedent(inspect.getsource(cls.measure))

    def _images(self, dataset: str) -> str:
        return self.images or dataset


def _measured(proxy: NetworkProxy, probe: Probe, ready: float) -> ProxyScore:
    def attempt() -> float | ScoreError:
        try:
            return proxy.measure(probe)
        except ScoreError as error:
            return error

    found, seconds = probe.passes.measure(attempt)
    if isinstance(found, ScoreError):
        return ProxyScore(None, ready + seconds, str(found))
    return ProxyScore.of(found, ready + seconds)


def _mean(scores: Sequence[ProxyScore]) -> ProxyScore:
    """The score of all draws together; a draw without a score leaves none."""
    seconds = sum(score.seconds for score in scores)
    values = [score.value for score in scores if score.value is not None]
    if len(values) < len(scores):
        problem = next(score.problem for score in scores if score.value is None)
        return ProxyScore(None, seconds, problem)
    return ProxyScore.of(statistics.fmean(values), seconds)


def _warm_up(proxy: NetworkProxy, space: SearchSpace, dataset: str) -> None:
    """Do what the first architecture of a process would pay for: imports, reading images, PyTorch's own set-up."""
    _build_first(proxy.device, space.name)
    for repeat in range(proxy._setup.repeats):
        draw_batches(proxy._setup, proxy._images(dataset), dataset, seed_of_repeat(proxy.seed, repeat))


@cache
def _build_first(device: str, space: str) -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"), nn.BatchNorm2d(4, device="meta"), nn.ReLU())
    network = layers.to_empty(device=device)
    inputs = torch.ones(2, 3, 8, 8, device=device)
    torch.autograd.grad(network(inputs).sum(), list(network.parameters()))


@contextmanager
def _reproducible() -> Iterator[None]:
    """The same operations in the same order on every call, in full precision."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(threads)
