"""Architectures that one question gave, and that are proposed one after the other.

The ones still to come travel as NCodes in the attribute ``queue`` of each trial of their batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from harness.history import History
    from harness.spaces import Architecture
    from llm_strategies.base import Conversation


def latest(history: History) -> Mapping[str, Any] | None:
    """Attributes of the last finished trial that came from a batch; trials drawn at random lie between."""
    return next((t.attributes for t in reversed(history.trials) if "queue" in t.attributes), None)


def waiting(history: History, attributes: Mapping[str, Any]) -> list[Architecture]:
    """What of a trial's batch is still to be proposed. A trial that failed has been proposed."""
    known = _known(history)
    queue = map(history.space.from_ncode, attributes["queue"])
    return [arch for arch in queue if arch not in known]


def new(
    history: History, conversation: Conversation, found: Iterable[Architecture | None]
) -> list[Architecture]:
    """The architectures that are neither known to the run nor twice among them, in order.

    The others are counted as duplicates. Once the run has seen the whole space, nothing is known any more.

    Args:
        history: The trials so far.
        conversation: Where to count.
        found: What was read; ``None`` for a reply that was rejected.
    """
    known = _known(history)
    batch: dict[Architecture, None] = {}
    for arch in found:
        if arch is None:
            continue
        if arch in known or arch in batch:
            conversation.reject("duplicate")
        batch[arch] = None
    return [arch for arch in batch if arch not in known]


def attribute(history: History, batch: Iterable[Architecture]) -> list[str]:
    """What :func:`waiting` reads."""
    return [history.space.ncode(arch) for arch in batch]


def _known(history: History) -> set[Architecture]:
    return history.seen if len(history.seen) < history.space.size else set()
