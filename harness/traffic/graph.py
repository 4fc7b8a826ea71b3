"""Weights of road graphs, and what graph convolutions make of them.

All matrices are (nodes, nodes), from the node of the row to that of the column. They are computed in 64 bits and
returned in 32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Weights below this are no edge, as in the program of Li et al. (ICLR 2018); their paper has a longest distance.
THRESHOLD = 0.1


def gaussian_kernel(distances: NDArray[np.float64], *, threshold: float = THRESHOLD) -> NDArray[np.float32]:
    """Weights of edges from distances on the road, by a Gaussian kernel with a threshold.

    The weight is exp(-(d / s)²), where s is the standard deviation of all known distances, and 0 where that is below
    the threshold (Li et al., ICLR 2018, experiments).

    Args:
        distances: Shape (nodes, nodes), not negative; infinite where none is known. Distances that are all the same
            have no spread to be compared with: their weights are 1.
        threshold: The smallest weight that is kept.
    """
    known = np.isfinite(distances)
    if not known.any() or np.ptp(distances[known]) == 0:
        return known.astype(np.float32)
    weights: NDArray[np.float64] = np.exp(-np.square(distances / np.std(distances[known])))
    weights[weights < threshold] = 0
    return weights.astype(np.float32)


def normalised(adjacency: NDArray[np.float32]) -> NDArray[np.float32]:
    """Symmetric normalisation D^-1/2 A D^-1/2 of an undirected graph with self-loops (Kipf and Welling, ICLR 2017).

    Of the two directions between two nodes the larger weight is taken, as Li et al. (ICLR 2018) do where they need an
    undirected graph. Where the diagonal is empty, it becomes 1.
    """
    weights = np.asarray(adjacency, dtype=np.float64)
    both: NDArray[np.float64] = np.maximum(weights, weights.T)
    np.fill_diagonal(both, np.where(np.diag(both) == 0, 1.0, np.diag(both)))
    scale = 1 / np.sqrt(both.sum(axis=1))
    scaled: NDArray[np.float64] = scale[:, None] * both * scale
    return scaled.astype(np.float32)


def transition(adjacency: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random walks along the edges and against them: D_O^-1 A and D_I^-1 A^T (Li et al., ICLR 2018, section 2.2).

    Rows sum to 1, but those of nodes without an edge in that direction, which stay 0.

    Returns:
        The forward and the backward transition matrix.
    """
    weights = np.asarray(adjacency, dtype=np.float64)
    return _walk(weights), _walk(weights.T)


def _walk(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    degree = weights.sum(axis=1, keepdims=True)
    walk: NDArray[np.float64] = np.divide(weights, degree, out=np.zeros_like(weights), where=degree > 0)
    return walk.astype(np.float32)
