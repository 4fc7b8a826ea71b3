"""The checker of published numbers: what it finds in the papers, and that it finds what is planted and nothing else."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import get_args

import numpy as np
import pytest

from reports.published import papers
from reports.published.check import check
from reports.published.comparable import NASBENCH201_BEST
from reports.published.comparable import Best
from reports.published.finding import Kind
from reports.published.papers import Paper

if TYPE_CHECKING:
    from reports.published.finding import Finding

FOUND = check()
CELLS = {"space": "nasbench201", "measure": "accuracy", "unit": "%", "direction": "higher"}
SPLITS = {"valid": {"split": "valid"}, "test": {"split": "test"}}


def paper(*tables: dict[str, Any], name: str = "P", **facts: Any) -> Paper:
    """A paper of these tables, of accuracies on NAS-Bench-201 where they do not say otherwise."""
    printed = [
        {"key": f"{name.lower()}-table{i}", "table": f"Table {i}", "shows": "numbers", "methods": "rows"}
        | CELLS
        | table
        for i, table in enumerate(tables, start=1)
    ]
    return Paper.model_validate(
        {"paper": name, "title": "t", "where": "w", "year": 2025, "tables": printed} | facts
    )


def table(rows: dict[str, Any], columns: dict[str, Any] = SPLITS, **facts: Any) -> dict[str, Any]:
    """A table on CIFAR-10: of each row its values, or its facts and its values."""
    printed = {
        name: row[0] | {"values": row[1]} if isinstance(row, tuple) else {"values": row}
        for name, row in rows.items()
    }
    return {"dataset": "cifar10", "columns": columns, "rows": printed} | facts


def found(*of: Paper, **arguments: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Kinds and numbers."""
    return [(finding.kind, tuple(v.printed for v in finding.values)) for finding in check(of, **arguments)]


def of_kind(kind: str) -> list[Finding]:
    return [finding for finding in FOUND if finding.kind == kind]


def test_what_is_found_in_the_papers():
    assert Counter(finding.kind for finding in FOUND) == {
        "impossible value": 8,
        "impossible spread": 3,
        "different numbers": 12,
        "number of another column": 2,
        "same numbers in two spaces": 2,
        "same numbers of two methods": 8,
        "incomparable column": 1,
        "no spread": 8,
    }


def test_the_documentation_says_what_is_there():
    page = (Path(__file__).parents[2] / "docs/published.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| ([a-z ]+) \| .* \| (\d+) \|$", page, re.MULTILINE))
    assert documented == {kind: str(len(of_kind(kind))) for kind in get_args(Kind)}
    assert re.findall(r"^\| `([a-z]+-[a-z0-9-]+)` \|", page, re.MULTILINE) == papers.table_keys()


def test_findings_are_in_a_stable_order():
    assert check() == FOUND
    kinds = [finding.kind for finding in FOUND]
    assert kinds == sorted(kinds, key=list(dict.fromkeys(kinds)).index)


def test_errors_of_another_space_are_impossible():
    (parents,) = [f for f in of_kind("impossible value") if f.rows == ("RZ-NAS",) and f.columns == ("ZiCo",)]
    assert parents.tables == ("rz-table6",)
    assert "2.41 ± 0.13 % error" in parents.sentence
    assert "no architecture of nasbench201 is below 5.63 (cifar10, test" in parents.sentence


def test_a_deviation_that_three_runs_cannot_have():
    finding = next(f for f in of_kind("impossible spread") if f.values[0].printed == "93.99 ± 3.44")
    # The same number in three tables is one finding.
    assert finding.tables == ("rz-table2", "rz-table9", "rz-table10")


def test_rows_under_two_names():
    pairs = {
        (f.values[0].method, f.values[1].method): len(f.values) // 2
        for f in of_kind("same numbers of two methods")
    }
    assert pairs == {
        ("PC-DARTS", "Ours(Gradnorm)"): 2,
        ("DARTS-", "Ours(Zen-NAS)"): 2,
        ("SNAS", "Ours(GraSP)"): 4,
        ("RLNAS", "ZiCo"): 4,
        ("DrNAS", "β-NAS"): 4,
        ("GraSP", "Gradnorm"): 3,
        ("Synflow", "Ours(Zen-NAS)"): 5,
        ("Ours(Zen-Score)", "GraSP"): 6,
    }


