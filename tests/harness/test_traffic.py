"""Traffic sets: what is on disk, by name, the synthetic one, the command line."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from harness.errors import DataError
from harness.errors import SpecError
from harness.traffic import STEPS_PER_DAY
from harness.traffic import TrafficSet
from harness.traffic import load_traffic
from harness.traffic import status
from harness.traffic.graph import transition
from harness.traffic.importing import import_traffic
from harness.traffic.library import traffic_path
from harness.traffic.official import OFFICIAL
from harness.traffic.synthetic import synthetic_traffic
from tests.harness.command import harness
from tests.harness.command import refused
from tests.harness.traffic_files import matrix
from tests.harness.traffic_files import speeds
from tests.harness.traffic_files import write_distances
from tests.harness.traffic_files import write_npz

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.traffic import TrafficSetStatus


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No traffic sets for every test."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path


def imported(folder: Path, name: str = "mine", **changes: Any) -> TrafficSetStatus:
    members = {"data": speeds(90, 4), "adjacency": matrix(4)} | changes
    return import_traffic(write_npz(folder / "part.npz", **members), dataset="metr-la", name=name)


def of(name: str) -> TrafficSetStatus:
    (found,) = [found for found in status() if found.name == name]
    return found


# What the data sets are.


def test_what_is_said_of_the_data_sets() -> None:
    # Li et al. 2018 and Song et al. 2020: whole days, but for the hour that PEMS-BAY lacks.
    days = {
        name: (facts.step_count + (facts.gap[1] if facts.gap else 0)) / 288
        for name, facts in OFFICIAL.items()
    }
    assert days == {
        "metr-la": 119,
        "pems-bay": 181,
        "pems-03": 91,
        "pems-04": 59,
        "pems-07": 98,
        "pems-08": 62,
    }
    # Sensors of Table 3 of the ISTS paper; its steps are the places of windows of 12 and 12, but for those of a part.
    sensors = {
        "metr-la": 207,
        "pems-bay": 325,
        "pems-03": 358,
        "pems-04": 307,
        "pems-07": 883,
        "pems-08": 170,
    }
    assert {name: facts.sensor_count for name, facts in OFFICIAL.items()} == sensors
    windows = {"metr-la": 34_203, "pems-bay": 52_047, "pems-03": 26_139, "pems-04": 16_923, "pems-08": 17_787}
    for name, number in windows.items():
        assert OFFICIAL[name].step_count - number == 3 * (12 + 12 - 1)


# What is on disk.


def test_what_is_read_is_what_was_written(folder: Path) -> None:
    found = imported(folder)
    traffic = load_traffic("mine")
    assert (traffic.name, traffic.digest) == ("mine", found.digest)
    assert np.array_equal(traffic.values, speeds(90, 4).astype(np.float32))
    for array in (traffic.values, traffic.clock, traffic.adjacency):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert (traffic.values.dtype, traffic.clock.dtype, traffic.adjacency.dtype) == (
        np.float32,
        np.int64,
        np.float32,
    )
    # It is a plain .npz for everything else.
    with np.load(traffic_path("mine")) as archive:
        assert np.array_equal(archive["values"], traffic.values)


def test_the_digest_is_that_of_the_content(folder: Path) -> None:
    digests = [imported(folder, "a").digest, imported(folder, "b").digest]
    assert digests[0] == digests[1], "not of the name"
    digests = [
        digests[0],
        imported(folder, "c", data=speeds(90, 4) + 1).digest,
        imported(folder, "d", adjacency=matrix(4).T).digest,
        imported(folder, "e", first_step=1).digest,
        import_traffic(folder / "part.npz", dataset="pems-bay", name="f").digest,
    ]
    assert len(set(digests)) == 5


def test_damage_is_found(folder: Path) -> None:
    imported(folder)
    path = traffic_path("mine")
    content = path.read_bytes()
    assert (of("mine").state, of("mine").problem) == ("valid", None)
    damaged = [b"", b"no zip", content[:500], content[:-1], content[: len(content) // 2]]
    for member in ("values", "clock", "adjacency", "meta"):
        place = content.index(f"{member}.npy".encode()) + 200
        damaged.append(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(
            DataError, match=r"mine.npz is corrupt: .*Delete the file and import the traffic again"
        ):
            load_traffic("mine")
        assert of("mine").state == "corrupt"
        assert "is corrupt" in str(of("mine").problem)
    path.write_bytes(content)
    assert load_traffic("mine").steps == 90


def test_what_another_program_has_changed_is_found(folder: Path) -> None:
    imported(folder)
    path = traffic_path("mine")
    with np.load(path) as archive:
        content = dict(archive)
    np.savez(path, **content | {"values": content["values"] + 1})
    with pytest.raises(DataError, match="what it holds does not match its checksum"):
        load_traffic("mine")
    meta = json.loads(content["meta"].tobytes()) | {"format": 2}
    np.savez(path, **content | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    with pytest.raises(DataError, match="has format 2, this version reads 1. Delete the file and import"):
        load_traffic("mine")


def test_a_set_that_was_replaced_is_read_anew(folder: Path) -> None:
    imported(folder)
    first = load_traffic("mine")
    assert load_traffic("mine") is first, "it is read once"
    traffic_path("mine").unlink()
    imported(folder, data=speeds(90, 4) + 1)
    assert load_traffic("mine").values[0, 0] == first.values[0, 0] + 1


def test_a_full_disk_leaves_nothing_behind(folder: Path) -> None:
    path = write_npz(folder / "part.npz", data=speeds(9_000, 4), adjacency=matrix(4))
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "from pathlib import Path\n"
        "from harness.errors import DataError\n"
        "from harness.traffic.importing import import_traffic\n"
        "try: import_traffic(Path(sys.argv[1]), dataset='metr-la')\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "cannot be written" in done.stdout
    assert list(traffic_path("*").parent.iterdir()) == []


def test_others_may_read_what_the_umask_lets_them(folder: Path) -> None:
    old = os.umask(0o027)
    try:
        path = imported(folder).path
    finally:
        os.umask(old)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


# By name.


def test_what_is_not_imported_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(
        SpecError,
        match="'metr-la' is not imported: get metr-la.h5 and adj_mx.pkl from https://github.com/liyaguang/DCRNN, then "
        "`harness data import traffic metr-la.h5 --adjacency adj_mx.pkl --dataset metr-la`. .*take 'synthetic'",
    ):
        load_traffic("metr-la")
    with pytest.raises(
        SpecError, match="get PEMS03.npz, PEMS03.csv and PEMS03.txt from .* --sensors PEMS03.txt"
    ):
        load_traffic("pems-03")
    imported(folder, "metr-la-4")
    with pytest.raises(
        SpecError,
        match="unknown traffic set 'metr-la4', did you mean 'metr-la-4' or 'metr-la'.* Make it with "
        "`harness data import traffic PATH --dataset DATASET --name metr-la4`",
    ):
        load_traffic("metr-la4")
    with pytest.raises(SpecError, match="unknown traffic set '../mine'"):
        load_traffic("../mine")


def test_status_lists_every_set_and_changes_nothing(folder: Path) -> None:
    assert [found.name for found in status()] == ["synthetic", *sorted(OFFICIAL)]
    assert [found.state for found in status()] == ["valid"] + ["not imported"] * 6
    assert not (folder / "data").exists()
    imported(folder, "another")
    assert [found.name for found in status()] == ["synthetic", "another", *sorted(OFFICIAL)]
    assert of("synthetic").digest == load_traffic("synthetic").digest


# The synthetic one.


@pytest.fixture(scope="module")
def city() -> TrafficSet:
    return synthetic_traffic(60, 28, seed=1)


def test_the_synthetic_set_is_always_there_and_says_what_it_is() -> None:
    traffic = load_traffic("synthetic")
    assert (traffic.name, traffic.dataset, traffic.quantity, traffic.unit) == (
        "synthetic",
        "synthetic",
        "speed",
        "mph",
    )
    assert traffic.source.startswith("synthetic, made by a generator and never measured: 20 sensors, 14 days")
    assert (traffic.steps, traffic.sensors) == (14 * STEPS_PER_DAY, 20)
    assert np.array_equal(traffic.clock, np.arange(traffic.steps))
    # Results are tied to it, so it stays what it is.
    assert traffic.digest == "081beda66995281553beb9fc1fd8e0ca4ede5f18e3e7f90e99874121e120bc28"


def test_equal_seeds_make_equal_sets_in_another_process(city: TrafficSet) -> None:
    program = "from harness.traffic.synthetic import *; print(synthetic_traffic(60, 28, seed=1).digest)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == city.digest
    assert synthetic_traffic(60, 28, seed=2).digest != city.digest


def test_synthetic_speeds_are_those_of_roads(city: TrafficSet) -> None:
    assert np.nanmin(city.values) >= 5
    assert np.nanmax(city.values) <= 70
    # Congestion goes far down somewhere, and is not everywhere.
    assert (np.nanmin(city.values, axis=0) < 25).any()
    assert np.nanmean(city.values) > 45
    assert np.allclose(city.values, city.values.round(1), equal_nan=True)
    missing = np.isnan(city.values)
    assert 0.002 < missing.mean() < 0.05
    # In bursts: after a value that is missing, the next mostly is.
    assert missing[1:][missing[:-1]].mean() > 0.5


def profile(values: NDArray[np.float32], days: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean of each step of a day over days; shape (288, sensors)."""
    found: NDArray[np.float32] = np.nanmean(values.reshape(-1, STEPS_PER_DAY, values.shape[1])[days], axis=0)
    return found


