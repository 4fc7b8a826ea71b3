"""Scores of proxies on disk: computed once, used by every later search and report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from typing import Any

from harness.data_folder import data_folder
from harness.ledger import Ledger
from harness.ledger import head_digest
from harness.proxies.base import ProxyScore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.proxies.base import Proxy
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

FORMAT = 1


def score_digest(name: str, proxy: Proxy, space: SearchSpace, dataset: str) -> str:
    """Of everything that decides a proxy's scores but the architecture; arguments as of :class:`ScoreTable`."""
    return head_digest(_head(name, proxy, space, dataset))


class ScoreTable:
    """What one proxy makes of the architectures of a space, on a data set, under one identity.

    One file in the data folder, a line per architecture behind a first line that says what it is of. Processes may
    add to it side by side; of several scores of one architecture the first counts.

    Args:
        name: Registered name of the proxy.
        proxy: The proxy.
        space: The search space.
        dataset: Data set.

    Attributes:
        digest: See :func:`score_digest`.
        path: The file; made when the first score is added.

    Raises:
        StoreError: The file cannot be read, or is damaged.
    """

    def __init__(self, name: str, proxy: Proxy, space: SearchSpace, dataset: str) -> None:
        self._space = space
        head = _head(name, proxy, space, dataset)
        self.digest = head_digest(head)
        self.path = data_folder() / "scores" / space.name / dataset / f"{name}-{self.digest[:16]}.jsonl"
        self._ledger = Ledger(self.path, head, f"table of scores of proxy {name!r}")
        self._scores: dict[Architecture, ProxyScore] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, arch: Architecture) -> ProxyScore | None:
        """The score of an architecture; ``None`` where it was not computed yet."""
        return self._scores.get(arch)

    def refresh(self) -> None:
        """Read what was added since the last call, by any process."""
        for row in self._ledger.new_rows():
            try:
                self._scores.setdefault(self._space.from_ncode(row["ncode"]), _score(row))
            except (ValueError, KeyError, TypeError) as error:
                self._ledger.damaged(error)

    def add(self, scores: Mapping[Architecture, ProxyScore]) -> None:
        """Keep scores.

        Raises:
            StoreError: The file cannot be written.
        """
        self._ledger.add(_row(self._space.ncode(arch), score) for arch, score in scores.items())
        self.refresh()
        for arch, score in scores.items():
            # Unless somebody has deleted the file since.
            self._scores.setdefault(arch, score)


def _head(name: str, proxy: Proxy, space: SearchSpace, dataset: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "proxy": name,
        "space": space.name,
        "dataset": dataset,
        "identity": dict(proxy.identity(space, dataset)),
    }


def _row(ncode: str, score: ProxyScore) -> dict[str, Any]:
    row: dict[str, Any] = {"ncode": ncode, "score": score.value, "seconds": round(score.seconds, 6)}
    return row if score.problem is None else row | {"problem": score.problem}


def _score(row: dict[str, Any]) -> ProxyScore:
    value, seconds, problem = row["score"], row["seconds"], row.get("problem")
    scored = _is_number(value) and problem is None
    if not (
        _is_number(seconds) and seconds >= 0 and (scored or (value is None and isinstance(problem, str)))
    ):
        raise ValueError("it holds neither a score nor a reason why there is none")
    return ProxyScore(value, seconds, problem)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
