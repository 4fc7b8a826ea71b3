"""A server's time is shared among the requests that are in flight."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from harness.meter import SharedMeter

CONTEXT = multiprocessing.get_context("forkserver")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_second_counts_a_share() -> None:
    clock = Clock()
    meter = SharedMeter(CONTEXT, clock)
    first = meter.begin()
    clock.now += 1.0
    second = meter.begin()
    clock.now += 2.0
    assert meter.end(first) == pytest.approx(1.0 + 2.0 / 2)
    clock.now += 3.0
    assert meter.end(second) == pytest.approx(2.0 / 2 + 3.0)
    clock.now += 50.0
    third = meter.begin()
    clock.now += 4.0
    assert meter.end(third) == pytest.approx(4.0), "what nobody asked for, nobody pays"


def test_shares_sum_to_the_time_in_which_the_server_was_busy() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 20, 60)
    ends = starts + rng.exponential(1.0, 60)
    events = sorted(
        [(t, n, True) for n, t in enumerate(starts)] + [(t, n, False) for n, t in enumerate(ends)]
    )
    clock = Clock()
    meter = SharedMeter(CONTEXT, clock)
    marks, shares, busy, flying, last = {}, {}, 0.0, 0, 0.0
    for moment, number, begins in events:
        busy += (moment - last) if flying else 0.0
        last = clock.now = moment
        if begins:
            marks[number] = meter.begin()
        else:
            shares[number] = meter.end(marks[number])
        flying += 1 if begins else -1
    assert sum(shares.values()) == pytest.approx(busy)
    assert busy < sum(ends - starts), "some were in flight at the same time"
    assert all(0 < shares[n] <= ends[n] - starts[n] + 1e-9 for n in range(60))


def ask(meter: SharedMeter, count: int, shares: multiprocessing.Queue[float]) -> None:
    for _ in range(count):
        mark = meter.begin()
        time.sleep(0.001)
        shares.put(meter.end(mark))


def test_processes_and_threads_share_one_server() -> None:
    meter = SharedMeter(CONTEXT)
    shares: multiprocessing.Queue[float] = CONTEXT.Queue()
    before = time.monotonic()
    # Busy from here to the end, so that what the others pay is missing here.
    whole = meter.begin()
    began = time.monotonic()
    processes = [CONTEXT.Process(target=ask, args=(meter, 20, shares)) for _ in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(ask, meter, 20, shares)
    paid = [shares.get(timeout=60) for _ in range(80)]
    for process in processes:
        process.join()
    ended = time.monotonic()
    paid.append(meter.end(whole))
    after = time.monotonic()
    assert ended - began <= sum(paid) <= after - before
