"""Sweeps of kind ranking: what is legal, what is written, and what is left after faults."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness import experiment
from harness import registry
from harness.benchmarks import data
from harness.benchmarks.nasbench201 import NASBench201
from harness.errors import SpecError
from harness.errors import StoreError
from harness.errors import TrackingError
from harness.ranking.folder import RankingFolder
from harness.ranking.plan import plan_ranking
from harness.ranking.plan import select
from harness.ranking.run import run_ranking
from harness.spaces import NASBench201Space
from harness.tracking import fetch_sweep
from harness.tracking import track_ranking
from harness.tracking import track_results
from harness.tracking.connection import connect
from reports.build import build_report
from tests.harness.command import harness
from tests.harness.command import kill
from tests.harness.command import refused
from tests.harness.command import start

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.ranking.plan import Plan

ROOT = Path(__file__).parents[2]

PROXIES = """
import time
from collections.abc import Mapping
from harness.proxies import Proxy
from harness.errors import ScoreError
from harness.errors import SpecError

class Skips(Proxy):
    "Number of skip connections, as often as `weight` says."
    description = "The number of skip connections."
    higher_is_better = False

    def __init__(self, weight: float = 1.0, options: Mapping[str, int] | None = None, seed: int = 0):
        if weight == 0:
            raise SpecError("weight must not be 0.")
        self.weight = weight
        self.options = options
        self.seed = seed

    def score(self, space, arch, dataset):
        time.sleep(0.002)
        if space.ncode(arch).startswith("0"):
            raise ScoreError("this cell has no first edge, and a 'quote', too.")
        return self.weight * arch.count(1)

class OnlyOne(Proxy):
    description = "Knows one data set."

    def score(self, space, arch, dataset):
        return 1.0

    def check(self, space, dataset):
        if dataset != "cifar10":
            raise SpecError(f"there are no images of {dataset}.")
"""

YAML = """\
tracking: {uri: null}
sweeps:
  r:
    kind: ranking
    benchmarks:
      - {name: nasbench201, dataset: cifar10}
    scorers:
      - parameters
      - {name: skips, weight: 2.0}
    architectures: 30
"""


SEARCH = """\
tracking: {uri: null}
sweeps:
  r: {benchmarks: [nasbench201], strategies: [random_search], seeds: 1, budget: {trials: 1}}
"""


class Told:
    """Keeps what a ranking says."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done: list[tuple[int, int]] = []
        self.benchmarks: list[str] = []

    def begin(self, what: str) -> None:
        self.benchmarks.append(what)

    def scored(self, done: int, total: int) -> None:
        self.done.append((done, total))

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(autouse=True)
def _proxies(plugin: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    plugin(PROXIES, {"skips": "Skips", "only_one": "OnlyOne"}, group="harness.proxies")


@pytest.fixture
def made_table(tmp_path: Path) -> str:
    """Name of a table with both splits and 12 epochs; test accuracy is validation turned round."""
    space = NASBench201Space()
    columns = ("cifar10/valid/200", "cifar10/test/200", "cifar10/valid/12", "cifar10/train_seconds/200")
    with (tmp_path / "made.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", *columns, "cifar10/train_seconds/12"])
        for arch in space:
            index = space.index(arch)
            writer.writerow([space.format(arch), index / 200, 90 - index / 200, index / 300, 100 + index, 6])
    mapping = ["architecture: cell", *(f"{c}: {c}" for c in (*columns, "cifar10/train_seconds/12"))]
    (tmp_path / "map.yaml").write_text("\n".join(mapping))
    data.import_table(
        "nasbench201", tmp_path / "made.csv", name="made", mapping=tmp_path / "map.yaml", columns=[]
    )
    return "made"


def written(folder: Path, text: str = YAML) -> experiment.ExperimentsFile:
    file = folder / "experiments.yaml"
    file.write_text(text)
    return experiment.read_experiments(file)


def planned(folder: Path, text: str = YAML, name: str = "r") -> Plan:
    return plan_ranking(written(folder, text), name)