def test_numbers_that_tables_repeat_wrongly():
    numbers = {tuple(value.printed for value in finding.values) for finding in of_kind("different numbers")}
    assert {("73.30 ± 0.21", "74.30 ± 0.21"), ("45.51", "45.41"), ("46.16 ± 0.30", "46.34 ± 0.32")} <= numbers


def test_validation_in_a_column_of_test():
    assert [(f.values[0].printed, f.values[0].key) for f in of_kind("number of another column")] == [
        ("15.03", "lms-table2"),
        ("39.77", "lms-table8"),
    ]


def test_errors_of_two_spaces_stand_in_one_column():
    (finding,) = of_kind("incomparable column")
    assert finding.columns == ("CIFAR10: Test Err.(%)",)
    # What makes numbers of NAS-Bench-201 of them: they are what its test accuracies leave.
    errors = {v.method: v.mean for v in finding.values if v.space == "nasbench201"}
    accuracies = {
        v.method.lower(): v.mean
        for v in papers.load_paper("lm_searcher").values()
        if (v.key, v.dataset, v.split) == ("lms-table9", "cifar10", "test")
    }
    assert len(errors) == 4
    assert all(accuracies[method.lower()] + error == pytest.approx(100) for method, error in errors.items())


def test_numbers_that_follow_from_others_are_right_in_the_papers():
    assert of_kind("wrong arithmetic") == []


def test_a_paper_without_faults_has_no_finding():
    clean = table(
        {
            "A": ["91.20 ± 0.40", "93.90 ± 0.30"],
            "B": [91.1, 93.5],
            "Best": ({"optimum": True}, [91.61, 94.37]),
        },
        runs=10,
    )
    assert found(paper(clean)) == []


@pytest.mark.parametrize(
    ("facts", "value"),
    [
        ({}, 94.5),
        ({}, -0.1),
        ({"space": "darts"}, 100.4),
        ({"measure": "error", "direction": "lower"}, 5.1),
        ({"measure": "Kendall's tau", "unit": ""}, 1.02),
        ({"measure": "p-value", "unit": "", "direction": "none"}, -0.01),
        ({"measure": "IoU", "space": "s"}, 101.0),
    ],
)
def test_impossible_values(facts, value):
    assert found(paper(table({"A": [value]}, {"x": {"split": "test"}}) | facts)) == [
        ("impossible value", (f"{value:g}",))
    ]


@pytest.mark.parametrize(
    ("facts", "value"),
    [
        # 94.37 is the best as it is printed; what one seed reaches is more.
        ({}, 94.37),
        ({"measure": "error", "direction": "lower"}, 5.63),
        ({"space": "darts"}, 97.6),
        ({"measure": "MAPE", "direction": "lower", "space": "ists"}, 120.0),
    ],
)
def test_possible_values(facts, value):
    assert found(paper(table({"A": [value]}, {"x": {"split": "test"}}) | facts)) == []


def test_the_best_of_a_space_is_what_is_passed():
    of = paper(table({"A": [80.0]}, {"x": {"split": "test"}}))
    assert found(of, best={("nasbench201", "cifar10", "test"): Best(79.0, 79.5)}) == [
        ("impossible value", ("80",))
    ]
    assert found(of, best={}) == []


@pytest.mark.parametrize("runs", [2, 3, 10])
def test_the_largest_spread_is_that_of_all_runs_but_one_at_the_best(runs):
    best = NASBENCH201_BEST["nasbench201", "cifar10", "test"].training
    scores = np.array([best] * (runs - 1) + [90.0])
    mean, std = scores.mean(), scores.std(ddof=1)

    def of(spread: float) -> Paper:
        return paper(table({"A": [f"{mean:.2f} ± {spread:.2f}"]}, {"x": {"split": "test"}}, runs=runs))

    assert found(of(std)) == []
    assert [kind for kind, _ in found(of(std + 0.05))] == ["impossible spread"]


def test_a_standard_error_is_smaller_by_the_root_of_the_runs():
    def of(kind: str) -> Paper:
        return paper(table({"A": ["94.00 ± 0.60"]}, {"x": {"split": "test"}}, runs=3, spreads=kind))

    # At most (94.56 - 94.00) √3 = 0.97, and 0.56.
    assert found(of("standard deviation")) == []
    assert [kind for kind, _ in found(of("standard error"))] == ["impossible spread"]


