"""Benchmarks that train what they score: what is trained, what is kept, who may see it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest
import torch

from harness import experiment
from harness import registry
from harness import scoring
from harness import search
from harness.benchmarks.forecasting import Forecasting
from harness.benchmarks.trained import Subject
from harness.benchmarks.trained import TrainedBenchmark
from harness.budget import Budget
from harness.data_folder import data_folder
from harness.errors import DataError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.errors import StoreError
from tests.harness.forecasting import TINY
from tests.harness.quick import SOURCE
from tests.harness.results import record
from tests.harness.results import rows
from tests.harness.results import trajectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Iterator

    from harness.spaces import Architecture

ROOT = Path(__file__).parents[2]


class Quick:
    """The quick benchmark in a data folder of its own, and what it has trained."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __call__(self, **arguments: Any) -> TrainedBenchmark:
        made = registry.load("benchmark", "quick")(**arguments)
        assert isinstance(made, TrainedBenchmark)
        return made

    @property
    def trained(self) -> list[str]:
        """What was trained, ``architecture/epochs/seed``, in order."""
        return [line.split()[0] for line in self.lines]

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def ledger(self) -> Path:
        (found,) = (data_folder() / "trained").rglob("trainings.jsonl")
        return found


@pytest.fixture
def quick(plugin: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quick]:
    plugin(SOURCE, {"quick": "Quick"}, "harness.benchmarks")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("QUICK_LOG", str(tmp_path / "log"))
    # A benchmark of an earlier test knows what was trained then.
    scoring._make_benchmark.cache_clear()
    yield Quick(tmp_path / "log")
    scoring._make_benchmark.cache_clear()


def arch(benchmark: TrainedBenchmark, index: int = 80) -> Architecture:
    """Of index 80: an error of 20 + 80 / 8 + seed + 1 / epochs."""
    return benchmark.space.from_index(index)


# Evaluations.


def test_an_evaluation_is_a_training(quick: Quick) -> None:
    benchmark = quick()
    found = benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    assert asdict(found) == {
        "value": 31,
        "fidelity": 1,
        "seed": None,
        "cost_seconds": 0.5,
        "cost_kind": "measured",
        "measures": {"MAE": 31, "MAPE": 15.5},
    }
    assert benchmark.evaluate(arch(benchmark), fidelity=4, seed=None).value == 30.25
    assert quick.trained == ["002222/1/0", "002222/4/0"]
    assert benchmark.cost_kind == "measured"
    assert benchmark.final_fidelity == 4


def test_it_never_shows_a_test_score(quick: Quick) -> None:
    benchmark = quick()
    for fidelity in benchmark.fidelities:
        for seed in (None, 3):
            found = benchmark.evaluate(arch(benchmark), fidelity=fidelity, seed=seed)
            # Test scores are above 1000.
            assert max(found.value, *(found.measures or {}).values()) < 1000
    assert benchmark.query(arch(benchmark), split="test", fidelity=1) == 1031, "they are there"


def test_a_mean_of_trainings_costs_all_of_them(quick: Quick) -> None:
    benchmark = quick(search_repeats=3)
    found = benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    assert (found.value, found.cost_seconds) == (32, 0.5 + 0.75 + 1)
    assert found.measures == {"MAE": 32, "MAPE": 16}
    assert benchmark.query(arch(benchmark), split="valid", fidelity=1) == 32


def test_a_training_seed_is_drawn(quick: Quick) -> None:
    benchmark = quick(repeats=3)
    assert benchmark.draws_seeds(1)
    drawn = [benchmark.evaluate(arch(benchmark), fidelity=1, seed=seed) for seed in (0, 1, 2, 3, 2**62 + 1)]
    assert [found.seed for found in drawn] == [0, 1, 2, 0, (2**62 + 1) % 3]
    assert [found.value for found in drawn] == [31 + (found.seed or 0) for found in drawn]
    assert quick.trained == ["002222/1/0", "002222/1/1", "002222/1/2"]
    assert drawn[1].cost_seconds == 0.75


def test_what_was_trained_is_not_trained_again(quick: Quick) -> None:
    benchmark = quick()
    first = benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    assert benchmark.evaluate(arch(benchmark), fidelity=1, seed=None) == first
    # As in another process.
    assert quick().evaluate(arch(benchmark), fidelity=1, seed=None) == first
    # A benchmark that was there before sees it, too.
    waiting = quick()
    other = quick().evaluate(arch(benchmark, 5), fidelity=1, seed=None)
    assert waiting.evaluate(arch(benchmark, 5), fidelity=1, seed=None) == other
    assert quick.trained == ["002222/1/0", "000012/1/0"]


