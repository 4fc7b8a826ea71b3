"""The architectures that several proxies rank highest together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from scipy.stats import rankdata

from harness import seeding
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import Finished
from harness.history import Proposal
from harness.proxies import make_proxy
from harness.proxies import score_all
from harness.proxies import score_digest
from harness.strategy import Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.history import History
    from harness.proxies import Proxy
    from harness.proxies import ProxyScore
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


class ProxyEnsemble(Strategy):
    """Zero-cost selection by the mean rank of several proxies, or by a single one.

    ``candidates`` random architectures are scored by every proxy and ranked by each; they are proposed in the order of
    their mean rank, best first. So the first trial is what training-free selection would return, and every further one
    says what an evaluation adds. Abdelfattah et al. (ICLR 2021, section 4.2) call it a warm-up to start a search with
    the best of a pool by proxy, and let three proxies vote on pairs: a mean of ranks is that vote over all pairs.
    That proxies know different things is shown by NAS-Bench-Suite-Zero (Krishnakumar et al., NeurIPS 2022).

    It ranks for the data set of the benchmark, whose evaluations are another matter than the proxies: on the ``proxy``
    benchmark it would rank by some proxies to find the best of another. What the proxies take is part of the run's
    cost; scores that are in a table already cost what they cost then.

    An architecture that a proxy cannot score ranks behind all others of that proxy. Equal scores share the mean of
    their ranks. Candidates of equal mean rank are proposed in the order in which they were drawn.

    Args:
        proxies: What ranks: registered names, or mappings of a ``name`` with the proxy's settings.
        candidates: Number of distinct random architectures, at most all of the space.
        dataset: Data set that the proxies rank for; ``None`` is that of the benchmark. A bare Optuna study knows none.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: No proxy, an unknown one, a setting that it refuses, no candidate, or no data set.
    """

    def __init__(
        self,
        *,
        proxies: Sequence[str | Mapping[str, Any]] = ("synflow", "jacob_cov", "snip"),
        candidates: int = 1000,
        dataset: str | None = None,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        if not proxies:
            raise SpecError("proxies is empty; name at least one, `harness list proxies` prints them.")
        if candidates < 1:
            raise SpecError(f"candidates must be at least 1, not {candidates}.")
        self.proxies = proxies
        self.candidates = candidates
        self.dataset = dataset
        self._proxies = {f"{number}": _made(entry) for number, entry in enumerate(proxies)}
        self._rankings: dict[tuple[int, str, str], tuple[list[Architecture], float]] = {}

    def check(self, space: SearchSpace, dataset: str) -> None:
        dataset = dataset if self.dataset is None else self.dataset
        for name, proxy in self._proxies.values():
            try:
                proxy.check(space, dataset)
            except SpecError as error:
                raise SpecError(f"proxies: {name}: {error}") from None

    def digest(self, space: SearchSpace, dataset: str) -> str:
        dataset = dataset if self.dataset is None else self.dataset
        ranked_by = [score_digest(name, proxy, space, dataset) for name, proxy in self._proxies.values()]
        return hashlib.sha256(json.dumps(ranked_by).encode()).hexdigest()

    def propose(self, history: History) -> Proposal:
        order, seconds = self._ranked(history.space)
        if history.number >= len(order):
            raise Finished(f"all {len(order):,} candidates are proposed.")
        # The proxies are paid for once, however often the run is resumed.
        return Proposal(order[history.number], gpu_seconds=seconds if history.number == 0 else 0.0)

    @property
    def _for(self) -> str:
        return self.task.dataset if self.dataset is None else self.dataset

    def _ranked(self, space: SearchSpace) -> tuple[list[Architecture], float]:
        """The candidates, best first, and what ranking them cost in seconds."""
        key = (self._entropy, self._for, space.name)
        if key not in self._rankings:
            self._rankings[key] = self._rank(space)
        return self._rankings[key]

    def _rank(self, space: SearchSpace) -> tuple[list[Architecture], float]:
        try:
            self.check(space, self._for)
        except SpecError as error:
            # In a bare Optuna study nothing is known of a data set, and the space may be any.
            raise Exhausted(str(error)) from None
        rng = seeding.generator(self._entropy, "candidates")
        count = min(self.candidates, space.size)
        candidates = [space.from_index(int(i)) for i in rng.choice(space.size, count, replace=False)]
        scored = score_all(self._proxies, space, self._for, candidates)
        ranks = np.zeros(count)
        seconds = 0.0
        for label, (_, proxy) in self._proxies.items():
            scores = [scored[label][arch] for arch in candidates]
            ranks += _ranks(scores, higher_is_better=proxy.higher_is_better)
            seconds += sum(score.seconds for score in scores)
        return [candidates[i] for i in np.argsort(ranks, kind="stable")], seconds


def _made(entry: str | Mapping[str, Any]) -> tuple[str, Proxy]:
    if isinstance(entry, str):
        return entry, make_proxy(entry, {})
    settings = dict(entry)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise SpecError(f"proxies: {dict(entry)!r} has no `name`; `harness list proxies` prints them.")
    return name, make_proxy(name, settings)


def _ranks(scores: Sequence[ProxyScore], *, higher_is_better: bool) -> NDArray[np.float64]:
    """Rank 1 for the best; the mean for equal ones; behind all others where there is no score."""
    sign = -1 if higher_is_better else 1
    return np.asarray(rankdata([np.inf if s.value is None else sign * s.value for s in scores]))
