"""A sweep replayed from its transcripts, with no model, gives the same tables byte for byte."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.benchmarks.nasbench201 import NASBench201
from reports import statistics
from reports.build import build_report
from tests.harness.command import harness
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.build import Report

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
      - {{name: first_proposal, model: scripted, attempts: 2, names: permuted, label: first_blind}}
      - {{name: llm_ranking, model: scripted, n: 4}}
    budget: {{trials: 8}}
    seeds: 2
"""

OF_THIS_MACHINE = {"report.html", "measured-seconds.csv"}


def sloppy(request: Mapping[str, Any]) -> Answer:
    """Of four replies, one is no JSON, and all take their time."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    schema = request["response_format"]["json_schema"]["schema"]
    if digest[0] % 4 == 0:
        text = "I would rather not."
    elif ranking := schema["properties"].get("ranking"):
        order = np.random.default_rng(list(digest)).permutation(ranking["maxItems"]) + 1
        text = json.dumps({"ranking": order.tolist()})
    else:
        text = legal(request).text
    return Answer(text, delay=digest[1] / 20_000)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Report]:
    """The reports of a sweep and of its strict replay, which no server answers."""
    folder = tmp_path_factory.mktemp("replay")
    with ScriptedServer(sloppy) as endpoint:
        (folder / "experiments.yaml").write_text(EXPERIMENTS.format(url=endpoint.base_url))
        harness("run", "--no-report", "--workers", "2", cwd=folder)
    shutil.copytree(folder / "results" / "transcripts", folder / "again" / "transcripts")
    harness("run", "--no-report", "--workers", "1", "--results", "again", "--replay", "strict", cwd=folder)
    return build_report(folder / "results" / "replayed"), build_report(folder / "again" / "replayed")


def test_trajectories_and_tables_are_the_same_bytes(replayed):
    original, again = (report.page.parents[1] for report in replayed)
    trajectories = sorted(original.rglob("trajectory.jsonl"))
    assert len(trajectories) == 10
    for file in trajectories:
        assert file.read_bytes() == (again / file.relative_to(original)).read_bytes()
    assert [file.name for file in replayed[0].files] == [file.name for file in replayed[1].files]
    for one, other in zip(replayed[0].files, replayed[1].files, strict=True):
        if one.name not in OF_THIS_MACHINE:
            assert one.read_bytes() == other.read_bytes(), one.name


def test_the_page_differs_in_what_was_run_alone(replayed):
    pages = [report.page.read_text() for report in replayed]
    assert pages[0] != pages[1]
    rest = [re.sub(r'<section id="what-was-run">.*?</section>', "", page, flags=re.DOTALL) for page in pages]
    assert rest[0] == rest[1]


def test_the_tables_hold_what_models_cost(replayed):
    """Equal because all is counted, not because nothing is."""
    original, _ = replayed
    assert "at random" in original.markdown
    assert "plus the language models' share" in original.markdown
    row = table(original, "costs").loc["lm_searcher"]
    assert row["llm_seconds_mean"] > 0
    # Two GPUs, whose time the concurrent requests share.
    assert 0 < row["llm_gpu_hours_mean"] * 3600 <= 2 * row["llm_seconds_mean"] + 1e-3


def test_all_tables_fit_into_a_terminal(replayed):
    shown = io.StringIO()
    Console(width=100, file=shown).print(*replayed[0].console_tables)
    assert max(map(len, shown.getvalue().splitlines())) <= 100
    # Names may be cut on a narrow terminal, at this width they are not.
    for row in ("first_proposal", "first_blind", "llm_ranking", "lm_searcher"):
        assert shown.getvalue().count(row) >= 3, shown.getvalue()
    assert "…" not in shown.getvalue()


def test_first_proposals_are_placed_in_the_whole_space(replayed):
    original, _ = replayed
    frame = table(original, "first-proposals")
    assert list(frame.index) == ["random_search", "first_proposal", "first_blind"]
    benchmark = NASBench201("cifar10")
    scores = benchmark.scores(split="valid", fidelity=200)
    means = []
    for seed in (0, 1):
        found = [row["valid"] for row in lines(original, "first_proposal", seed)]
        means.append(np.mean([100 * (np.mean(scores < v) + np.mean(scores == v) / 2) for v in found]))
    assert frame.loc["first_proposal", "percentile_mean"] == pytest.approx(np.mean(means))
    assert frame.loc["first_blind", "by_heart"] == pytest.approx(
        frame.loc["first_proposal", "percentile_mean"] - frame.loc["first_blind", "percentile_mean"]
    )


def test_rankings_stand_beside_parameters_flops_and_seeds(replayed):
    original, _ = replayed
    row = table(original, "ranking").loc["llm_ranking"]
    benchmark = NASBench201("cifar10")
    runs = [lines(original, "llm_ranking", seed) for seed in (0, 1)]
    assert row["rankings"] == 2
    for key, value in (
        ("tau", lambda line: -line["attributes"]["rank"]),
        ("tau_parameters", lambda line: cost(benchmark, line).parameters),
        ("tau_flops", lambda line: cost(benchmark, line).flops),
    ):
        taus = [
            statistics.kendall([value(line) for line in run], [line["valid"] for line in run]) for run in runs
        ]
        assert row[f"{key}_mean"] == pytest.approx(np.mean(taus)), key
    assert 0 < row["tau_seeds_mean"] <= 1


def table(report: Report, name: str) -> pd.DataFrame:
    return pd.read_csv(report.page.with_name(f"{name}.csv")).set_index("strategy")


def lines(report: Report, strategy: str, *seeds: int) -> list[dict[str, Any]]:
    folders = report.page.parents[1].glob(f"*/{strategy}/seed-*")
    files = [
        f / "trajectory.jsonl" for f in sorted(folders) if not seeds or f.name in {f"seed-{s}" for s in seeds}
    ]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def cost(benchmark: NASBench201, line: dict[str, Any]) -> Any:
    return benchmark.space.cost(benchmark.space.from_ncode(line["ncode"]), benchmark.dataset)
