"""``harness report`` over several sweeps, as a user calls it, on NAS-Bench-201."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from reports.load import load_results
from reports.scores import ceilings
from reports.scores import final_scores
from tests.harness.command import harness
from tests.harness.command import refused

DATASETS = ("cifar10", "cifar100")
EXPERIMENTS = """
tracking: {uri: null}
sweeps:
  first:
    benchmarks: [{name: nasbench201, dataset: [cifar10, cifar100]}]
    budget: {architectures: 4}
    seeds: 2
    strategies: [random_search]
  second:
    benchmarks: [nasbench201]
    budget: {architectures: 4}
    seeds: 1
    strategies: [{name: reinforce, learning_rate: 0.01}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiments file and the results of its first sweep."""
    folder = tmp_path_factory.mktemp("papers")
    (folder / "experiments.yaml").write_text(EXPERIMENTS)
    harness("run", "--no-report", cwd=folder)
    return folder


def test_one_table(made):
    said = harness("report", "results", "--table", "collm-table3", cwd=made).stdout
    frame = pd.read_csv(made / "results" / "papers" / "paper-collm-table3.csv")
    measured = frame[frame["n"] > 0].set_index(["row", "dataset"])
    # The data that come with the harness have no test scores: every other column stays empty.
    assert set(measured["split"]) == {"valid"}
    assert list(measured.index) == [(row, dataset) for row in ("RS", "Optimal") for dataset in DATASETS]
    runs = load_results(made / "results" / "first")
    means = runs.runs.join(final_scores(runs, ceilings(runs))).groupby("benchmark")["valid"].mean()
    for dataset in DATASETS:
        found = measured.loc[("RS", dataset)]
        assert (found["n"], found["sweep"]) == (2, "first")
        assert found["measured_mean"] == pytest.approx(means[f"nasbench201-{dataset}"])
        assert found["difference"] == pytest.approx(found["measured_mean"] - found["published_mean"])
        assert found["conditions"] == "4 architectures; trained for 200 epochs"
        # The best cell of each data set is the one that the paper has.
        assert measured.loc[("Optimal", dataset), "verdict"] == "agrees"
    assert (
        "`harness run experiments.yaml --sweep second` has runs of 2 numbers (1 needs a source with test"
        in (" ".join(said.split()))
    )
    # Of tables, for sentences are folded where a terminal ends.
    assert max(len(line) for line in said.splitlines() if "CIFAR" in line) <= 100


def test_all_tables_of_the_folder_that_is_called_results(made):
    said = harness("report", cwd=made).stdout
    page = made / "results" / "papers" / "papers.html"
    assert str(page.relative_to(made)) in said
    (line,) = (line for line in said.splitlines() if line.strip().startswith("collm-table3"))
    assert line.split()[-3:] == ["72", "4", "second"]
    text = page.read_text()
    for key in ("collm-table3", "rz-table2", "lms-table9", "ists-table2"):
        assert f'id="{key}"' in text


def test_an_unknown_table_is_refused_with_near_misses(made):
    said = " ".join(refused("report", "results", "--table", "colm-table3", cwd=made).split())
    assert "unknown published table 'colm-table3', did you mean 'collm-table3'" in said
    assert "rz-table2" in said


def test_an_experiments_file_that_somebody_named_must_be_there(made, tmp_path):
    said = refused("report", "results", "--table", "collm-table3", "--file", "mine.yaml", cwd=made)
    assert "mine.yaml" in said
    # One that nobody named need not be: then no sweep is proposed.
    out = tmp_path / "out"
    harness("report", made / "results", "--table", "collm-table3", "--out", out, cwd=tmp_path)
    assert "harness run" not in (out / "paper-collm-table3.md").read_text()


def test_where_there_are_no_results_it_says_so(tmp_path):
    (tmp_path / "pictures").mkdir()
    assert "this is no results folder" in " ".join(refused("report", "pictures", cwd=tmp_path).split())
    assert "nowhere" in refused("report", "nowhere", "--table", "collm-table3", cwd=tmp_path)
