"""Tables of papers, number by number: what they must agree in, and which number belongs beside which run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from harness import registry
from harness.errors import DataError
from harness.spaces.nasbench201 import NASBench201Space
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


def values_of(**changes: object) -> list[Value]:
    return list(
        Paper.model_validate(
            {"paper": "P", "title": "t", "where": "w", "year": 2025, "tables": [TABLE | changes]}
        ).values()
    )


def test_facts_stand_where_they_hold():
    row = {"dataset": "cifar10", "params": {"b": 2}}
    cells = [1.0, {"mean": 2.0, "space": "darts"}]
    first, second = values_of(
        unit="%",
        direction="higher",
        space="nasbench201",
        runs=3,
        params={"a": 1, "b": 1},
        columns={"A": {"runs": 5, "params": {"c": 3}}, "B": {}},
        rows={"x": row | {"values": cells}},
    )
    # A row and a column go before the table, and parameters add up.
    assert (first.space, first.runs, first.dataset, first.subject.params) == (
        "nasbench201",
        5,
        "cifar10",
        {"a": 1, "b": 2, "c": 3},
    )
    # A cell goes before all.
    assert (second.space, second.runs, second.mean) == ("darts", 3, 2.0)


def test_cells_that_hold_no_number_of_their_own():
    facts = {"unit": "%", "direction": "higher"}
    found = values_of(
        rows={"x": facts | {"values": [1.5, {"text": "MS"}]}, "y": facts | {"values": ["ditto", None]}}
    )
    assert [(value.row, value.column, value.mean) for value in found] == [("x", "A", 1.5), ("y", "A", 1.5)]


def test_zeros_that_are_printed_are_kept():
    facts = {"unit": "%", "direction": "higher"}
    (value,) = values_of(rows={"x": facts | {"values": ["94.30 ± 0.00", None]}})
    assert value.printed == "94.30 ± 0.00"


@pytest.mark.parametrize("key", papers.table_keys())
def test_tables_are_found_by_their_keys(key):
    paper, table = papers.find_table(key)
    assert table in paper.tables
    assert table.key == key
    assert any(value.key == key for value in paper.values())
    # The key says which table it is.
    assert table.table.lower().replace(" ", "").replace(".", "").startswith(key.split("-")[1])


def test_an_unknown_table_is_named_with_those_that_there_are():
    with pytest.raises(
        DataError, match=r"unknown published table 'colm-table3', did you mean 'collm-table3'"
    ) as error:
        papers.find_table("colm-table3")
    assert "lms-table10" in str(error.value)


def test_keys_of_tables_are_unique():
    keys = papers.table_keys()
    assert len(keys) == len(set(keys)) == 34


def test_architectures_of_table_7_are_cells():
    _, table = papers.find_table("collm-table7")
    space = NASBench201Space()
    cells = [row.values[0].text for row in table.rows.values()]
    assert len({space.parse(cell) for cell in cells}) == 10
    assert [space.format(space.parse(cell)) for cell in cells] == cells


@pytest.mark.parametrize(
    ("name", "params", "models", "searched", "expected"),
    [
        ("random_search", {}, [], {}, ("CoLLM-NAS", "Table 3", "RS", 93.83)),
        ("reinforce", {"learning_rate": 0.01, "ema": 0.9}, [], {}, ("CoLLM-NAS", "Table 3", "RL", 93.94)),
        ("reinforce", {"learning_rate": 0.5, "ema": 0.9}, [], {}, None),
        ("proxy_evolution", {}, [], {"proxy": "zico"}, ("RZ-NAS", "Table 2", "ZiCo", 93.35)),
        ("proxy_evolution", {}, [], {"proxy": "parameters"}, None),
        # A search whose objective is a proxy is not the one whose objective is accuracy.
        ("random_search", {}, [], {"proxy": "zico"}, None),
        ("lm_searcher", {"mapping": "intact"}, [], {}, ("LM-Searcher", "Table 6", "w/o Shuffle", 94.20)),
        ("lm_searcher", {"mapping": "shuffled"}, [], {}, ("LM-Searcher", "Table 6", "Shuffle", 93.87)),
        ("collm_nas", {"temperature": 0.6}, [], {}, ("CoLLM-NAS", "Table 3", "Ours", 94.37)),
        (
            "collm_nas",
            {"temperature": 0.6},
            ["Qwen/Qwen3-32B"],
            {},
            ("CoLLM-NAS", "Table 5", "Qwen3-32B*", 94.31),
        ),
        ("collm_nas", {"temperature": 1.0}, [], {}, None),
    ],
)
def test_runs_on_nasbench201_find_their_numbers(name, params, models, searched, expected):
    defaults = {
        "collm_nas": {
            "navigator_memory": True,
            "generator_memory": False,
            "single": False,
            "phrasing": "base",
            "names": "plain",
        },
        "lm_searcher": {"names": "ncode", "candidate_source": "random"},
    }
    spec = {
        "strategy": {"name": name, "params": defaults.get(name, {}) | params},
        "benchmark": {"name": "nasbench201", "params": searched},
        "models": {model: {"model": model} for model in models},
    }
    found = papers.of_strategy(spec, space="nasbench201", dataset="cifar10", measure="accuracy", split="test")
    assert (found and (found.paper, found.table, found.row, found.mean)) == expected
    assert papers.of_strategy(spec, space="ists", dataset="cifar10", measure="accuracy", split="test") is None


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
        (
            {"rows": {"x": {"unit": "%", "direction": "lower", "values": [1.0, "2.0 +- 1"]}}},
            "no mean with its spread",
        ),
        (
            {"rows": {"x": {"unit": "%", "direction": "lower", "values": ["ditto", 1.0]}}},
            "nothing is above this ditto",
        ),
        (
            {
                "rows": {
                    "x": {"unit": "%", "direction": "lower", "strategy": "enas", "values": [1.0, 2.0]},
                }
            },
            "row 'x', column 'B' of Table 1: its row and its column each have strategy, and not the same",
        ),
        ({"columns": {"A": {"sum_of": ["C"]}, "B": {}}}, "'A' of Table 1 is computed from 'C'"),
        ({"counts_best_of": "p-table2"}, "counts the best of 'p-table2'"),
        ({"key": "Table 1"}, "key"),
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
