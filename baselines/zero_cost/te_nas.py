"""The two proxies of TE-NAS: how well a network can be trained, and how much it can express."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.probe import Setup
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.networks.nasbench201 import Cell
from harness.spaces import NASBench201Space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from baselines.zero_cost.probe import Probe
    from harness.spaces import SearchSpace


class NTKConditionNumber(NetworkProxy):
    """Condition number of the neural tangent kernel (Chen et al., ICLR 2021, "TE-NAS", section 3.1).

    λmax / λmin of the matrix of dot products of gradients, one per image of a batch: the gradient of the sum of an
    image's class scores with respect to the weights of convolutions, batch normalisations and the classifier. It is
    small where the network is easily trained. One batch of 72 training images, Kaiming normal initialisation (fan-out,
    biases 0), training mode, a network of 3 channels with one cell per stage, mean of 3 draws: as the paper's code
    scores networks of NAS-Bench-201.

    The sum of class scores is the code's; the kernel of the paper has a block for every pair of them. What is
    different here:

    * The eigenvalues are the squares of the singular values of the gradients, found in double precision. The code
      multiplies first, in single precision, and small eigenvalues drown in rounding.
    * A smallest singular value within rounding of zero gives no score, where the code gives a number without meaning.
    * Images are not augmented. The code scores supernets, whose operations it removes one by one, and compares them;
      here is the number of a single architecture, as in the paper's section 3.1.
    """

    setup = Setup(initialisation="kaiming_fan_out", batch_size=72, repeats=3)
    source_size: ClassVar[Mapping[str, int]] = {"channels": 3, "cells": 1}
    higher_is_better = False
    description = (
        "The condition number of the neural tangent kernel at initialisation: the largest eigenvalue over the smallest "
        "of the matrix of dot products between the gradients of the network's output for the images of a batch. Small "
        "numbers mean that a network is easily trained."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        weights = [w for name, w in probe.network.named_parameters() if name.endswith("weight")]
        # The statistics of the batch connect its images: each output has a gradient through all of them.
        outputs = probe.network(probe.batches[0].inputs).sum(dim=1)
        rows = []
        for output in outputs:
            gradients = torch.autograd.grad(output, weights, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
        jacobian = torch.stack(rows)
        singular = torch.linalg.svdvals(jacobian.double())
        largest, smallest = float(singular[0]), float(singular[-1])
        if smallest <= largest * len(rows) * torch.finfo(jacobian.dtype).eps:
            raise ScoreError(
                "the neural tangent kernel is singular: its smallest eigenvalue is zero but for rounding."
            )
        return (largest / smallest) ** 2


class LinearRegions(NetworkProxy):
    """Number of linear regions that a cell cuts the space of its inputs into (Chen et al., ICLR 2021, "TE-NAS").

    Section 3.1: a network of ReLUs is linear wherever the same of them are active. The number of different patterns
    of active ReLUs over 3,000 inputs is counted; it is large where the network can express much. The inputs are
    patches of 3 by 3 pixels of training images, in one colour; the network is one cell of one channel, then batch
    normalisation and ReLU; Kaiming normal initialisation (fan-in, biases 0), training mode, batches of 1,000, mean of
    3 draws: as the paper's code scores networks of NAS-Bench-201. More of the network, or larger images, and every
    input has a pattern of its own.

    A cell that passes nothing on has the one region of a constant. ReLUs count wherever they are in the cell, also
    where nothing of them reaches its output, as in the code. What is different here: the code scores supernets, as it
    does in :class:`NTKConditionNumber`.
    """

    setup = Setup(
        initialisation="kaiming_fan_in", crop=3, batch_size=1_000, batches=3, double=True, repeats=3
    )
    source_size: ClassVar[Mapping[str, int]] = {"channels": 1, "cells": 1}
    description = (
        "The number of different patterns of active ReLUs over 3,000 small patches of training images, in one cell of "
        "one channel at initialisation. Many mean that the cell can express much."
    )

    def check(self, space: SearchSpace, dataset: str) -> None:
        if not isinstance(space, NASBench201Space):
            raise SpecError(
                f"linear_regions shows patches to a cell of NAS-Bench-201, and search space {space.name!r} has none."
            )
        super().check(space, dataset)
        if space.full_size(self.size, dataset)["channels"] != 1:
            raise SpecError("linear_regions shows patches of one colour to a cell: its `channels` must be 1.")

    @staticmethod
    @torch.no_grad()
    def measure(probe: Probe) -> float:
        cell = next(module for module in probe.network.modules() if isinstance(module, Cell))
        network = nn.Sequential(cell, nn.BatchNorm2d(1, affine=False, track_running_stats=False), nn.ReLU())
        active: list[Tensor] = []
        hooks = [
            module.register_forward_hook(lambda module, inputs, output: active.append(output.flatten(1) > 0))
            for module in network.modules()
            if isinstance(module, nn.ReLU)
        ]
        patterns = set()
        for batch in probe.batches:
            active.clear()
            network(batch.inputs)
            patterns |= set(map(bytes, np.packbits(torch.cat(active, dim=1).cpu().numpy(), axis=1)))
        for hook in hooks:
            hook.remove()
        return float(len(patterns))
