"""Proxies of how differently a network treats the images of one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from baselines.zero_cost.base import NetworkProxy
from baselines.zero_cost.probe import Setup
from harness.errors import ScoreError

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.zero_cost.probe import Probe


class JacobCov(NetworkProxy):
    """-Σ (log(v + k) + 1/(v + k)) over eigenvalues v of the correlation of the images' Jacobians, k = 10⁻⁵.

    Mellor et al. (2020, first version of "Neural Architecture Search without Training"), as in the code of
    Abdelfattah et al. (ICLR 2021): the Jacobian of an image is the gradient of the sum of all class scores of the
    batch, one batch of 64 training images, default initialisation, training mode. It is highest where the Jacobians
    are uncorrelated. Their images are augmented; here they are not. Eigenvalues are those of a symmetric matrix, in
    double precision.
    """

    description = (
        "How uncorrelated the gradients of the class scores with respect to the input are between the images of one "
        "batch, at initialisation: minus the sum of log(v + 1e-5) + 1/(v + 1e-5) over the eigenvalues v of their "
        "correlation matrix."
    )

    @staticmethod
    def measure(probe: Probe) -> float:
        forward = probe.forward
        (gradient,) = torch.autograd.grad(forward.scores.sum(), forward.inputs, retain_graph=True)
        jacobians = gradient.flatten(1).double().cpu()
        if not (jacobians.std(dim=1) > 0).all():
            raise ScoreError(
                "the Jacobian of some image is constant, as where nothing leads from the input to the output: it "
                "has no correlation with others."
            )
        eigenvalues = torch.linalg.eigvalsh(torch.corrcoef(jacobians)) + 1e-5
        return -float((eigenvalues.log() + 1 / eigenvalues).sum())


class NASWOT(NetworkProxy):
    """log det of Σ x xᵀ + (1 - x)(1 - x)ᵀ over ReLUs, x telling which units each image activates.

    Mellor et al. (ICML 2021, "Neural Architecture Search without Training", section 3): an entry of the matrix counts
    the units that treat two images alike. One batch of 128 training images without augmentation, default
    initialisation, training mode, as in their code. Every ReLU of the network counts, those on edges that do not reach
    the output too, which in the paper's networks as here are multiplied by zero.
    """

    description = (
        "How differently a network activates its ReLUs on the images of one batch, at initialisation: the logarithm of "
        "the determinant of a matrix whose entries count the units that are on, or off, for both of two images."
    )
    setup = Setup(batch_size=128)

    @staticmethod
    def measure(probe: Probe) -> float:
        batch = probe.batches[0]
        alike = torch.zeros(len(batch.inputs), len(batch.inputs), dtype=torch.float64)

        def count(relu: nn.Module, inputs: tuple[Tensor]) -> None:
            # With 1 for on and -1 for off, a product of two rows is what is alike minus what is not. Whole numbers are
            # exact in single precision.
            signs = 2.0 * (inputs[0] > 0).flatten(1) - 1.0
            alike.add_(((signs @ signs.T).cpu().double() + signs.shape[1]) / 2)

        relus = [layer for layer in probe.network.modules() if isinstance(layer, nn.ReLU)]
        handles = [relu.register_forward_pre_hook(count) for relu in relus]
        try:
            with torch.no_grad():
                probe.network(batch.inputs)
        finally:
            for handle in handles:
                handle.remove()
        if torch.linalg.matrix_rank(alike, hermitian=True) < len(alike):
            raise ScoreError(
                "the units that the images activate are linearly dependent, as where two images activate the same: "
                "the determinant is 0 and has no logarithm."
            )
        return float(torch.linalg.slogdet(alike).logabsdet)
