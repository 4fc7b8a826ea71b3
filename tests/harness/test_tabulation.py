"""Tables of trainings: made, cut off, made again, and used as a benchmark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness import experiment
from harness import registry
from harness import scoring
from harness import search
from harness.benchmarks.forecasting import Forecasting
from harness.benchmarks.table import open_table
from harness.benchmarks.table import write_table
from harness.benchmarks.tabular import TabularBenchmark
from harness.benchmarks.tabulated import Tabulated
from harness.benchmarks.tabulated import table_path
from harness.budget import Budget
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.ranking.plan import plan_ranking
from harness.spaces.ists import ISTSSpace
from harness.tabulation import Plan
from harness.tabulation import make_table
from harness.tabulation import plan_table
from harness.task import Task
from tests.harness.command import harness
from tests.harness.command import kill
from tests.harness.command import refused
from tests.harness.command import start
from tests.harness.forecasting import TINY
from tests.harness.quick import SOURCE
from tests.harness.results import record
from tests.harness.results import rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

SPACE = ISTSSpace()
SWEEPS: dict[str, Any] = {
    "s": {"benchmarks": ["nasbench201"], "strategies": ["random_search"], "seeds": 1, "budget": {"trials": 1}}
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With a data folder of its own."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    scoring._make_benchmark.cache_clear()
    yield tmp_path
    scoring._make_benchmark.cache_clear()


@pytest.fixture
def quick(plugin: Callable[..., None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log of what the quick benchmark has trained."""
    plugin(SOURCE, {"quick": "Quick"}, "harness.benchmarks")
    monkeypatch.setenv("QUICK_LOG", str(folder / "log"))
    return folder / "log"