def test_runs_that_are_not_said_are_at_most_those_that_are():
    silent = table({"A": ["94.00 ± 1.20"]}, {"x": {"split": "test"}})
    assert found(paper(silent)) == []
    assert found(paper(silent, table({"B": [93.0]}, {"x": {"split": "test"}}, runs=10))) == []
    few = found(paper(silent, table({"B": [93.0]}, {"x": {"split": "test"}}, runs=3)))
    assert few == [("impossible spread", ("94.00 ± 1.20",))]


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        ([90.5, 93.5], []),
        ([90.7, 93.5], ["different numbers"]),
        (["90.54 ± 0.1", 93.5], []),
        ([90.5, 90.5], ["different numbers", "number of another column"]),
    ],
)
def test_one_method_in_two_papers(other, kinds):
    def numbers(values: list[Any]) -> dict[str, Any]:
        return table({"DARTS (Liu, 2019)": ({"strategy": "darts"}, values)})

    assert [kind for kind, _ in found(paper(numbers([90.5, 93.5])), paper(numbers(other), name="Q"))] == kinds


def test_methods_that_we_do_not_have_are_told_by_name():
    first = paper(table({"AG-Net (Lukasik et al., 2022)": [90.1, 93.2]}))
    second = paper(table({"AG-NET": [90.1, 93.3], "SGNAS": [90.4, 93.4]}), name="Q")
    assert found(first, second) == [("different numbers", ("93.2", "93.3"))]


@pytest.mark.parametrize(
    ("facts", "same"),
    [
        ({}, True),
        ({"params": {"memory": True}}, True),
        ({"params": {"memory": False}}, False),
        ({"model": "large"}, True),
        ({"model": "small"}, False),
        ({"proxy": "zico"}, False),
        ({"setting": "other words"}, False),
        ({"space": "darts"}, False),
        ({"dataset": "cifar100"}, False),
    ],
)
def test_what_sets_numbers_apart(facts, same):
    first = table({"Ours": ({"strategy": "ists", "params": {"memory": True}}, [60.0, 61.0])})
    second = table({"Ours, again": ({"strategy": "ists"} | facts, [60.0, 62.0])})
    of = paper(first, second, strategy="ists", model="large")
    assert found(of) == ([("different numbers", ("61", "62"))] if same else [])


