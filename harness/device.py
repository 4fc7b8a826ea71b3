"""Devices by the name that PyTorch has for them."""

from __future__ import annotations

import torch

from harness.errors import SpecError


def torch_device(name: str) -> torch.device:
    """A device that can be used here.

    Args:
        name: As PyTorch names it: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        SpecError: There is none of this name.
    """
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise SpecError(
            f"device {name!r} cannot be used here: {reason}. Legal are `cpu` and, where PyTorch finds a GPU, `cuda`."
        ) from None
    return device
