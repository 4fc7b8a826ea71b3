"""Tables of papers, number by number: what they must agree in, and which number belongs beside which run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from harness import registry
from harness.traffic.official import OFFICIAL
from reports.published import papers
from reports.published.papers import Paper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.published.papers import Value

ISTS = papers.load_paper("ists")
# The ISTS of the paper's main table, and what its runs ask.
COT = {"reasoning": "cot", "strategy": True, "memory": True, "exploration_rate": 0.6, "rounds": 15}


def values(table: str) -> dict[tuple[str, str], float]:
    """Row and column to number."""
    return {(value.row, value.column): value.mean for value in ISTS.values() if value.table == table}


def of(name: str, params: Mapping[str, object], *, model: str = "", dataset: str = "pems-08") -> Value | None:
    """The MAE of a run's strategy."""
    models = {"m": {"kind": "vllm", "model": model}} if model else {}
    spec = {
        "strategy": {"name": name, "params": params},
        "benchmark": {"name": "forecasting", "params": {}},
        "models": models,
    }
    return papers.of_strategy(spec, space="ists", dataset=dataset, measure="MAE", split="test")


def test_every_number_of_ists_is_there():
    assert Counter(value.table for value in ISTS.values()) == {
        "Table 2": 15 * 8 + 3,
        "Table 3": 5 * 8,
        "Table 4": 5 * 11,
        "Table 5": 9 * 3,
        "Table 6": 9 * 3,
    }


def test_what_is_best_where_is_counted_as_the_paper_counts_it():
    table = values("Table 2")
    rows = dict.fromkeys(row for row, _ in table if row != "Count")
    kinds = {
        "Non-NAS": ("STSGCN", "GraphW.N."),
        "NAS": ("DARTS", "DARTS-PT", "SDARTS", "PC-DARTS"),
        "ISTS": ("ISTS-COT", "ISTS-TOT"),
    }
    for kind, columns in kinds.items():
        best = [min(v for (r, _), v in table.items() if r == row) for row in rows]
        won = sum(any(table[row, c] == b for c in columns) for row, b in zip(rows, best, strict=True))
        assert won == table["Count", kind], kind


def test_tables_repeat_each_other():
    main, ablation, models = values("Table 2"), values("Table 5"), values("Table 6")
    for row in dict.fromkeys(row for row, _ in ablation):
        assert ablation[row, "ISTS"] == main[row, "ISTS-COT"] == models[row, "LLaMA3 (8B)"]


def test_sums_of_seconds_agree_but_for_rounding():
    table = values("Table 4")
    for row in dict.fromkeys(row for row, _ in table):
        for method in ("ISTS-COT", "ISTS-TOT"):
            parts = sum(table[row, f"{method}: {part}"] for part in ("Sim.", "Search"))
            assert abs(table[row, f"{method}: Total"] - parts) <= 1


def test_data_sets_are_those_that_can_be_imported():
    table = values("Table 3")
    for row in dict.fromkeys(row for row, _ in table):
        official = OFFICIAL[row.lower()]
        assert table[row, "Nodes"] == official.sensor_count
        # Three parts, each of which has 23 windows fewer than steps.
        assert table[row, "Steps"] == official.step_count - 3 * 23
        for use in ("search", "evaluation"):
            assert sum(table[row, f"Partition, {use}: {part}"] for part in ("train", "valid", "test")) == 10


def test_units_and_directions():
    for value in ISTS.values():
        if value.measure in {"MAE", "RMSE"}:
            assert value.unit == OFFICIAL[value.dataset].unit
        if value.measure in {"MAE", "RMSE", "MAPE", "seconds"}:
            assert value.direction == "lower"


@pytest.mark.parametrize("name", papers.PAPERS)
def test_names_are_ours(name):
    values = list(papers.load_paper(name).values())
    for kind in ("strategy", "reference", "proxy"):
        assert {getattr(value.subject, kind) for value in values} <= {None, *registry.names(kind)}


def test_a_run_finds_its_number():
    found = of("ists", COT | {"temperature": 0.6})
    assert found is not None
    assert (found.table, found.column, found.mean, found.runs) == ("Table 2", "ISTS-COT", 14.91, 3)
    without = of("ists", COT | {"memory": False})
    assert without is not None
    assert (without.table, without.column, without.mean, without.runs) == ("Table 5", "¬mem", 15.55, None)
    assert of("ists", COT | {"rounds": 30}) is None
    assert of("random_search", {}) is None
    assert of("darts", {}, dataset="pems-07") is None


def test_a_number_of_the_same_language_model_goes_first():
    found = of("ists", COT, model="Qwen/Qwen2-7B-Instruct")
    assert found is not None
    assert (found.table, found.column, found.mean) == ("Table 6", "Qwen2 (7B)", 15.18)
    other = of("ists", COT, model="HuggingFaceTB/SmolLM2-135M-Instruct")
    assert other is not None
    assert other.table == "Table 2"


def test_a_reference_finds_its_number():
    found = papers.of_reference("graph_wavenet", dataset="metr-la", measure="RMSE", split="test")
    assert found is not None
    assert found.mean == 5.78
    assert papers.of_reference("graph_wavenet", dataset="metr-la", measure="RMSE", split="valid") is None


TABLE = {
    "key": "p-table1",
    "table": "Table 1",
    "shows": "something",
    "columns": {"A": {}, "B": {"strategy": "darts"}},
    "rows": {"x": {"unit": "%", "direction": "higher", "values": ["93.5 ± 0.5", None]}},
}


def test_spreads_and_empty_cells():
    (value,) = Paper.model_validate(
        {"paper": "P", "title": "t", "where": "w", "year": 2025, "tables": [TABLE]}
    ).values()
    assert (value.column, value.mean, value.spread, value.unit, value.direction) == (
        "A",
        93.5,
        0.5,
        "%",
        "higher",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"rows": {"x": {"unit": "%", "direction": "higher", "values": [1.0]}}},
            "has 1 values for 2 columns",
        ),
        ({"rows": {"x": {"unit": "%", "direction": "up", "values": [1.0, 2.0]}}}, "direction"),
        ({"rows": {"x": {"direction": "lower", "values": [1.0, 2.0]}}}, "unit"),
        ({"rows": {"x": {"unit": "%", "direction": "lower", "values": [1.0, "2.0"]}}}, "values"),
        ({"runs": 0}, "runs"),
        ({"tabel": 1}, "tabel"),
    ],
)
def test_what_is_not_of_the_form_is_refused(changes, said):
    paper = {"paper": "P", "title": "t", "where": "w", "year": 2025, "tables": [TABLE | changes]}
    with pytest.raises(ValidationError, match=said):
        Paper.model_validate(paper)


def test_every_file_of_numbers_is_read():
    folder = Path(papers.__file__).parent
    assert {file.stem for file in folder.glob("*.yaml")} == set(papers.PAPERS)