def test_settings_that_decide_nothing_share_trainings(quick: Quick) -> None:
    benchmark = quick()
    benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    same = [quick(epochs=9), quick(repeats=5), quick(search_repeats=2)]
    assert {other.digest for other in same} == {benchmark.digest}
    same[0].evaluate(arch(benchmark), fidelity=1, seed=None)
    assert len(quick.trained) == 1
    others = [quick(slope=2.0), quick(dataset="valleys")]
    assert len({benchmark.digest, *(other.digest for other in others)}) == 3
    assert others[0].evaluate(arch(benchmark), fidelity=1, seed=None).value == 41
    assert len(quick.trained) == 2


def test_what_has_no_score_is_kept_with_what_it_cost(quick: Quick) -> None:
    for benchmark in (quick(broken="002222/*"), quick()):
        with pytest.raises(ScoreError, match=r"it diverged\.") as caught:
            benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
        assert caught.value.seconds == 0.5
        with pytest.raises(DataError, match="or its training had no score"):
            benchmark.query(arch(benchmark), split="valid", fidelity=1)
    assert quick.trained == ["002222/1/0"]


def test_all_that_was_trained_is_paid_for(quick: Quick) -> None:
    benchmark = quick(broken="*/*/2", search_repeats=4, repeats=3)
    for measured in (
        lambda: benchmark.evaluate(arch(benchmark), fidelity=1, seed=None),
        lambda: benchmark.settle(arch(benchmark)),
    ):
        with pytest.raises(ScoreError, match=r"it diverged\.") as caught:
            measured()
        assert caught.value.seconds == 0.5 + 0.75 + 1
    # Nothing is trained behind the one that decides.
    assert quick.trained == [f"002222/{epochs}/{seed}" for epochs in (1, 4) for seed in range(3)]


def test_fidelities_that_there_are_not(quick: Quick) -> None:
    benchmark = quick()
    for ask in (
        lambda: benchmark.evaluate(arch(benchmark), fidelity=2, seed=None),
        lambda: benchmark.query(arch(benchmark), split="valid", fidelity=2),
    ):
        with pytest.raises(DataError, match="'quick' has no fidelity of 2 epochs here; it has 1, 4"):
            ask()
    assert quick.trained == []


# Scores for reports.


def test_a_recommendation_is_trained_as_reports_want_it(quick: Quick) -> None:
    benchmark = quick(repeats=3)
    assert benchmark.settle(arch(benchmark)) == 0.5 + 0.75 + 1
    assert quick.trained == ["002222/4/0", "002222/4/1", "002222/4/2"]
    assert benchmark.query(arch(benchmark), split="test", fidelity=4) == 1031.25
    assert benchmark.query(arch(benchmark), split="valid", fidelity=4, seed=2) == 32.25
    assert benchmark.query(arch(benchmark), split="test", fidelity=4, measure="MAPE") == 1000 + 31.25 / 2
    # What it took when it was made, whoever asks, and whenever.
    assert quick(repeats=3).settle(arch(benchmark)) == 2.25
    assert len(quick.trained) == 3


def test_reports_train_nothing(quick: Quick) -> None:
    benchmark = quick()
    says = (
        r"002222 was not trained for 4 epochs with seed 0 on hills, .*`harness run` trains what a run recommends "
        r"when the run ends; where that was lost, delete the run's folder"
    )
    with pytest.raises(DataError, match=says):
        benchmark.query(arch(benchmark), split="test", fidelity=4)
    benchmark.settle(arch(benchmark))
    with pytest.raises(DataError, match="for 4 epochs with seed 2"):
        benchmark.query(arch(benchmark), split="test", fidelity=4, seed=2)
    for wrong, says in (
        ({"split": "train"}, "unknown split 'train'; legal are valid, test"),
        ({"split": "test", "measure": "R2"}, "'quick' measures no 'R2'; it measures MAE, MAPE"),
    ):
        with pytest.raises(DataError, match=says):
            benchmark.query(arch(benchmark), fidelity=4, **wrong)  # type: ignore[arg-type]
    assert len(quick.trained) == 2
    # The best of architectures of which most were never trained is not known.
    assert benchmark.optimum(split="test", fidelity=4) is None


