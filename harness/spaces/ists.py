"""The search space of ISTS for spatial-temporal forecasting (arXiv 2503.17994, section 4.1)."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import SpaceError
from harness.errors import SpecError
from harness.spaces.base import Cost
from harness.spaces.cell import CellSpace
from harness.traffic import load_traffic

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping

    from torch.nn import Module

    from harness.spaces.base import Architecture
    from harness.traffic import TrafficSet

CELLS = ("stp", "stt", "tts")
#: Steps that a network knows, and steps that it forecasts: an hour each.
STEPS = HORIZONS = 12
#: What is known of a sensor at a step: what it measured, and the time of day.
FEATURES = 2

_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
_DROPOUT = 0.1
_ADAPTIVE_MATRICES = 1
_ROAD_MATRICES = 3

# Table C.7. PEMS-07 is not in the paper; it has the values of PEMS-04.
_HYPER_PARAMETERS = {
    "pems-03": {"channels": 32, "attention": 32, "heads": 8, "feed_forward": 64, "order": 2},
    "pems-04": {"channels": 64, "attention": 64, "heads": 8, "feed_forward": 64, "order": 2},
    "pems-07": {"channels": 64, "attention": 64, "heads": 8, "feed_forward": 64, "order": 2},
    "pems-08": {"channels": 64, "attention": 64, "heads": 8, "feed_forward": 64, "order": 2},
    "pems-bay": {"channels": 64, "attention": 64, "heads": 8, "feed_forward": 256, "order": 2},
    "metr-la": {"channels": 64, "attention": 64, "heads": 8, "feed_forward": 256, "order": 2},
}


class ISTSSpace(CellSpace):
    """Six edges of a graph of four nodes, each with one of three spatial-temporal cells: 729 architectures.

    Edges are in the order of appendix D: layer 1 leads from the first node to the second, layer 2 from the first to the
    third. The cells are ``stp``, ``stt`` and ``tts`` (equation 3). Every cell has weights of its own and all edges are
    there, so that no two architectures compute the same: the terms of the last node are told apart by what they pass
    through, and every architecture is its own class.
    """

    name = "ists"
    network_size = MappingProxyType(
        {"channels": 16, "attention": 16, "heads": 4, "feed_forward": 32, "order": 2}
    )
    edges = _EDGES
    domain = "traffic"

    def __init__(self) -> None:
        super().__init__({f"{source}->{target}": CELLS for source, target in _EDGES})

    def usual_size(self, dataset: str) -> Mapping[str, int]:
        """Table C.7 for a published data set, or a part of one; small for the synthetic one.

        Raises:
            SpaceError: There is no such traffic set.
        """
        return _HYPER_PARAMETERS.get(_traffic(dataset).dataset, self.network_size)

    def full_size(self, size: Mapping[str, int] | None, dataset: str) -> dict[str, int]:
        """See :meth:`~harness.spaces.SearchSpace.full_size`.

        Raises:
            SpaceError: Also where attention cannot be divided into equal heads, or there is no such traffic set.
        """
        full = super().full_size(size, dataset)
        if full["attention"] % full["heads"]:
            raise SpaceError(
                f"attention of {full['attention']} channels cannot be divided into {full['heads']} equal heads; "
                "change attention or heads."
            )
        return full

    def format(self, arch: Architecture) -> str:
        """The cells of layers 1 to 6, ``stp|stt|tts|stp|stt|tts``."""
        return "|".join(CELLS[i] for i in arch)

    def parse(self, text: str) -> Architecture:
        """Read :meth:`format` back; white space around it is ignored.

        Raises:
            SpaceError: Not six known cells.
        """
        cells = text.strip().split("|")
        if len(cells) != len(_EDGES):
            raise SpaceError(
                f"architecture {text!r} has {len(cells)} cell(s); legal are six, stp|stt|tts|stp|stt|tts."
            )
        return self.architecture(dict(zip(self.decisions, cells, strict=True)))

    def build_network(
        self, arch: Architecture, dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """The network of an architecture for the sensors of a traffic set.

        It maps (batch, 2 features, sensors, 12 steps) to (batch, 12 horizons, sensors); features are the standardised
        value and the time of day, and so is the forecast.

        Args:
            arch: The architecture.
            dataset: Name of a traffic set (:func:`harness.traffic.load_traffic`).
            size: ``channels`` of every node, ``attention`` of all ``heads`` together, hidden channels of
                ``feed_forward`` networks, and ``order`` of the spatial operator.

        Raises:
            SpaceError: There is no such size or traffic set.
        """
        from harness.networks.spatial_temporal import Cells

        choices = [CELLS[i] for i in arch]
        return self.stack(
            lambda channels: Cells(
                _EDGES, [self.operation(choice, channels, dataset, size) for choice in choices]
            ),
            dataset,
            size,
        )

    def stack(
        self, cell: Callable[[int], Module], dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """See :meth:`CellSpace.stack`: a cell holds all nodes, and there is one."""
        from harness.networks.spatial_temporal import Forecaster

        channels = self.full_size(size, dataset)["channels"]
        return Forecaster(cell, channels, features=FEATURES, steps=STEPS, horizons=HORIZONS)

    def operation(
        self, choice: str, channels: int, dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """See :meth:`CellSpace.operation`; of shape (batch, channels, sensors, steps)."""
        from harness.networks.spatial_temporal import Graph
        from harness.networks.spatial_temporal import SpatialTemporalCell

        full = self.full_size(size, dataset)
        return SpatialTemporalCell(
            choice,
            Graph(_traffic(dataset)),
            channels,
            attention=full["attention"],
            heads=full["heads"],
            hidden=full["feed_forward"],
            convolutions=full["order"],
            dropout=_DROPOUT,
        )

    def cost(self, arch: Architecture, dataset: str, size: Mapping[str, int] | None = None) -> Cost:
        """Exact parameters and multiply-accumulates of one forecast for all sensors.

        Counted are products with weights, of attention, and with the four matrices over sensors as if all their entries
        were there. The depth is not known: it is that of cells, and the same in all architectures.

        Args:
            arch: The architecture.
            dataset: See :meth:`build_network`.
            size: See :meth:`build_network`.

        Raises:
            SpaceError: There is no such size or traffic set.
        """
        full = self.full_size(size, dataset)
        sensors = _traffic(dataset).sensors
        width = full["channels"]
        parameters = (FEATURES + 1) * width + STEPS * width + (STEPS * width + 1) * HORIZONS
        flops = sensors * STEPS * width * (FEATURES + HORIZONS)
        for index in arch:
            more = _cell_cost(CELLS[index], sensors, full)
            parameters += more.parameters
            flops += more.flops
        return Cost(parameters, flops)

    def code(self) -> str:
        """The module of :meth:`build_network`'s networks, as it is written."""
        spec = importlib.util.find_spec("harness.networks.spatial_temporal")
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        source = spec.loader.get_source(spec.name)
        assert source is not None
        return source

    def describe(self) -> str:
        """What a person, or a language model, needs to know about this space."""
        return "\n".join(
            [
                "A network that forecasts what sensors on a road network will measure: a directed acyclic graph of "
                "four nodes. Node 0 is what was measured in the last hour, node 3 gives the forecast; every node is "
                "the sum of its incoming edges. Each of the six edges is a layer, one of three kinds of "
                f"spatial-temporal cells; there are {self.size:,} architectures.",
                f"Edges, in order: {', '.join(self.decisions)}.",
                "Cells, each of a spatial operator (graph convolutions between sensors), a temporal operator (linear "
                "attention between the steps of a sensor) and a feed-forward network:",
                "- stp (0): spatial-temporal-parallel. Both operators see the input, and their outputs are joined.",
                "- stt (1): spatial-then-temporal. The temporal operator sees what the spatial one gives.",
                "- tts (2): temporal-then-spatial. The spatial operator sees what the temporal one gives.",
                "As text, an architecture is its six cells in the order of the edges, such as stp|stt|tts|stp|stt|tts.",
            ]
        )


def _traffic(dataset: str) -> TrafficSet:
    """As far as this space is concerned, a traffic set that is not there is like any other unknown data set."""
    try:
        return load_traffic(dataset)
    except SpecError as error:
        raise SpaceError(str(error)) from None


def _cell_cost(cell: str, sensors: int, size: Mapping[str, int]) -> Cost:
    """Parameters and multiply-accumulates of one cell."""
    from harness.networks.spatial_temporal import EMBEDDING

    width, attention, hidden = size["channels"], size["attention"], size["feed_forward"]
    seen = attention if cell == "tts" else width
    mixed = {"stp": width + attention, "stt": attention, "tts": attention}[cell]
    matrices = _ROAD_MATRICES + _ADAPTIVE_MATRICES
    parameters = 2 * sensors * EMBEDDING + size["order"] * (matrices * seen + 1) * seen
    parameters += 3 * width * attention
    parameters += (mixed + 1) * hidden + (hidden + 1) * width
    each = size["order"] * matrices * (sensors + seen) * seen
    each += 3 * width * attention + 3 * attention * attention
    each += mixed * hidden + hidden * width
    return Cost(parameters, sensors * (STEPS * each + sensors * EMBEDDING))