def test_one_method_in_two_spaces():
    first = table({"A": ["91.00 ± 0.12", 93.0]})
    assert found(paper(first, first | {"space": "darts"})) == [
        ("same numbers in two spaces", ("91.00 ± 0.12",) * 2)
    ]


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        ({"A": ["91.00 ± 0.12", "93.00 ± 0.34"], "B": ["91.00 ± 0.12", "93.00 ± 0.34"]}, 2),
        ({"A": ["91.00 ± 0.12", "93.00 ± 0.34"], "B": ["91.00 ± 0.12", "93.00 ± 0.35"]}, 0),
        # Without spreads two may be chance.
        ({"A": [91.0, 93.0], "B": [91.0, 93.0]}, 0),
        # Several may find the best.
        ({"A": ["91.61 ± 0.01", "94.37 ± 0.02"], "B": ["91.61 ± 0.01", "94.37 ± 0.02"]}, 0),
    ],
)
def test_two_methods_with_the_same_numbers(rows, shared):
    kinds = found(paper(table(rows)))
    assert [(kind, len(values) // 2) for kind, values in kinds] == (
        [("same numbers of two methods", shared)] if shared else []
    )


def test_three_equal_numbers_without_spreads_are_not_chance():
    columns = {f"{d}": {"dataset": d, "split": "test"} for d in ("a", "b", "c", "d", "e", "f", "g")}
    rows = {"A": [1.1, 2.2, 3.3, 4.4, 5.5, 6.6, 7.7], "B": [1.1, 2.2, 3.3, 4.5, 5.6, 6.7, 7.8]}
    few = {key: value for key, value in columns.items() if key < "g"}

    def of(width: int, columns: dict[str, Any]) -> Paper:
        whole = table({name: values[:width] for name, values in rows.items()}, columns)
        del whole["dataset"]
        return paper(whole)

    assert [kind for kind, _ in found(of(6, few))] == ["same numbers of two methods"]
    assert found(of(7, columns)) == []


@pytest.mark.parametrize(("total", "right"), [(15.7, True), (15.8, True), (15.9, True), (16.0, False)])
def test_sums(total, right):
    # Two numbers and their sum are each off by up to 0.05.
    columns = {
        "one": {"part": "one"},
        "two": {"part": "two"},
        "all": {"part": "all", "sum_of": ["one", "two"]},
    }
    of = paper(table({"A": [10.4, 5.4, total], "B": [1.2, 2.3, 3.5]}, columns))
    assert found(of) == ([] if right else [("wrong arithmetic", ("16", "10.4", "5.4"))])


@pytest.mark.parametrize(
    ("average", "right"), [(0.44, True), (0.442, True), (0.45, False), (0.4, True), (0.5, False)]
)
def test_averages(average, right):
    rows = {"1": [0.410], "2": [0.448], "3": [0.467], "mean": ({"average_of": ["1", "2", "3"]}, [average])}
    of = paper(table(rows, {"tau": {"measure": "Kendall's tau", "unit": ""}}, methods="none"))
    assert [kind for kind, _ in found(of)] == ([] if right else ["wrong arithmetic"])


@pytest.mark.parametrize(("direction", "ranks"), [("higher", [2, 1, 3]), ("lower", [2, 3, 1])])
def test_ranks(direction, ranks):
    def of(ranks: list[int]) -> Paper:
        columns = {"x": {"direction": direction}, "rank": {"ranks": "x", "measure": "rank", "unit": "rank"}}
        rows = {name: [x, rank] for name, x, rank in zip("abc", (92.1, 93.4, 91.5), ranks, strict=True)}
        return paper(table(rows, columns))

    assert found(of(ranks)) == []
    assert [kind for kind, _ in found(of(ranks[::-1]))] == ["wrong arithmetic"] * 2


def test_how_often_one_is_the_best():
    content = papers.load_paper("ists").model_dump(exclude_unset=True)
    assert found(Paper.model_validate(content)) == []
    count = next(t for t in content["tables"] if t["key"] == "ists-table2-count")
    count["rows"]["Count"]["values"] = [5, 3, 9]
    (finding,) = check([Paper.model_validate(content)])
    assert finding.kind == "wrong arithmetic"
    assert finding.values[0].printed == "3"
    assert finding.sentence.endswith(
        "DARTS, DARTS-PT, SDARTS, PC-DARTS are the best in 4 of 15 rows, equals included."
    )


def test_a_column_of_two_spaces():
    both = table({"A": [96.0], "B": ({"space": "nasbench201"}, [94.0])}, {"x": {"split": "test"}})
    both["space"] = "darts"
    assert found(paper(both)) == [("incomparable column", ("96", "94"))]
    # Of neither is it known that it ends anywhere.
    assert found(paper(both), best={}) == []


def test_several_runs_without_a_spread():
    rows = {"A": ["90.00 ± 0.00", "93.00 ± 0.20"], "Best found": ["91.61 ± 0.00", "94.37 ± 0.00"]}
    assert found(paper(table(rows, runs=3))) == [("no spread", ("90.00 ± 0.00",))]
    assert found(paper(table(rows, runs=1))) == []


def test_planted_errors_in_a_paper_are_found():
    content = papers.load_paper("collm_nas").model_dump(exclude_unset=True)
    before = check([Paper.model_validate(content)])
    assert before == []
    tables = {each["key"]: each for each in content["tables"]}
    tables["collm-table3"]["rows"]["Ours"]["values"][1] = "94.73 ± 0.01"
    tables["collm-appendix-f"]["rows"]["average"]["values"][0] = 0.54
    tables["collm-table7"]["rows"]["4"]["values"][2] = 3
    tables["collm-table4"]["rows"]["Variant 1"]["values"] = tables["collm-table4"]["rows"]["Variant 2"][
        "values"
    ]
    after = Counter(finding.kind for finding in check([Paper.model_validate(content)]))
    assert after == {
        "impossible value": 1,
        "different numbers": 1,
        "same numbers of two methods": 1,
        "wrong arithmetic": 2,
    }


def test_best_scores_are_those_of_the_paper_that_gives_them():
    optimum = [value for value in papers.load_paper("collm_nas").values() if value.subject.optimum]
    assert len(optimum) == len(NASBENCH201_BEST)
    for value in optimum:
        best = NASBENCH201_BEST[value.space, value.dataset, str(value.split)]
        assert math.isclose(value.mean, best.mean, abs_tol=0.005)
        assert best.training > best.mean
