"""What the traffic data sets are, as their authors publish them, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class OfficialTraffic:
    """The files of one data set.

    Attributes:
        title: What people call it.
        origin: Who made it.
        files: What is published, for people.
        page: Where.
        quantity: ``speed`` or ``flow``.
        unit: Unit of the values.
        zero_is_missing: Whether 0 stands for a value that is missing.
        sensors: How many sensors the whole data set has.
        steps: How many five-minute steps.
        start: The day whose midnight, local time, is the first step.
        gap: First step after a gap in time, and the number of steps that are missing there; ``None`` without a gap.
    """

    title: str
    origin: str
    files: str
    page: str
    quantity: str
    unit: str
    zero_is_missing: bool
    sensors: int
    steps: int
    start: date
    gap: tuple[int, int] | None = None


_DCRNN = "https://github.com/liyaguang/DCRNN"
_STSGCN = "https://github.com/Davidham3/STSGCN"

_FLOW = "vehicles per 5 min"

OFFICIAL = {
    "metr-la": OfficialTraffic(
        title="METR-LA",
        origin="Jagadish et al. 2014; Li et al. 2018",
        files="metr-la.h5 and adj_mx.pkl",
        page=_DCRNN,
        quantity="speed",
        unit="mph",
        zero_is_missing=True,
        sensors=207,
        steps=34_272,
        start=date(2012, 3, 1),
    ),
    "pems-bay": OfficialTraffic(
        title="PEMS-BAY",
        origin="Li et al. 2018",
        files="pems-bay.h5 and adj_mx_bay.pkl",
        page=_DCRNN,
        quantity="speed",
        unit="mph",
        zero_is_missing=True,
        sensors=325,
        steps=52_116,
        start=date(2017, 1, 1),
        # On 12 March 2017, day 70 from 0, the hour from 2 o'clock does not exist: 70 days and two hours are before it.
        gap=(70 * 288 + 24, 12),
    ),
    "pems-03": OfficialTraffic(
        title="PEMS03",
        origin="Song et al. 2020",
        files="PEMS03.npz, PEMS03.csv and PEMS03.txt",
        page=_STSGCN,
        quantity="flow",
        unit=_FLOW,
        zero_is_missing=False,
        sensors=358,
        steps=26_208,
        start=date(2018, 9, 1),
    ),
    "pems-04": OfficialTraffic(
        title="PEMS04",
        origin="Song et al. 2020",
        files="PEMS04.npz and PEMS04.csv",
        page=_STSGCN,
        quantity="flow",
        unit=_FLOW,
        zero_is_missing=False,
        sensors=307,
        steps=16_992,
        start=date(2018, 1, 1),
    ),
    "pems-07": OfficialTraffic(
        title="PEMS07",
        origin="Song et al. 2020",
        files="PEMS07.npz and PEMS07.csv",
        page=_STSGCN,
        quantity="flow",
        unit=_FLOW,
        zero_is_missing=False,
        sensors=883,
        steps=28_224,
        start=date(2017, 5, 1),
    ),
    "pems-08": OfficialTraffic(
        title="PEMS08",
        origin="Song et al. 2020",
        files="PEMS08.npz and PEMS08.csv",
        page=_STSGCN,
        quantity="flow",
        unit=_FLOW,
        zero_is_missing=False,
        sensors=170,
        steps=17_856,
        start=date(2016, 7, 1),
    ),
}
