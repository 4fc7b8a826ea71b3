"""A freshly initialised network with what it is shown, on which proxies are measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Any
from typing import Generic
from typing import Literal
from typing import TypeVar
from typing import overload

import numpy as np
import torch
from torch import nn

from harness import seeding
from harness.images import image_shape
from harness.images import load_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

Initialisation = Literal["default", "normal"]
Inputs = Literal["images", "noise", "ones"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Setup:
    """How a network is made ready, and what it is shown.

    Attributes:
        initialisation: ``default`` is PyTorch's (Kaiming uniform with a = √5); ``normal`` draws every weight from
            N(0, 1), with biases 0.
        training: Whether batch normalisation uses the statistics of the batch.
        normalisation: Whether the network has batch normalisation at all; without, it is the identity.
        inputs: Real images with their labels, Gaussian noise N(0, 1), or ones; the latter two have random labels.
        batch_size: Inputs of one batch.
        batches: Number of batches.
        double: Whether everything is computed in double precision.
    """

    initialisation: Initialisation = "default"
    training: bool = True
    normalisation: bool = True
    inputs: Inputs = "images"
    batch_size: int = 64
    batches: int = 1
    double: bool = False


@dataclass(frozen=True)
class Batch:
    """Inputs of shape (batch, 3, side, side), and their labels of shape (batch,)."""

    inputs: Tensor
    labels: Tensor


class shared(Generic[Value]):
    """A pass of a :class:`Probe` that is made once, however many proxies use it, and whose seconds are known."""

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, probe: None, owner: type) -> shared[Value]: ...

    @overload
    def __get__(self, probe: Probe, owner: type) -> Value: ...

    def __get__(self, probe: Probe | None, owner: type) -> Any:
        return self if probe is None else probe.passes.get(self._name, lambda: self._make(probe))


class Passes:
    """What was computed on a probe, what it took, and who needs it."""

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self._synchronise = synchronise
        self._made: dict[str, Any] = {}
        self._seconds: dict[str, float] = {}
        self._needs: dict[str, set[str]] = {}
        # Sets of what is used by the passes, and the proxies, that are being computed.
        self._users: list[set[str]] = []
        # Seconds of the passes made within each of them, which are not its own.
        self._inner: list[float] = []

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """A pass by name, made on the first call."""
        if self._users:
            self._users[-1].add(name)
        if name not in self._made:
            self._made[name], self._seconds[name], self._needs[name] = self._clock(make)
        return self._made[name]

    def measure(self, compute: Callable[[], float]) -> tuple[float, float]:
        """A value, and the seconds that it would take with nothing computed before."""
        value, seconds, needed = self._clock(compute)
        return value, seconds + sum(self._seconds[name] for name in self._closure(needed))

    def _clock(self, compute: Callable[[], Value]) -> tuple[Value, float, set[str]]:
        """What is computed, the seconds of its own, and the passes that it uses."""
        self._users.append(set())
        self._inner.append(0.0)
        began = time.perf_counter()
        try:
            value = compute()
            self._synchronise()
        finally:
            elapsed = time.perf_counter() - began
            used, inner = self._users.pop(), self._inner.pop()
            if self._inner:
                self._inner[-1] += elapsed
        return value, elapsed - inner, used

    def _closure(self, names: set[str]) -> set[str]:
        found = set(names)
        for name in names:
            found |= self._closure(self._needs[name])
        return found


class Probe:
    """A freshly initialised network, what it is shown, and the passes through it that proxies share.

    Every weight is drawn from a generator of its own, named after the seed and the weight's place in the network. So
    equal seeds give equal weights on every device; an operation of one edge has the same weights whatever the other
    edges are; and no global generator is touched.

    Args:
        network: The network; its weights are drawn here.
        batches: What it is shown.
        setup: How it is made ready.
        seed: Of the weights, and of what a proxy draws.

    Attributes:
        network: The network.
        batches: What it is shown.
        seed: Of what a proxy draws.
        passes: What was computed so far.
    """

    def __init__(self, network: nn.Module, batches: Sequence[Batch], setup: Setup, seed: int) -> None:
        device = batches[0].inputs.device
        if not setup.normalisation:
            _remove_normalisation(network)
        network = network.to_empty(device="cpu")
        initialise(network, setup.initialisation, seed)
        network = network.to(device=device, dtype=torch.float64 if setup.double else torch.float32)
        self.network = network.train(setup.training)
        self.batches = batches
        self.seed = seed
        self.passes = Passes(lambda: torch.cuda.synchronize(device) if device.type == "cuda" else None)

    @property
    def weights(self) -> list[tuple[str, nn.Parameter]]:
        """Name and weight of every convolution and linear layer, in the order of the network."""
        return [
            (f"{name}.weight", layer.weight)
            for name, layer in self.network.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]

    def generator(self, *purpose: int | str) -> torch.Generator:
        """A generator, on the CPU, for something that a proxy draws."""
        return torch.Generator().manual_seed(seeding.integer(self.seed, "proxy", *purpose))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the network on a batch, mean over its inputs."""
        return nn.functional.cross_entropy(self.network(batch.inputs), batch.labels)

    @shared
    def gradients(self) -> list[Tensor]:
        """Gradient of the loss on the first batch with respect to each of :attr:`weights`."""
        return list(torch.autograd.grad(self.loss(self.batches[0]), [weight for _, weight in self.weights]))


