"""What the traffic data sets are, as their authors publish them, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class OfficialTraffic:
    """One data set, of five-minute steps.

    Attributes:
        title: What people call it.
        origin: Who made it.
        page: Where its files are.
        measurements: Name of the file with the values.
        adjacency: Name of the file that the graph is made of.
        sensors: Name of the file with the ids of the sensors in the order of the values; ``None`` where they need none.
        quantity: ``speed`` or ``flow``.
        unit: Unit of the values.
        zero_is_missing: Whether 0 stands for a value that is missing.
        sensor_count: How many sensors the whole data set has.
        step_count: How many steps.
        start: The day whose midnight, local time, is the first step.
        gap: First step after a gap in time, and the number of steps that are missing there; ``None`` without a gap.
    """

    title: str
    origin: str
    page: str
    measurements: str
    adjacency: str
    sensors: str | None
    quantity: str
    unit: str
    zero_is_missing: bool
    sensor_count: int
    step_count: int
    start: date
    gap: tuple[int, int] | None

    @property
    def files(self) -> str:
        """All files, for people."""
        names = [self.measurements, self.adjacency, *([self.sensors] if self.sensors else [])]
        return f"{', '.join(names[:-1])} and {names[-1]}"

    @property
    def command(self) -> str:
        """How they are imported, without the data set."""
        sensors = f" --sensors {self.sensors}" if self.sensors else ""
        return f"harness data import traffic {self.measurements} --adjacency {self.adjacency}{sensors}"


def _speeds(
    title: str,
    measurements: str,
    adjacency: str,
    sensor_count: int,
    step_count: int,
    start: date,
    gap: tuple[int, int] | None = None,
) -> OfficialTraffic:
    return OfficialTraffic(
        title=title,
        origin="Li et al. 2018",
        page="https://github.com/liyaguang/DCRNN",
        measurements=measurements,
        adjacency=adjacency,
        sensors=None,
        quantity="speed",
        unit="mph",
        zero_is_missing=True,
        sensor_count=sensor_count,
        step_count=step_count,
        start=start,
        gap=gap,
    )


def _flows(
    title: str, sensor_count: int, step_count: int, start: date, *, real_ids: bool = False
) -> OfficialTraffic:
    return OfficialTraffic(
        title=title,
        origin="Song et al. 2020",
        page="https://github.com/guoshnBJTU/ASTGNN/tree/main/data",
        measurements=f"{title}.npz",
        adjacency=f"{title}.csv",
        sensors=f"{title}.txt" if real_ids else None,
        quantity="flow",
        unit="vehicles per 5 min",
        # A road may be empty. Metrics leave zeros out, as the literature does.
        zero_is_missing=False,
        sensor_count=sensor_count,
        step_count=step_count,
        start=start,
        gap=None,
    )


OFFICIAL = {
    "metr-la": _speeds("METR-LA", "metr-la.h5", "adj_mx.pkl", 207, 34_272, date(2012, 3, 1)),
    # On 12 March 2017 there was no time from 2 to 3 o'clock: 70 days and two hours are before the gap.
    "pems-bay": _speeds(
        "PEMS-BAY", "pems-bay.h5", "adj_mx_bay.pkl", 325, 52_116, date(2017, 1, 1), (70 * 288 + 2 * 12, 12)
    ),
    "pems-03": _flows("PEMS03", 358, 26_208, date(2018, 9, 1), real_ids=True),
    "pems-04": _flows("PEMS04", 307, 16_992, date(2018, 1, 1)),
    # The paper says that it goes to 31 August; the file ends after 98 days.
    "pems-07": _flows("PEMS07", 883, 28_224, date(2017, 5, 1)),
    "pems-08": _flows("PEMS08", 170, 17_856, date(2016, 7, 1)),
}
