"""Scores of many architectures by many proxies, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.errors import ProxyError
from harness.errors import ScoreError
from harness.executors import workers as worker_processes
from harness.proxies.table import ScoreTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.proxies.base import Proxy
    from harness.proxies.base import ProxyScore
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

# Architectures that a process scores before it reports: what is lost with a kill.
_CHUNK = 4


@dataclass(frozen=True)
class _Job:
    """Architectures to be scored by proxies that share work."""

    names: tuple[str, ...]
    architectures: tuple[Architecture, ...]


def score_all(
    proxies: Mapping[str, tuple[str, Proxy]],
    space: SearchSpace,
    dataset: str,
    architectures: Sequence[Architecture],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[Architecture, ProxyScore]]:
    """Score architectures by several proxies; what their tables hold already is not computed again.

    Every chunk is on disk as it ends, so a call that was cut off is resumed by the next one. What is in closed form
    is computed every time, and has no table. The scores do not depend on the number of processes.

    Args:
        proxies: The proxies by label, each with its registered name.
        space: The search space.
        dataset: Data set.
        architectures: What to score.
        workers: Number of processes.
        progress: Called with the number of scores that are there and their total.

    Returns:
        Of each label, the score of every architecture.

    Raises:
        ProxyError: A proxy has failed.
        ScoreError: A process died.
        StoreError: A table cannot be read or written.
    """
    counted = {label: proxy for label, (_, proxy) in proxies.items() if proxy.closed_form}
    measured = {label: proxy for label, (_, proxy) in proxies.items() if label not in counted}
    tables = {
        label: ScoreTable(proxies[label][0], proxy, space, dataset) for label, proxy in measured.items()
    }
    jobs = list(_jobs(measured, tables, architectures))
    total = len(proxies) * len(set(architectures))
    done = total - sum(len(job.names) * len(job.architectures) for job in jobs)
    report = progress or (lambda done, total: None)
    report(done, total)
    for job, scores in _made(jobs, measured, space, dataset, workers):
        for position, label in enumerate(job.names):
            tables[label].add(
                {arch: row[position] for arch, row in zip(job.architectures, scores, strict=True)}
            )
        done += len(job.names) * len(job.architectures)
        report(done, total)
    return {
        label: _counted(label, counted[label], space, dataset, architectures)
        if label in counted
        else {arch: _present(tables[label], arch) for arch in architectures}
        for label in proxies
    }


def _counted(
    label: str, proxy: Proxy, space: SearchSpace, dataset: str, architectures: Sequence[Architecture]
) -> dict[Architecture, ProxyScore]:
    return {arch: _score({label: proxy}, space, arch, dataset)[0] for arch in architectures}


def _present(table: ScoreTable, arch: Architecture) -> ProxyScore:
    score = table.get(arch)
    assert score is not None
    return score


def _jobs(
    proxies: Mapping[str, Proxy], tables: Mapping[str, ScoreTable], architectures: Sequence[Architecture]
) -> Iterator[_Job]:
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for label, proxy in proxies.items():
        groups[label if proxy.shares is None else proxy.shares].append(label)
    for labels in groups.values():
        # Usually they lack the same ones, and are scored together.
        lacking = defaultdict(list)
        for arch in dict.fromkeys(architectures):
            if names := tuple(label for label in labels if tables[label].get(arch) is None):
                lacking[names].append(arch)
        for names, missing in lacking.items():
            for start in range(0, len(missing), _CHUNK):
                yield _Job(names, tuple(missing[start : start + _CHUNK]))


def _made(
    jobs: Sequence[_Job],
    proxies: Mapping[str, Proxy],
    space: SearchSpace,
    dataset: str,
    workers: int,
) -> Iterator[tuple[_Job, list[list[ProxyScore]]]]:
    """Each job with its scores, architecture by architecture, in the order in which they end."""
    if workers == 1 or len(jobs) <= 1:
        _prepare(proxies, space, dataset)
        yield from ((job, _make(job)) for job in jobs)
        return
    worker_processes.limit_threads()
    waiting = iter(jobs)
    with ProcessPoolExecutor(
        min(workers, len(jobs)),
        mp_context=multiprocessing.get_context("forkserver"),
        initializer=_start,
        initargs=(dict(os.environ), proxies, space, dataset),
    ) as pool:
        flying = {pool.submit(_make, job): job for job in islice(waiting, 2 * workers)}
        try:
            while flying:
                ended, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = flying.pop(future)
                    flying |= {pool.submit(_make, new): new for new in islice(waiting, 1)}
                    yield job, future.result()
        except BrokenProcessPool:
            raise ScoreError(
                "a process that scored architectures died (killed, out of memory, or a crash in native code). "
                "What was finished is kept; the same command goes on."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_task: tuple[Mapping[str, Proxy], SearchSpace, str]


def _prepare(proxies: Mapping[str, Proxy], space: SearchSpace, dataset: str) -> None:
    global _task
    _task = (proxies, space, dataset)


def _start(
    environment: Mapping[str, str], proxies: Mapping[str, Proxy], space: SearchSpace, dataset: str
) -> None:
    """Set up a process."""
    worker_processes.prepare(environment)
    _prepare(proxies, space, dataset)


def _make(job: _Job) -> list[list[ProxyScore]]:
    proxies, space, dataset = _task
    chosen = {name: proxies[name] for name in job.names}
    return [_score(chosen, space, arch, dataset) for arch in job.architectures]


def _score(
    proxies: Mapping[str, Proxy], space: SearchSpace, arch: Architecture, dataset: str
) -> list[ProxyScore]:
    """Score one architecture by proxies that share work, or by one."""
    chosen = list(proxies.values())
    try:
        return type(chosen[0]).score_together(chosen, space, arch, dataset)
    except HarnessError:
        raise
    except Exception as error:
        if len(proxies) > 1:
            # Whichever fails alone is the one to be named.
            for label, proxy in proxies.items():
                _score({label: proxy}, space, arch, dataset)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise ProxyError(
            f"proxy {' or '.join(map(repr, proxies))} failed on architecture {space.ncode(arch)} of {space.name!r}: "
            f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno}). An architecture that has no "
            "score is told by a ScoreError. What was finished is kept; the same command goes on."
        ) from error