def test_networks_that_people_designed(quick: Quick) -> None:
    benchmark = quick()
    assert benchmark.references == ()
    with pytest.raises(DataError, match="graph_wavenet was not trained for 4 epochs"):
        benchmark.query_reference("graph_wavenet", split="test", fidelity=4)
    benchmark.reference("graph_wavenet", fidelity=4, seed=0)
    assert benchmark.references == (), "reports want two trainings"
    benchmark.reference("graph_wavenet", fidelity=4, seed=1)
    assert quick().references == benchmark.references == ("graph_wavenet",)
    assert benchmark.query_reference("graph_wavenet", split="test", fidelity=4) == 1020.75
    assert (
        benchmark.query_reference("graph_wavenet", split="valid", fidelity=4, seed=1, measure="MAPE")
        == 10.625
    )
    assert quick.trained == ["graph_wavenet/4/0", "graph_wavenet/4/1"]


# What is on disk.

PROCESS = """
import sys
from harness import registry
benchmark = registry.load("benchmark", "quick")(wait=float(sys.argv[1]))
for index in map(int, sys.argv[2:]):
    print(benchmark.evaluate(benchmark.space.from_index(index), fidelity=1, seed=None).value, flush=True)
"""


def process(wait: float, *indices: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, str(wait), *map(str, indices)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_share_what_they_train(quick: Quick) -> None:
    both = [process(0.1, *range(8)), process(0.1, *reversed(range(8)))]
    said = [each.communicate(timeout=120)[0].split() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert [float(value) for value in said[0]] == [21 + index / 8 for index in range(8)]
    assert said[1] == said[0][::-1]
    assert len(quick.trained) == len(set(quick.trained)) == 8, "each was trained by one of them"


def test_who_waited_for_a_process_that_died_trains_itself(quick: Quick) -> None:
    dying = process(600, 80)
    while not quick.lines:
        assert dying.poll() is None
        time.sleep(0.02)
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    benchmark = quick()
    assert benchmark.evaluate(arch(benchmark), fidelity=1, seed=None).value == 31
    # It has found what the other had left to go on with.
    assert quick.lines == ["002222/1/0 False", "002222/1/0 True"]


@pytest.mark.parametrize("torn", [b"{", b'{"subject":"002222","fidelity":1,"se', b'{"subject":"x"}'])
def test_a_line_that_a_kill_cut_off_is_dropped(torn: bytes, quick: Quick) -> None:
    benchmark = quick()
    first = benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    with quick.ledger.open("ab") as file:
        file.write(torn)
    again = quick()
    assert again.evaluate(arch(benchmark), fidelity=1, seed=None) == first
    other = again.evaluate(arch(benchmark, 5), fidelity=1, seed=None)
    # Line by line it is whole again.
    assert len([json.loads(line) for line in quick.ledger.read_text().splitlines()]) == 3
    assert quick().evaluate(arch(benchmark, 5), fidelity=1, seed=None) == other
    assert len(quick.trained) == 2


def test_a_head_that_a_kill_cut_off_is_written_again(quick: Quick) -> None:
    benchmark = quick()
    benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    quick.ledger.write_bytes(quick.ledger.read_bytes()[:20])
    again = quick()
    assert again.evaluate(arch(benchmark), fidelity=1, seed=None).value == 31
    assert len(quick.ledger.read_text().splitlines()) == 2
    assert len(quick.trained) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[1, 2]",
        b'{"fidelity": 1, "seed": 0}',
        b'{"subject": "002222", "fidelity": "many", "seed": 0}',
        b'{"subject": "002222", "fidelity": 1, "seed": 0, "seconds": 1, "details": {}}',
        b'{"subject": "002222", "fidelity": 1, "seed": 0, "seconds": 1, "details": {}, "scores": [1]}',
        b'{"subject": "002222", "fidelity": 1, "seed": 0, "seconds": 1, "details": {}, "scores": {"valid": {}}}',
        b'{"subject": "0", "fidelity": 1, "seed": 0, "seconds": 1, "details": {}, "scores": {"valid": 1, "test": 2}}',
    ],
)
def test_a_damaged_line_is_named(line: bytes, quick: Quick) -> None:
    benchmark = quick()
    benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    with quick.ledger.open("ab") as file:
        file.write(line + b"\n")
    says = r"trainings.jsonl: a line of this record of trainings of benchmark 'quick' is damaged .*; delete the file"
    with pytest.raises(StoreError, match=says):
        quick()
    with pytest.raises(StoreError, match=says):
        benchmark.evaluate(arch(benchmark, 5), fidelity=1, seed=None)


