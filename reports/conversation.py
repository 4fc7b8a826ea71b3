"""The first calls of one run that asked a language model, to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.store import TRANSCRIPTS
from harness.tracking.traces import read_transcript

if TYPE_CHECKING:
    from reports.load import Results

MOST_CALLS = 4


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        model: Name of the model in the experiments file.
        verdict: ``used``, or why the reply was thrown away.
        messages: Role and text of each message of the prompt.
        reply: What the model said; ``None`` where its transcript is gone.
    """

    model: str
    verdict: str
    messages: tuple[tuple[str, str], ...]
    reply: str | None


@dataclass(frozen=True)
class Conversation:
    """What a run asked, and what it was told.

    Attributes:
        path: The run.
        calls: The first :data:`MOST_CALLS`.
        of: How many there are.
    """

    path: str
    calls: tuple[Call, ...]
    of: int


def conversation(results: Results) -> Conversation | None:
    """The first calls of the first run that asked a model, finished ones before others; ``None`` where none did."""
    asked = results.runs[results.runs["llm_calls"] > 0]
    recorded = set(results.calls["run"])
    asked = asked[[run in recorded for run in asked.index]]
    if asked.empty:
        return None
    run = asked.sort_values("finished", ascending=False, kind="stable").iloc[0]
    calls = results.calls[results.calls["run"] == run.name]
    shown = [
        _read(results, key, model, verdict)
        for key, model, verdict in calls[["key", "model", "verdict"]].head(MOST_CALLS).itertuples(index=False)
    ]
    return Conversation(str(run["path"]), tuple(shown), len(calls))


def _read(results: Results, key: str, model: str, verdict: str) -> Call:
    entry = read_transcript(results.folder.resolve().parent / TRANSCRIPTS, key)
    if entry is None:
        return Call(model, verdict, (), None)
    messages = tuple((str(m["role"]), str(m["content"])) for m in entry["request"].get("messages", ()))
    return Call(model, verdict, messages, str(entry["reply"].get("text", "")))
