"""A freshly initialised network with what it is shown, on which proxies are measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
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

Initialisation = Literal["default", "normal", "kaiming_fan_in", "kaiming_fan_out"]
Inputs = Literal["images", "noise", "ones"]
Value = TypeVar("Value")
#: Inputs of shape (batch, 3, side, side) and labels of shape (batch,), of each batch.
Batches = tuple[tuple["NDArray[np.float32]", "NDArray[np.int64]"], ...]


@dataclass(frozen=True)
class Setup:
    """How a network is made ready, and what it is shown.

    Attributes:
        initialisation: ``default`` is PyTorch's (Kaiming uniform with a = √5); ``normal`` draws every weight from
            N(0, 1), and ``kaiming_fan_in`` or ``kaiming_fan_out`` from N(0, 2 / fan), with biases 0.
        normalisation: Whether the network has batch normalisation at all; without, it is the identity.
        inputs: Real images with their labels, Gaussian noise N(0, 1), or ones; the latter two have random labels.
        crop: Side of the patch, in one colour, that is shown of each input, at random places; ``None`` shows it whole.
        batch_size: Inputs of one batch.
        batches: Number of batches.
        double: Whether everything is computed in double precision.
        repeats: How often weights and inputs are drawn anew and measured; the score is the mean.
    """

    initialisation: Initialisation = "default"
    normalisation: bool = True
    inputs: Inputs = "images"
    crop: int | None = None
    batch_size: int = 64
    batches: int = 1
    double: bool = False
    repeats: int = 1


@dataclass(frozen=True)
class Batch:
    """Inputs of shape (batch, 3, side, side), or (batch, 1, crop, crop), and their labels of shape (batch,)."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Forward:
    """A forward pass that proxies differentiate, each with ``retain_graph``.

    Attributes:
        inputs: Shape (batch, 3, side, side).
        outputs: Of every convolution and linear layer, in the order in which they ran; shape (batch, channels, ...).
        scores: Class scores of shape (batch, classes).
        loss: Cross-entropy, mean over the batch.
    """

    inputs: Tensor
    outputs: Sequence[Tensor]
    scores: Tensor
    loss: Tensor


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

    def measure(self, compute: Callable[[], Value]) -> tuple[Value, float]:
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
        seed: Of the weights.

    Attributes:
        network: The network.
        batches: What it is shown.
        passes: What was computed so far.
    """

    def __init__(self, network: nn.Module, batches: Sequence[Batch], setup: Setup, seed: int) -> None:
        device = batches[0].inputs.device
        if not setup.normalisation:
            _remove_normalisation(network)
        # Weights are drawn in one precision on one device, so that they are the same in every other.
        network = network.to(device="cpu", dtype=torch.float32)
        initialise(network, setup.initialisation, seed)
        network = network.to(device=device, dtype=torch.float64 if setup.double else torch.float32)
        # Batch normalisation uses the statistics of the batch.
        self.network = network.train()
        self.batches = batches
        self.passes = Passes(lambda: torch.cuda.synchronize(device) if device.type == "cuda" else None)

    @property
    def weights(self) -> list[tuple[str, Tensor]]:
        """Name and weight of every convolution and linear layer, in the order of the network."""
        return [
            (f"{name}.weight", layer.weight)
            for name, layer in self.network.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]

    @property
    def trunk(self) -> list[nn.Module]:
        """The blocks, one after the other, from the images to the feature map that is pooled for the classifier."""
        features = self.network.features
        assert isinstance(features, nn.Sequential)
        return list(takewhile(lambda block: not isinstance(block, nn.AdaptiveAvgPool2d), features))

    def feature_map(self, inputs: Tensor) -> Tensor:
        """What is pooled for the classifier; shape (batch, channels, side, side)."""
        for block in self.trunk:
            inputs = block(inputs)
        return inputs

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the network on a batch, mean over its inputs."""
        return nn.functional.cross_entropy(self.network(batch.inputs), batch.labels)

    def gradients_on(self, batch: Batch) -> list[Tensor]:
        """Gradient of the loss on a batch with respect to each of :attr:`weights`; zeros where it does not matter."""
        weights = [weight for _, weight in self.weights]
        return list(torch.autograd.grad(self.loss(batch), weights, materialize_grads=True))

    @shared
    def forward(self) -> Forward:
        """A forward pass of the first batch."""
        inputs = self.batches[0].inputs.detach().requires_grad_()
        layers = [layer for layer in self.network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        outputs: list[Tensor] = []
        handles = [
            layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
            for layer in layers
        ]
        try:
            scores = self.network(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return Forward(inputs, outputs, scores, nn.functional.cross_entropy(scores, self.batches[0].labels))

    @shared
    def gradients(self) -> list[Tensor]:
        """Gradient of the loss on the first batch with respect to each of :attr:`weights`."""
        weights = [weight for _, weight in self.weights]
        return list(
            torch.autograd.grad(self.forward.loss, weights, retain_graph=True, materialize_grads=True)
        )


def make_probes(
    space: SearchSpace,
    arch: Architecture,
    dataset: str,
    setup: Setup,
    *,
    images: str,
    seed: int,
    device: str,
    size: Mapping[str, int],
) -> Iterator[Probe]:
    """The probes of an architecture, one for each of the set-up's repeats.

    They draw the weights of one network anew: a probe can be measured until the next one is made.

    Args:
        space: The search space, which builds the network.
        arch: The architecture.
        dataset: Data set that the network is for.
        setup: How it is made ready.
        images: Name of the image set for real images; see :func:`harness.images.load_images`.
        seed: Of weights and batches.
        device: As PyTorch names it.
        size: Width and depth of the network, as the space names them.
    """
    with torch.device("meta"):
        network = space.build_network(arch, dataset, size)
    network = network.to_empty(device="cpu")
    dtype = torch.float64 if setup.double else torch.float32
    for repeat in range(setup.repeats):
        own = seed_of_repeat(seed, repeat)
        batches = [
            Batch(
                torch.from_numpy(inputs).to(device=device, dtype=dtype),
                torch.from_numpy(labels).to(device=device),
            )
            for inputs, labels in draw_batches(setup, images, dataset, own)
        ]
        yield Probe(network, batches, setup, own)


def seed_of_repeat(seed: int, repeat: int) -> int:
    """Seed of the weights and batches of one repeat; the first has that of the proxy."""
    return seeding.integer(seed, "repeat", repeat) if repeat else seed


def draw_batches(setup: Setup, images: str, dataset: str, seed: int) -> Batches:
    """Inputs and labels of every batch; the same for every architecture.

    Args:
        setup: What is shown.
        images: Name of the image set; not read for noise and ones.
        dataset: Data set that the networks are for.
        seed: Of what is drawn.
    """
    # Another image set may have come under the name.
    digest = load_images(images, dataset).digest if setup.inputs == "images" else None
    return _draw_batches(setup, images, digest, dataset, seed)


@lru_cache(maxsize=64)
def _draw_batches(setup: Setup, images: str, digest: str | None, dataset: str, seed: int) -> Batches:
    drawn = []
    for number in range(setup.batches):
        if setup.inputs == "images":
            inputs, labels = load_images(images, dataset).batch(setup.batch_size, seed=seed, number=number)
        else:
            inputs, labels = _drawn_batch(setup, dataset, seeding.generator(seed, setup.inputs, number))
        if setup.crop is not None:
            inputs = _crops(inputs, setup.crop, seeding.generator(seed, "crops", number))
        drawn.append((inputs, labels))
    return tuple(drawn)


def _drawn_batch(
    setup: Setup, dataset: str, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    classes, side = image_shape(dataset)
    shape = (setup.batch_size, 3, side, side)
    inputs = np.ones(shape) if setup.inputs == "ones" else rng.standard_normal(shape)
    return inputs.astype(np.float32), rng.integers(0, classes, setup.batch_size)


def _crops(images: NDArray[np.float32], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A square of each image, in one of its colours, at a random place."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(2, 3))
    places = [rng.integers(0, n, len(images)) for n in windows.shape[1:4]]
    crops: NDArray[np.float32] = windows[np.arange(len(images)), *places][:, None]
    return crops


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
    if initialisation != "default":
        if initialisation == "normal":
            layer.weight.normal_(generator=generator)
        else:
            mode: Literal["fan_in", "fan_out"] = "fan_in" if initialisation == "kaiming_fan_in" else "fan_out"
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu", generator=generator)
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
