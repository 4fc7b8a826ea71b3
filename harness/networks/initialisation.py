"""Fresh weights, drawn as PyTorch draws them but from generators of their own: no global generator is touched."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Protocol
from typing import TypeVar
from typing import runtime_checkable

import torch
from torch import nn

from harness import seeding

if TYPE_CHECKING:
    from collections.abc import Callable

Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class DrawsWeights(Protocol):
    """A layer that knows how its own parameters begin, those of its children left out."""

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw them, without gradients.

        Args:
            generator: On the CPU, as the weights are.
        """


def fresh(make: Callable[[], Network], seed: int) -> Network:
    """A network on the CPU with fresh weights.

    Args:
        make: Makes the network. What it draws is thrown away.
        seed: Of the weights; equal seeds give equal weights, in any process.

    Raises:
        NotImplementedError: See :func:`draw_weights`.
    """
    # On this device nothing is drawn: what PyTorch would draw comes from the global generator.
    with torch.device("meta"):
        network = make()
    # What was made of numbers at hand, such as a graph, is on the CPU already.
    network._apply(lambda t: torch.empty_like(t, device="cpu") if t.is_meta else t)  # type: ignore[no-untyped-call]
    draw_weights(network, seed)
    return network


def draw_weights(network: nn.Module, seed: int) -> None:
    """Draw every weight of a network anew, from a generator named after the seed and the layer.

    Args:
        network: On the CPU.
        seed: Of the weights.

    Raises:
        NotImplementedError: A layer of a kind that is not known here, and that has no ``draw_weights`` of its own.
    """
    with torch.no_grad():
        for name, layer in network.named_modules():
            generator = torch.Generator().manual_seed(seeding.integer(seed, "weights", name))
            _draw(layer, generator)


def _draw(layer: nn.Module, generator: torch.Generator) -> None:
    match layer:
        case DrawsWeights():
            layer.draw_weights(generator)
        case nn.Conv1d() | nn.Conv2d() | nn.Linear():
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                layer.bias.uniform_(-bound, bound, generator=generator)
        case nn.Embedding():
            layer.weight.normal_(generator=generator)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.LayerNorm():
            # What keeps no statistics, or has no weights, has nothing to reset.
            layer.reset_parameters()
        case _ if any(True for _ in layer.parameters(recurse=False)):
            raise NotImplementedError(f"no initialisation of {type(layer).__name__} is known.")
