"""LM-Searcher with a real model."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import optuna
import pytest

from harness.errors import ModelError
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import History
from harness.history import Trial
from harness.spaces import Architecture
from harness.spaces import SearchSpace
from llm_strategies.lm_searcher import LMSearcher
from llm_strategies.models.client import ChatModel

if TYPE_CHECKING:
    from pathlib import Path

    from harness.models import Endpoint

SPACE = SearchSpace({f"edge {i}": ("none", "skip", "conv", "pool") for i in range(4)})
TINY = SearchSpace({"depth": (1, 2), "width": (16, 32), "residual": (True, False)})
SETTINGS: dict[str, Any] = {"random_starts": 2, "candidates": 4}


def search(
    strategy: LMSearcher,
    trials: int,
    *,
    space: SearchSpace = SPACE,
    direction: str = "maximize",
    earlier: list[optuna.trial.FrozenTrial] | None = None,
) -> list[optuna.trial.FrozenTrial]:
    def objective(trial: optuna.Trial) -> float:
        indices = [trial.suggest_categorical(name, c) for name, c in space.decisions.items()]
        return float(sum(c.index(v) for c, v in zip(space.decisions.values(), indices, strict=True)))

    study = optuna.create_study(sampler=strategy, direction=direction)
    study.add_trials(earlier or [])
    study.optimize(objective, n_trials=trials - len(study.trials))
    return study.trials


def facts(trials: list[optuna.trial.FrozenTrial]) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.params, trial.value, trial.system_attrs) for trial in trials]


def history(scores: list[float], space: SearchSpace = SPACE) -> History:
    rng = np.random.default_rng(0)
    architectures = [space.from_index(i * 7 % space.size) for i in range(len(scores))]
    trials = [Trial(i, a, s, s, {}) for i, (a, s) in enumerate(zip(architectures, scores, strict=True))]
    seen = {trial.architecture for trial in trials}
    return History(space, trials, number=len(trials), seen=seen, make_rng=lambda: rng, folds={})


def question(scores: list[float], **settings: Any) -> list[str]:
    strategy = LMSearcher(model="unused", **settings)
    _, user = strategy.messages(history(scores), ["0123", "3210"])
    return user["content"].splitlines()


def test_prompt() -> None:
    strategy = LMSearcher(model="unused")
    system, user = strategy.messages(history([10.0, 30.0, 20.0, 12.5]), ["0123", "3210"])
    assert system["role"] == "system"
    assert user["role"] == "user"
    # Architectures 7, 14, 0, 21 in base 4, by falling score; candidates in the order given.
    assert user["content"].splitlines()[1:8] == [
        "0013 1.0000",
        "0032 0.5000",
        "0111 0.1250",
        "0000 0.0000",
        "Candidates:",
        "0123",
        "3210",
    ]


def test_prompt_with_equal_rewards() -> None:
    assert question([0.5, 0.5])[1:3] == ["0000 1.0000", "0013 1.0000"]


def test_prompt_with_infinite_rewards() -> None:
    lines = question([1.0, float("-inf"), 3.0, float("inf")])
    assert lines[1:5] == ["0111 1.0000", "0032 1.0000", "0000 0.0000", "0013 0.0000"]


def test_prompt_without_history() -> None:
    assert question([])[:2] == ["Nothing has been tried.", "Candidates:"]


def test_history_limit_keeps_the_best() -> None:
    assert question([10.0, 30.0, 20.0, 12.5], history_limit=2)[1:4] == [
        "0013 1.0000",
        "0032 0.5000",
        "Candidates:",
    ]


@pytest.fixture(scope="module")
def connected(embedded_model: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A search of 8 trials with the paper's settings, and its transcripts."""
    folder = tmp_path_factory.mktemp("run")
    strategy = LMSearcher(model="tiny", seed=1)
    strategy.connect({"tiny": embedded_model}, folder)
    trials = search(strategy, 8)
    lines = (folder / "transcripts.jsonl").read_text().splitlines()
    return {"trials": trials, "calls": [json.loads(line) for line in lines], "folder": folder}


