"""Import of traffic: official files and parts of them, their clocks and graphs, and what is refused."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose

from harness.errors import DataError
from harness.errors import HarnessError
from harness.errors import SpecError
from harness.traffic import load_traffic
from harness.traffic.importing import import_traffic
from harness.traffic.library import traffic_path
from harness.traffic.official import OFFICIAL
from tests.harness.pickles import pickled
from tests.harness.traffic_files import matrix
from tests.harness.traffic_files import speeds
from tests.harness.traffic_files import times
from tests.harness.traffic_files import write_distances
from tests.harness.traffic_files import write_frame
from tests.harness.traffic_files import write_npz
from tests.harness.traffic_files import write_pickle

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "traffic"
IDS = ["773869", "767541", "767542", "717447"]
START = {"metr-la": "2012-03-01", "pems-bay": "2017-01-01"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No traffic sets for every test."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refuses(says: str, path: Path, error: type[HarnessError] = DataError, **options: Any) -> None:
    """The import fails with this message, and nothing is written."""
    with pytest.raises(error, match=says) as caught:
        import_traffic(path, **({"dataset": "metr-la"} | options))
    assert "\n" not in str(caught.value)
    assert not traffic_path("*").parent.exists()


# METR-LA and PEMS-BAY: a data frame and a pickled matrix.


def metr_la(folder: Path, **changes: Any) -> Path:
    values = changes.pop("values", speeds(600, 4))
    index = changes.pop("index", times("2012-03-01", len(values)))
    return write_frame(folder / "metr-la.h5", values, index, changes.pop("columns", IDS), **changes)


def graph(folder: Path) -> Path:
    return write_pickle(folder / "adj_mx.pkl", IDS, matrix(4))


def test_official_speeds_are_read(folder: Path) -> None:
    values = speeds(600, 4)
    values[[5, 6, 300], [0, 0, 3]] = 0
    values[7, 2] = np.nan
    imported = import_traffic(metr_la(folder, values=values), dataset="metr-la", adjacency=graph(folder))
    assert (imported.name, imported.state, imported.problem) == ("metr-la", "valid", None)
    assert imported.description == (
        "metr-la.h5 and adj_mx.pkl, the files of METR-LA (Li et al. 2018, https://github.com/liyaguang/DCRNN): "
        "4 of 207 sensors, 600 of 34,272 steps from 2012-03-01 00:00; speed in mph, 0.2% without a value, "
        f"{np.count_nonzero(matrix(4)) - 4} edges"
    )
    traffic = load_traffic("metr-la")
    assert (traffic.dataset, traffic.quantity, traffic.unit) == ("metr-la", "speed", "mph")
    assert (traffic.steps, traffic.sensors) == (600, 4)
    # No car stood still: 0 says that there is no value.
    values[[5, 6, 300], [0, 0, 3]] = np.nan
    assert np.array_equal(traffic.values, values.astype(np.float32), equal_nan=True)
    assert np.array_equal(traffic.clock, np.arange(600))
    assert np.array_equal(traffic.adjacency, matrix(4))
    assert traffic.digest == imported.digest
    assert not (folder / "harmed").exists()


def test_the_clock_is_that_of_the_index(folder: Path) -> None:
    # Daylight saving: after 01:55 comes 03:00. A day later two hours of nobody knows what.
    index = times("2017-03-11T22:00", 2 * 288)
    there = np.ones(len(index), dtype=bool)
    there[48:60] = there[400:424] = False
    ids = [400_001, 400_017]
    path = write_frame(
        folder / "pems-bay.h5",
        speeds(there.sum(), 2),
        index[there],
        ids,
        group="speed",
        kind="datetime64[ns]",
    )
    adjacency = write_pickle(folder / "adj_mx_bay.pkl", ["400001", "400017"], matrix(2))
    said = import_traffic(path, dataset="pems-bay", adjacency=adjacency).description
    assert (
        "540 of 52,116 steps from 2017-03-11 22:00 (36 more are absent, in 2 gaps, the first before step 48)"
        in said
    )
    clock = load_traffic("pems-bay").clock
    assert np.array_equal(clock, np.flatnonzero(there) + 22 * 12)
    assert (clock[47] % 288, clock[48] % 288) == (23, 36)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_indices_of_every_resolution_are_read(unit: str, folder: Path) -> None:
    index = times("2012-03-01", 600)
    path = metr_la(folder, index=index.astype(f"datetime64[{unit}]"), kind=f"datetime64[{unit}]")
    import_traffic(path, dataset="metr-la", adjacency=graph(folder))
    assert np.array_equal(load_traffic("metr-la").clock, np.arange(600))


@pytest.mark.parametrize("protocol", [None, 0, 2, 4])
def test_matrices_of_every_python_are_read(protocol: int | None, folder: Path) -> None:
    adjacency = write_pickle(folder / "adj_mx.pkl", IDS, matrix(4), protocol)
    import_traffic(metr_la(folder), dataset="metr-la", adjacency=adjacency)
    assert np.array_equal(load_traffic("metr-la").adjacency, matrix(4))


def test_the_matrix_is_put_in_the_order_of_the_columns(folder: Path) -> None:
    columns = [IDS[2], IDS[0], IDS[3]]
    path = metr_la(folder, values=speeds(9, 3), columns=columns)
    import_traffic(path, dataset="metr-la", adjacency=graph(folder))
    assert np.array_equal(load_traffic("metr-la").adjacency, matrix(4)[np.ix_([2, 0, 3], [2, 0, 3])])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"index": times("2012-03-01", 600)[::-1]},
            "step 1 is at 2012-03-03 01:50:00 after 2012-03-03 01:55:00; legal are times that rise",
        ),
        (
            {"index": np.repeat(times("2012-03-01", 300), 2)},
            "step 1 is at 2012-03-01 00:00:00 after 2012-03-01 00:00",
        ),
        (
            {"index": times("2012-03-01T00:00:30", 600)},
            "step 0 is at 2012-03-01 00:00:30; .*whole five minutes",
        ),
        (
            {"index": np.insert(times("2012-03-01", 599), 9, np.datetime64("2012-03-01T00:43"))},
            "step 9 is at 2012-03-01 00:43:00 after 2012-03-01 00:40:00",
        ),
        ({"index": np.full(600, "NaT", "datetime64[ns]")}, "step 0 is at no time; legal are"),
        (
            {"index": times("2017-06-01", 600)},
            "goes from 2017-06-01 00:00:00 to 2017-06-03 01:55:00, and METR-LA from 2012-03-01 00:00:00 to 2012-06-27 "
            "23:55:00; these are times of --dataset pems-bay; these are times of --dataset pems-07",
        ),
        ({"index": times("2012-02-29T23:55", 600)}, "goes from 2012-02-29 23:55:00"),
        ({"index": times("2012-06-26", 600)}, "goes from 2012-06-26 00:00:00 to 2012-06-28 01:55:00, and"),
        ({"kind": "integer"}, "index that is no local time .its kind is 'integer'"),
        ({"tz": "UTC"}, "index that is no local time"),
        ({"columns": [0.5, 1.5, 2.5, 3.5]}, "has columns of type float64; legal are the ids of sensors"),
        ({"columns": [*IDS[:3], IDS[0]]}, "has two sensors of the same id"),
        (
            {"columns": IDS[:3]},
            r"shape \(600, 4\); legal is a number for each of its 600 times and 3 sensors",
        ),
        ({"values": np.full((600, 4), b"fast")}, r"has \|S4 values"),
        (
            {"values": np.full((600, 4), -1.5)},
            "step 0 of sensor 0 .from 0. is -1.5 mph; legal are numbers that are not",
        ),
        (
            {"values": np.full((600, 4), np.inf)},
            "is inf mph; legal are numbers that are not negative, and NaN",
        ),
        ({"values": np.zeros((600, 4))}, "every value is missing"),
        ({"values": np.zeros((0, 4))}, "has 0 steps of 4 sensors: nothing was measured"),
    ],
)
def test_wrong_frames_are_named(changes: dict[str, Any], says: str, folder: Path) -> None:
    refuses(f"metr-la.h5.*{says}", metr_la(folder, **changes), adjacency=graph(folder))


def test_what_is_no_frame_is_named(folder: Path) -> None:
    path = metr_la(folder)
    content = path.read_bytes()
    for size in (0, 100, 3_000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refuses("metr-la.h5 is truncated, damaged or no HDF5 .*legal are metr-la.h5 of METR-LA", path)
    path.write_text("<html>Sign in to download</html>")
    refuses("metr-la.h5 is truncated, damaged or no HDF5", path)
    with h5py.File(path, "w") as file:
        file.create_group("speed")["table"] = np.zeros(3)
    refuses("holds no data frame in pandas' fixed format, but speed; legal are metr-la.h5 of METR-LA", path)
    refuses(
        "no.h5 is no file; legal are metr-la.h5 of METR-LA .from https://github.com/liyaguang/DCRNN.",
        folder / "no.h5",
    )
    refuses("is no file; legal are", folder)


PLACES = {sensor: place for place, sensor in enumerate(IDS)}
OTHERS = ["400001", "400017", "400030", IDS[3]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([*IDS], "does not hold a list of sensor ids, their places, and a matrix"),
        ([IDS, PLACES], "does not hold a list of sensor ids, their places, and a matrix"),
        ([matrix(4), PLACES, IDS], "does not hold a list of sensor ids, their places, and a matrix"),
        ({"ids": IDS}, "holds a dict and no list"),
        ([IDS[:3], PLACES, matrix(4)], r"has a matrix of shape \(4, 4\) for 3 different sensors"),
        ([[*IDS[:3], IDS[0]], PLACES, matrix(4)], "for 3 different sensors"),
        (
            [IDS, dict(zip(IDS, [3, 2, 1, 0], strict=True)), matrix(4)],
            "contradicts itself: the places of the sensors",
        ),
        (
            [OTHERS, dict(zip(OTHERS, range(4), strict=True)), matrix(4)],
            r"has no 773869, 767541, 767542 \(3\) of the 4 sensors that were measured; it is for other sensors "
            r"\(400001, 400017, 400030, ...\). Give the --adjacency of the same",
        ),
        (
            [IDS, PLACES, -matrix(4)],
            "from sensor 0 to 0 .from 0. is -1; legal are numbers that are not negative",
        ),
        ([IDS, PLACES, np.where(matrix(4) == 1, np.nan, 0)], "from sensor 0 to 0 .from 0. is nan"),
    ],
)
def test_wrong_matrices_are_named(content: Any, says: str, folder: Path) -> None:
    adjacency = folder / "adj_mx.pkl"
    adjacency.write_bytes(pickled(content, None))
    refuses(f"adj_mx.pkl.*{says}", metr_la(folder), adjacency=adjacency)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Ran out of input"),
        (b"<html>", ""),
        # Git has changed its line ends.
        (pickled([IDS, PLACES, matrix(4)], 0).replace(b"\n", b"\r\n"), ""),
        (pickled([IDS, PLACES, matrix(4)], None)[:-40], ""),
        (b"cos\nmkdir\n(S'harmed'\ntR.", "it asks for os.mkdir, which data have no need of"),
    ],
    ids=["empty", "text", "line ends", "cut off", "harmful"],
)
def test_what_is_no_matrix_is_named(content: bytes, says: str, folder: Path) -> None:
    adjacency = folder / "adj_mx.pkl"
    adjacency.write_bytes(content)
    refuses(
        f"adj_mx.pkl cannot be read: .*{says}.* Download the file again", metr_la(folder), adjacency=adjacency
    )
    assert not (folder / "harmed").exists()


def test_a_graph_must_be_given_once_and_exist(folder: Path) -> None:
    path = metr_la(folder)
    refuses("metr-la.h5 has no adjacency; give --adjacency: adj_mx.pkl of https", path, SpecError)
    refuses("no.pkl cannot be read .*No such file", path, adjacency=folder / "no.pkl")
    refuses("no.csv cannot be read .*No such file", path, adjacency=folder / "no.csv")
    refuses("is neither a .pkl with a matrix nor a .csv", path, SpecError, adjacency=folder / "adj_mx.txt")
    whole = write_npz(folder / "part.npz", data=speeds(9, 4), adjacency=matrix(4))
    refuses("part.npz has an adjacency of its own; leave out", whole, SpecError, adjacency=graph(folder))
    nameless = write_npz(folder / "part.npz", data=speeds(9, 4))
    refuses("which row of .*adj_mx.pkl is whose is not known", nameless, SpecError, adjacency=graph(folder))
    refuses(
        "--sensors is for .*metr-la.h5 has ids of its own",
        path,
        SpecError,
        adjacency=graph(folder),
        sensors=folder / "ids.txt",
    )
    refuses("is given without --adjacency", nameless, SpecError, sensors=folder / "ids.txt")


# PEMS-03, 04, 07 and 08: an array and distances.


def flows(steps: int, sensors: int, features: int) -> Any:
    return np.random.default_rng(0).integers(0, 500, (steps, sensors, features)).astype(np.float64)


SEGMENTS = [(0, 1, 1.0), (2, 1, 2.0), (2, 3, 5.0), (0, 1, 1.0), (1, 0, 1.5), (3, 3, 0.0)]
#: Of 1, 2 and 5: what is listed twice, the other way or from a sensor to itself adds nothing.
VARIANCE = 26 / 9


@pytest.mark.parametrize(("dataset", "features"), [("pems-04", 3), ("pems-07", 1), ("pems-08", 3)])
def test_official_flows_are_read(dataset: str, features: int, folder: Path) -> None:
    data = flows(300, 4, features)
    data[3, 2, 0] = np.nan
    data[4, 1, 0] = 0
    path = write_npz(folder / "PEMS.npz", data=data)
    adjacency = write_distances(folder / "PEMS.csv", SEGMENTS)
    imported = import_traffic(path, dataset=dataset, adjacency=adjacency)
    assert "PEMS.npz and PEMS.csv, the files of PEMS0" in imported.description
    assert f"4 of {OFFICIAL[dataset].sensor_count} sensors, 300 of" in imported.description
    assert (
        "; 2 of 3 road segments weigh 0.1 or more; flow in vehicles per 5 min, 0.1% without a value"
        in imported.description
    )
    traffic = load_traffic(dataset)
    assert (traffic.quantity, traffic.unit) == ("flow", "vehicles per 5 min")
    # Nobody drove by: 0 is a measurement of flow.
    assert traffic.values[4, 1] == 0
    assert np.array_equal(traffic.values, data[:, :, 0].astype(np.float32), equal_nan=True)
    assert np.array_equal(traffic.clock, np.arange(300))
    near, middle = exp(-1 / VARIANCE), exp(-4 / VARIANCE)
    # exp(-25 / VARIANCE) is below 0.1.
    expected = [[1, near, 0, 0], [near, 1, middle, 0], [0, middle, 1, 0], [0, 0, 0, 1]]
    assert_allclose(traffic.adjacency, expected, rtol=1e-6)


def test_sensors_of_distances_can_have_ids(folder: Path) -> None:
    ids = [318711, 317842, 315955, 318721]
    path = write_npz(folder / "PEMS03.npz", data=flows(30, 4, 1))
    rows = [(ids[start], ids[end], distance) for start, end, distance in SEGMENTS]
    adjacency = write_distances(folder / "PEMS03.csv", rows, "from,to,distance")
    refuses(
        r"distances of 318711, 315955, 317842, ... \(4\), and the sensors are 0, 1, 2, ...: give .* --sensors",
        path,
        dataset="pems-03",
        adjacency=adjacency,
    )
    (folder / "PEMS03.txt").write_text("\n".join(map(str, ids)))
    import_traffic(path, dataset="pems-03", adjacency=adjacency, sensors=folder / "PEMS03.txt")
    (folder / "ids.txt").write_text(",".join(map(str, ids)) + "\n")
    options: dict[str, Any] = {"dataset": "pems-03", "adjacency": adjacency, "sensors": folder / "ids.txt"}
    assert import_traffic(path, **options, name="a").digest == load_traffic("pems-03").digest
    plain = write_distances(folder / "plain.csv", SEGMENTS)
    import_traffic(path, dataset="pems-03", adjacency=plain, name="b")
    assert np.array_equal(load_traffic("b").adjacency, load_traffic("pems-03").adjacency)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"1 2 3", r"ids.txt has 3 ids, and .*PEMS03.npz 4 sensors"),
        (b"1 2 3 2", r"ids.txt has 2 \(1\) twice"),
        (b"\xff\xfe", "ids.txt cannot be read"),
    ],
)
def test_wrong_ids_are_named(content: bytes, says: str, folder: Path) -> None:
    path = write_npz(folder / "PEMS03.npz", data=flows(30, 4, 1))
    adjacency = write_distances(folder / "PEMS03.csv", SEGMENTS)
    (folder / "ids.txt").write_bytes(content)
    refuses(says, path, dataset="pems-03", adjacency=adjacency, sensors=folder / "ids.txt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "PEMS04.csv cannot be read"),
        (b"\xff\xfe\x00", "PEMS04.csv cannot be read"),
        (b"from,to,cost\n0,1,2\n0,1,2,3\n", "PEMS04.csv cannot be read .*line 3"),
        (b"0,1,2\n1,2,3\n", "has the columns 0, 1, 2; legal are from, to and cost, or distance"),
        (b"from,to,cost\n0,1,far\n", "PEMS04.csv:2: legal are two sensors and a distance"),
        (b"from,to,cost\n0,1,1\n0,,1\n", "PEMS04.csv:3: legal are"),
        (
            b"from,to,cost\n0,1,-1\n",
            "PEMS04.csv:2: legal are two sensors and a distance that is not negative",
        ),
        (b"from,to,cost\n0,1,inf\n", "PEMS04.csv:2: legal are"),
        (
            b"from,to,cost\n0,4,1\n",
            r"has distances of 4 \(1\), and the sensors are 0, 1, 2, ...: give the list",
        ),
    ],
)
def test_wrong_distances_are_named(content: bytes, says: str, folder: Path) -> None:
    path = write_npz(folder / "PEMS04.npz", data=flows(30, 4, 3))
    (folder / "PEMS04.csv").write_bytes(content)
    refuses(says, path, dataset="pems-04", adjacency=folder / "PEMS04.csv")


# Parts, as arrays in an .npz.


def test_parts_are_read(folder: Path) -> None:
    data = np.random.default_rng(0).integers(1, 7_000, (50, 4)).astype(np.int16)
    data[8, 3] = 0
    path = write_npz(
        folder / "part.npz",
        data=data,
        scale=np.float32(0.01),
        first_step=3 * 288 + 30,
        sensor_ids=np.array(IDS),
        adjacency=matrix(4),
    )
    imported = import_traffic(path, dataset="metr-la", name="metr-la-4")
    assert imported.description.startswith(
        "part.npz, imported for metr-la: 4 of 207 sensors, 50 of 34,272 steps from 2012-03-04 02:30; speed in mph, "
    )
    traffic = load_traffic("metr-la-4")
    assert (traffic.name, traffic.dataset) == ("metr-la-4", "metr-la")
    assert np.isnan(traffic.values[8, 3])
    # As whoever wrote it meant it: 12.34, and not 1234 times the 32 bits nearest to 0.01.
    there = ~np.isnan(traffic.values)
    assert np.array_equal(traffic.values[there], (data[there] / 100).astype(np.float32))
    assert np.array_equal(traffic.clock, np.arange(30, 80))
    assert np.array_equal(traffic.adjacency, matrix(4))


def test_a_part_can_have_the_pickled_matrix_of_the_whole(folder: Path) -> None:
    path = write_npz(folder / "part.npz", data=speeds(9, 2), sensor_ids=np.array([IDS[3], IDS[1]]))
    import_traffic(path, dataset="metr-la", adjacency=graph(folder))
    assert np.array_equal(load_traffic("metr-la").adjacency, matrix(4)[np.ix_([3, 1], [3, 1])])


@pytest.mark.parametrize(("first", "gap_at"), [(0, 20_184), (20_000, 184), (20_184, None), (0, None)])
def test_parts_of_pems_bay_know_of_the_hour_that_was_not(
    first: int, gap_at: int | None, folder: Path
) -> None:
    steps = 20_184 if (first, gap_at) == (0, None) else 20_300 if first == 0 else 300
    path = write_npz(folder / "part.npz", data=speeds(steps, 2), first_step=first, adjacency=matrix(2))
    said = import_traffic(path, dataset="pems-bay").description
    clock = load_traffic("pems-bay").clock
    assert ("are absent" in said) == (gap_at is not None)
    assert set(np.diff(clock)) == ({1} if gap_at is None else {1, 13})
    if gap_at is not None:
        assert f"(12 more are absent, before step {gap_at:,})" in said
        # 01:55, and 03:00 of Sunday, 12 March 2017, 70 days after the new year.
        assert [
            divmod(moment + first // 288 * 288, 288) for moment in clock[gap_at - 1 : gap_at + 1].tolist()
        ] == [
            (70, 23),
            (70, 36),
        ]
    if first == 20_184:
        assert "from 2017-03-12 03:00" in said
        assert clock[0] == 36


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": None}, "has no `data`, but adjacency; legal are metr-la.h5"),
        ({"data": np.zeros(5)}, r"`data` is float64 of shape \(5,\); legal are numbers of shape \(steps, sensors\)"),
        ({"data": np.zeros((9, 4, 0))}, r"`data` is float64 of shape \(9, 4, 0\)"),
        ({"data": np.full((9, 4), "fast")}, r"`data` is <U4 of shape \(9, 4\)"),
        ({"data": np.ones((34_273, 4), bool)}, "`data` is bool"),
        ({"data": np.ones((34_273, 4))}, "has 34,273 steps from step 0; METR-LA has 34,272 from 0"),
        ({"first_step": 34_264}, "has 9 steps from step 34,264; METR-LA has 34,272 from 0"),
        ({"first_step": 0.5}, "has 9 steps from step 0.5"),
        ({"first_step": -1}, "`first_step` is -1; legal is one number that is not negative"),
        ({"first_step": [1, 2]}, r"`first_step` is \[1, 2\]; legal is one number"),
        ({"scale": np.nan}, "`scale` is nan; legal is one number"),
        ({"sensor_ids": np.array(IDS[:3])}, "`sensor_ids` is <U6 of shape .3,.; legal is an id for each of the 4"),
        ({"sensor_ids": np.array([*IDS[:3], IDS[0]])}, "has two sensors of the same id"),
        ({"adjacency": matrix(3)}, r"the adjacency is float32 of shape \(3, 3\); legal are numbers of shape \(4, 4\)"),
        ({"adjacency": np.full((4, 4), "near")}, "the adjacency is <U4"),
        ({"adjacency": -matrix(4)}, "the adjacency from sensor 0 to 0 .from 0. is -1; legal are"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_named(changes: dict[str, Any], says: str, folder: Path) -> None:
    members = {"data": speeds(9, 4), "adjacency": matrix(4)} | changes
    path = write_npz(
        folder / "part.npz", **{name: value for name, value in members.items() if value is not None}
    )
    refuses(f"part.npz.*{says}", path)


def test_damaged_arrays_are_named(folder: Path) -> None:
    path = write_npz(folder / "part.npz", data=speeds(90, 4), adjacency=matrix(4))
    content = path.read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refuses("part.npz is truncated, damaged or no .npz .*Download the file again", path)
    path.write_bytes(content[:100] + bytes(100) + content[200:])
    refuses("part.npz is truncated, damaged or no .npz", path)
    np.savez(path, data=np.array([[{"a": 1}]], dtype=object), adjacency=matrix(1))
    refuses("part.npz is truncated, damaged or no .npz .*pickle", path)


# Names.


def test_names_must_be_legal(folder: Path) -> None:
    path = write_npz(folder / "part.npz", data=speeds(9, 4), adjacency=matrix(4))
    for name in ("../a", "", ".a", "a b", "synthetic"):
        refuses(f"cannot be called '{name}'; legal are letters", path, SpecError, name=name)
    refuses(
        "of metr-la cannot be called 'pems-bay': that is the name of another",
        path,
        SpecError,
        name="pems-bay",
    )
    refuses("unknown data set 'metr-sf', did you mean 'metr-la'", path, SpecError, dataset="metr-sf")
    refuses("unknown data set 'PEMS04'", path, SpecError, dataset="PEMS04")
    refuses("unknown data set 'synthetic'", path, SpecError, dataset="synthetic")


def test_other_content_never_takes_a_name(folder: Path) -> None:
    path = write_npz(folder / "part.npz", data=speeds(9, 4), adjacency=matrix(4))
    first = import_traffic(path, dataset="metr-la", name="mine")
    assert first.path is not None
    before = first.path.read_bytes()
    # The same again, from another file, changes nothing.
    same = write_npz(
        folder / "same.npz", data=speeds(9, 4).astype(">f8"), adjacency=matrix(4).astype(np.float64)
    )
    assert import_traffic(same, dataset="metr-la", name="mine") == first
    other = write_npz(folder / "part.npz", data=speeds(9, 4) + 1, adjacency=matrix(4))
    with pytest.raises(
        DataError, match="'mine' exists with other content.*--name, or delete .*mine.npz first"
    ):
        import_traffic(other, dataset="metr-la", name="mine")
    # Nor do the same numbers as another data set.
    with pytest.raises(DataError, match="'mine' exists with other content"):
        import_traffic(same, dataset="pems-bay", name="mine")
    assert first.path.read_bytes() == before
    # What is corrupt is nobody's, so an import mends it.
    first.path.write_bytes(before[:-100])
    write_npz(folder / "part.npz", data=speeds(9, 4), adjacency=matrix(4))
    assert import_traffic(path, dataset="metr-la", name="mine") == first
    assert first.path.read_bytes() == before, "the same traffic gives the same bytes"


# Real traffic.


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the development data are absent: {path}")
    return path


def test_real_speeds_of_metr_la() -> None:
    path = real("metr_la_29.npz")
    said = import_traffic(path, dataset="metr-la", name="metr-la-29").description
    assert (
        "metr_la_29.npz, imported for metr-la: 29 of 207 sensors, all 34,272 steps from 2012-03-01 00:00; "
        in said
    )
    assert "speed in mph, 7.7% without a value, 152 edges" in said
    traffic = load_traffic("metr-la-29")
    with np.load(path) as archive:
        missing = archive["data"] == 0
        assert traffic.values[0, :3].tolist() == (archive["data"][0, :3] / 100).astype(np.float32).tolist()
        assert np.array_equal(traffic.adjacency, archive["adjacency"])
    assert np.array_equal(np.isnan(traffic.values), missing)
    assert missing.mean() == pytest.approx(0.077, abs=0.0005)
    assert np.array_equal(traffic.clock, np.arange(34_272))
    # Whose clock is right shows at night: roads are emptiest, and fastest, before six.
    by_hour = np.nanmean(traffic.values.reshape(-1, 24, 12 * 29), axis=(0, 2))
    assert by_hour[:5].mean() > by_hour[[7, 8, 16, 17]].mean() + 5


def test_real_speeds_of_pems_bay() -> None:
    said = import_traffic(real("pems_bay_67.npz"), dataset="pems-bay", name="pems-bay-67").description
    assert (
        "67 of 325 sensors, all 52,116 steps from 2017-01-01 00:00 (12 more are absent, before step 20,184)"
        in said
    )
    clock = load_traffic("pems-bay-67").clock
    assert np.flatnonzero(np.diff(clock) != 1).tolist() == [20_183]
    assert (clock[20_183] % 288, clock[20_184] % 288) == (23, 36)
    # With the hour that was not, it is 181 whole days.
    assert clock[-1] + 1 == 181 * 288


def test_real_flows_of_pems_08() -> None:
    path, distances = real("pems08_tail.npz"), real("pems08_distance.csv")
    said = import_traffic(path, dataset="pems-08", adjacency=distances, name="pems-08-tail").description
    assert (
        "all 170 sensors, 7,143 of 17,856 steps from 2016-08-07 04:45; 135 of 274 road segments weigh" in said
    )
    traffic = load_traffic("pems-08-tail")
    assert traffic.clock[[0, -1]].tolist() == [57, 57 + 7_142]
    # The whole data set ends at the end of a day.
    assert (traffic.clock[-1] + 1) % 288 == 0
    assert np.array_equal(traffic.adjacency, traffic.adjacency.T)
    assert (traffic.adjacency.diagonal() == 1).all()
    assert traffic.values.min() == 0