def test_trainings_of_something_else_are_refused(quick: Quick) -> None:
    benchmark = quick()
    benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    head, *rest = quick.ledger.read_text().splitlines(keepends=True)
    quick.ledger.write_text(head.replace("1.0", "2.0") + "".join(rest))
    with pytest.raises(
        StoreError, match="this is no record of trainings of benchmark 'quick' at these settings"
    ):
        quick()


def test_a_file_that_was_deleted_is_begun_anew(quick: Quick) -> None:
    benchmark = quick()
    benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)
    benchmark.evaluate(arch(benchmark, 5), fidelity=1, seed=None)
    quick.ledger.unlink()
    assert benchmark.evaluate(arch(benchmark), fidelity=1, seed=None).value == 31
    assert benchmark.evaluate(arch(benchmark, 7), fidelity=1, seed=None).value == 21.875
    assert len(quick.trained) == 3
    # What another process wrote into it is seen.
    quick().evaluate(arch(benchmark, 8), fidelity=1, seed=None)
    assert benchmark.evaluate(arch(benchmark, 8), fidelity=1, seed=None).value == 22
    assert len(quick.trained) == 4


def test_a_folder_that_cannot_be_written(quick: Quick) -> None:
    benchmark = quick()
    data_folder().write_text("in the way")
    with pytest.raises(StoreError, match="data"):
        benchmark.evaluate(arch(benchmark), fidelity=1, seed=None)


# Runs.


def spec(noise: str = "mean", **params: Any) -> experiment.RunSpec:
    return experiment.RunSpec(
        strategy=experiment.Named(name="random_search", params={}),
        benchmark=experiment.Named(name="quick", params=params),
        objective=experiment.Objective(fidelity=1, noise=noise),  # type: ignore[arg-type]
        budget=Budget(architectures=4),
        seed=0,
        models={},
        labels=experiment.Labels(sweep="s", benchmark="b", strategy="random_search"),
    )


def test_a_run_trains_what_it_recommends_when_it_ends(quick: Quick, tmp_path: Path) -> None:
    outcome = search.run(spec(), tmp_path / "run")
    assert outcome.status == "complete", outcome.error
    found = record(tmp_path / "run")
    best = min(rows(tmp_path / "run"), key=lambda row: row["valid"])["ncode"]
    assert found["recommendation"]["ncode"] == best
    assert quick.trained[4:] == [f"{best}/4/0", f"{best}/4/1"]
    # No cost of the search: four trainings of half a second.
    assert found["settle_seconds"] == 0.5 + 0.75
    assert found["totals"]["gpu_seconds"] == 2
    assert "unsettled" not in found
    # What was trained for reports alone is not in the run's folder.
    benchmark = quick()
    hidden = [
        benchmark.query(benchmark.space.from_ncode(best), split=split, fidelity=fidelity, measure=measure)
        for split, fidelity in (("test", 1), ("valid", 4), ("test", 4))
        for measure in ("MAE", "MAPE")
    ]
    for file in (tmp_path / "run").iterdir():
        text = file.read_text()
        assert not any(repr(score) in text for score in hidden), file


def test_a_run_that_is_made_again_has_the_same_bytes(quick: Quick, tmp_path: Path) -> None:
    for noise in ("mean", "drawn"):
        search.run(spec(noise), tmp_path / noise / "1")
        count = len(quick.trained)
        search.run(spec(noise), tmp_path / noise / "2")
        assert trajectory(tmp_path / noise / "1") == trajectory(tmp_path / noise / "2")
        assert len(quick.trained) == count, "it has read what the first one trained"
    assert {row["seed"] for row in rows(tmp_path / "drawn" / "1")} == {0, 1}


