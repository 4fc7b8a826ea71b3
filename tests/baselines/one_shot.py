"""Small searches for tests."""

from __future__ import annotations

from typing import Any

import torch

from baselines.one_shot.images import ImageData
from baselines.one_shot.training import Context
from baselines.one_shot.training import Settings
from harness.images import load_images
from harness.spaces import NASBench201Space

SPACE = NASBench201Space()
SIZE = {"channels": 4, "cells": 1}
#: Keyword arguments of a search that takes a second.
TINY: dict[str, Any] = {
    "dataset": "cifar10",
    "images": "digits",
    "train_images": 64,
    "batch_size": 16,
    "size": SIZE,
}


def context(seed: int = 0, judged: int | None = None, **settings: Any) -> Context:
    """What a search of two steps per epoch works with."""
    settings = {"epochs": 4, "batch_size": 16, **settings}
    cpu = torch.device("cpu")
    data = ImageData(load_images("digits", "cifar10"), limit=64, judged=judged, seed=seed, device=cpu)
    return Context(SPACE, "cifar10", SIZE, data, Settings(**settings), seed, cpu)


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