@pytest.fixture
def begun(quick: Path, folder: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts ``harness tabulate``, and returns when it has begun so many trainings."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(trainings: int, workers: int, **table: Any) -> subprocess.Popen[bytes]:
        write(folder, t=table)
        process = start("tabulate", "t", "--file", "e.yaml", "--workers", str(workers), cwd=folder)
        processes.append(process)
        began = time.monotonic()
        while not quick.exists() or len(trained(quick)) < trainings:
            assert process.poll() is None, "it ended early"
            assert time.monotonic() - began < 120
            time.sleep(0.02)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            kill(process, group=True)


def write(folder: Path, sweeps: dict[str, Any] | None = None, **tables: Any) -> Path:
    file = folder / "e.yaml"
    content = {"tracking": {"uri": None}, "tables": tables, "sweeps": sweeps or SWEEPS}
    # What is JSON is YAML.
    file.write_text(json.dumps(content, indent=1))
    return file


def planned(folder: Path, **table: Any) -> Plan:
    return plan_table(experiment.read_experiments(write(folder, t={"benchmark": "quick"} | table)), "t")


def make(folder: Path, workers: int = 1, **table: Any) -> list[tuple[int, int]]:
    """Make table ``t`` of the quick benchmark; returns the progress that was told."""
    told: list[tuple[int, int]] = []
    make_table(planned(folder, **table), workers=workers, progress=lambda *done: told.append(done))
    return told


def trained(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()]


# What is made.


def test_a_table_of_a_whole_space(quick: Path, folder: Path) -> None:
    told = make(folder, seeds=2, fidelities=[4])
    assert told == [(done, 729 * 2) for done in range(729 * 2 + 1)]
    table = Tabulated("t")
    assert isinstance(table, TabularBenchmark)
    assert (table.name, table.dataset, table.space.name) == ("tabulated", "hills", "ists")
    assert table.description == "What a formula says of hills."
    assert [measure.name for measure in table.measures] == ["MAE", "MAPE"]
    assert (table.metric.unit, table.metric.higher_is_better) == ("mph", False)
    assert (table.fidelities, table.splits) == ((4,), ("valid", "test"))
    made = registry.load("benchmark", "quick")()
    for arch in list(SPACE)[::91]:
        for split in ("valid", "test"):
            for measure in (None, "MAE", "MAPE"):
                for seed in (0, 1, None):
                    question = {"split": split, "fidelity": 4, "seed": seed, "measure": measure}
                    assert table.query(arch, **question) == made.query(arch, **question)
        found, truth = (benchmark.evaluate(arch, fidelity=4, seed=1) for benchmark in (table, made))
        assert (found.value, found.seed, found.measures) == (truth.value, 1, truth.measures)
        # Seconds of one training, where they were made.
        assert (found.cost_seconds, found.cost_kind) == (0.625, "simulated")
    mean = table.evaluate(SPACE.from_index(8), fidelity=4, seed=None)
    assert (mean.value, mean.measures) == (21.75, {"MAE": 21.75, "MAPE": 10.875})
    # Lower is better.
    assert table.optimum(split="valid", fidelity=4) == (SPACE.from_index(0), 20.75)


def test_a_larger_sample_holds_the_smaller_ones(quick: Path, folder: Path) -> None:
    make(folder, architectures=5, fidelities=[1])
    few = trained(quick)
    assert len(few) == 5
    table_path("t").unlink()
    make(folder, architectures=9, fidelities=[1])
    assert trained(quick)[:5] == few
    assert len(set(trained(quick))) == len(trained(quick)) == 9
    table_path("t").unlink()
    make(folder, architectures=9, fidelities=[1], seed=1)
    assert len(trained(quick)) > 12, "of another seed it is another one"


def test_what_is_not_in_a_sample_is_missing(quick: Path, folder: Path) -> None:
    make(folder, architectures=5, fidelities=[1])
    table = Tabulated("t")
    inside = {int(name.split("/")[0], 3) for name in trained(quick)}
    scores = table.scores(split="valid", fidelity=1)
    assert set(np.flatnonzero(~np.isnan(scores))) == inside
    outside = SPACE.from_index(min(set(range(729)) - inside))
    for ask in (
        lambda: table.evaluate(outside, fidelity=1, seed=None),
        lambda: table.query(outside, split="test", fidelity=1, measure="MAPE"),
    ):
        with pytest.raises(DataError, match="has no (valid|test) score at 1 epochs of architecture stp"):
            ask()
    with pytest.raises(DataError, match="has no valid scores of hills at 4 epochs; it has valid at 1 epochs"):
        table.query(SPACE.from_index(min(inside)), split="valid", fidelity=4)
    for measure in (None, "MAPE"):
        with pytest.raises(
            DataError, match=r"hills test at 1 epochs has no training seed 7; it has seeds 0\."
        ):
            table.query(SPACE.from_index(min(inside)), split="test", fidelity=1, seed=7, measure=measure)
    with pytest.raises(DataError, match="'tabulated' measures no 'RMSE'; it measures MAE, MAPE"):
        table.query(SPACE.from_index(min(inside)), split="test", fidelity=1, measure="RMSE")
    assert table.optimum(split="valid", fidelity=1) is None


def test_cheap_trainings_come_first(quick: Path, folder: Path) -> None:
    make(folder, architectures=3, seeds=2, references=["stsgcn"])
    fidelities = [name.split("/")[1:] for name in trained(quick)]
    assert fidelities == [["1", "0"]] * 4 + [["1", "1"]] * 4 + [["4", "0"]] * 4 + [["4", "1"]] * 4
    assert trained(quick)[0] == "stsgcn/1/0"


def test_networks_that_people_designed(quick: Path, folder: Path) -> None:
    make(folder, architectures=2, seeds=3, references=["stsgcn", "graph_wavenet"])
    table = Tabulated("t")
    assert table.references == ("stsgcn", "graph_wavenet")
    assert table.query_reference("stsgcn", split="test", fidelity=4) == 1021.25
    assert table.query_reference("stsgcn", split="valid", fidelity=1, seed=2, measure="MAPE") == 11.5
    for wrong, says in (
        ({"name": "dcrnn", "split": "test", "fidelity": 4}, "no test score of dcrnn after 4 epochs"),
        ({"name": "stsgcn", "split": "test", "fidelity": 2}, "no test score of stsgcn after 2 epochs"),
        ({"name": "stsgcn", "split": "train", "fidelity": 4}, "no train score of stsgcn"),
        ({"name": "stsgcn", "split": "test", "fidelity": 4, "seed": 3}, r"after 4 epochs with seed 3\."),
        ({"name": "stsgcn", "split": "test", "fidelity": 4, "seed": -1}, r"with seed -1\."),
        ({"name": "stsgcn", "split": "test", "fidelity": 4, "measure": "R2"}, "measures no 'R2'"),
    ):
        with pytest.raises(DataError, match=says):
            table.query_reference(**wrong)  # type: ignore[arg-type]


def test_a_table_without_references(quick: Path, folder: Path) -> None:
    make(folder, architectures=2)
    assert Tabulated("t").references == ()


def test_a_table_needs_no_traffic(quick: Path, folder: Path) -> None:
    make(folder, architectures=2)
    # There is no traffic set of hills. What an architecture costs there is not known, then, and no error.
    assert Task.of(Tabulated("t"), 1).cost(SPACE, SPACE.from_index(0)) is None


def test_what_a_table_says_of_itself(quick: Path, folder: Path) -> None:
    make(folder, architectures=2, benchmark={"name": "quick", "slope": 2.0})
    provenance = open_table(table_path("t")).provenance
    assert provenance["origin"] == "a formula"
    benchmark = json.loads(provenance["benchmark"])
    assert (benchmark["name"], benchmark["slope"], benchmark["dataset"]) == ("quick", 2.0, "hills")
    assert Tabulated("t").source == "t (a formula)"


# What has no score.


def test_trainings_without_a_score(quick: Path, folder: Path) -> None:
    make(folder, seeds=2, fidelities=[1], architectures=30, benchmark={"name": "quick", "broken": "*2/1/1"})
    sample = {name.split("/")[0] for name in trained(quick)}
    some = SPACE.from_ncode(min(name for name in sample if name.endswith("2")))
    whole = SPACE.from_ncode(min(name for name in sample if not name.endswith("2")))
    table = Tabulated("t")
    assert table.evaluate(whole, fidelity=1, seed=None).value == 21.5 + SPACE.index(whole) / 8
    # One of its two has.
    assert table.evaluate(some, fidelity=1, seed=None).value == 21 + SPACE.index(some) / 8
    assert {table.evaluate(some, fidelity=1, seed=seed).seed for seed in range(9)} == {0}
    with pytest.raises(DataError, match=r"no valid score of training seed 1 \(it has 0\)"):
        table.query(some, split="valid", fidelity=1, seed=1)


def test_architectures_without_a_score(quick: Path, folder: Path) -> None:
    make(folder, fidelities=[1], benchmark={"name": "quick", "broken": "*2/1/*"})
    table = Tabulated("t")
    assert np.isnan(table.scores(split="valid", fidelity=1)).sum() == 243
    assert np.isnan(table.scores(split="test", fidelity=1, measure="MAPE")).sum() == 243
    with pytest.raises(ScoreError, match=r"none of its trainings for table .*t.npz had a score") as caught:
        table.evaluate(SPACE.from_ncode("000002"), fidelity=1, seed=None)
    # It was paid for.
    assert caught.value.seconds == 0.5
    with pytest.raises(ScoreError):
        table.evaluate(SPACE.from_ncode("000002"), fidelity=1, seed=5)
    # So a search goes on.
    spec = experiment.RunSpec(
        strategy=experiment.Named(name="random_search", params={}),
        benchmark=experiment.Named(name="tabulated", params={"table": "t"}),
        objective=experiment.Objective(fidelity=1, noise="mean"),
        budget=Budget(architectures=30),
        seed=0,
        models={},
        labels=experiment.Labels(sweep="s", benchmark="b", strategy="random_search"),
    )
    outcome = search.run(spec, folder / "run")
    assert outcome.status == "complete", outcome.error
    states = {(row["ncode"][-1] == "2", row["state"]) for row in rows(folder / "run")}
    assert states == {(True, "failed"), (False, "complete")}
    assert "settle_seconds" not in record(folder / "run"), "a table has it all"


def test_references_without_a_score(quick: Path, folder: Path) -> None:
    make(
        folder,
        architectures=2,
        seeds=2,
        references=["stsgcn", "graph_wavenet"],
        benchmark={"name": "quick", "broken": "[sg]*[mt]/4/*"},
    )
    table = Tabulated("t")
    table_path("t").unlink()
    assert table.references == ("stsgcn",)
    with pytest.raises(DataError, match="no test score of graph_wavenet after 4 epochs"):
        table.query_reference("graph_wavenet", split="test", fidelity=4)
    make(
        folder,
        architectures=2,
        seeds=2,
        references=["stsgcn", "graph_wavenet"],
        benchmark={"name": "quick", "broken": "stsgcn/?/0", "dataset": "valleys"},
    )
    table = Tabulated("t")
    # Each score belongs to its seed.
    assert table.query_reference("stsgcn", split="valid", fidelity=4, seed=1) == 21.25
    with pytest.raises(DataError, match=r"no valid score of stsgcn after 4 epochs with seed 0\."):
        table.query_reference("stsgcn", split="valid", fidelity=4, seed=0)
    assert table.query_reference("stsgcn", split="valid", fidelity=4) == 21.25
    assert table.references == ("stsgcn", "graph_wavenet")


# Made again.


def test_nothing_is_trained_twice(quick: Path, folder: Path) -> None:
    make(folder, architectures=5)
    first = table_path("t").read_bytes()
    count = len(trained(quick))
    told = make(folder, architectures=5)
    assert (told[0], told[-1]) == ((0, 10), (10, 10))
    assert len(trained(quick)) == count
    assert table_path("t").read_bytes() == first
    table_path("t").write_bytes(first[:-20])
    make(folder, architectures=5)
    assert Tabulated("t").table.read(), "a damaged table is written anew"
    assert len(trained(quick)) == count


def test_workers_make_the_same_table(quick: Path, folder: Path) -> None:
    make(
        folder,
        workers=3,
        architectures=40,
        seeds=2,
        references=["stsgcn"],
        benchmark={"name": "quick", "broken": "*1/1/0"},
    )
    several = open_table(table_path("t"))
    assert len(trained(quick)) == len(set(trained(quick))) == 41 * 4
    table_path("t").unlink()
    for found in (folder / "data" / "trained").rglob("trainings.jsonl"):
        found.unlink()
    scoring._make_benchmark.cache_clear()
    make(
        folder,
        workers=1,
        architectures=40,
        seeds=2,
        references=["stsgcn"],
        benchmark={"name": "quick", "broken": "*1/1/0"},
    )
    alone = open_table(table_path("t"))
    assert alone.digest == several.digest
    assert alone.provenance == several.provenance
    assert len(trained(quick)) == 2 * 41 * 4


def test_other_content_is_no_table_of_the_same_name(quick: Path, folder: Path) -> None:
    make(folder, architectures=3)
    before = table_path("t").read_bytes()
    write(folder, t={"benchmark": {"name": "quick", "slope": 2.0}, "architectures": 3})
    said = refused("tabulate", "t", "--file", "e.yaml", "--workers", "1", cwd=folder)
    assert "table 't' exists with other content, and results may depend on it." in said
    assert str(table_path("t")) in said
    assert table_path("t").read_bytes() == before


@pytest.mark.parametrize(
    ("workers", "sent", "ended"),
    [(2, signal.SIGINT, 130), (1, signal.SIGTERM, 143), (2, signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_table_that_was_cut_off_goes_on(
    workers: int,
    sent: signal.Signals,
    ended: int,
    begun: Callable[..., subprocess.Popen[bytes]],
    quick: Path,
    folder: Path,
) -> None:
    table = {"benchmark": {"name": "quick", "wait": 0.2}, "architectures": 12, "fidelities": [1]}
    running = begun(4, workers, **table)
    # A terminal tells all that the command has started, too.
    (os.killpg if sent is signal.SIGINT else os.kill)(running.pid, sent)
    assert running.wait(timeout=60) == ended
    assert not table_path("t").exists()
    # What it has started has ended with it.
    time.sleep(0.5)
    done = trained(quick)
    time.sleep(0.5)
    assert trained(quick) == done
    assert len(done) < 12
    make(folder, **table)
    # Only what was being trained was trained again.
    assert set(done) <= set(trained(quick))
    assert len(set(trained(quick))) == 12
    assert len(trained(quick)) <= 12 + workers
    assert (~np.isnan(Tabulated("t").scores(split="valid", fidelity=1))).sum() == 12


def test_who_cuts_off_a_table_need_not_wait_for_trainings(
    begun: Callable[..., subprocess.Popen[bytes]],
) -> None:
    running = begun(2, 2, benchmark={"name": "quick", "wait": 600.0}, architectures=5)
    # To the command alone.
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait(timeout=60) == 143


def test_a_process_that_dies_is_told(quick: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (folder / "site" / "third_party.py").read_text()
    (folder / "site" / "third_party.py").write_text(
        source.replace("time.sleep(self._wait)", "os._exit(3) if label.endswith('2/4/0') else None")
    )
    says = "a process that trained died .* What was finished is kept; the same command goes on"
    with pytest.raises(ScoreError, match=says):
        make(folder, workers=2, architectures=9)
    assert not table_path("t").exists()


def test_a_folder_that_cannot_be_written(quick: Path, folder: Path) -> None:
    write(folder, t={"benchmark": "quick", "architectures": 3})
    (folder / "data").write_text("in the way")
    said = refused("tabulate", "t", "--file", "e.yaml", "--workers", "2", cwd=folder)
    assert "data" in said


# What the file says.


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, r"e.yaml:\d+: tables.t.benchmark: `benchmark` is missing; it is required"),
        (
            {"benchmark": "quik"},
            r"e.yaml:\d+: tables.t.benchmark: unknown benchmark 'quik', did you mean 'quick'",
        ),
        (
            {"benchmark": {"name": "quick", "slop": 1.0}},
            r"e.yaml:\d+: tables.t.benchmark.slop: unknown parameter of benchmark 'quick' 'slop', did you mean 'slope'",
        ),
        (
            {"benchmark": {"name": "quick", "slope": "steep"}},
            r"e.yaml:\d+: tables.t.benchmark.slope: Input should be a valid number; got 'steep'",
        ),
        (
            {"benchmark": {"name": "quick", "slope": [1.0, 2.0]}},
            r"e.yaml:\d+: tables.t.benchmark: here is one benchmark, so a parameter has one value and no list",
        ),
        (
            {"benchmark": {"name": "quick", "slope": []}},
            r"e.yaml:\d+: tables.t.benchmark: `slope` is an empty list",
        ),
        (
            {"benchmark": "nasbench201"},
            r"e.yaml:\d+: tables.t.benchmark: benchmark 'nasbench201' trains nothing: a table is made of one that does",
        ),
        (
            {"benchmark": {"name": "forecasting", "dataset": "metr-la"}},
            r"e.yaml:\d+: tables.t.benchmark: traffic set 'metr-la' is not imported",
        ),
        (
            {"benchmark": "quick", "fidelities": [1, 2]},
            r"e.yaml:\d+: tables.t.fidelities: 2 epochs are no fidelity of this benchmark; it has 1, 4",
        ),
        ({"benchmark": "quick", "fidelities": []}, r"e.yaml:\d+: tables.t.fidelities: .*at least 1 item"),
        (
            {"benchmark": "quick", "fidelities": [0]},
            r"e.yaml:\d+: tables.t.fidelities.*greater than or equal to 1",
        ),
        (
            {"benchmark": "quick", "references": ["planner", "stsgcm"]},
            r"e.yaml:\d+: tables.t.references: nobody has designed 'stsgcm'",
        ),
        (
            {"benchmark": "quick", "references": ["planner", "planner"]},
            r"e.yaml:\d+: tables.t.references: 'planner' is listed twice",
        ),
        (
            {"benchmark": {"name": "forecasting"}, "references": ["stsgcm"]},
            r"e.yaml:\d+: tables.t.references: unknown reference 'stsgcm', did you mean 'stsgcn'",
        ),
        (
            {"benchmark": "quick", "architectures": 730},
            r"e.yaml:\d+: tables.t.architectures: 730 architectures are more than the 729 of 'ists'; write all",
        ),
        (
            {"benchmark": "quick", "architectures": "some"},
            r"e.yaml:\d+: tables.t.architectures: architectures are a number of at least 1, or `all`; got 'some'",
        ),
        (
            {"benchmark": "quick", "architectures": 0},
            r"tables.t.architectures: architectures are a number of at least 1",
        ),
        (
            {"benchmark": "quick", "architectures": True},
            r"tables.t.architectures: architectures are a number",
        ),
        ({"benchmark": "quick", "seeds": 0}, r"e.yaml:\d+: tables.t.seeds: .*greater than or equal to 1"),
        ({"benchmark": "quick", "seed": -1}, r"e.yaml:\d+: tables.t.seed: .*greater than or equal to 0"),
        (
            {"benchmarks": ["quick"]},
            r"e.yaml:\d+: tables.t.benchmarks: a table is of one benchmark: `benchmark`",
        ),
        (
            {"benchmark": "quick", "strategies": ["random_search"]},
            r"e.yaml:\d+: tables.t.strategies: a table searches nothing; name it as `table` of the benchmark",
        ),
        (
            {"benchmark": "quick", "fidelity": 1},
            r"e.yaml:\d+: tables.t.fidelity: unknown key 'fidelity', did you mean 'fidelities'",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(table: dict[str, Any], says: str, quick: Path, folder: Path) -> None:
    with pytest.raises(SpecError, match=says):
        plan_table(experiment.read_experiments(write(folder, t=table)), "t")


@pytest.mark.parametrize("name", ["a/b", "", "../x", "-a", "a b", "x" * 101])
def test_names_that_no_table_can_have(name: str, folder: Path) -> None:
    with pytest.raises(
        SpecError, match=r"e.yaml:\d+: tables.*: a table's name names a file: letters"
    ) as caught:
        experiment.read_experiments(write(folder, **{name: {"benchmark": "forecasting"}}))
    assert "got" not in str(caught.value)


def test_a_table_that_the_file_does_not_have(quick: Path, folder: Path) -> None:
    write(folder, mine={"benchmark": "quick"})
    said = refused("tabulate", "mime", "--file", "e.yaml", cwd=folder)
    assert "e.yaml: unknown table 'mime', did you mean 'mine'? Known: mine." in said


def test_tables_by_name(quick: Path, folder: Path) -> None:
    make(folder, architectures=2)
    for name in ("u", "../tabulated/t", "", "T"):
        with pytest.raises(SpecError, match="unknown table .*`harness tabulate` makes tables"):
            Tabulated(name)
    table = open_table(table_path("t"))
    write_table(table_path("foreign"), "ists", table.read(), {"origin": "elsewhere"})
    with pytest.raises(DataError, match=r"foreign.npz was not made by `harness tabulate` .*; delete it"):
        Tabulated("foreign")
    table_path("t").write_bytes(table_path("t").read_bytes()[:100])
    with pytest.raises(DataError, match=r"t.npz is corrupt"):
        Tabulated("t")


# Beside everything else.


@pytest.mark.parametrize(("size", "seed"), [(7, 0), (20, 3)])
def test_a_ranking_has_the_architectures_of_the_table(
    size: int, seed: int, quick: Path, folder: Path
) -> None:
    ranking = {
        "kind": "ranking",
        "benchmarks": [{"name": "tabulated", "table": "t"}],
        "scorers": ["parameters"],
        "architectures": size,
        "seed": seed,
    }
    table = {"benchmark": {"name": "quick", "dataset": "synthetic"}, "architectures": size, "seed": seed}
    file = experiment.read_experiments(write(folder, {"r": ranking}, t=table))
    plan = plan_table(file, "t")
    make_table(plan, workers=1, progress=lambda *_: None)
    (benchmark,) = plan_ranking(file, "r").benchmarks
    assert benchmark.architectures == tuple(subject.architecture for subject in plan.architectures)
    for arch in benchmark.architectures:
        assert benchmark.benchmark.query(arch, split="test", fidelity=4) > 1000


def test_forecasting_end_to_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"size": TINY, "stride": 200, "evaluation_stride": 100}
    file = write(
        folder, few={"benchmark": {"name": "forecasting", **small}, "architectures": 3, "fidelities": [1]}
    )
    said = harness("tabulate", "few", "--file", "e.yaml", "--workers", "2", cwd=folder).stdout
    assert f"Table: {table_path('few')}" in said
    assert "{name: tabulated, table: few}" in said
    table, found = open_table(table_path("few")), Tabulated("few")
    assert "synthetic" in found.source
    monkeypatch.setenv("HARNESS_DATA", str(folder / "elsewhere"))
    alone = make_table(
        plan_table(experiment.read_experiments(file), "few"), workers=1, progress=lambda *_: None
    )
    seconds = "synthetic/train_seconds/1"
    assert set(alone.columns) == {
        seconds,
        *(f"synthetic/{split}/1{other}" for split in ("valid", "test") for other in ("", "/RMSE", "/MAPE")),
    }
    one, two = table.read(), alone.read()
    for name, column in one.items():
        assert (~np.isnan(column.values)).sum() == 3
        if name != seconds:
            assert column.values.tobytes() == two[name].values.tobytes(), "the same bits, by whatever process"
    assert alone.provenance == table.provenance
    # The table takes the place of the trainings.
    monkeypatch.setenv("HARNESS_DATA", str(folder / "data"))
    trainings = Forecasting(**small)  # type: ignore[arg-type]
    for index in np.flatnonzero(~np.isnan(one[seconds].values[:, 0])):
        arch = SPACE.from_index(int(index))
        tabulated, made = (each.evaluate(arch, fidelity=1, seed=None) for each in (found, trainings))
        assert (tabulated.value, tabulated.measures) == (made.value, made.measures)
        assert tabulated.cost_seconds == made.cost_seconds
