"""The cell search space of NAS-Bench-201 (Dong and Yang, ICLR 2020), which NATS-Bench calls topology."""

from __future__ import annotations

import importlib.util
from functools import cache
from functools import partial
from importlib.machinery import SourceFileLoader
from itertools import islice
from itertools import pairwise
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import SpaceError
from harness.errors import unknown_name
from harness.images.shapes import SHAPES
from harness.spaces.base import Architecture
from harness.spaces.base import Cost
from harness.spaces.cell import CellSpace

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from collections.abc import Sequence

    from torch.nn import Module

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_NODES = (1, 2, 3)
_SYNTAX = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"

_STAGES = 3
_NONE = OPERATIONS.index("none")
_KERNELS = {OPERATIONS.index("nor_conv_1x1"): 1, OPERATIONS.index("nor_conv_3x3"): 3}

# Zero and input of an expression. They sort before and after the "(" of an operation, see _expression.
_ZERO, _INPUT = "#", "x"


class NASBench201Space(CellSpace):
    """Six edges of a four-node cell, each with one of five operations: 15,625 architectures.

    The decisions are in the order of the architecture string
    ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``: edges 0->1, 0->2, 1->2, 0->3, 1->3, 2->3.
    """

    name = "nasbench201"
    network_size = MappingProxyType({"channels": 16, "cells": 5})
    edges = _EDGES
    absent = "none"
    identity = "skip_connect"

    def __init__(self) -> None:
        super().__init__({f"{source}->{target}": OPERATIONS for source, target in _EDGES})

    def format(self, arch: Architecture) -> str:
        """The architecture string of the NAS-Bench-201 paper, ``|none~0|+|none~0|none~1|+...``."""
        a, b, c, d, e, f = (OPERATIONS[i] for i in arch)
        return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"

    def parse(self, text: str) -> Architecture:
        """Read an architecture string; white space around it is ignored.

        Raises:
            SpaceError: Not six edges in the order of the string, or an unknown operation.
        """
        groups = text.strip().split("+")
        if len(groups) != len(_NODES):
            raise SpaceError(
                f"architecture {text!r} has {len(groups)} node(s) between '+'; "
                f"legal is {_SYNTAX} with {len(_NODES)}."
            )
        return Architecture(
            [
                index
                for node, group in zip(_NODES, groups, strict=True)
                for index in _parse_node(text, node, group)
            ]
        )

    def index(self, arch: Architecture) -> int:
        """Rank of the architecture in the order of its NCode, from 0 to 15,624.

        Raises:
            SpaceError: ``arch`` is no architecture of this space.
        """
        try:
            return _ranks()[arch]
        except (KeyError, TypeError):
            raise SpaceError(
                f"{arch!r} is no architecture of {self.name}; "
                f"legal are six indices from 0 to {len(OPERATIONS) - 1}."
            ) from None

    def canonical(self, arch: Architecture) -> Architecture:
        """The isomorphic architecture of smallest index; there are 6,466 classes.

        The classes are those of the benchmark's paper: a ``skip_connect`` edge hands its source on, a
        ``none`` edge is a zero, the inputs of a node commute, and an edge from node 1 is zero where node 1
        is. Cells that compute the same for another reason (a later node whose inputs are all zero, say)
        were trained separately there and are separate classes here.
        """
        return _representatives()[self.index(arch)]

    def cost(self, arch: Architecture, dataset: str, size: Mapping[str, int] | None = None) -> Cost:
        """Exact trainable parameters, multiply-accumulates and depth; by default of the network that is trained.

        The network: a 3x3 stem to 16 channels, three stages of five cells at 16, 32 and 64 channels, a
        residual block of stride 2 between stages, batch normalisation, global pooling and a linear
        classifier. Multiply-accumulates are those of convolutions and of the classifier. The official
        archives report this number plus one per class: their counter includes the classifier's bias.

        A ``none`` edge is no edge of a path, so the depth is 0 where the input of the cell does not reach its
        output, and otherwise 6 (stem, two of each residual block, classifier) and what the 15 cells add.

        Args:
            arch: The architecture.
            dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
            size: See :meth:`build_network`.

        Raises:
            SpaceError: Unknown data set, or a size that there is not.
        """
        if dataset not in SHAPES:
            raise SpaceError(unknown_name("data set", dataset, SHAPES))
        full = self.full_size(size, dataset)
        width, cells = full["channels"], full["cells"]
        classes, side = SHAPES[dataset]
        parameters, flops, layers = _skeleton_cost(classes, side, width)
        edges = dict.fromkeys(_KERNELS.values(), 0)
        for index in arch:
            if index in _KERNELS:
                edges[_KERNELS[index]] += 1
        for channels, pixels in _stages(width, side):
            for kernel, convolutions in edges.items():
                parameters += cells * convolutions * _convolution(channels, channels, kernel)
                flops += cells * convolutions * kernel**2 * channels**2 * pixels**2
        deepest = _cell_depth(arch)
        return Cost(parameters, flops, 0 if deepest is None else layers + _STAGES * cells * deepest)

    def build_network(
        self, arch: Architecture, dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """The network whose :meth:`cost` is exact: that of Dong and Yang (ICLR 2020).

        Args:
            arch: The architecture.
            dataset: See :meth:`cost`.
            size: ``channels`` of the first stage, each later stage having twice as many, and ``cells`` of each stage.

        Raises:
            SpaceError: Unknown data set, or a size that there is not.
        """
        # PyTorch takes seconds to load, and only networks need it.
        from harness.networks.nasbench201 import Cell

        operations = {edge: OPERATIONS[i] for edge, i in zip(self.decisions, arch, strict=True)}
        return self.stack(partial(Cell, operations), dataset, size)

    def stack(
        self, cell: Callable[[int], Module], dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """See :meth:`CellSpace.stack`; data set and size are those of :meth:`build_network`."""
        from harness.networks.nasbench201 import Network

        if dataset not in SHAPES:
            raise SpaceError(unknown_name("data set", dataset, SHAPES))
        return Network(cell, SHAPES[dataset].classes, **self.full_size(size, dataset))

    def operation(
        self, choice: str, channels: int, dataset: str, size: Mapping[str, int] | None = None
    ) -> Module:
        """See :meth:`CellSpace.operation`."""
        from harness.networks.nasbench201 import operation

        return operation(choice, channels)

    def code(self) -> str:
        """The module of :meth:`build_network`'s networks, as it is written."""
        spec = importlib.util.find_spec("harness.networks.nasbench201")
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        source = spec.loader.get_source(spec.name)
        assert source is not None
        return source

    def describe(self) -> str:
        """What a person, or a language model, needs to know about this space."""
        return "\n".join(
            [
                "A convolutional network for image classification, made of copies of one cell.",
                "The cell is a directed acyclic graph of four nodes. Node 0 is the cell's input, node 3 its "
                "output; every node is the sum of its incoming edges. Each of the six edges applies one "
                f"operation; there are {self.size:,} cells.",
                f"Edges, in order: {', '.join(self.decisions)}.",
                "Operations:",
                "- none (0): a zero; the edge is absent.",
                "- skip_connect (1): the identity.",
                "- nor_conv_1x1 (2): ReLU, 1x1 convolution, batch normalisation.",
                "- nor_conv_3x3 (3): ReLU, 3x3 convolution, batch normalisation.",
                "- avg_pool_3x3 (4): 3x3 average pooling, stride 1.",
                "The network is a 3x3 convolution to 16 channels, then three stages of five copies of the "
                "cell with 16, 32 and 64 channels and a residual block of stride 2 between stages, then "
                "global average pooling and a linear classifier.",
                f"As text, a cell is {_SYNTAX}, where op~i applies op to node i, and the groups between '+' "
                "are the inputs of nodes 1, 2 and 3.",
            ]
        )


def _parse_node(text: str, node: int, group: str) -> list[int]:
    if not (len(group) > 2 and group.startswith("|") and group.endswith("|")):
        raise SpaceError(
            f"architecture {text!r}: the inputs of node {node}, {group!r}, are not between '|'; "
            f"legal is {_SYNTAX}."
        )
    edges = group[1:-1].split("|")
    if len(edges) != node:
        raise SpaceError(
            f"architecture {text!r}: node {node} has {len(edges)} input(s), {group!r}; "
            f"legal is {_SYNTAX} with {node}."
        )
    indices = []
    for source, edge in enumerate(edges):
        operation, tilde, origin = edge.partition("~")
        if not tilde or origin != str(source):
            raise SpaceError(
                f"architecture {text!r}: {edge!r} into node {node} should be 'op~{source}'; "
                f"legal is {_SYNTAX}."
            )
        if operation not in OPERATIONS:
            problem = unknown_name("operation", operation, OPERATIONS)
            raise SpaceError(f"architecture {text!r}, edge {source}->{node}: {problem}")
        indices.append(OPERATIONS.index(operation))
    return indices


@cache
def _ranks() -> dict[Architecture, int]:
    # A look-up is three times as fast as arithmetic, and rejects what is no architecture.
    cells = product(range(len(OPERATIONS)), repeat=len(_EDGES))
    return {Architecture(cell): rank for rank, cell in enumerate(cells)}


@cache
def _representatives() -> list[Architecture]:
    first_of_class: dict[str, Architecture] = {}
    return [first_of_class.setdefault(_expression(cell), cell) for cell in _ranks()]


def _expression(cell: Sequence[int]) -> str:
    """What the cell computes, written as a text that is equal for cells of one class.

    The terms of a node are sorted, but a node that ``skip_connect`` hands on is one term, whose own terms
    stay together. So the classes depend on how zero, operation and input sort, here as in the benchmark.
    """
    nodes = [_INPUT]
    edges = iter(cell)
    for node in _NODES:
        terms = [_term(next(edges), nodes[source]) for source in range(node)]
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _term(operation: int, source: str) -> str:
    # Only node 1 can be a bare zero: a sum of zeros is another text, and so another class.
    if operation == 0 or source == _ZERO:
        return _ZERO
    return source if operation == 1 else f"({source})@{OPERATIONS[operation]}"


def _stages(width: int, side: int) -> list[tuple[int, int]]:
    """Channels, and pixels per side, of each stage."""
    return [(width << stage, side >> stage) for stage in range(_STAGES)]


def _convolution(inputs: int, outputs: int, kernel: int) -> int:
    """Parameters of a convolution without bias and the affine batch normalisation after it."""
    return kernel**2 * inputs * outputs + 2 * outputs


def _cell_depth(cell: Sequence[int]) -> int | None:
    """Convolutions on the longest path from input to output of the cell; ``None`` where there is no path."""
    depths: list[int | None] = [0]
    edges = iter(cell)
    for node in _NODES:
        incoming = list(zip(depths, islice(edges, node), strict=True))
        arriving = [d + (op in _KERNELS) for d, op in incoming if d is not None and op != _NONE]
        depths.append(max(arriving, default=None))
    return depths[-1]


@cache
def _skeleton_cost(classes: int, side: int, width: int) -> tuple[int, int, int]:
    """Parameters, multiply-accumulates and depth of everything but the cells."""
    stages = _stages(width, side)
    parameters = _convolution(3, width, kernel=3)
    flops = 9 * 3 * width * side**2
    depth = 1
    for (narrow, _), (wide, small) in pairwise(stages):
        # The residual block: 3x3 of stride 2, 3x3, and a 1x1 without normalisation on the pooled shortcut.
        parameters += _convolution(narrow, wide, 3) + _convolution(wide, wide, 3) + narrow * wide
        flops += (9 * narrow * wide + 9 * wide * wide + narrow * wide) * small**2
        depth += 2
    features = stages[-1][0]
    parameters += 2 * features + (features + 1) * classes
    return parameters, flops + features * classes, depth + 1
