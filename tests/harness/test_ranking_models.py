"""Rankings whose scorers ask language models: what is checked, asked once, replayed, parked, and told apart."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from typing import Any

import pytest

from harness import experiment
from harness.errors import SpecError
from harness.errors import StoreError
from harness.ranking.folder import RankingFolder
from harness.ranking.plan import plan_ranking
from harness.ranking.plan import select
from harness.ranking.run import run_ranking
from llm_strategies.models.transcripts import Transcripts
from reports.build import build_report
from tests.harness.command import harness
from tests.harness.command import refused
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.models import Endpoint
    from harness.models import Replay
    from harness.ranking.run import RankingResult

YAML = """\
tracking: {{uri: null}}
models:
  served: {{kind: openai, base_url: "{url}", model: {model}, max_retries: 0, concurrency: 2}}
sweeps:
  r:
    kind: ranking
    benchmarks: [{{name: nasbench201, dataset: {dataset}}}]
    scorers:
      - {{name: llm_ranking, label: asked, model: served, n: 5, repeats: 2}}
      - {{name: llm_ranking, label: blind, model: served, n: 5, repeats: 2, names: permuted}}
    architectures: 12
"""
LABEL = "nasbench201-cifar10"


class Told:
    """Keeps what a ranking says."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.messages: list[str] = []

    def begin(self, what: str) -> None:
        self.begun.append(what)

    def scored(self, done: int, total: int) -> None:
        assert 0 <= done <= total

    def message(self, text: str) -> None:
        self.messages.append(text)


def some_order(request: Mapping[str, Any]) -> Answer:
    """A permutation that hangs on the seed of the request."""
    schema = request["response_format"]["json_schema"]["schema"]
    n = schema["properties"]["ranking"]["maxItems"]
    start = request["seed"] % n
    return Answer(json.dumps({"ranking": [(start + i) % n + 1 for i in range(n)]}))


def text_of(endpoint: Endpoint, *, model: str = "scripted", dataset: str = "cifar10") -> str:
    return YAML.format(url=endpoint.base_url, model=model, dataset=dataset)


def run(
    folder: Path,
    text: str,
    *,
    results: str = "results",
    only: tuple[str, ...] = (),
    replay: Replay = "auto",
) -> tuple[RankingResult, Told]:
    file = folder / "experiments.yaml"
    file.write_text(text)
    experiments = experiment.read_experiments(file)
    plan = plan_ranking(experiments, "r")
    told = Told()
    chosen = select(plan, only)
    result = run_ranking(
        experiments, plan, chosen, results=folder / results, workers=1, progress=told, replay=replay
    )
    return result, told


