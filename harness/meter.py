"""Who pays for a server's time when several requests are in flight at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import BaseContext

_IN_FLIGHT, _SHARED, _CHANGED = range(3)


class SharedMeter:
    """A :class:`~harness.models.Meter` for all threads and processes that ask one server.

    While n requests are in flight, each second counts 1/n to each of them (processor sharing), so the shares of
    all requests sum to the time in which the server was busy. What is kept is a virtual clock that runs at 1/n of
    the speed of time; a request's share is what that clock moved while it was in flight.

    A process that dies leaves its requests in flight for ever, and the others would pay too little. So a meter is
    made with a pool of processes and goes with it: the death of one ends its pool.

    Args:
        context: Of the processes that are to share it. They get it as an argument when they start.
        clock: Seconds, the same in all processes.
    """

    def __init__(self, context: BaseContext, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = context.Array("d", 3)
        self._clock = clock

    def begin(self) -> float:
        """A request is sent; returns a mark to hand to :meth:`end`."""
        with self._state.get_lock():
            shared = self._advance()
            self._state[_IN_FLIGHT] += 1
        return shared

    def end(self, mark: float) -> float:
        """Its reply is here; returns its share of the server's time, in seconds."""
        with self._state.get_lock():
            shared = self._advance()
            self._state[_IN_FLIGHT] -= 1
        return shared - mark

    def _advance(self) -> float:
        """Move the virtual clock to now."""
        now = self._clock()
        if self._state[_IN_FLIGHT]:
            self._state[_SHARED] += (now - self._state[_CHANGED]) / self._state[_IN_FLIGHT]
        self._state[_CHANGED] = now
        shared: float = self._state[_SHARED]
        return shared
