"""The size of a network as a zero-cost proxy: the floor that every other proxy has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpaceError
from harness.errors import SpecError
from harness.proxies import Proxy

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


class _Cost(Proxy):
    """Something that :meth:`~harness.spaces.SearchSpace.cost` counts."""

    closed_form = True

    def check(self, space: SearchSpace, dataset: str) -> None:
        try:
            space.cost(space.from_index(0), dataset)
        except SpaceError as error:
            raise SpecError(f"this proxy needs exact costs: {error}") from None


class Parameters(_Cost):
    """Number of trainable parameters, exactly.

    Abdelfattah et al. (ICLR 2021, "Zero-Cost Proxies for Lightweight NAS") and NAS-Bench-Suite-Zero
    (Krishnakumar et al. 2022) compare every proxy with it.
    """

    description = (
        "The number of trainable parameters of the network: the weights of all convolutions and of the "
        "classifier, and two per channel of each batch normalisation."
    )

    def score(self, space: SearchSpace, arch: Architecture, dataset: str) -> float:
        return float(space.cost(arch, dataset).parameters)


class FLOPs(_Cost):
    """Multiply-accumulate operations of one forward pass of one image, exactly, as the papers count FLOPs.

    Sources as for :class:`Parameters`.
    """

    description = (
        "The number of multiply-accumulate operations of one forward pass of one image, in the convolutions "
        "and the classifier."
    )

    def score(self, space: SearchSpace, arch: Architecture, dataset: str) -> float:
        return float(space.cost(arch, dataset).flops)
