"""Edge parameterisations: how numbers that are learned become gates, and architectures."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from baselines.one_shot.cell import Gates
from harness.spaces import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from harness.spaces import CellSpace

# Initial logits are small and different, so that no operation is ahead by its place.
_SPREAD = 1e-3
# Of a Dirichlet distribution, whose concentration must be above 0.
_SMALLEST_LOGIT = -40.0


class Edges(nn.Module):
    """Logits of the operations of every edge.

    Args:
        space: The search space.
        generator: Draws the logits.

    Attributes:
        logits: Shape (edges, operations).
    """

    def __init__(self, space: CellSpace, generator: torch.Generator) -> None:
        super().__init__()
        shape = (len(space.edges), len(space.operations))
        self.logits = nn.Parameter(_SPREAD * torch.randn(shape, generator=generator))

    @abstractmethod
    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        """The gates of one pass.

        Args:
            progress: Share of the search that is over, from 0 to 1.
            generator: Of what is sampled, on the CPU.
        """

    def strengths(self) -> Tensor:
        """How much speaks for every operation of every edge; shape (edges, operations)."""
        return functional.softmax(self.logits, dim=-1)

    def expected(self) -> Gates:
        """The gates of a pass in which nothing is sampled: all operations, as strong as they are."""
        return Gates(self.strengths())

    def architecture(self) -> Architecture:
        """The strongest operation of every edge."""
        return Architecture(self.strengths().argmax(dim=-1).tolist())


class Softmax(Edges):
    """Every operation, weighted by the softmax of its logits (Liu et al., ICLR 2019, "DARTS", equation 2)."""

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        return Gates(functional.softmax(self.logits, dim=-1))


class Sigmoid(Edges):
    """Every operation by itself (Chu et al., ECCV 2020, "Fair DARTS", section 3.2)."""

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        return Gates(torch.sigmoid(self.logits))

    def strengths(self) -> Tensor:
        return torch.sigmoid(self.logits)


class NormalisedEdges(Edges):
    """Softmax of operations, and of the edges that lead to a node (Xu et al., ICLR 2020, "PC-DARTS", section 3.3).

    Attributes:
        edge_logits: Shape (edges,).
    """

    def __init__(self, space: CellSpace, generator: torch.Generator) -> None:
        super().__init__(space, generator)
        self.edge_logits = nn.Parameter(_SPREAD * torch.randn(len(space.edges), generator=generator))
        self._into: dict[int, list[int]] = defaultdict(list)
        for edge, (_, target) in enumerate(space.edges):
            self._into[target].append(edge)

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        return self.expected()

    def expected(self) -> Gates:
        return Gates(functional.softmax(self.logits, dim=-1), edges=self.edge_weights())

    def edge_weights(self) -> Tensor:
        """Shape (edges,); those that lead to one node sum to 1."""
        weights = torch.empty_like(self.edge_logits)
        for edges in self._into.values():
            weights[edges] = functional.softmax(self.edge_logits[edges], dim=0)
        return weights

    def strengths(self) -> Tensor:
        return super().strengths() * self.edge_weights()[:, None]


class Gumbel(Edges):
    """Softmax of logits with Gumbel noise, at a temperature that falls.

    Args:
        space: See :class:`Edges`.
        generator: See :class:`Edges`.
        temperatures: At the beginning and at the end.
        schedule: How it falls: ``linear``, or ``exponential``.
        hard: Whether one operation is computed, that of the largest noisy logit, and the gradient is that of its
            soft weight (Dong and Yang, CVPR 2019, "GDAS", section 3.2). Otherwise all are (Xie et al., ICLR 2019,
            "SNAS", section 2.2).
    """

    def __init__(
        self,
        space: CellSpace,
        generator: torch.Generator,
        *,
        temperatures: tuple[float, float],
        schedule: Literal["linear", "exponential"],
        hard: bool,
    ) -> None:
        super().__init__(space, generator)
        self._temperatures = temperatures
        self._schedule = schedule
        self._hard = hard

    def temperature(self, progress: float) -> float:
        """At a share of the search."""
        first, last = self._temperatures
        if self._schedule == "linear":
            return first + (last - first) * progress
        return float(first * (last / first) ** progress)

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        uniform = torch.rand(self.logits.shape, generator=generator).clamp_min(torch.finfo().tiny)
        noise = -torch.log(-torch.log(uniform)).to(self.logits.device)
        noisy = (functional.log_softmax(self.logits, dim=-1) + noise) / self.temperature(progress)
        soft = functional.softmax(noisy, dim=-1)
        if not self._hard:
            return Gates(soft)
        chosen = soft.detach().argmax(dim=-1)
        one_hot = functional.one_hot(chosen, soft.shape[-1]).to(soft.dtype)
        return Gates(one_hot - soft.detach() + soft, [[choice] for choice in chosen.tolist()])


class Dirichlet(Edges):
    """Weights from a Dirichlet distribution (Chen et al., ICLR 2021, "DrNAS", section 3).

    Its concentration is 1 + elu(logits). The gradient goes through the sample, by implicit reparameterisation.
    """

    def concentration(self) -> Tensor:
        """Shape (edges, operations); above 0."""
        # In single precision, elu of a small number is -1, and the sum would be 0.
        below = torch.exp(self.logits.clamp(min=_SMALLEST_LOGIT, max=0.0))
        return torch.where(self.logits > 0, 1 + self.logits, below)

    def gates(self, progress: float, generator: torch.Generator) -> Gates:
        # Gamma variables over their sum; drawn on the CPU, where the generator is.
        gamma = torch._standard_gamma(self.concentration().cpu(), generator=generator).clamp_min(1e-12)
        return Gates((gamma / gamma.sum(dim=-1, keepdim=True)).to(self.logits.device))

    def strengths(self) -> Tensor:
        """The mean of the distribution."""
        concentration = self.concentration()
        return concentration / concentration.sum(dim=-1, keepdim=True)
