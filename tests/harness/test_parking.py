"""Runs whose model does not answer are parked, and go on later as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness import search
from harness.models import Models
from tests.harness.command import harness
from tests.harness.results import record
from tests.harness.results import rows
from tests.harness.results import statuses
from tests.harness.results import timings
from tests.harness.results import trajectories
from tests.harness.results import trajectory
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.experiment import RunSpec
    from harness.models import Endpoint
    from tests.harness.conftest import MakeSpec

SWEEP = """\
results: {results}
tracking: {{uri: null}}
models:
  served: {{kind: openai, base_url: "{url}", model: scripted, max_retries: 0, concurrency: {concurrency}}}
sweeps:
  s:
    benchmarks: [{{name: nasbench201, dataset: cifar10}}]
    strategies: [random_search, {{name: lm_searcher, model: served}}]
    seeds: {seeds}
    budget: {{trials: 12}}
"""


def write(
    path: Path, endpoint: Endpoint, *, results: str = "results", seeds: int = 2, concurrency: int = 16
) -> Path:
    file = path / f"{results}.yaml"
    url = endpoint.base_url
    file.write_text(SWEEP.format(results=results, url=url, seeds=seeds, concurrency=concurrency))
    return file


def asking(make_spec: MakeSpec, **params: Any) -> RunSpec:
    return make_spec(
        "lm_searcher", params={"model": "served", **params}, models={"served": {"kind": "openai"}}, trials=12
    )


def models(endpoint: Endpoint, transcripts: Path) -> Models:
    return Models({"served": dataclasses.replace(endpoint, max_retries=0)}, transcripts)


class Moody:
    """Answers what is legal, but after ``calls`` requests refuses until it is mended."""

    def __init__(self, calls: int, refusal: Answer) -> None:
        self.left: float = calls
        self.refusal = refusal

    def __call__(self, request: Mapping[str, Any]) -> Answer:
        self.left -= 1
        return legal(request) if self.left >= 0 else self.refusal

    def mend(self) -> None:
        self.left = float("inf")


@pytest.mark.parametrize(
    "refusal", [Answer("overloaded", status=503), Answer("slow down", status=429), Answer(reset=True)]
)
def test_a_parked_run_goes_on_where_it_stopped(make_spec: MakeSpec, tmp_path: Path, refusal: Answer) -> None:
    spec = asking(make_spec)
    moody = Moody(3, refusal)
    server = ScriptedServer(moody)
    with server as endpoint:
        outcome = search.run(spec, tmp_path / "run", models=models(endpoint, tmp_path / "transcripts"))
        assert (outcome.status, outcome.trials) == ("parked", 8)
        parked = record(tmp_path / "run")
        assert "'scripted'" in parked["parked"]
        assert parked["parked"] == outcome.error
        assert (parked["totals"]["trials"], parked["recommendation"]) == (8, None)
        assert not (tmp_path / "run" / "error.txt").exists()

        moody.mend()
        done = search.run(spec, tmp_path / "run", models=models(endpoint, tmp_path / "transcripts"))
        assert done.status == "complete"
        assert "parked" not in record(tmp_path / "run")
        # Seven questions, and the one that was refused once more.
        assert len(server.requests) == 8
        search.run(spec, tmp_path / "whole", models=models(endpoint, tmp_path / "others"))
    assert trajectory(tmp_path / "run") == trajectory(tmp_path / "whole")


def test_a_sweep_makes_the_other_runs_and_goes_on_without_retrying(tmp_path: Path) -> None:
    moody = Moody(4, Answer("overloaded", status=503))
    with ScriptedServer(moody) as endpoint:
        file = write(tmp_path, endpoint)
        said = harness("run", file, "--workers", "1", cwd=tmp_path, check=1).stdout
        assert "parked 2 runs: model 'scripted'" in said
        assert "the same command goes on with them" in said
        found = statuses(tmp_path / "results")
        assert {s for run, s in found.items() if "random_search" in run} == {"complete"}
        assert {s for run, s in found.items() if "lm_searcher" in run} == {"parked"}
        assert "parked" in harness("run", file, "--dry-run", cwd=tmp_path).stdout

        moody.mend()
        harness("run", "--no-report", file, cwd=tmp_path)
        harness("run", "--no-report", write(tmp_path, endpoint, results="whole"), cwd=tmp_path)
    assert trajectories(tmp_path / "results") == trajectories(tmp_path / "whole")


def test_what_waits_for_a_model_that_is_gone_does_not_try_it(tmp_path: Path) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        server.models = b"gone"
        return Answer("the engine died", status=500)

    server = ScriptedServer(answer)
    with server as endpoint:
        file = write(tmp_path, endpoint, seeds=3, concurrency=1)
        said = harness("run", "--no-report", file, cwd=tmp_path, check=1).stdout
    assert len(server.requests) == 1, "one run found out"
    assert "parked 3 runs: model 'scripted'" in said
    assert said.count("same command") == 1
    assert sorted(statuses(tmp_path / "results").values()) == ["complete"] * 3 + ["parked"] * 3
    with ScriptedServer() as endpoint:
        harness("run", "--no-report", write(tmp_path, endpoint, seeds=3), cwd=tmp_path)
    assert set(statuses(tmp_path / "results").values()) == {"complete"}


def test_every_call_is_in_the_timings(make_spec: MakeSpec, tmp_path: Path) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        useless = len(server.requests) % 2 == 1
        return dataclasses.replace(Answer("No idea.") if useless else legal(request), delay=0.02)

    server = ScriptedServer(answer)
    with server as endpoint:
        gpus = models(dataclasses.replace(endpoint, gpus=2.0), tmp_path / "transcripts")
        search.run(asking(make_spec), tmp_path / "run", models=gpus)
        asked = len(server.requests)
        search.run(asking(make_spec), tmp_path / "again", models=gpus)
        assert len(server.requests) == asked, "the transcripts answer"
    timed = timings(tmp_path / "run")
    assert all("calls" not in timing for timing in timed[:5]), "random starts ask nobody"
    for timing, row in zip(timed[5:], rows(tmp_path / "run")[5:], strict=True):
        calls = timing["calls"]
        assert [call["verdict"] for call in calls] == ["not JSON", "used"]
        assert {call["model"] for call in calls} == {"served"}
        for call in calls:
            stored = tmp_path / "transcripts" / call["key"][:2] / f"{call['key']}.json"
            assert json.loads(stored.read_text())["reply"]["started"] == call["started"]
            assert call["seconds"] >= 0.02
            assert call["gpu_seconds"] == pytest.approx(2 * call["seconds"], abs=1e-5)
        for tokens in ("prompt_tokens", "completion_tokens"):
            assert sum(call[tokens] for call in calls) == row["llm"][tokens]
        assert timing["llm_seconds"] == pytest.approx(sum(call["seconds"] for call in calls))
        assert timing["llm_gpu_seconds"] == pytest.approx(sum(call["gpu_seconds"] for call in calls))
    totals, again = record(tmp_path / "run")["totals"], record(tmp_path / "again")["totals"]
    assert totals["llm_gpu_seconds"] == pytest.approx(2 * totals["llm_seconds"], abs=1e-4)
    assert totals["llm_seconds"] >= 14 * 0.02
    # What the model cost is what it cost when it was asked; the strategy's own time is that of today.
    assert (again["llm_seconds"], again["llm_gpu_seconds"]) == (
        pytest.approx(totals["llm_seconds"]),
        pytest.approx(totals["llm_gpu_seconds"]),
    )
    assert again["search_seconds"] > 0


def test_the_calls_that_became_no_trial_are_kept(make_spec: MakeSpec, tmp_path: Path) -> None:
    with ScriptedServer(lambda request: Answer("No idea.")) as endpoint:
        outcome = search.run(
            asking(make_spec, attempts=3), tmp_path / "run", models=models(endpoint, tmp_path / "transcripts")
        )
    assert outcome.status == "exhausted"
    ended = record(tmp_path / "run")
    assert [call["verdict"] for call in ended["last_calls"]] == ["not JSON"] * 3
    assert ended["totals"]["llm_calls"] == 3
    assert ended["totals"]["llm_seconds"] == pytest.approx(
        sum(call["seconds"] for call in ended["last_calls"])
    )


def test_timings_without_the_cost_of_models_are_read(make_spec: MakeSpec, tmp_path: Path) -> None:
    with ScriptedServer() as endpoint:
        given = models(endpoint, tmp_path / "transcripts")
        search.run(asking(make_spec), tmp_path / "run", models=given)
        whole = trajectory(tmp_path / "run")
        old = timings(tmp_path / "run")
        for timing in old:
            timing.pop("calls", None)
            timing.pop("llm_gpu_seconds", None)
        (tmp_path / "run" / "timings.jsonl").write_text("".join(f"{json.dumps(timing)}\n" for timing in old))
        running = record(tmp_path / "run") | {"status": "running"}
        del running["totals"]["llm_gpu_seconds"]
        (tmp_path / "run" / "run.json").write_text(json.dumps(running))
        assert search.run(asking(make_spec), tmp_path / "run", models=given).status == "complete"
    assert trajectory(tmp_path / "run") == whole