def run(folder: Path, text: str = YAML, only: tuple[str, ...] = (), results: str = "results") -> Told:
    told = Told()
    file = written(folder, text)
    plan = plan_ranking(file, "r")
    run_ranking(file, plan, select(plan, only), results=folder / results, workers=1, progress=told)
    return told


def folder_of(path: Path, results: str = "results") -> RankingFolder:
    return RankingFolder(path / results / "r" / "nasbench201-cifar10")


def files(path: Path) -> dict[str, bytes]:
    """What equal specifications have in common."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.name in {"sweep.json", "ranking.json", "scores.csv", "problems.csv"}
    }


class TestPlan:
    def test_the_sample_is_even_without_replacement_and_nested(self, tmp_path: Path) -> None:
        small = planned(tmp_path).benchmarks[0].architectures
        large = planned(tmp_path, YAML.replace("30", "300")).benchmarks[0].architectures
        other = planned(tmp_path, YAML + "    seed: 1\n").benchmarks[0].architectures
        assert len(set(small)) == 30
        assert set(small) < set(large)
        assert set(small) != set(other)
        space = NASBench201Space()
        indices = [space.index(arch) for arch in large]
        assert indices == sorted(indices)
        # 300 of 15,625 evenly: mean 7,812 with a standard error of 260.
        assert abs(np.mean(indices) - 7812) < 4 * 260

    def test_all_takes_the_whole_space(self, tmp_path: Path) -> None:
        (benchmark,) = planned(tmp_path, YAML.replace("30", "all")).benchmarks
        assert len(benchmark.architectures) == 15625
        assert benchmark.seed is None

    def test_floors_are_there_whether_listed_or_not(self, tmp_path: Path) -> None:
        plan = planned(tmp_path)
        assert plan.scorers == ["parameters", "skips", "flops"]
        relabelled = planned(tmp_path, YAML.replace("- parameters", "- {name: parameters, label: size}"))
        assert relabelled.scorers == ["size", "skips", "flops"]

    def test_settings_are_checked_and_completed(self, tmp_path: Path) -> None:
        skips = planned(tmp_path, YAML.replace("weight: 2.0", "options: {a: 1}, seed: 4")).benchmarks[0]
        assert skips.scorers["skips"].named.params == {"weight": 1.0, "options": {"a": 1}, "seed": 4}

    def test_a_list_makes_a_benchmark_of_each_item(self, tmp_path: Path) -> None:
        plan = planned(tmp_path, YAML.replace("cifar10}", "[cifar10, cifar100]}"))
        assert [b.label for b in plan.benchmarks] == ["nasbench201-cifar10", "nasbench201-cifar100"]
        assert plan.benchmarks[0].architectures == plan.benchmarks[1].architectures

    @pytest.mark.parametrize(
        ("only", "chosen"),
        [
            (["skips"], {"nasbench201-cifar10": ["parameters", "skips", "flops"]}),
            (["flops"], {"nasbench201-cifar10": ["parameters", "flops"]}),
            (["*cifar10"], {"nasbench201-cifar10": ["parameters", "skips", "flops"]}),
            (["nasbench201-cifar10/sk*"], {"nasbench201-cifar10": ["parameters", "skips", "flops"]}),
        ],
    )
    def test_only_selects_scorers_and_benchmarks(
        self, tmp_path: Path, only: list[str], chosen: dict[str, list[str]]
    ) -> None:
        plan = select(planned(tmp_path), only)
        assert {b.label: list(b.scorers) for b in plan.benchmarks} == chosen

    def test_only_that_fits_nothing_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="--only 'skps' fits nothing.*scorers: parameters, skips, flops"):
            select(planned(tmp_path), ["skps"])


BAD = [
    ("unknown kind", "kind: ranking", "kind: rankings", 4, ["unknown kind of sweep", "'ranking'"]),
    ("unknown scorer", "name: skips", "name: skip", 9, ["unknown scorer 'skip', did you mean 'skips'"]),
    ("near miss of no proxy", "name: skips", "name: traind", 9, ["did you mean 'trained'"]),
    (
        "unknown setting",
        "weight: 2.0",
        "wieght: 2.0",
        9,
        ["parameter of scorer 'skips' 'wieght'", "'weight'"],
    ),
    ("wrong type of a setting", "weight: 2.0", "weight: many", 9, ["weight", "'many'"]),
    ("wrong type inside a setting", "weight: 2.0", "options: {a: x}", 9, ["options.a", "'x'"]),
    ("a value that is refused", "weight: 2.0", "weight: 0.0", 9, ["scorers[1]", "weight must not be 0"]),
    ("a setting of another scorer", "- parameters", "- {name: parameters, seed: 1}", 8, ["'seed'"]),
    ("no scorers", "      - parameters\n      - {name: skips, weight: 2.0}\n", "      []\n", 7, ["scorers"]),
    ("one architecture", "architectures: 30", "architectures: 1", 10, ["at least 2, or `all`; got 1."]),
    ("a word", "architectures: 30", "architectures: many", 10, ["at least 2, or `all`; got 'many'."]),
    ("too many", "architectures: 30", "architectures: 15626", 10, ["15,626", "15,625", "all"]),
    (
        "strategies",
        "    scorers:",
        "    strategies: [tpe]\n    scorers:",
        7,
        ["searches nothing", "`scorers`"],
    ),
    ("seeds", "architectures: 30", "seeds: 3", 10, ["`seed` is that of the sample"]),
    ("budget", "architectures: 30", "budget: {trials: 3}", 10, ["no budget"]),
    ("objective", "architectures: 30", "objective: {noise: drawn}", 10, ["no objective"]),
    ("unknown key", "architectures: 30", "architecture: 30", 10, ["did you mean 'architectures'"]),
    ("scorers of a search", "    kind: ranking\n", "", 6, ["add `kind: ranking`"]),
    ("twice a label", "name: skips", "name: skips, label: parameters", 9, ["two scorers", "'parameters'"]),
    (
        "twice a scorer",
        "- parameters",
        "- {name: skips, weight: 2.0, label: a}",
        9,
        ["'a'", "the same scorer"],
    ),
    (
        "another spelling of a scorer",
        "- parameters\n      - {name: skips, weight: 2.0}",
        "- synflow\n      - {name: synflow, repeats: 1, size: {cells: 5}, label: a}",
        9,
        ["'a' and 'synflow' are the same scorer"],
    ),
    ("label of a column", "name: skips", "name: skips, label: valid", 9, ["another column"]),
    (
        "label of a floor",
        "name: skips",
        "name: skips, label: flops",
        9,
        ["'flops' is the label of the floor"],
    ),
    ("no table", "nasbench201, dataset: cifar10", "proxy, proxy: flops", 6, ["no table of trained scores"]),
    ("a device", "skips, weight: 2.0", "synflow, device: cuad", 9, ["scorers[1]", "device 'cuad'"]),
    (
        "images",
        "skips, weight: 2.0",
        "grad_norm, images: digit",
        9,
        ["scorers[1]", "image set 'digit'", "digits"],
    ),
    ("size", "skips, weight: 2.0", "synflow, size: {chanels: 4}", 9, ["'chanels'", "'channels'"]),
    ("data set", "skips, weight: 2.0", "trained, fidelity: 200", 9, ["fidelity", "lower"]),
    ("fidelity", "skips, weight: 2.0", "trained, fidelity: 0", 9, ["at least 1 epoch"]),
    ("no fidelity", "skips, weight: 2.0", "trained", 9, ["`fidelity` is missing"]),
]


@pytest.mark.parametrize(("what", "old", "new", "line", "said"), BAD, ids=[case[0] for case in BAD])
def test_what_is_wrong_is_named(
    tmp_path: Path, what: str, old: str, new: str, line: int, said: list[str]
) -> None:
    assert old in YAML
    with pytest.raises(SpecError) as caught:
        planned(tmp_path, YAML.replace(old, new))
    message = str(caught.value)
    assert f"experiments.yaml:{line}: " in message, message
    assert message.count("experiments.yaml") == 1, message
    for text in said:
        assert text in message, message


def test_what_one_benchmark_cannot_score_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    text = YAML.replace("cifar10}", "[cifar10, cifar100]}").replace("skips, weight: 2.0", "only_one")
    with pytest.raises(
        SpecError, match=r"experiments.yaml:9: .*scorers\[1\]: there are no images of cifar100"
    ):
        planned(tmp_path, text)
    assert not (tmp_path / "results").exists()


def test_the_projects_own_ranking_has_every_proxy() -> None:
    plan = plan_ranking(experiment.read_experiments(ROOT / "experiments.yaml"), "proxies")
    for benchmark in plan.benchmarks:
        named = {scorer.named.name for scorer in benchmark.scorers.values()}
        assert named == set(registry.names("proxy")) - {"skips", "only_one"}
        assert not any(scorer.missing for scorer in benchmark.scorers.values())


def test_a_search_is_no_ranking_and_the_other_way_round(tmp_path: Path) -> None:
    text = YAML + "  s: {benchmarks: [nasbench201], strategies: [tpe], seeds: 1, budget: {trials: 1}}\n"
    file = tmp_path / "experiments.yaml"
    file.write_text(text)
    experiments = experiment.read_experiments(file)
    with pytest.raises(SpecError, match="experiments.yaml:3: sweeps.r: this sweep is of kind 'ranking'"):
        experiments.plan("r")
    with pytest.raises(SpecError, match="experiments.yaml:11: sweeps.s: this sweep is of kind 'search'"):
        plan_ranking(experiments, "s")
    assert experiments.sweep("s")[1].kind == "search"


class TestFolder:
    def test_holds_all_that_a_report_needs(self, tmp_path: Path) -> None:
        told = run(tmp_path)
        assert told.benchmarks == ["nasbench201-cifar10"]
        assert told.done[-1] == (90, 90)
        folder = folder_of(tmp_path)
        scores = folder.columns("scores.csv")
        assert list(scores) == [
            "ncode", "valid", "valid/777", "valid/888", "valid/999", "parameters", "skips", "flops",
        ]  # fmt: skip
        space, benchmark = NASBench201Space(), NASBench201()
        for row, ncode in enumerate(scores["ncode"]):
            arch = space.from_ncode(ncode)
            assert float(scores["valid"][row]) == benchmark.query(arch, split="valid", fidelity=200)
            assert float(scores["parameters"][row]) == space.cost(arch, "cifar10").parameters
            wanted = "" if ncode.startswith("0") else str(2.0 * arch.count(1))
            assert scores["skips"][row] == wanted
            seeds = [float(v) for s in (777, 888, 999) if (v := scores[f"valid/{s}"][row])]
            assert np.mean(seeds) == pytest.approx(float(scores["valid"][row]))
        problems = folder.columns("problems.csv")
        assert problems["ncode"] == [ncode for ncode in scores["ncode"] if ncode.startswith("0")]
        assert set(problems["problem"]) == {"this cell has no first edge, and a 'quote', too."}
        assert all(float(seconds) >= 0.002 for seconds in folder.columns("seconds.csv")["skips"])
        record = folder.record
        assert record is not None
        assert (record.sample.architectures, record.sample.of, record.sample.seed) == (30, 15625, 0)
        assert record.data.digest == benchmark.digest
        assert record.scorers["skips"].params["weight"] == 2.0
        assert [s.role for s in record.scorers.values()] == ["floor", "scorer", "floor"]
        assert "no" in record.missing["test"]

    def test_both_splits_and_cheaper_training(self, tmp_path: Path, made_table: str) -> None:
        text = YAML.replace("cifar10}", "cifar10, source: made}").replace(
            "skips, weight: 2.0", "trained, fidelity: 12"
        )
        run(tmp_path, text)
        folder = folder_of(tmp_path)
        scores = folder.columns("scores.csv")
        index = NASBench201Space().index(NASBench201Space().from_ncode(scores["ncode"][0]))
        assert float(scores["valid"][0]) == pytest.approx(index / 200, rel=1e-5)
        assert float(scores["test"][0]) == pytest.approx(90 - index / 200, rel=1e-5)
        assert float(scores["trained"][0]) == pytest.approx(index / 300, rel=1e-5)
        assert float(folder.columns("seconds.csv")["trained"][0]) == pytest.approx(6)
        assert folder.record is not None
        assert folder.record.missing == {}
        assert folder.record.scorers["trained"].role == "ceiling"

    def test_what_the_source_lacks_is_no_error_and_said(self, tmp_path: Path) -> None:
        told = run(tmp_path, YAML.replace("skips, weight: 2.0", "trained, fidelity: 12"))
        (message,) = told.messages
        assert "no scores of trained: source" in message
        assert "200" in message
        record = folder_of(tmp_path).record
        assert record is not None
        assert record.scorers["trained"].missing is not None
        assert "trained" not in folder_of(tmp_path).columns("scores.csv")

    def test_equal_specifications_give_equal_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(tmp_path, results="one")
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "fresh"))
        file = written(tmp_path)
        plan = plan_ranking(file, "r")
        run_ranking(file, plan, plan, results=tmp_path / "two", workers=2, progress=Told())
        assert files(tmp_path / "one") == files(tmp_path / "two")
        assert len(files(tmp_path / "one")) == 4

    def test_what_is_there_is_not_scored_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run(tmp_path)
        before = {file: file.read_bytes() for file in (tmp_path / "results").rglob("*.*")}
        # Not even the tables of scores are needed.
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "fresh"))
        told = run(tmp_path)
        assert told.benchmarks == []
        assert told.messages == ["nasbench201-cifar10: all of it is there already."]
        assert {file: file.read_bytes() for file in (tmp_path / "results").rglob("*.*")} == before

    def test_scorers_are_added_to_what_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(tmp_path, only=("parameters",))
        assert "skips" not in folder_of(tmp_path).columns("scores.csv")
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "fresh"))
        run(tmp_path)
        # Those of the first call were taken from the folder.
        assert not list((tmp_path / "fresh").rglob("parameters*"))
        run(tmp_path, results="at-once")
        assert files(tmp_path / "results") == files(tmp_path / "at-once")

    def test_only_drops_nothing(self, tmp_path: Path) -> None:
        run(tmp_path)
        before = files(tmp_path / "results")
        assert run(tmp_path, only=("flops",)).benchmarks == []
        assert files(tmp_path / "results") == before

    def test_a_scorer_that_is_no_longer_planned_leaves(self, tmp_path: Path) -> None:
        run(tmp_path)
        without = YAML.replace("      - {name: skips, weight: 2.0}\n", "")
        run(tmp_path, without)
        run(tmp_path, without, results="at-once")
        assert files(tmp_path / "results") == files(tmp_path / "at-once")

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("architectures: 30", "architectures: 40", "sample.architectures is 30 there and 40 now"),
            ("architectures: 30", "architectures: 30\n    seed: 7", "sample.seed is 0 there and 7 now"),
            ("weight: 2.0", "weight: 3.0", "scorers.skips.params.weight is 2.0 there and 3.0 now"),
            ("dataset: cifar10,", "dataset: cifar100,", "benchmark.params.dataset is 'cifar10' there"),
        ],
    )
    def test_another_ranking_in_the_folder_is_refused(
        self, tmp_path: Path, old: str, new: str, said: str
    ) -> None:
        text = YAML.replace("dataset: cifar10", "dataset: cifar10, label: nasbench201")
        assert old in text
        run(tmp_path, text)
        before = files(tmp_path / "results")
        with pytest.raises(StoreError, match="holds another ranking") as caught:
            run(tmp_path, text.replace(old, new))
        assert said in str(caught.value)
        assert files(tmp_path / "results") == before

    def test_searches_and_rankings_share_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "search.yaml").write_text(SEARCH)
        (tmp_path / "ranking.yaml").write_text(YAML)
        harness("run", "search.yaml", "--no-report", cwd=tmp_path)
        assert "holds a sweep of kind 'search'" in refused("run", "ranking.yaml", cwd=tmp_path)
        harness("run", "ranking.yaml", "--no-report", "--results", "other", cwd=tmp_path)
        assert "holds a sweep of kind 'ranking'" in refused(
            "run", "search.yaml", "--results", "other", cwd=tmp_path
        )

    @pytest.mark.parametrize("name", ["scores.csv", "problems.csv"])
    def test_files_that_were_not_written_whole_are_written_again(self, tmp_path: Path, name: str) -> None:
        run(tmp_path)
        before = files(tmp_path / "results")
        path = folder_of(tmp_path).path / name
        path.write_bytes(path.read_bytes()[:-3])
        assert folder_of(tmp_path).record is None
        run(tmp_path)
        assert files(tmp_path / "results") == before

    @pytest.mark.parametrize("damage", ["", "ncode\n", "ncode,parameters,skips,flops\n0,1,2\n"])
    def test_damaged_seconds_are_named(self, tmp_path: Path, damage: str) -> None:
        run(tmp_path, only=("parameters",))
        (folder_of(tmp_path).path / "seconds.csv").write_text(damage)
        with pytest.raises(StoreError, match="seconds.csv: this is not what ranking.json speaks of; delete"):
            run(tmp_path)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("{", "this is no JSON"),
            ('{"format": 2}', "another version"),
            ('{"format": 1}', "`benchmark` is damaged"),
        ],
    )
    def test_a_damaged_record_is_named(self, tmp_path: Path, content: str, said: str) -> None:
        run(tmp_path)
        (folder_of(tmp_path).path / "ranking.json").write_text(content)
        with pytest.raises(StoreError, match=said):
            run(tmp_path)


class TestCommand:
    def test_prints_the_table_and_goes_on_after_a_kill(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = YAML.replace("architectures: 30", "architectures: 1500")
        (tmp_path / "experiments.yaml").write_text(text)
        process = start("run", "--no-report", cwd=tmp_path)
        table = None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            table = next((tmp_path / "data").rglob("skips-*.jsonl"), None)
            if table is not None and table.read_bytes().count(b"\n") > 20:
                break
            time.sleep(0.02)
        kill(process, group=True)
        assert table is not None
        assert 20 < table.read_bytes().count(b"\n") < 1500
        assert not (tmp_path / "results/r/nasbench201-cifar10").exists()
        assert "no scores yet" in refused("report", "results/r", cwd=tmp_path)
        first = table.read_text().splitlines()[:20]
        said = harness("run", cwd=tmp_path).stdout
        assert "Kendall's tau-b" in said
        # What was there was not scored again.
        assert table.read_text().splitlines()[:20] == first
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "fresh"))
        harness("run", "--results", "at-once", "--no-report", cwd=tmp_path)
        assert files(tmp_path / "results") == files(tmp_path / "at-once")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--seeds", "0:3"], "--seeds is for searches"),
            (["--retry-failed"], "--retry-failed is for searches"),
            (
                ["--replay", "strict"],
                "--replay is for what asks language models, and no scorer of the ranking 'r'",
            ),
        ],
    )
    def test_options_of_searches_are_refused(self, tmp_path: Path, options: list[str], said: str) -> None:
        (tmp_path / "experiments.yaml").write_text(YAML)
        assert said in refused("run", *options, cwd=tmp_path)

    def test_a_dry_run_says_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "experiments.yaml").write_text(YAML)
        assert "not complete" in harness("run", "--dry-run", cwd=tmp_path).stdout
        assert not (tmp_path / "results").exists()
        run(tmp_path)
        assert "not complete" not in harness("run", "--dry-run", cwd=tmp_path).stdout

    def test_scorers_are_listed(self, tmp_path: Path) -> None:
        said = harness("list", "scorers", cwd=tmp_path).stdout
        assert "trained" in said
        assert "fidelity" in said
        assert "seed=0" in harness("list", "proxies", cwd=tmp_path).stdout


def sweep_json(path: Path) -> Any:
    return json.loads((path / "results/r/sweep.json").read_text())


def test_the_plan_is_written_before_anything_is_scored(tmp_path: Path) -> None:
    class Stop(Told):
        def scored(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    file = written(tmp_path)
    plan = plan_ranking(file, "r")
    with pytest.raises(KeyboardInterrupt):
        run_ranking(file, plan, plan, results=tmp_path / "results", workers=1, progress=Stop())
    content = sweep_json(tmp_path)
    assert content["kind"] == "ranking"
    assert content["scorers"] == ["parameters", "skips", "flops"]
    assert (content["architectures"], content["seed"]) == (30, 0)
    assert folder_of(tmp_path).record is None


class TestTracking:
    def test_a_parent_with_the_report_and_a_child_per_scorer(self, tmp_path: Path, database: str) -> None:
        run(tmp_path)
        folder = tmp_path / "results/r"
        with pytest.raises(StoreError, match="no report to be logged; `harness report"):
            track_ranking(folder, database)
        report = build_report(folder)
        assert track_ranking(folder, database).logged == 5
        runs = logged(database)
        parent = runs["ranking r"]
        assert {name for name in runs if name != "ranking r"} == {
            f"{row} on nasbench201-cifar10"
            for row in ("skips", "parameters", "flops", "seed against seed", "valid against test")
        }
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        skips = runs["skips on nasbench201-cifar10"]
        assert skips.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert skips.data.params["scorer.weight"] == "2.0"
        assert (skips.data.params["scorer"], skips.data.params["architectures"]) == ("skips", "30")
        with (folder / "report/table-nasbench201-cifar10.csv").open() as file:
            table = {row["scorer"]: row for row in csv.DictReader(file)}
        for metric in ("tau_valid", "tau_valid_low", "spearman_valid_high", "scored", "failed", "seconds"):
            assert skips.data.metrics[metric] == float(table["skips"][metric])
        assert not any("test" in metric for metric in skips.data.metrics)
        assert (parent.data.tags["role"], parent.data.tags["sweep"]) == ("sweep", "r")
        artifacts = [f.path for f in connect(database).list_artifacts(parent.info.run_id, "report")]
        assert sorted(artifacts) == sorted(f"report/{file.name}" for file in report.files)

    def test_its_report_can_be_made_from_the_server_alone(self, tmp_path: Path, database: str) -> None:
        run(tmp_path)
        original = build_report(tmp_path / "results/r")
        track_ranking(tmp_path / "results/r", database)
        (tmp_path / "results").rename(tmp_path / "away")
        fetched = fetch_sweep(database, None, tmp_path / "fetched")
        assert (fetched.name, fetched.remarks) == ("r", ())
        again = build_report(fetched.folder)
        assert [file.name for file in again.files] == [file.name for file in original.files]
        for file in again.files:
            assert file.read_bytes() == (tmp_path / "away/r/report" / file.name).read_bytes(), file.name

    def test_a_folder_of_its_artifacts_that_is_none_of_a_benchmark_is_refused(
        self, tmp_path: Path, database: str
    ) -> None:
        run(tmp_path)
        build_report(tmp_path / "results/r")
        track_ranking(tmp_path / "results/r", database)
        (label,) = (tmp_path / "mlartifacts").glob("r/*/artifacts/nasbench201-cifar10")
        label.rename(label.with_name("-x"))
        with pytest.raises(TrackingError, match="the folder '-x' of its artifacts is no name of a folder"):
            fetch_sweep(database, None, tmp_path / "fetched")

    def test_the_same_is_logged_once_and_what_is_not_whole_is_replaced(
        self, tmp_path: Path, database: str
    ) -> None:
        folder = tmp_path / "results/r"
        run(tmp_path, only=("parameters",))
        build_report(folder)
        assert track_ranking(folder, database).logged == 4
        before = identifiers(database)
        again = track_ranking(folder, database)
        assert (again.logged, again.known) == (0, 4)
        assert identifiers(database) == before
        # It was cut off while it was being logged.
        connect(database).update_run(logged(database)["ranking r"].info.run_id, status="RUNNING")
        assert track_ranking(folder, database).logged == 4
        anew = identifiers(database)
        assert not anew & before
        # A scorer came.
        run(tmp_path)
        build_report(folder)
        assert track_ranking(folder, database).logged == 5
        assert len(identifiers(database)) == 6
        assert not identifiers(database) & anew

    def test_from_the_command_line(self, tmp_path: Path, database: str) -> None:
        (tmp_path / "experiments.yaml").write_text(YAML.replace("uri: null", f"uri: {database}"))
        assert "(make ui)" in harness("run", cwd=tmp_path).stdout
        assert len(identifiers(database)) == 6
        assert track_results(tmp_path / "results", database).sweeps[0][1].known == 5

    def test_a_server_that_is_not_there_costs_nothing_but_tracking(self, tmp_path: Path) -> None:
        (tmp_path / "blocked").write_text("no folder")
        (tmp_path / "experiments.yaml").write_text(
            YAML.replace("uri: null", "uri: sqlite:///blocked/mlflow.db")
        )
        said = harness("run", cwd=tmp_path).stdout
        assert "Not tracked: MLflow at sqlite:///blocked/mlflow.db" in said
        assert "Report: results/r/report/report.html" in said

    def test_without_a_report_it_says_how_to_log(self, tmp_path: Path, database: str) -> None:
        (tmp_path / "experiments.yaml").write_text(YAML.replace("uri: null", f"uri: {database}"))
        said = harness("run", "--no-report", cwd=tmp_path).stdout
        assert "Not tracked" in said
        for command in ("report", "track"):
            assert f"`harness {command} results/r`" in said
            harness(command, "results/r", cwd=tmp_path)
        assert len(identifiers(database)) == 6

    def test_a_plan_that_is_damaged(self, tmp_path: Path, database: str) -> None:
        run(tmp_path)
        file = tmp_path / "results/r/sweep.json"
        build_report(file.parent)
        whole = json.loads(file.read_text())
        for content in ("[]", json.dumps({**whole, "format": 1} | {"benchmarks": 3}), '{"format": 1'):
            file.write_text(content)
            with pytest.raises(StoreError, match=r"sweep.json: .*delete .*`harness run`.* writes it anew"):
                build_report(file.parent)
        file.write_text(json.dumps({key: whole[key] for key in ("format", "kind", "name")}))
        with pytest.raises(StoreError, match=r"sweep.json: .*'benchmarks'.*delete it, .* writes it anew"):
            track_ranking(file.parent, database)
        file.write_text("{")
        with pytest.raises(StoreError, match=r"sweep.json: .*delete it, and `harness run` writes it anew"):
            run(tmp_path)
        file.unlink()
        run(tmp_path)
        assert json.loads(file.read_text()) == whole


def test_what_earlier_calls_were_is_damaged(tmp_path: Path) -> None:
    run(tmp_path, only=("parameters",))
    file = tmp_path / "results/r/sessions.jsonl"
    file.write_text("no JSON\n")
    before = files(tmp_path / "results")
    with pytest.raises(StoreError, match=r"sessions.jsonl:1: .*delete it: .* no score is"):
        run(tmp_path)
    assert files(tmp_path / "results") == before
    with pytest.raises(StoreError, match=r"sessions.jsonl: .*or delete it"):
        build_report(file.parent)
    file.unlink()
    run(tmp_path)
    build_report(file.parent)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, because making MLflow's tables takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> str:
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def logged(uri: str) -> dict[str, Any]:
    """Runs of the ranking by name."""
    client = connect(uri)
    found = client.get_experiment_by_name("r")
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def identifiers(uri: str) -> set[str]:
    return {run.info.run_id for run in logged(uri).values()}


@pytest.mark.slow
def test_ceilings_of_the_whole_space(tmp_path: Path, core_table: str) -> None:
    """Tau of validation against test over all 15,625 cells, as the official files give it."""
    text = YAML.replace("cifar10}", f"[cifar10, cifar100, ImageNet16-120], source: {core_table}}}")
    text = text.replace("skips, weight: 2.0", "trained, fidelity: 12").replace("30", "all")
    (tmp_path / "experiments.yaml").write_text(text)
    harness("run", cwd=tmp_path)
    for dataset, tau in (("cifar10", 0.891), ("cifar100", 0.932), ("ImageNet16-120", 0.938)):
        file = tmp_path / f"results/r/report/table-nasbench201-{dataset}.csv"
        with file.open() as lines:
            table = {row["scorer"]: row for row in csv.DictReader(lines)}
        ceiling = table["valid against test"]
        assert float(ceiling["tau_test"]) == pytest.approx(tau, abs=0.0015)
        assert ceiling["scored"] == "15625"
        # Nothing without training comes near the ceiling; twelve epochs do not either.
        assert 0.5 < float(table["parameters"]["tau_test"]) < float(table["trained"]["tau_test"]) < 0.7
