"""Calls of language models as traces of MLflow, made after a run from its timings and the transcripts."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING
from typing import Any

from harness.store import TRANSCRIPTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Span

    from harness.tracking.record import TracedCall

#: Tag of a run whose calls are logged; its value is their number.
TRACED = "harness.traces"

# MLflow's limit of one request.
_AT_A_TIME = 100
_TAG = "mlflow.traceTag."


def log_traces(
    client: MlflowClient, experiment_id: str, run_id: str, folder: Path, calls: Sequence[TracedCall]
) -> None:
    """Log one trace per call, with one span, below a run.

    A trace's identifier follows from the run and the call's position, so logging again replaces.

    Args:
        client: A client of the tracking server.
        experiment_id: MLflow's experiment.
        run_id: MLflow's run.
        folder: The run's folder, below ``results/<sweep>``; the transcripts are in ``results``.
        calls: In the order in which they were made. One whose transcript is gone is logged without prompt and reply.

    Raises:
        NotImplementedError: This tracking server keeps no traces.
    """
    from mlflow.tracing.client import TracingClient

    tracing = TracingClient(client.tracking_uri)
    transcripts = folder.resolve().parents[3] / TRANSCRIPTS
    for start in range(0, len(calls), _AT_A_TIME):
        batch = enumerate(calls[start : start + _AT_A_TIME], start)
        spans = [
            _span(run_id, number, call, read_transcript(transcripts, call.call.key)) for number, call in batch
        ]
        # Unlike one request per trace, these two take all of a batch.
        tracing.log_spans(experiment_id, spans)
        client.link_traces_to_run([span.trace_id for span in spans], run_id)


def delete_traces(client: MlflowClient, experiment_id: str, run_id: str) -> None:
    """Delete all traces of a run."""
    while traces := client.search_traces(
        locations=[experiment_id], run_id=run_id, max_results=_AT_A_TIME, include_spans=False
    ):
        client.delete_traces(experiment_id, trace_ids=[trace.info.trace_id for trace in traces])


def read_transcript(folder: Path, key: str) -> Mapping[str, Any] | None:
    """``request`` and ``reply`` of a call as they are stored; ``None`` where they are gone or damaged."""
    try:
        entry = json.loads((folder / key[:2] / f"{key}.json").read_bytes())
        return {"request": dict(entry["request"]), "reply": dict(entry["reply"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _span(run_id: str, number: int, traced: TracedCall, transcript: Mapping[str, Any] | None) -> Span:
    from mlflow.entities import Span

    identifier = hashlib.sha256(f"{run_id}/{number}".encode()).digest()[:16]
    call = traced.call
    # As whole milliseconds, for that is what was recorded; nanoseconds since the epoch are more than a float holds.
    started = round(call.started * 1000) * 1_000_000
    trial = "no trial" if traced.trial is None else f"trial {traced.trial}"
    name = f"{trial}: {call.model}, {call.verdict}"
    tags = {
        "mlflow.traceName": name,
        "verdict": call.verdict,
        "model": call.model,
        "trial": "none" if traced.trial is None else str(traced.trial),
    }
    attributes: dict[str, Any] = {
        "mlflow.traceRequestId": f"tr-{identifier.hex()}",
        "mlflow.spanType": "CHAT_MODEL",
        "mlflow.chat.tokenUsage": {
            "input_tokens": call.prompt_tokens,
            "output_tokens": call.completion_tokens,
            "total_tokens": call.prompt_tokens + call.completion_tokens,
        },
        "verdict": call.verdict,
        "transcript": call.key,
        "gpu_seconds": call.gpu_seconds,
    }
    if transcript is None:
        tags["transcript"] = "missing"
    else:
        attributes |= _chat(transcript["request"], transcript["reply"])
    attributes |= {f"{_TAG}{key}": value for key, value in tags.items()}
    return Span.from_dict(
        {
            "trace_id": base64.b64encode(identifier).decode(),
            "span_id": base64.b64encode(identifier[:8]).decode(),
            "parent_span_id": "",
            "name": name,
            "start_time_unix_nano": started,
            "end_time_unix_nano": started + round(call.seconds * 1e9),
            "status": {"code": "STATUS_CODE_OK", "message": ""},
            "attributes": {key: json.dumps(value) for key, value in attributes.items()},
            "events": [],
        }
    )


def _chat(request: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Prompt and reply in the form of OpenAI's API, which MLflow shows as a chat."""
    model = dict(request.get("model") or {}).get("name")
    inputs = {"model": model, "messages": request.get("messages"), **(request.get("sampling") or {})}
    inputs["seed"] = request.get("seed")
    if schema := request.get("schema"):
        inputs["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": schema},
        }
    message = {"role": "assistant", "content": reply.get("text")}
    if reasoning := reply.get("reasoning"):
        message["reasoning_content"] = reasoning
    choice = {"index": 0, "message": message, "finish_reason": reply.get("finish_reason")}
    return {
        "mlflow.message.format": "openai",
        "mlflow.llm.model": model,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": {"choices": [choice]},
    }