def files(folder: Path) -> dict[str, bytes]:
    """All that is there but the log of sessions and the transcripts."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.joinpath("r").rglob("*")
        if file.is_file() and file.name not in {"sessions.jsonl", ".lock"}
    }


def scorers(folder: Path) -> list[str]:
    record = RankingFolder(folder / "r" / LABEL).record
    assert record is not None
    return list(record.scorers)


def test_from_the_transcripts_alone_byte_for_byte(tmp_path: Path) -> None:
    server = ScriptedServer(some_order)
    with server as endpoint:
        text = text_of(endpoint)
        result, told = run(tmp_path, text)
    # Three groups of four, twice, plain and blind.
    assert result.parked == {}
    assert len(server.requests) == 2 * 3 * 2
    assert told.begun == [LABEL, f"{LABEL}/asked", f"{LABEL}/blind"]
    (said,) = [message for message in told.messages if message.startswith("asked: ")]
    assert said.startswith("asked: 6 questions, 0 of them without a usable reply; 6 calls, ")
    assert scorers(tmp_path / "results") == ["asked", "blind", "parameters", "flops"]
    record = RankingFolder(tmp_path / "results" / "r" / LABEL).record
    assert record is not None
    assert record.scorers["asked"].models["served"]["model"] == "scripted"
    assert record.scorers["parameters"].models == {}

    shutil.copytree(tmp_path / "results" / "transcripts", tmp_path / "again" / "transcripts")
    assert run(tmp_path, text, results="again", replay="strict")[0].parked == {}
    assert files(tmp_path / "again") == files(tmp_path / "results")
    assert {"seconds.csv", "scores.csv"} <= {name.rpartition("/")[2] for name in files(tmp_path / "again")}
    # The server is gone, and nobody asks for it where all is there.
    assert run(tmp_path, text)[1].messages == [f"{LABEL}: all of it is there already."]
    page = build_report(tmp_path / "results" / "r").page.read_text()
    assert "model = served" in page
    assert "served: kind openai" in page


def test_a_model_that_fails_parks_its_scorers_and_no_others(tmp_path: Path) -> None:
    left = 4.0

    def answer(request: Mapping[str, Any]) -> Answer:
        nonlocal left
        left -= 1
        return some_order(request) if left >= 0 else Answer("overloaded", status=503)

    server = ScriptedServer(answer)
    with server as endpoint:
        text = text_of(endpoint)
        result, _ = run(tmp_path, text)
        assert set(result.parked) == {f"{LABEL}/asked", f"{LABEL}/blind"}
        assert all("overloaded" in reason for reason in result.parked.values())
        assert scorers(tmp_path / "results") == ["parameters", "flops"]
        assert "has no scores of asked yet" in build_report(tmp_path / "results" / "r").markdown

        left = float("inf")
        refused_ones = len(server.requests) - 4
        assert run(tmp_path, text)[0].parked == {}
        # Each question once, and those that were refused once more.
        assert len(server.requests) - refused_ones == 12
    shutil.rmtree(tmp_path / "results" / "r" / "report")
    shutil.copytree(tmp_path / "results" / "transcripts", tmp_path / "at-once" / "transcripts")
    run(tmp_path, text, results="at-once", replay="strict")
    assert files(tmp_path / "results") == files(tmp_path / "at-once")


def test_the_scorers_of_a_model_that_is_gone_do_not_try_it(tmp_path: Path) -> None:
    def answer(request: Mapping[str, Any]) -> Answer:
        server.models = b"gone"
        return Answer("the engine died", status=500)

    server = ScriptedServer(answer)
    with server as endpoint:
        result, told = run(tmp_path, text_of(endpoint))
    # The first two questions of the first scorer.
    assert len(server.requests) == 2
    assert len(set(result.parked.values())) == 1
    assert len(result.parked) == 2
    assert told.begun == [LABEL, f"{LABEL}/asked"]


def test_a_strict_replay_asks_nobody(tmp_path: Path) -> None:
    server = ScriptedServer(some_order)
    with server as endpoint:
        result, told = run(tmp_path, text_of(endpoint), replay="strict")
        assert [reason[:14] for reason in result.parked.values()] == ["strict replay:"] * 2
        assert not any("Starting" in message for message in told.messages)
    assert server.requests == []


def test_scorers_that_ask_can_be_added_one_by_one(tmp_path: Path) -> None:
    server = ScriptedServer(some_order)
    with server as endpoint:
        text = text_of(endpoint)
        assert not any("Starting" in text for text in run(tmp_path, text, only=("flops",))[1].messages)
        run(tmp_path, text, only=("blind",))
        assert len(server.requests) == 6
        assert scorers(tmp_path / "results") == ["blind", "parameters", "flops"]
        run(tmp_path, text)
        assert len(server.requests) == 12
        shutil.copytree(tmp_path / "results" / "transcripts", tmp_path / "at-once" / "transcripts")
        run(tmp_path, text, results="at-once", replay="strict")
    assert files(tmp_path / "results") == files(tmp_path / "at-once")


def test_equal_settings_of_two_models_are_two_scorers(tmp_path: Path) -> None:
    with ScriptedServer(some_order) as endpoint:
        text = text_of(endpoint).replace("sweeps:", "  other: {kind: embedded}\nsweeps:")
        other = text.replace("label: blind, model: served", "label: blind, model: other").replace(
            ", names: permuted", ""
        )
        result, _ = run(tmp_path, other, only=("asked",))
        assert result.parked == {}
        with pytest.raises(SpecError, match="'blind' and 'asked' are the same scorer"):
            run(tmp_path, text.replace(", names: permuted", ""))


def test_each_data_set_has_questions_of_its_own(tmp_path: Path) -> None:
    with ScriptedServer(some_order) as endpoint:
        run(tmp_path, text_of(endpoint, dataset="[cifar10, cifar100]"))
    assert len(list(Transcripts(tmp_path / "results" / "transcripts").keys())) == 2 * 12


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "model: scripted",
            "model: larger",
            "scorers.asked.models.served.model is 'scripted' there and 'larger' now",
        ),
        (
            "label: asked, model: served, n: 5",
            "label: asked, model: served, n: 6",
            "scorers.asked.params.n is 5 there",
        ),
    ],
)
def test_scores_of_another_model_or_settings_are_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with ScriptedServer(some_order) as endpoint:
        text = text_of(endpoint)
        run(tmp_path, text)
        before = files(tmp_path / "results")
        assert old in text
        with pytest.raises(StoreError, match="holds another ranking") as caught:
            run(tmp_path, text.replace(old, new))
        assert said in str(caught.value)
        assert files(tmp_path / "results") == before
        # Where it runs, and how many questions it takes at once, is no part of it.
        run(tmp_path, text.replace("concurrency: 2", "concurrency: 3, timeout: 5.0"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            ", model: served, n: 5, repeats: 2}",
            "}",
            "scorers[0].model: scorer 'llm_ranking' needs `model`, the name of",
        ),
        ("asked, model: served", "asked, model: serve", "unknown model 'serve', did you mean 'served'?"),
        ("asked, model: served", "asked, model: 3", "unknown model '3'"),
        ("n: 5, repeats: 2}", "n: 1}", "scorers[0]: LLMRankingScorer: n is 1; it must be at least 2"),
        ("repeats: 2}", "repeat: 2}", "did you mean 'repeats'"),
        ("repeats: 2}", "names: blind}", "'plain', 'permuted' or 'ncode'"),
        (
            "n: 5, repeats: 2}",
            "on_exhausted: end}",
            "unknown parameter of scorer 'llm_ranking' 'on_exhausted'",
        ),
    ],
)
def test_what_is_wrong_is_named_before_anything_starts(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = YAML.format(url="http://127.0.0.1:9/v1", model="scripted", dataset="cifar10")
    assert old in text
    with pytest.raises(SpecError) as caught:
        run(tmp_path, text.replace(old, new, 1))
    assert "experiments.yaml:9: sweeps.r.scorers[0]" in str(caught.value)
    assert said in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "experiments.yaml"
    with ScriptedServer(some_order) as endpoint:
        file.write_text(text_of(endpoint))
        said = harness("run", "--dry-run", cwd=tmp_path).stdout
        assert "asks" in said
        assert said.count("served") == 2
        said = harness("run", "--replay", "strict", "--no-report", cwd=tmp_path, check=1).stdout
        assert "parked 2 scorers: strict replay: the transcripts" in said
        assert "Nothing of parked scorers is lost" in said
        said = harness("run", cwd=tmp_path).stdout
        assert "Kendall's tau-b" in said
        assert "blind: 6 questions" in said
    assert "is for searches" in refused("run", "--seeds", "0:2", cwd=tmp_path)
