"""Reports of rankings: from folders written by hand, whose correlations are known, to every form of the report."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from harness import registry
from harness.benchmarks import data
from harness.errors import StoreError
from harness.ranking.folder import PROBLEMS
from harness.ranking.folder import SCORES
from harness.ranking.folder import SECONDS
from harness.ranking.folder import RankingFolder
from harness.ranking.folder import Record
from reports import published
from reports.build import build_report
from reports.scorers.load import load_rankings
from reports.scorers.sheet import sheet
from reports.scorers.table import SEED_TO_SEED
from reports.scorers.table import VALID_TO_TEST
from reports.scorers.table import ranking_table
from tests.reports.test_build import Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

N = 200


def scorer(name: str, role: str = "scorer", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "params": {},
        "role": role,
        "unit": "",
        "higher_is_better": True,
        "seconds": "none" if role == "floor" else "measured",
        "identity": {},
        "digest": name,
        "missing": None,
    } | changes


class Ranking:
    """A results folder of a ranking, with one benchmark after the other.

    Args:
        path: The sweep's folder.
        scorers: Labels of the sweep.
        benchmarks: Labels of the sweep.
        architectures: Size of the sample.
    """

    def __init__(
        self,
        path: Path,
        scorers: Sequence[str],
        benchmarks: Sequence[str] = ("toy-a",),
        architectures: int | str = N,
    ) -> None:
        self.path = path
        path.mkdir(parents=True)
        plan = {
            "format": 1,
            "kind": "ranking",
            "name": "handmade",
            "description": "Written by a test.",
            "benchmarks": list(benchmarks),
            "scorers": list(scorers),
            "architectures": architectures,
            "seed": 3,
        }
        (path / "sweep.json").write_text(json.dumps(plan))

    def benchmark(
        self,
        trained: dict[str, Any],
        scores: dict[str, Any],
        records: dict[str, dict[str, Any]],
        *,
        label: str = "toy-a",
        problems: Sequence[tuple[str, str, str]] = (),
        **record: Any,
    ) -> None:
        """Write a benchmark.

        Args:
            trained: Columns of trained scores.
            scores: Columns of scorers.
            records: What is known of the scorers.
            label: Label of the benchmark.
            problems: Rows of ``problems.csv``.
            record: Keys of ``ranking.json`` that differ.
        """
        n = len(trained["valid"])
        ncodes = [f"{i:06d}" for i in range(n)]
        lacks = {} if "test" in trained else {"test": "source 'toy' has none after 100 epochs"}
        content = {
            "format": 1,
            "benchmark": {"name": "toy", "params": {}},
            "dataset": "cifar10",
            "space": "nasbench201",
            "metric": {"name": "accuracy", "unit": "%", "higher_is_better": True},
            "fidelity": 100,
            "data": {"source": "toy table", "digest": "d" * 64},
            "sample": {"architectures": n, "of": 10 * n, "seed": 3},
            "seeds": {
                split: [int(c.partition("/")[2]) for c in trained if c.startswith(f"{split}/")]
                for split in ("valid", "test")
                if split not in lacks
            },
            "missing": lacks,
            "scorers": records,
            "versions": {"harness": "0.1.0"},
            "digests": {},
        } | record
        columns = {name: [_text(v) for v in values] for name, values in (trained | scores).items()}
        seconds = {name: [_text(0.5 + 0.001 * i) for i in range(n)] for name in scores}
        rows = list(zip(*problems, strict=True)) or [(), (), ()]
        RankingFolder(self.path / label).write(
            Record.model_validate(content),
            {
                SCORES: {"ncode": ncodes, **columns},
                PROBLEMS: dict(zip(("ncode", "scorer", "problem"), map(list, rows), strict=True)),
                SECONDS: {"ncode": ncodes, **seconds},
            },
        )


def _text(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


FLOORS = {"parameters": scorer("parameters", "floor"), "flops": scorer("flops", "floor")}


@pytest.fixture
def noisy() -> dict[str, np.ndarray]:
    """Orders that agree less and less with the first."""
    rng = np.random.default_rng(5)
    valid = rng.permutation(N) / 2
    return {name: valid + rng.normal(scale=noise, size=N) for name, noise in NOISES.items()} | {
        "valid": valid
    }


NOISES = {"test": 2.0, "seed": 3.0, "close": 8.0, "far": 60.0, "parameters": 30.0, "flops": 31.0}


@pytest.fixture
def ranked(tmp_path: Path, noisy: dict[str, np.ndarray]) -> Path:
    """A good scorer, one that wants few, a useless one that failed twice, floors, and what it lacks."""
    labels = ["close", "reversed", "far", "cheap", "parameters", "flops"]
    folder = Ranking(tmp_path / "handmade", labels)
    trained = {
        "valid": noisy["valid"],
        "valid/1": noisy["valid"] + 0.1,
        "valid/2": noisy["seed"],
        "test": noisy["test"],
    }
    far = noisy["far"].copy()
    far[:2] = math.nan
    scores = {
        "close": noisy["close"],
        "reversed": -noisy["close"],
        "far": far,
        "parameters": noisy["parameters"],
        "flops": noisy["flops"],
    }
    records = {
        "close": scorer("synflow", params={"seed": 1}),
        "reversed": scorer("ntk", higher_is_better=False),
        "far": scorer("fisher"),
        "cheap": scorer(
            "trained", "ceiling", seconds="simulated", missing="source 'toy' has 100 epochs alone"
        ),
        **FLOORS,
    }
    problems = [("000000", "far", "no <gradient>"), ("000001", "far", "no <gradient>")]
    folder.benchmark(trained, scores, records, problems=problems)
    (folder.path / "sessions.jsonl").write_text(
        json.dumps(
            {
                "started": "2025-01-01T00:00:00+00:00",
                "versions": {"torch": "9.9"},
                "git": {"commit": "c0ffee"},
                "host": {"cpus": 2, "platform": "Linux"},
            }
        )
        + '\n{"torn'
    )
    return folder.path


def rows(path: Path, benchmark: int = 0) -> pd.DataFrame:
    return ranking_table(load_rankings(path).benchmarks[benchmark]).frame.set_index("scorer")


class TestTable:
    def test_correlations_are_those_of_scipy_with_either_target(self, ranked, noisy):
        frame = rows(ranked)
        for target in ("valid", "test"):
            expected = stats.kendalltau(noisy["close"], noisy[target]).statistic
            assert frame.loc["close", f"tau_{target}"] == pytest.approx(expected)
            expected = stats.spearmanr(noisy["close"], noisy[target]).statistic
            assert frame.loc["close", f"spearman_{target}"] == pytest.approx(expected)
            assert frame.loc["close", f"tau_{target}_low"] < frame.loc["close", f"tau_{target}"]
            best = np.argsort(noisy[target])[-N // 10 :]
            expected = stats.kendalltau(noisy["close"][best], noisy[target][best]).statistic
            assert frame.loc["close", f"top_{target}"] == pytest.approx(expected)

    def test_scorers_come_first_then_floors_then_ceilings(self, ranked):
        frame = rows(ranked)
        assert list(frame.index) == [
            "close", "reversed", "far", "parameters", "flops", "cheap", SEED_TO_SEED, VALID_TO_TEST,
        ]  # fmt: skip
        assert list(frame["role"]) == ["scorer"] * 3 + ["floor"] * 2 + ["ceiling"] * 3

    def test_lower_scores_may_be_better(self, ranked):
        frame = rows(ranked)
        columns = [c for c in frame if c.startswith(("tau", "spearman", "top", "gain"))]
        assert frame.loc["reversed", columns].tolist() == frame.loc["close", columns].tolist()

    def test_lower_trained_scores_may_be_better(self, ranked):
        record = json.loads((ranked / "toy-a/ranking.json").read_text())
        record["metric"]["higher_is_better"] = False
        before = rows(ranked)
        (ranked / "toy-a/ranking.json").write_text(json.dumps(record))
        after = rows(ranked)
        assert after.loc["close", "tau_test"] == -before.loc["close", "tau_test"]
        assert after.loc[VALID_TO_TEST, "tau_test"] == before.loc[VALID_TO_TEST, "tau_test"]

    def test_failures_are_counted_and_in_no_pair(self, ranked, noisy):
        frame = rows(ranked)
        assert frame.loc["far", ["scored", "failed"]].tolist() == [N - 2, 2]
        expected = stats.kendalltau(noisy["far"][2:], noisy["test"][2:]).statistic
        assert frame.loc["far", "tau_test"] == pytest.approx(expected)
        # The floor is that of the same architectures.
        floor = stats.kendalltau(noisy["parameters"][2:], noisy["test"][2:]).statistic
        assert frame.loc["far", "gain_test"] == pytest.approx(expected - floor)

    def test_ceilings(self, ranked, noisy):
        frame = rows(ranked)
        expected = stats.kendalltau(noisy["valid"], noisy["seed"]).statistic
        assert frame.loc[SEED_TO_SEED, "tau_valid"] == pytest.approx(expected)
        assert math.isnan(frame.loc[SEED_TO_SEED, "tau_test"])
        expected = stats.kendalltau(noisy["valid"], noisy["test"]).statistic
        assert frame.loc[VALID_TO_TEST, "tau_test"] == pytest.approx(expected)
        # Validation is no test of itself.
        assert math.isnan(frame.loc[VALID_TO_TEST, "tau_valid"])

    def test_several_seeds_are_compared_in_pairs(self, tmp_path, noisy):
        seeds = [noisy["valid"], noisy["seed"], noisy["test"].copy()]
        seeds[2][:50] = math.nan
        trained = {"valid": noisy["valid"]} | {f"valid/{i}": seed for i, seed in enumerate(seeds)}
        folder = Ranking(tmp_path / "s", ["parameters"])
        folder.benchmark(trained, {"parameters": noisy["parameters"]}, {"parameters": FLOORS["parameters"]})
        pairs = [(seeds[0], seeds[1], 0), (seeds[0], seeds[2], 50), (seeds[1], seeds[2], 50)]
        expected = np.mean([stats.kendalltau(a[k:], b[k:]).statistic for a, b, k in pairs])
        row = rows(folder.path).loc[SEED_TO_SEED]
        assert row["tau_valid"] == pytest.approx(expected)
        assert row["tau_valid_low"] < expected < row["tau_valid_high"]

    def test_the_difference_to_the_floor_is_of_pairs(self, ranked):
        frame = rows(ranked)
        close, far = frame.loc["close"], frame.loc["far"]
        assert close["gain_test"] == pytest.approx(close["tau_test"] - frame.loc["parameters", "tau_test"])
        assert close["gain_test_low"] > 0
        assert far["gain_test_high"] < 0
        assert math.isnan(frame.loc["parameters", "gain_test"])
        # What both share by the luck of the draw falls out of the difference of flops.
        width = frame.loc["flops", "gain_test_high"] - frame.loc["flops", "gain_test_low"]
        alone = frame.loc["flops", "tau_test_high"] - frame.loc["flops", "tau_test_low"]
        assert width < 2 * alone

    def test_a_floor_of_equal_order_makes_no_difference(self, tmp_path, noisy):
        folder = Ranking(tmp_path / "s", ["same", "parameters"])
        records = {"same": scorer("zen"), "parameters": FLOORS["parameters"]}
        scores = {"same": 3 * noisy["parameters"] + 1, "parameters": noisy["parameters"]}
        folder.benchmark({"valid": noisy["valid"]}, scores, records)
        row = rows(folder.path).loc["same"]
        assert row[["gain_valid", "gain_valid_low", "gain_valid_high"]].tolist() == [0, 0, 0]
        assert "it cannot be told from that floor" in build_report(folder.path).markdown

    def test_perfect_constant_and_tied_scores(self, tmp_path, noisy):
        folder = Ranking(tmp_path / "s", ["perfect", "worst", "constant", "halves", "none"])
        valid = noisy["valid"]
        scores = {
            "perfect": valid**3,
            "worst": -valid,
            "constant": np.ones(N),
            "halves": (valid > np.median(valid)).astype(float),
            "none": np.full(N, math.nan),
        }
        problems = [(f"{i:06d}", "none", "it never can") for i in range(N)]
        folder.benchmark(
            {"valid": valid}, scores, {label: scorer(label) for label in scores}, problems=problems
        )
        frame = rows(folder.path)
        columns = ["tau_valid", "tau_valid_low", "tau_valid_high", "spearman_valid", "top_valid"]
        assert frame.loc["perfect", columns].tolist() == pytest.approx([1] * 5)
        assert frame.loc["worst", columns].tolist() == pytest.approx([-1] * 5)
        assert frame.loc["constant", columns].isna().all()
        assert frame.loc["none", columns].isna().all()
        assert frame.loc["none", ["scored", "failed"]].tolist() == [0, N]
        # Of n things in two halves, n / 2 (n / 2 - 1) pairs are tied, and tau-b is the root of the others' share.
        tied = (N / 2 - 1) / (N - 1)
        assert frame.loc["halves", "ties"] == pytest.approx(tied)
        assert frame.loc["halves", "tau_valid"] == pytest.approx(math.sqrt(1 - tied))
        said = build_report(folder.path).markdown
        assert "constant: all scores are equal, so there is no order and no tau." in said
        assert f"none {N} (it never can)" in said
        assert "Highest tau (validation) of the scorers: perfect, 1.000 (1.000 to 1.000)." in said

    def test_very_few_architectures_have_no_interval(self, tmp_path, noisy):
        folder = Ranking(tmp_path / "s", ["perfect", "parameters"], architectures=9)
        valid = noisy["valid"][:9]
        scores = {"perfect": valid**3, "parameters": noisy["parameters"][:9]}
        records = {"perfect": scorer("perfect"), "parameters": FLOORS["parameters"]}
        folder.benchmark({"valid": valid}, scores, records)
        row = rows(folder.path).loc["perfect"]
        assert row["tau_valid"] == pytest.approx(1)
        assert row[["tau_valid_low", "tau_valid_high", "gain_valid_low", "spearman_valid_low"]].isna().all()
        said = build_report(folder.path).markdown
        assert "perfect, 1.000 (too few architectures for an interval)." in said
        assert "which cannot be judged" in said

    def test_few_architectures_have_no_best_tenth(self, tmp_path, noisy):
        folder = Ranking(tmp_path / "s", ["parameters"], architectures=90)
        scores = {"parameters": noisy["parameters"][:90]}
        folder.benchmark({"valid": noisy["valid"][:90]}, scores, {"parameters": FLOORS["parameters"]})
        assert math.isnan(rows(folder.path).loc["parameters", "top_valid"])
        assert "No tau of the best 10%: fewer than 10 architectures" in build_report(folder.path).markdown

    def test_architectures_without_a_trained_score_are_in_no_pair(self, tmp_path, noisy):
        valid = noisy["valid"].copy()
        valid[:7] = math.nan
        folder = Ranking(tmp_path / "s", ["parameters"])
        folder.benchmark(
            {"valid": valid}, {"parameters": noisy["parameters"]}, {"parameters": FLOORS["parameters"]}
        )
        expected = stats.kendalltau(noisy["parameters"][7:], valid[7:]).statistic
        assert rows(folder.path).loc["parameters", "tau_valid"] == pytest.approx(expected)
        assert "7 architectures have no validation score" in build_report(folder.path).markdown


class TestSheet:
    def test_what_is_said_of_test_and_validation(self, ranked):
        printed = sheet(ranking_table(load_rankings(ranked).benchmarks[0]))
        heads = [head.rstrip("¹²³⁴⁵⁶⁷⁸⁹ ") for head in printed.wide.heads]
        assert "Kendall's tau, test" in heads
        assert "Kendall's tau, validation" in heads
        assert "(test and validation, 100 epochs" in printed.caption
        assert [head for head in printed.narrow.heads if "tau" in head] == ["tau test"]
        assert "Highest tau (test) of the scorers: close" in printed.closing

    def test_a_source_without_test_says_so_and_prints_no_number_under_it(self, tmp_path, noisy):
        folder = Ranking(tmp_path / "s", ["parameters"])
        folder.benchmark(
            {"valid": noisy["valid"]},
            {"parameters": noisy["parameters"]},
            {"parameters": FLOORS["parameters"]},
        )
        printed = sheet(ranking_table(load_rankings(folder.path).benchmarks[0]))
        (test,) = [i for i, head in enumerate(printed.wide.heads) if "test" in head]
        assert {row[test].text for row in printed.wide.rows} == {"–"}
        assert any(
            "No test scores: source 'toy' has none after 100 epochs." in note for note in printed.notes
        )
        assert not any("test" in head for head in printed.narrow.heads)
        assert "No scores of" in " ".join(printed.notes)
        assert "No scorer has a tau" in printed.closing

    def test_what_beats_the_floor(self, ranked):
        printed = sheet(ranking_table(load_rankings(ranked).benchmarks[0]))
        column = next(i for i, head in enumerate(printed.wide.heads) if head.startswith("Beats parameters"))
        verdicts = {row[0].text: row[column].text for row in printed.wide.rows}
        assert verdicts["close"] == "yes"
        assert verdicts["far"] == "no"
        assert {verdicts[label] for label in ("parameters", "flops", "cheap", VALID_TO_TEST)} == {"–"}

    def test_the_paper_stands_beside_what_it_reports(self, ranked):
        frame = rows(ranked)
        # The scorer labelled `close` is registered as synflow.
        assert frame.loc["close", ["published_tau", "published_spearman"]].tolist() == [0.54, 0.73]
        assert frame["published_tau"].count() == 1
        said = build_report(ranked).markdown
        assert "RZ-NAS (2025), Table 3: with test accuracy" in said

    def test_best_scorers_are_marked_and_floors_never(self, ranked):
        printed = sheet(ranking_table(load_rankings(ranked).benchmarks[0]))
        ranks = {row[0].text: max(cell.rank for cell in row) for row in printed.wide.rows}
        assert ranks["close"] == ranks["reversed"] == 1
        assert ranks["parameters"] == ranks[VALID_TO_TEST] == 0


class TestReport:
    def test_files_and_equal_bytes(self, ranked, tmp_path):
        first, second = build_report(ranked, tmp_path / "1"), build_report(ranked, tmp_path / "2")
        assert sorted(file.name for file in first.files) == [
            "agreement-toy-a.pdf",
            "agreement-toy-a.png",
            "agreement-toy-a.svg",
            "report.html",
            "report.md",
            "table-toy-a.csv",
            "table-toy-a.tex",
            "taus-test.pdf",
            "taus-test.png",
            "taus-test.svg",
            "taus-valid.pdf",
            "taus-valid.png",
            "taus-valid.svg",
        ]
        for one, other in zip(first.files, second.files, strict=True):
            assert one.read_bytes() == other.read_bytes(), one.name

    def test_the_page_is_whole_and_needs_no_network(self, ranked):
        text = build_report(ranked).page.read_text()
        page = Page(text)
        assert [link for link in page.links if not link.startswith("#")] == []
        assert {link[1:] for link in page.links} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
        for said in ("Written by a test.", "c0ffee", "torch 9.9", "2 CPUs", "seed = 1", "d" * 64):
            assert said in text
        assert "every planned benchmark has the scores of every planned scorer" in text
        assert "no &lt;gradient&gt;" in text

    def test_the_table_fits_a_terminal(self, ranked):
        shown = io.StringIO()
        Console(width=100, file=shown).print(*build_report(ranked).console_tables)
        lines = shown.getvalue().splitlines()
        assert max(map(len, lines)) <= 100
        (close,) = [line for line in lines if line.lstrip().startswith("close")]
        assert " to " in close
        assert "…" not in shown.getvalue()

    def test_csv_holds_the_numbers(self, ranked):
        frame = pd.read_csv(build_report(ranked).page.with_name("table-toy-a.csv")).set_index("scorer")
        assert frame.loc["far", "failed"] == 2
        # The median of 0.5, 0.501, ...
        assert frame.loc["close", "seconds"] == pytest.approx(0.5 + 0.001 * (N - 1) / 2)

    def test_latex_has_a_rule_above_the_floors(self, ranked):
        text = build_report(ranked).page.with_name("table-toy-a.tex").read_text()
        assert "\\midrule\nparameters &" in text

    def test_an_incomplete_folder_is_told_as_it_is(self, tmp_path, noisy):
        labels = ["a", "b", "parameters"]
        folder = Ranking(tmp_path / "s", labels, ["toy-a", "toy-b", "toy-c", "toy-d"])
        trained = {"valid": noisy["valid"]}
        records = {"a": scorer("a"), "parameters": FLOORS["parameters"]}
        scores = {"a": noisy["close"], "parameters": noisy["parameters"]}
        folder.benchmark(trained, scores, records)
        folder.benchmark(trained, scores, records, label="toy-c")
        with (folder.path / "toy-c/scores.csv").open("a") as file:
            file.write("torn")
        sample = {"architectures": N, "of": 10 * N, "seed": 4}
        folder.benchmark(trained, scores, records, label="toy-d", sample=sample)
        report = build_report(folder.path)
        for said in (
            "toy-a has no scores of b yet; the same `harness run` makes it.",
            "toy-b is not scored yet; the same `harness run` makes it.",
            "toy-c is not written whole; the same `harness run` makes it.",
            "toy-d holds a sample of 200 architectures (seed 4), and the sweep one of 200 (seed 3)",
        ):
            assert f"- {said}" in report.markdown
        assert "1 of 4 benchmarks are scored" in " ".join(report.page.read_text().split())
        shown = io.StringIO()
        Console(width=300, file=shown).print(*report.console_tables)
        assert "toy-b is not scored yet" in shown.getvalue()

    def test_without_any_scores_there_is_no_report(self, tmp_path):
        folder = Ranking(tmp_path / "s", ["a"])
        with pytest.raises(StoreError, match="no scores yet. toy-a is not scored yet"):
            build_report(folder.path)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ('{"kind": "ranking"}', "made by another version"),
            ('{"kind": "ranking", "format": 1, "name": "s"}', "`benchmarks` is damaged"),
        ],
    )
    def test_a_damaged_plan_is_named(self, ranked, content, said):
        (ranked / "sweep.json").write_text(content)
        with pytest.raises(StoreError, match=said):
            build_report(ranked)

    def test_damaged_scores_are_named(self, ranked):
        file = ranked / "toy-a/ranking.json"
        record = json.loads(file.read_text())
        record["digests"] = {}
        file.write_text(json.dumps(record))
        scores = ranked / "toy-a/scores.csv"
        scores.write_text(scores.read_text().replace("\n000003,", "\n000003,x"))
        with pytest.raises(StoreError, match="scores.csv: column 'valid' is damaged"):
            build_report(ranked)


def test_published_numbers_are_of_registered_proxies_and_data_sets():
    paper = published.rz_nas()
    assert set(paper.proxies) == set(data.NASBENCH201_DATASETS)
    for dataset in paper.proxies:
        reported = paper.of("nasbench201", dataset)
        assert set(reported) == {"grasp", "synflow", "zen", "zen_running", "zico"}
        assert set(reported) <= set(registry.names("proxy"))
        # Of one order, Spearman's correlation is above Kendall's tau.
        assert all(r.spearman > r.kendall > 0 for r in reported.values())
    assert paper.of("nasbench101", "cifar10") == {}
    assert paper.of("nasbench201", "svhn") == {}
