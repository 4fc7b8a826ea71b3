"""Errors of forecasts: MAE, RMSE and MAPE as the literature counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Errors:
    """Errors of the forecasts for a part of a traffic set.

    Attributes:
        mae: Mean absolute error, in the unit of the traffic.
        rmse: Root mean square error, in the unit of the traffic.
        mape: Mean absolute percentage error.
        horizons: The three, of each horizon by itself: ``horizons["mae"][2]`` is that of 15 minutes.
    """

    mae: float
    rmse: float
    mape: float
    horizons: dict[str, tuple[float, ...]]


class ErrorSums:
    """Sums from which :class:`Errors` are made, batch after batch.

    What is missing does not count, and neither does a value of 0, in all three errors: 0 marks what is missing in the
    published speeds, and a share of it is not defined (so the code of DCRNN, Graph WaveNet and their descendants).
    Every value that is left counts the same in the errors over all horizons (ISTS, appendix B).

    Args:
        horizons: Number of horizons.
        device: Where forecasts are.
    """

    def __init__(self, horizons: int, device: torch.device | str = "cpu") -> None:
        self._sums = torch.zeros(4, horizons, dtype=torch.float64, device=device)

    def add(self, forecast: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            forecast: Shape (batch, horizons, sensors), in the unit of the traffic.
            target: The same shape; NaN or 0 where it does not count.
        """
        counts = is_counted(target)
        error = torch.where(counts, forecast - target, 0.0).abs()
        share = error / torch.where(counts, target, 1.0).abs()
        each = torch.stack([error, error.square(), share, counts.to(error.dtype)])
        self._sums += each.double().sum(dim=(1, 3))

    def errors(self) -> Errors:
        """What has been counted; NaN where nothing was."""
        overall = self._means(self._sums.sum(dim=1, keepdim=True))
        each = self._means(self._sums)
        return Errors(
            mae=overall["mae"][0],
            rmse=overall["rmse"][0],
            mape=overall["mape"][0],
            horizons={name: tuple(values) for name, values in each.items()},
        )

    @staticmethod
    def _means(sums: Tensor) -> dict[str, list[float]]:
        absolute, square, share, count = sums
        return {
            "mae": (absolute / count).tolist(),
            "rmse": (square / count).sqrt().tolist(),
            "mape": (100 * share / count).tolist(),
        }


def masked_mae(forecast: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of what counts, to be descended; 0 where nothing does.

    Args:
        forecast: See :meth:`ErrorSums.add`.
        target: See there.
    """
    counts = is_counted(target)
    error = torch.where(counts, forecast - target, 0.0).abs()
    return error.sum() / counts.sum().clamp_min(1)


def is_counted(target: Tensor) -> Tensor:
    """Which values an error is made of: those that are there and not 0."""
    return torch.isfinite(target) & (target != 0)