def make_probe(
    space: SearchSpace,
    arch: Architecture,
    dataset: str,
    setup: Setup,
    *,
    images: str,
    seed: int,
    device: str,
    size: Mapping[str, int],
) -> Probe:
    """The probe of an architecture.

    Args:
        space: The search space, which builds the network.
        arch: The architecture.
        dataset: Data set that the network is for.
        setup: How it is made ready.
        images: Name of the image set for real images; see :func:`harness.images.load_images`.
        seed: Of weights, batches, and what a proxy draws.
        device: As PyTorch names it.
        size: Width and depth of the network, as the space names them.
    """
    with torch.device("meta"):
        network = space.build_network(arch, dataset, size)
    dtype = torch.float64 if setup.double else torch.float32
    batches = [
        Batch(
            torch.from_numpy(inputs).to(device=device, dtype=dtype),
            torch.from_numpy(labels).to(device=device),
        )
        for inputs, labels in draw_batches(setup, images, dataset, seed)
    ]
    return Probe(network, batches, setup, seed)


@lru_cache(maxsize=8)
def draw_batches(
    setup: Setup, images: str, dataset: str, seed: int
) -> tuple[tuple[NDArray[np.float32], NDArray[np.int64]], ...]:
    """Inputs and labels of every batch; the same for every architecture.

    Args:
        setup: What is shown.
        images: Name of the image set; not read for noise and ones.
        dataset: Data set that the networks are for.
        seed: Of what is drawn.
    """
    if setup.inputs == "images":
        real = load_images(images, dataset)
        return tuple(real.batch(setup.batch_size, seed=seed, number=n) for n in range(setup.batches))
    classes, side = image_shape(dataset)
    drawn = []
    for number in range(setup.batches):
        rng = seeding.generator(seed, setup.inputs, number)
        shape = (setup.batch_size, 3, side, side)
        inputs = np.ones(shape) if setup.inputs == "ones" else rng.standard_normal(shape)
        drawn.append((inputs.astype(np.float32), rng.integers(0, classes, setup.batch_size)))
    return tuple(drawn)


def initialise(network: nn.Module, initialisation: Initialisation, seed: int) -> None:
    """Draw all weights anew; batch normalisation starts as the identity with empty statistics.

    Raises:
        NotImplementedError: The network has weights in a layer of another kind than these.
    """
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                _draw(layer, name, initialisation, seed)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                nn.init.ones_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif any(True for _ in layer.parameters(recurse=False)):
                raise NotImplementedError(f"no initialisation of {type(layer).__name__} is known.")


def _draw(layer: nn.Conv2d | nn.Linear, name: str, initialisation: Initialisation, seed: int) -> None:
    generator = torch.Generator().manual_seed(seeding.integer(seed, "weights", name))
    if initialisation == "normal":
        layer.weight.normal_(generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
        return
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.weight[0].numel())
        layer.bias.uniform_(-bound, bound, generator=generator)


def _remove_normalisation(network: nn.Module) -> None:
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, nn.Identity())