def test_synthetic_traffic_has_a_daily_and_a_weekly_rhythm(city: TrafficSet) -> None:
    day = np.arange(28)
    weekday, weekend = profile(city.values, day[day % 7 < 5]), profile(city.values, day[day % 7 >= 5])
    night, morning, evening = slice(0, 4 * 12), slice(int(7.5 * 12), int(8.5 * 12)), slice(17 * 12, 18 * 12)
    mean = weekday.mean(axis=1)
    assert mean[night].mean() > mean[morning].mean() + 8
    assert mean[night].mean() > mean[evening].mean() + 8
    assert weekend.mean(axis=1)[morning].mean() > mean[morning].mean() + 8
    # It is not the same everywhere.
    assert weekday[morning].mean(axis=0).std() > 5


def test_synthetic_disturbances_go_along_the_roads(city: TrafficSet) -> None:
    day = np.arange(28)
    unusual = city.values.copy()
    for days in (day[day % 7 < 5], day[day % 7 >= 5]):
        here = np.isin(np.arange(city.steps) // STEPS_PER_DAY, days)
        unusual[here] -= np.tile(profile(city.values, days), (len(days), 1))
    # By the load of the road, so that a disturbance counts the same by day and by night.
    unusual /= np.nanstd(unusual, axis=0)
    unusual = np.nan_to_num(unusual)
    roads = city.adjacency.copy()
    np.fill_diagonal(roads, 0)
    upstream = unusual @ transition(roads)[1].T

    def together(lag: int) -> float:
        """How much what is unusual at a sensor resembles what is unusual upstream of it so many steps earlier."""
        earlier, later = upstream[: city.steps - lag], unusual[lag:]
        return float(np.corrcoef(earlier.ravel(), later.ravel())[0, 1])

    assert together(2) > 0.1
    assert together(2) > together(0)
    assert together(2) > together(24)


@pytest.mark.parametrize("sensors", [2, 5, 60])
def test_synthetic_roads_lead_everywhere(sensors: int) -> None:
    adjacency = synthetic_traffic(sensors, 1, seed=3).adjacency
    assert adjacency.shape == (sensors, sensors)
    assert (adjacency.diagonal() == 1).all()
    assert adjacency.min() == 0 or sensors < 5
    assert adjacency.max() <= 1
    assert connected_components(adjacency > 0, directed=True, connection="strong")[0] == 1
    # Few roads: of 60 sensors, each leads to about three others.
    assert np.count_nonzero(adjacency) < sensors * 7


# The command line.


def test_import_and_status_on_the_command_line(folder: Path) -> None:
    data = np.random.default_rng(0).integers(0, 500, (40, 4, 3))
    npz = write_npz(folder / "PEMS08.npz", data=data)
    csv = write_distances(folder / "PEMS08.csv", [("a", "b", 1.0), ("b", "c", 2.0), ("c", "d", 0.5)])
    (folder / "ids.txt").write_text("a b c d")
    options = ("--dataset", "pems-08", "--adjacency", csv, "--sensors", folder / "ids.txt", "--name", "small")
    said = harness("data", "import", "traffic", npz, *options, cwd=folder).stdout
    assert "PEMS08.npz and PEMS08.csv, the files of PEMS08" in said
    for command in ("status", "doctor"):
        arguments = ("data", "status") if command == "status" else ("doctor",)
        said = harness(*arguments, cwd=folder, check=None).stdout
        said = " ".join(said.replace("│", " ").split())
        assert "synthetic valid synthetic, made by a generator and never measured: 20 sensors" in said
        assert (
            "metr-la not imported get metr-la.h5 and adj_mx.pkl from https://github.com/liyaguang/DCRNN"
            in said
        )
        assert "small valid PEMS08.npz and PEMS08.csv, the files of PEMS08" in said


def test_wrong_imports_on_the_command_line(folder: Path) -> None:
    npz = write_npz(folder / "mine.npz", data=speeds(9, 4), adjacency=matrix(4))
    said = refused("data", "import", "traffic", npz, cwd=folder)
    assert "give --dataset: metr-la, pems-bay, pems-03, pems-04, pems-07, pems-08" in said
    said = refused("data", "import", "traffic", npz, "--dataset", "metrla", cwd=folder)
    assert "unknown data set 'metrla', did you mean 'metr-la'" in said
    said = refused("data", "import", "traffic", npz, "--dataset", "metr-la", "--allow-partial", cwd=folder)
    assert "are for tables, and not for traffic" in said
    said = refused("data", "import", "images", npz, "--dataset", "cifar10", "--adjacency", npz, cwd=folder)
    assert "--adjacency and --sensors are for traffic" in said
