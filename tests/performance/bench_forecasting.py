"""Speed of forecasting networks: training steps, their parts, sparse and dense graphs, one-step tuning.

Run it: ``python -m tests.performance.bench_forecasting [--dataset synthetic] [--channels 32] [--threads 2]``. Steps of
all networks take turns, and what is printed is the median; ratios are to a step of Graph WaveNet in the same run. What
is kept for the backward pass is counted in one forward pass, each storage once. A part of a cell is measured by itself,
forward and backward, on what it sees in the network. With ``--one-step`` a whole one-step tuning is made for each of
the strides that are named, training part and validation part of the traffic set.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from tabulate import tabulate
from torch import nn

from harness import registry
from harness.benchmarks.forecasting import FEATURES
from harness.benchmarks.forecasting import HORIZONS
from harness.benchmarks.forecasting import STEPS
from harness.forecasting.errors import masked_mae
from harness.forecasting.partition import protocol
from harness.forecasting.settings import TrainingSettings
from harness.forecasting.training import train
from harness.forecasting.windows import Windows
from harness.networks.initialisation import fresh
from harness.networks.spatial_temporal import FeedForward
from harness.networks.spatial_temporal import Graph
from harness.networks.spatial_temporal import SpatialOperator
from harness.networks.spatial_temporal import TemporalOperator
from harness.spaces import ISTSSpace
from harness.traffic import TrafficSet
from harness.traffic import load_traffic

SPACE = ISTSSpace()
TURNS = 15


class Step:
    """A training step of a network."""

    def __init__(self, make: Callable[[], nn.Module], windows: Windows) -> None:
        self.network = fresh(make, 0).to(windows.device)
        self._windows = windows
        self._adam = torch.optim.Adam(self.network.parameters(), 0.001, fused=True)

    def loss(self) -> torch.Tensor:
        return masked_mae(self._windows.in_unit(self.network(self.batch.inputs)), self.batch.targets)

    def __call__(self, starts: torch.Tensor) -> None:
        self.batch = self._windows.batch(starts)
        self._adam.zero_grad(set_to_none=True)
        self.loss().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._adam.step()

    def kept(self) -> int:
        """Bytes that a forward pass keeps for its backward pass, without weights."""
        weights = {weight.untyped_storage().data_ptr() for weight in self.network.parameters()}
        found: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.layout != torch.sparse_csr:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in weights:
                    found[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            # It must live while others are counted, or its memory is used again.
            loss = self.loss()
        del loss
        return sum(found.values())


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def medians(
    actions: dict[str, Callable[[], object]], device: torch.device, turns: int = TURNS
) -> dict[str, float]:
    """Median seconds of each action; they take turns."""
    taken: dict[str, list[float]] = {label: [] for label in actions}
    for turn in range(turns + 2):
        for label, action in actions.items():
            synchronise(device)
            began = time.perf_counter()
            action()
            synchronise(device)
            if turn > 1:
                taken[label].append(time.perf_counter() - began)
    return {label: statistics.median(times) for label, times in taken.items()}


def steps(traffic: TrafficSet, windows: Windows, size: dict[str, int], batch: int) -> None:
    """Training steps of networks of one kind of cell, and of the references."""
    networks = {
        f"six {cell} cells": Step(lambda a=arch: SPACE.build_network(a, traffic.name, size), windows)
        for cell in SPACE.operations
        for arch in [SPACE.architecture(dict.fromkeys(SPACE.decisions, cell))]
    }
    shapes = {"features": FEATURES, "steps": STEPS, "horizons": HORIZONS}
    for name in ("graph_wavenet", "stsgcn"):
        reference = registry.load("reference", name)()
        networks[name] = Step(lambda r=reference: r.build(traffic.adjacency, **shapes), windows)
    starts = windows.starts["train"][:batch]
    taken = medians({label: lambda s=step: s(starts) for label, step in networks.items()}, windows.device)
    base = taken["graph_wavenet"]
    rows = [
        [
            label,
            sum(weight.numel() for weight in step.network.parameters()),
            1e3 * taken[label],
            batch / taken[label],
            base / taken[label],
            step.kept() / 2**20,
        ]
        for label, step in networks.items()
    ]
    headers = ["network", "parameters", "ms", "samples/s", "x Graph WaveNet", "kept, MiB"]
    print(
        tabulate(
            rows, headers, tablefmt="github", floatfmt=("", ",.0f", ".0f", ".0f", ".2f", ".1f"), intfmt=","
        )
    )


def parts(traffic: TrafficSet, device: torch.device, size: dict[str, int], batch: int) -> None:
    """Forward and backward pass of the parts of a cell."""
    width, attention, hidden = size["channels"], size["attention"], size["feed_forward"]
    graph = Graph(traffic)
    modules: dict[str, tuple[nn.Module, int]] = {
        f"spatial operator, order {size['order']}": (SpatialOperator(graph, width, size["order"]), width),
        "temporal operator": (TemporalOperator(width, attention, size["heads"]), width),
        "feed-forward network, stt and tts": (FeedForward(attention, hidden, width, 0.1), attention),
        "feed-forward network, stp": (FeedForward(width + attention, hidden, width, 0.1), width + attention),
    }
    actions = {}
    for label, (module, channels) in modules.items():
        module.to(device)
        x = torch.randn(traffic.sensors, batch, STEPS, channels, device=device, requires_grad=True)
        wanted = [x, *module.parameters()]

        def action(
            module: nn.Module = module, x: torch.Tensor = x, wanted: list[torch.Tensor] = wanted
        ) -> None:
            output = module(x)
            torch.autograd.grad(output, wanted, torch.ones_like(output), allow_unused=True)

        actions[label] = action
    taken = medians(actions, device)
    *of_cell, parallel = taken.values()
    total = sum(of_cell)
    rows = [[label, 1e3 * seconds, 100 * seconds / total] for label, seconds in taken.items()]
    del parallel
    print(
        tabulate(rows, ["part of a cell", "ms", "% of stt"], tablefmt="github", floatfmt=("", ".2f", ".0f"))
    )


def sparse(device: torch.device, columns: int) -> None:
    """Products with the three matrices of a road network, sparse and dense, forward and backward."""
    rows = []
    generator = np.random.default_rng(0)
    for sensors in (170, 207, 325, 883):
        for share in (0.01, 0.03, 0.1, 0.2):
            present = generator.random((sensors, sensors)) < share
            adjacency = np.where(present, generator.random((sensors, sensors)), 0).astype(np.float32)
            np.fill_diagonal(adjacency, 1)
            traffic = replace(
                load_traffic("synthetic"), adjacency=adjacency, values=np.zeros((1, sensors), np.float32)
            )
            x = torch.randn(sensors, columns, device=device, requires_grad=True)
            actions = {}
            for label, kept_sparse in (("dense", False), ("sparse", True)):
                graph = Graph(traffic, sparse=kept_sparse).to(device)

                def action(graph: Graph = graph, x: torch.Tensor = x) -> None:
                    output = graph(x)
                    torch.autograd.grad(output, [x], torch.ones_like(output))

                actions[label] = action
            taken = medians(actions, device, turns=7)
            filled = float((Graph(traffic, sparse=False).matrices != 0).float().mean())
            ratio = taken["dense"] / taken["sparse"]
            rows.append([sensors, 100 * filled, 1e3 * taken["dense"], 1e3 * taken["sparse"], ratio])
    headers = ["sensors", "% filled", "dense, ms", "sparse, ms", "dense / sparse"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=("", ".1f", ".1f", ".1f", ".2f")))


def one_step(
    traffic: TrafficSet, windows: Windows, size: dict[str, int], batch: int, threads: int, strides: list[int]
) -> None:
    """Seconds of a whole one-step tuning."""
    arch = SPACE.architecture(dict(zip(SPACE.decisions, ["stp", "stt", "tts"] * 2, strict=True)))
    rows = []
    for stride in strides:
        made = train(
            lambda: SPACE.build_network(arch, traffic.name, size),
            windows,
            TrainingSettings(batch, stride=stride),
            passes=1,
            seed=0,
            threads=threads,
        )
        shown = -(-windows.count("train") // stride)
        rows.append([stride, shown, windows.count("valid"), made.seconds, made.valid.mae, made.test.mae])
    headers = ["stride", "training windows", "validation windows", "seconds", "MAE, valid", "MAE, test"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=("", "", "", ".1f", ".3f", ".3f"), intfmt=","))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dataset", default="synthetic")
    arguments.add_argument("--channels", type=int, default=32)
    arguments.add_argument("--feed-forward", type=int, default=64)
    arguments.add_argument("--heads", type=int, default=8)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--one-step", type=int, nargs="*", default=[], metavar="STRIDE")
    arguments.add_argument("--sparse", action="store_true", help="compare sparse and dense graphs")
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    traffic = load_traffic(chosen.dataset)
    usual = protocol(traffic.dataset)
    windows = Windows(traffic, usual.search, steps=STEPS, horizons=HORIZONS, device=device)
    size = {
        "channels": chosen.channels,
        "attention": chosen.channels,
        "heads": chosen.heads,
        "feed_forward": chosen.feed_forward,
        "order": 2,
    }
    print(
        f"{traffic.name}, {traffic.sensors} sensors, {size}, batches of {usual.batch_size}, {chosen.threads} threads\n"
    )
    steps(traffic, windows, size, usual.batch_size)
    print()
    parts(traffic, device, size, usual.batch_size)
    if chosen.sparse:
        print()
        sparse(device, usual.batch_size * STEPS * chosen.channels)
    if chosen.one_step:
        print()
        one_step(traffic, windows, size, usual.batch_size, chosen.threads, chosen.one_step)
    print(
        f"\nlargest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB"
    )


if __name__ == "__main__":
    main()
