"""A sweep replayed from its transcripts, with no model, gives the same tables byte for byte."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING
from typing import Any

import pytest

from reports.build import build_report
from tests.harness.command import harness
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXPERIMENTS = """
tracking: {{uri: null}}
models:
  scripted: {{kind: openai, base_url: "{url}", model: scripted, gpus: 2}}
sweeps:
  replayed:
    benchmarks: [nasbench201]
    strategies:
      - random_search
      - {{name: lm_searcher, model: scripted, attempts: 1, on_exhausted: random}}
      - {{name: first_proposal, model: scripted, attempts: 2}}
      - {{name: first_proposal, model: scripted, names: permuted, structured: none, label: first_blind}}
      - {{name: llm_ranking, model: scripted, n: 4}}
    budget: {{trials: 8}}
    seeds: 2
"""

OF_THIS_MACHINE = {"report.html", "measured-seconds.csv"}


def sloppy(request: Mapping[str, Any]) -> Answer:
    """Of four replies, one is no JSON, and all take their time."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    answer = Answer("I would rather not.") if digest[0] % 4 == 0 else legal(request)
    return Answer(answer.text, delay=digest[1] / 20_000)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a sweep and of its strict replay, which no server answers."""
    folder = tmp_path_factory.mktemp("replay")
    with ScriptedServer(sloppy) as endpoint:
        (folder / "experiments.yaml").write_text(EXPERIMENTS.format(url=endpoint.base_url))
        harness("run", "--no-report", "--workers", "2", cwd=folder)
    shutil.copytree(folder / "results" / "transcripts", folder / "again" / "transcripts")
    harness("run", "--no-report", "--workers", "1", "--results", "again", "--replay", "strict", cwd=folder)
    return folder / "results" / "replayed", folder / "again" / "replayed"


def test_trajectories_and_tables_are_the_same_bytes(replayed):
    original, again = replayed
    trajectories = sorted(original.rglob("trajectory.jsonl"))
    assert len(trajectories) == 10
    for file in trajectories:
        assert file.read_bytes() == (again / file.relative_to(original)).read_bytes()
    reports = [build_report(folder) for folder in replayed]
    assert [file.name for file in reports[0].files] == [file.name for file in reports[1].files]
    for one, other in zip(reports[0].files, reports[1].files, strict=True):
        if one.name not in OF_THIS_MACHINE:
            assert one.read_bytes() == other.read_bytes(), one.name


def test_the_page_differs_in_what_was_run_alone(replayed):
    pages = [build_report(folder).page.read_text() for folder in replayed]
    assert pages[0] != pages[1]
    rest = [re.sub(r'<section id="what-was-run">.*?</section>', "", page, flags=re.DOTALL) for page in pages]
    assert rest[0] == rest[1]


def test_the_tables_hold_what_models_cost(replayed):
    """Equal because all is counted, not because nothing is."""
    original, _ = replayed
    markdown = build_report(original).markdown
    assert "at random" in markdown
    assert "plus the language models' share" in markdown
    costs = (original / "report" / "costs.csv").read_text().splitlines()
    row = dict(zip(costs[0].split(","), costs[2].split(","), strict=True))
    assert row["strategy"] == "lm_searcher"
    assert float(row["llm_seconds_mean"]) > 0
    assert float(row["llm_gpu_hours_mean"]) > 0
