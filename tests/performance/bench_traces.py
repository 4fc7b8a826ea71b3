"""What a trace costs, on SQLite. Run it: ``python -m tests.performance.bench_traces [CALLS]``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from harness.tracking.connection import connect
from harness.tracking.layout import Call
from harness.tracking.record import TracedCall
from harness.tracking.traces import log_traces

_WORDS = 1000


def main(count: int) -> None:
    """Log so many calls, each with a prompt of a thousand words, and print the mean cost of one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = [_call(folder / "transcripts", number) for number in range(count)]
        client = connect(f"sqlite:///{folder}/mlflow.db")
        experiment = client.create_experiment("bench", (folder / "artifacts").as_uri())
        run_id = client.create_run(experiment).info.run_id
        run = folder / "sweep" / "benchmark" / "strategy" / "seed-0"
        # The first call also loads what MLflow needs for traces.
        log_traces(client, experiment, run_id, run, calls[:1])
        began, worked = time.perf_counter(), time.process_time()
        log_traces(client, experiment, run_id, run, calls)
        wall, cpu = time.perf_counter() - began, time.process_time() - worked
        size = (folder / "mlflow.db").stat().st_size / count
        print(
            f"{count} traces: {1000 * wall / count:.1f} ms each ({1000 * cpu / count:.1f} ms of processor), ",
            end="",
        )
        print(f"{size / 1024:.0f} KiB of database each")


def _call(transcripts: Path, number: int) -> TracedCall:
    key = f"{number:064x}"
    message = {"role": "user", "content": " ".join(f"word{i}" for i in range(_WORDS))}
    entry = {
        "request": {
            "model": {"name": "m"},
            "messages": [message],
            "sampling": {"temperature": 0.5},
            "seed": number,
        },
        "reply": {"text": "Reply.", "finish_reason": "stop"},
    }
    file = transcripts / key[:2] / f"{key}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(entry))
    return TracedCall(
        number,
        Call(
            key=key,
            model="m",
            verdict="used",
            prompt_tokens=_WORDS,
            completion_tokens=2,
            started=1.7e9 + number,
            seconds=1.0,
            gpu_seconds=0.0,
        ),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
