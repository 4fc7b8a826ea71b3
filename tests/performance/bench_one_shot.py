"""Images per second and kept activations of searches with a supernet, beside a plain step of DARTS in the same run.

Run it: ``python -m tests.performance.bench_one_shot [--device cuda] [--channels 16] [--cells 5] [--batch 64]``. On a
CPU with one thread. The plain step is how DARTS is usually written: an operation is a module of its own on every edge,
a node adds their weighted outputs one by one, and both passes have gradients of everything. Steps of all methods take
turns, and what is printed is the median; images are those of the weights' batches. What is kept for the backward pass
is counted in the pass of the weights, each storage once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from tabulate import tabulate
from torch import nn
from torch.nn import functional

from baselines.one_shot.images import ImageData
from baselines.one_shot.record import reproducible
from baselines.one_shot.strategy import OneShot
from baselines.one_shot.training import Context
from harness import registry
from harness.images import load_images
from harness.spaces import NASBench201Space

if TYPE_CHECKING:
    from torch import Tensor

    from baselines.one_shot.data import Batch

SPACE = NASBench201Space()
#: Registered name and arguments of every method that is measured.
METHODS = {
    "darts": ("darts", {}),
    "darts, second order": ("darts", {"second_order": True}),
    "gdas": ("gdas", {}),
    "pc_darts": ("pc_darts", {"warm_up": 0}),
    "snas": ("snas", {}),
    "drnas": ("drnas", {}),
    "sdarts, random": ("sdarts", {}),
    "sdarts, adversarial": ("sdarts", {"perturbation": "adversarial"}),
    "oles": ("oles", {}),
    "spos": ("spos", {}),
    "fairnas": ("fairnas", {}),
}


class PlainCell(nn.Module):
    """Every operation of every edge is a module, and computed by itself."""

    def __init__(self, channels: int, weights: Callable[[], Tensor]) -> None:
        super().__init__()
        self._weights = weights
        self.edges = nn.ModuleList(
            nn.ModuleList(SPACE.operation(choice, channels, "cifar10") for choice in SPACE.operations)
            for _ in SPACE.edges
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.affine, module.track_running_stats = False, False
                module.weight = module.bias = None
                module.running_mean = module.running_var = module.num_batches_tracked = None

    def forward(self, x: Tensor) -> Tensor:
        weights = self._weights()
        nodes: list[Tensor | int] = [x, 0, 0, 0]
        for number, (source, target) in enumerate(SPACE.edges):
            value = nodes[source]
            mixed = sum(
                w * operation(value) for w, operation in zip(weights[number], self.edges[number], strict=True)
            )
            nodes[target] = nodes[target] + mixed
        out = nodes[3]
        assert isinstance(out, torch.Tensor)
        return out


class Plain:
    """A step of DARTS, first order, as it is usually written."""

    def __init__(self, size: dict[str, int], device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        self.logits = nn.Parameter((1e-3 * torch.randn(6, 5, generator=generator)).to(device))
        network = SPACE.stack(
            lambda channels: PlainCell(channels, lambda: functional.softmax(self.logits, dim=1)),
            "cifar10",
            size,
        )
        self.network = network.to(device)
        self.sgd = torch.optim.SGD(
            network.parameters(), 0.025, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self.adam = torch.optim.Adam([self.logits], 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def loss(self, batch: Batch) -> Tensor:
        return functional.cross_entropy(self.network(batch.inputs), batch.targets)

    def step(self, train: Batch, valid: Batch) -> None:
        self.adam.zero_grad()
        self.loss(valid).backward()
        self.adam.step()
        self.sgd.zero_grad()
        self.loss(train).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.sgd.step()


def kept_bytes(forward: Callable[[], Tensor], weights: set[int]) -> int:
    """Bytes that a forward pass keeps for its backward pass, without weights; each storage once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        # It must live while others are counted, or its memory is used again.
        loss = forward()
    del loss
    return sum(kept.values())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--channels", type=int, default=16)
    arguments.add_argument("--cells", type=int, default=5)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--steps", type=int, default=5)
    arguments.add_argument("--precision", default="float32")
    chosen = arguments.parse_args()
    device = torch.device(chosen.device)
    size = {"channels": chosen.channels, "cells": chosen.cells}
    data = ImageData(
        load_images("digits", "cifar10"),
        limit=4 * chosen.batch,
        seed=0,
        device=device,
        channels_last=device.type == "cuda",
    )
    plain = Plain(size, device)
    steps: dict[str, Callable[[Batch, Batch], object]] = {"plain DARTS step": plain.step}
    kept: dict[str, int] = {}
    train = next(data.in_order("weights", chosen.batch))
    kept["plain DARTS step"] = kept_bytes(
        lambda: plain.loss(train), {w.untyped_storage().data_ptr() for w in plain.network.parameters()}
    )
    for label, (name, params) in METHODS.items():
        strategy = registry.load("strategy", name)(
            **params, size=size, images="digits", dataset="cifar10", batch_size=chosen.batch, device=chosen.device,
            precision=chosen.precision, seed=0,
        )  # fmt: skip
        assert isinstance(strategy, OneShot)
        context = strategy.context(SPACE, "cifar10")
        steps[label], kept[label] = stepper(strategy, Context(**vars(context) | {"data": data}), train)
    taken: dict[str, list[float]] = {label: [] for label in steps}
    with reproducible(1):
        for turn in range(chosen.steps + 1):
            for label, step in steps.items():
                batches = [next(data.in_order(half, chosen.batch)) for half in ("weights", "architecture")]
                synchronise(device)
                began = time.perf_counter()
                step(*batches)
                synchronise(device)
                if turn:
                    taken[label].append(time.perf_counter() - began)
    base = statistics.median(taken["plain DARTS step"])
    print(
        f"{size}, batches of {chosen.batch}, {chosen.device}, {chosen.precision}, {chosen.steps} steps each"
    )
    print(
        tabulate(
            [
                [
                    label,
                    1e3 * (s := statistics.median(times)),
                    chosen.batch / s,
                    base / s,
                    kept[label] / 2**20,
                ]
                for label, times in taken.items()
            ],
            headers=["step", "ms", "images/s", "x plain", "kept, MiB"],
            floatfmt=("", ".0f", ".0f", ".2f", ".1f"),
            tablefmt="github",
        )
    )


def stepper(
    strategy: OneShot, context: Context, train: Batch
) -> tuple[Callable[[Batch, Batch], object], int]:
    """One step of a method, and what its pass of the weights keeps."""
    method = strategy.method(context)
    generator = context.generator("bench")
    weights = {w.untyped_storage().data_ptr() for w in method.supernet.parameters()}
    if hasattr(method, "paths"):
        path = method.supernet.path(method.paths(generator)[0])
        kept = kept_bytes(lambda: context.loss(method.supernet, train, path), weights)
        return lambda train, valid: method.train(train, method.paths(generator)), kept
    with torch.set_grad_enabled(method.recipe.joint):
        gates = method.gates(0.0, generator)
    kept = kept_bytes(lambda: context.loss(method.supernet, train, gates), weights)
    return lambda train, valid: method.step(train, valid, 0, 0.0, generator), kept


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