def test_candidates_are_distinct_and_new(connected: dict[str, Any]) -> None:
    codes = [SPACE.ncode(SPACE.architecture(trial.params)) for trial in connected["trials"]]
    assert len(set(codes)) == 8
    for number, call in enumerate(connected["calls"], start=5):
        candidates = call["request"]["schema"]["properties"]["candidate"]["enum"]
        assert len(set(candidates)) == 10
        assert not set(candidates) & set(codes[:number])
        assert codes[number] in candidates
        shown = call["request"]["messages"][1]["content"]
        assert all(code in shown for code in [*candidates, *codes[:number]])


def test_attributes(connected: dict[str, Any]) -> None:
    attributes = [trial.system_attrs["harness:attributes"] for trial in connected["trials"][1:]]
    assert attributes[:4] == [{"source": "random"}] * 4
    for call, attribute in zip(connected["calls"], attributes[4:], strict=True):
        candidates = call["request"]["schema"]["properties"]["candidate"]["enum"]
        picked = json.loads(call["reply"]["text"])["candidate"]
        assert attribute == {"source": "model", "position": candidates.index(picked), "candidates": 10}


def test_replay_without_a_server(connected: dict[str, Any], embedded_model: Endpoint) -> None:
    strategy = LMSearcher(model="tiny", seed=1)
    nowhere = type(embedded_model)("http://127.0.0.1:9/v1", embedded_model.model)
    strategy.connect({"tiny": nowhere}, connected["folder"])
    assert facts(search(strategy, 8)) == facts(connected["trials"])


def test_bare_study_is_reproducible_and_resumes(embedded_model: Endpoint) -> None:
    def strategy() -> LMSearcher:
        return LMSearcher(model=ChatModel(embedded_model), seed=7, space=SPACE, **SETTINGS)

    once = search(strategy(), 5, direction="minimize")
    again = pickle.loads(pickle.dumps(strategy()))  # noqa: S301
    assert facts(search(again, 4, direction="minimize")) == facts(once[:4])
    assert facts(search(strategy(), 5, direction="minimize", earlier=once[:4])) == facts(once)
    other = LMSearcher(model=ChatModel(embedded_model), seed=8, space=SPACE, **SETTINGS)
    assert facts(search(other, 2, direction="minimize")) != facts(once[:2])


def test_small_space_is_covered_before_it_repeats(embedded_model: Endpoint) -> None:
    strategy = LMSearcher(model=ChatModel(embedded_model), seed=3, space=TINY)
    trials = search(strategy, 9, space=TINY)
    assert len({tuple(trial.params.values()) for trial in trials[:8]}) == 8
    offered = [trial.system_attrs["harness:attributes"].get("candidates") for trial in trials[5:]]
    assert offered == [3, 2, 1, 8]


def test_exhausted(embedded_model: Endpoint) -> None:
    strategy = LMSearcher(model=ChatModel(embedded_model), attempts=2, max_tokens=3, **SETTINGS)
    with pytest.raises(Exhausted, match=r"no usable reply in 2 calls \(2 truncated\)") as end:
        strategy.propose(history([1.0, 2.0]))
    assert end.value.rejected == {"truncated": 2}
    assert end.value.usage.calls == 2
    assert end.value.usage.completion_tokens == 6
    assert end.value.usage.prompt_tokens > 100


def test_usage(embedded_model: Endpoint) -> None:
    strategy = LMSearcher(model=ChatModel(embedded_model), **SETTINGS)
    proposal = strategy.propose(history([1.0, 2.0]))
    assert isinstance(proposal.architecture, Architecture)
    assert proposal.usage is not None
    assert proposal.usage.calls == 1
    assert proposal.usage.seconds > 0
    assert proposal.rejected == {}
    assert strategy.propose(history([1.0])).usage is None


def test_model_not_connected() -> None:
    with pytest.raises(ModelError, match=r"'tiny' is not connected.*pass a ChatModel"):
        LMSearcher(model="tiny", random_starts=0).propose(history([]))


def test_model_unknown(embedded_model: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown model 'tinny', did you mean 'tiny'"):
        LMSearcher(model="tinny").connect({"tiny": embedded_model}, tmp_path)


@pytest.mark.parametrize(
    "setting",
    [
        {"random_starts": -1},
        {"candidates": 0},
        {"history_limit": 0},
        {"attempts": 0},
        {"temperature": -0.1},
        {"max_tokens": 0},
    ],
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"lm_searcher: {next(iter(setting))} is "):
        LMSearcher(model="tiny", **setting)