def test_a_run_that_was_cut_off_when_it_settled_goes_on(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICK_INTERRUPTED", "4")
    with pytest.raises(KeyboardInterrupt):
        search.run(spec(), tmp_path / "run")
    monkeypatch.delenv("QUICK_INTERRUPTED")
    assert record(tmp_path / "run")["status"] == "running"
    assert len(quick.trained) == 5
    assert search.run(spec(), tmp_path / "run").status == "complete"
    assert record(tmp_path / "run")["settle_seconds"] == 1.25
    assert quick.trained[4:] == [quick.trained[4], quick.trained[4], quick.trained[4][:-1] + "1"]
    search.run(spec(), tmp_path / "whole")
    assert trajectory(tmp_path / "run") == trajectory(tmp_path / "whole")


def test_a_recommendation_without_a_score_is_told(quick: Quick, tmp_path: Path) -> None:
    outcome = search.run(spec(broken="*/4/1"), tmp_path / "run")
    # The search is none the worse for it.
    assert outcome.status == "complete", outcome.error
    found = record(tmp_path / "run")
    assert found["unsettled"] == "it diverged."
    assert found["settle_seconds"] == 0.5 + 0.75
    benchmark = quick()
    with pytest.raises(DataError, match="with seed 1 on hills, or its training had no score"):
        benchmark.query(
            benchmark.space.from_ncode(found["recommendation"]["ncode"]), split="test", fidelity=4
        )


def test_architectures_without_a_score_fail_as_trials(quick: Quick, tmp_path: Path) -> None:
    outcome = search.run(spec(broken="*2/1/*"), tmp_path / "run")
    assert outcome.status == "complete", outcome.error
    states = [(row["ncode"][-1] == "2", row["state"], row["gpu_seconds"]) for row in rows(tmp_path / "run")]
    assert set(states) == {(True, "failed", 0.5), (False, "complete", 0.5)}


# Forecasting.

SMALL: dict[str, Any] = {"size": TINY, "stride": 60, "evaluation_stride": 60, "epochs": 2, "repeats": 2}


@pytest.fixture(scope="session")
def forecasting() -> Forecasting:
    """On synthetic traffic; what it trains is kept for all tests of the session."""
    return Forecasting(**SMALL)


def test_one_step_tuning_on_synthetic_traffic(forecasting: Forecasting) -> None:
    found = forecasting.evaluate(forecasting.space.from_ncode("012012"), fidelity=1, seed=None)
    training = forecasting.training(
        Subject("012012", forecasting.space.from_ncode("012012")), fidelity=1, seed=0
    )
    # Speeds of 5 to 70 mph; a network that has seen three batches knows little more than their mean.
    assert 1 < found.value < 40
    assert found.value < (found.measures or {})["RMSE"]
    assert found.measures == training.scores["valid"]
    assert set(training.scores["test"]) == {"MAE", "RMSE", "MAPE"} == {m.name for m in forecasting.measures}
    assert found.cost_seconds == training.seconds > 0
    assert (training.details["passes"], training.details["best_pass"]) == (1, 1)
    for split in ("valid", "test"):
        errors = training.details["horizons"][split]
        assert {name: len(of_each) for name, of_each in errors.items()} == {"mae": 12, "rmse": 12, "mape": 12}
        assert min(errors["mae"]) <= training.scores[split]["MAE"] <= max(errors["mae"])


def test_what_the_benchmark_says_of_itself(forecasting: Forecasting) -> None:
    assert (forecasting.name, forecasting.dataset, forecasting.space.name) == (
        "forecasting",
        "synthetic",
        "ists",
    )
    assert forecasting.fidelities == (1, 2)
    assert (forecasting.metric.name, forecasting.metric.unit) == ("MAE", "mph")
    assert not any(measure.higher_is_better for measure in forecasting.measures)
    assert "synthetic" in forecasting.source, "nothing that is found there says anything about real roads"
    assert "speed (mph) at 20 sensors" in forecasting.description


def test_the_highest_fidelity_has_the_partition_of_the_evaluation() -> None:
    benchmark = Forecasting(**SMALL, search_partition="4/4/2")
    steps = 4032
    for fidelity, shares in ((1, (4, 4, 2)), (2, (7, 1, 2))):
        counts = [len(starts) for starts in benchmark.windows(fidelity).starts.values()]
        assert counts == pytest.approx([steps * share / 10 - 23 for share in shares], abs=1)
    assert benchmark.windows(1) is benchmark.windows(1), "made once"


def test_what_was_settled_is_known_with_all_measures(forecasting: Forecasting) -> None:
    found = forecasting.space.from_ncode("210210")
    assert forecasting.settle(found) > 0
    for split in ("valid", "test"):
        for measure in (None, "MAE", "RMSE", "MAPE"):
            seeds = [
                forecasting.query(found, split=split, fidelity=2, seed=seed, measure=measure)
                for seed in (0, 1)
            ]
            assert seeds[0] != seeds[1]
            assert forecasting.query(found, split=split, fidelity=2, measure=measure) == pytest.approx(
                sum(seeds) / 2
            )


def test_trainings_are_the_same_in_another_folder(
    forecasting: Forecasting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Subject("210210", forecasting.space.from_ncode("210210"))
    one = forecasting.training(subject, fidelity=2, seed=0)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    other = Forecasting(**SMALL).training(subject, fidelity=2, seed=0)
    assert other.scores == one.scores
    assert other.details["horizons"] == {
        split: {name: pytest.approx(list(of_each)) for name, of_each in errors.items()}
        for split, errors in one.details["horizons"].items()
    }


def test_what_decides_a_training_decides_the_record(forecasting: Forecasting) -> None:
    changes: list[dict[str, Any]] = [
        {"size": TINY | {"order": 2}},
        {"patience": 3},
        {"batch_size": 8},
        {"learning_rate": 0.01},
        {"weight_decay": 0.0},
        {"stride": 61},
        {"evaluation_stride": 61},
        {"search_partition": "4/4/2"},
        {"partition": "4/4/2"},
        {"threads": 2},
    ]
    others = {Forecasting(**SMALL | change).digest for change in changes}
    assert len(others | {forecasting.digest}) == len(changes) + 1
    # What the paper has set, said.
    assert (
        Forecasting(**SMALL, batch_size=16, partition="7/1/2", search_partition="7/1/2").digest
        == forecasting.digest
    )
    for same in ({"epochs": 7}, {"repeats": 1}, {"search_repeats": 3}):
        assert Forecasting(**SMALL | same).digest == forecasting.digest


@pytest.mark.parametrize("name", ["graph_wavenet", "stsgcn"])
def test_references_are_trained_as_architectures_are(name: str, forecasting: Forecasting) -> None:
    assert name in registry.names("reference")
    training = forecasting.reference(name, fidelity=1, seed=0)
    assert 1 < training.scores["valid"]["MAE"] < 40
    assert (
        forecasting.query_reference(name, split="test", fidelity=1, measure="RMSE")
        == training.scores["test"]["RMSE"]
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dataset": "metr"}, "unknown traffic set 'metr'"),
        ({"dataset": "metr-la"}, "traffic set 'metr-la' is not imported: get metr-la.h5"),
        ({"space": "ist"}, "unknown space 'ist', did you mean 'ists'"),
        ({"space": "nasbench201"}, "networks of space 'nasbench201' learn from images, and not from traffic"),
        ({"size": {"width": 3}}, "size: unknown size of a network of 'ists' 'width'"),
        ({"size": {"attention": 5, "heads": 2}}, "size: attention of 5 channels cannot be divided into 2"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"evaluation_stride": -1}, "evaluation_stride must be at least 1, not -1"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"search_repeats": 0}, "search_repeats must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, and weight_decay not below: 0.0"),
        ({"weight_decay": -0.1}, "weight_decay not below: 0.001, -0.1"),
        ({"partition": "7/1"}, "three whole numbers above 0 such as 7/1/2, not '7/1'"),
        ({"search_partition": "7/0/3"}, "three whole numbers above 0"),
        ({"partition": "1000/1/1"}, r"the valid part .* has 4 steps, and no window of 12 \+ 12"),
        ({"search_partition": "1/1/1000"}, "the train part .* has 4 steps"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_before_anything_runs(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Forecasting(**arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(SpecError, match="device 'cuda' cannot be used here"):
        Forecasting(device="cuda")


def test_what_was_trained_is_read_without_pytorch(forecasting: Forecasting) -> None:
    forecasting.evaluate(forecasting.space.from_ncode("012012"), fidelity=1, seed=None)
    script = f"""
import sys
from harness.benchmarks.forecasting import Forecasting
benchmark = Forecasting(**{SMALL!r})
print(benchmark.evaluate(benchmark.space.from_ncode("012012"), fidelity=1, seed=None).value)
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    value, loaded = done.stdout.split()
    assert float(value) == forecasting.query(
        forecasting.space.from_ncode("012012"), split="valid", fidelity=1
    )
    assert loaded == "False"
