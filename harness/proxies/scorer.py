"""Filling tables of scores: many architectures, many proxies, several processes."""

from __future__ import annotations

import multiprocessing
import os
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
) -> dict[str, ScoreTable]:
    """Score architectures by several proxies; what the tables hold already is not computed again.

    Every chunk is on disk as it ends, so a call that was cut off is resumed by the next one. The scores do not
    depend on the number of processes.

    Args:
        proxies: The proxies by label, each with its registered name.
        space: The search space.
        dataset: Data set.
        architectures: What to score.
        workers: Number of processes.
        progress: Called with the number of scores that are there and their total.

    Returns:
        The table of each label; it holds every architecture.

    Raises:
        ScoreError: A process died.
        StoreError: A table cannot be read or written.
    """
    tables = {label: ScoreTable(name, proxy, space, dataset) for label, (name, proxy) in proxies.items()}
    jobs = list(_jobs({label: proxy for label, (_, proxy) in proxies.items()}, tables, architectures))
    total = len(proxies) * len(set(architectures))
    done = total - sum(len(job.names) * len(job.architectures) for job in jobs)
    report = progress or (lambda done, total: None)
    report(done, total)
    by_label = {label: proxy for label, (_, proxy) in proxies.items()}
    for job, scores in _made(jobs, by_label, space, dataset, workers):
        for position, label in enumerate(job.names):
            tables[label].add(
                {arch: row[position] for arch, row in zip(job.architectures, scores, strict=True)}
            )
        done += len(job.names) * len(job.architectures)
        report(done, total)
    return tables


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
    chosen = [proxies[name] for name in job.names]
    return [type(chosen[0]).score_together(chosen, space, arch, dataset) for arch in job.architectures]
