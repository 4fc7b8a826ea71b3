"""Variants of a strategy beside what they are variants of."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from reports import ablations
from reports import curves
from reports import scores
from reports.load import load_results
from tests.reports.conftest import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from reports.ablations import Ablation

PLAIN = {"navigator_memory": True, "single": False, "phrasing": "base", "model": "m"}


def variant(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"strategy": {"name": "collm_nas", "params": PLAIN | changes}}
    return spec | {"models": {changes.get("model", "m"): {"kind": "embedded"}}}


def ablations_of(path: Path) -> list[Ablation]:
    results = load_results(path)
    ((label, ceiling),) = scores.ceilings(results).items()
    return ablations.ablations(results, curves.panels(results, label, ceiling)[0])


def changes_of(ablation: Ablation) -> dict[tuple[str, ...], list[tuple[str, str]]]:
    return {
        change.arguments: [(curve.strategy, text) for curve, text in change.variants]
        for change in ablation.changes
    }


def test_variants_stand_by_what_was_changed(tmp_path):
    entries = {
        "sillm": variant(single=True),
        "collm": variant(),
        "forgets": variant(navigator_memory=False),
        "brief": variant(phrasing="brief"),
        "formal": variant(phrasing="formal"),
        "other-model": variant(model="n"),
        "much": variant(single=True, phrasing="brief", navigator_memory=False),
    }
    folder = Folder(tmp_path / "s", ["random_search", *entries])
    folder.run("random_search", 0, "00 01")
    for label, spec in entries.items():
        folder.run(label, 0, "00 22" if label == "collm" else "00 11", spec=spec)
    (ablation,) = ablations_of(folder.path)
    # Not the first of the sweep, but the one that most others differ least from.
    assert ablation.original.strategy == "collm"
    assert ablation.original.mean.tolist() == [50, 72]
    assert changes_of(ablation) == {
        ("single",): [("sillm", "single: true")],
        ("navigator_memory",): [("forgets", "navigator_memory: false")],
        ("phrasing",): [("brief", "phrasing: brief"), ("formal", "phrasing: formal")],
        ("model",): [("other-model", "model: n")],
        ("navigator_memory", "single", "phrasing"): [("much", "much")],
    }
    assert ablation.changes[0].variants[0][0].mean.tolist() == [50, 61]
    assert ablation.name == "ablation-toy-a-collm"
    assert ablations.draw(ablation).svg.endswith(b"</svg>\n")


def test_many_values_of_one_argument_are_named_and_not_drawn(tmp_path):
    labels = [f"t{n}" for n in range(8)]
    folder = Folder(tmp_path / "s", ["sillm", *labels])
    folder.run("sillm", 0, "00", spec=variant(single=True, temperature=0))
    for number, label in enumerate(labels):
        folder.run(label, 0, "00", spec=variant(temperature=number))
    (ablation,) = ablations_of(folder.path)
    assert ablation.original.strategy == "t0"
    assert list(changes_of(ablation)) == [("single",)]
    assert ablation.left_out == (("temperature",),)
    assert "with more than 6 variants: temperature" in ablations.describe(ablation)


def test_nothing_where_every_strategy_is_there_once(compared, tmp_path):
    assert ablations_of(compared) == []
    folder = Folder(tmp_path / "s", ["collm", "sillm"])
    folder.run("collm", 0, "00", spec=variant())
    folder.run("sillm", 0, "00", spec=variant(single=True), status="failed", error="Traceback")
    assert ablations_of(folder.path) == []
