"""LM-Searcher: what it asks, with a scripted server; that it searches, with a real model."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import optuna
import pytest

from harness.benchmarks.base import Metric
from harness.errors import ModelError
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import History
from harness.history import Trial
from harness.models import Endpoint
from harness.models import Models
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from harness.task import Task
from llm_strategies.lm_searcher import LMSearcher
from llm_strategies.models.client import ChatModel
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

if TYPE_CHECKING:
    from pathlib import Path

SPACE = SearchSpace({f"edge {i}": ("none", "skip", "conv", "pool") for i in range(4)})
TINY = SearchSpace({"depth": (1, 2), "width": (16, 32), "residual": (True, False)})
NASBENCH = NASBench201Space()
LOSS = Task("cifar10", Metric("loss", "", higher_is_better=False), 12, "nasbench201")

Request = Mapping[str, Any]


def search(
    strategy: LMSearcher, trials: int, *, space: SearchSpace = SPACE, direction: str = "maximize"
) -> list[optuna.trial.FrozenTrial]:
    """A search for the architecture of the largest digits."""

    def objective(trial: optuna.Trial) -> float:
        choices = {name: trial.suggest_categorical(name, c) for name, c in space.decisions.items()}
        return float(sum(space.architecture(choices)))

    study = optuna.create_study(sampler=strategy, direction=direction)
    study.optimize(objective, n_trials=trials)
    return study.trials


def history(scores: list[float], space: SearchSpace = SPACE) -> History:
    architectures = [space.from_index(i * 7 % space.size) for i in range(len(scores))]
    trials = [Trial(i, a, s, s, {}) for i, (a, s) in enumerate(zip(architectures, scores, strict=True))]
    return History(
        space,
        trials,
        number=len(trials),
        seen={trial.architecture for trial in trials},
        make_rng=lambda: np.random.default_rng(0),
        folds={},
    )


def ask(
    scores: list[float],
    answer: Callable[[Request], Answer] = legal,
    *,
    space: SearchSpace = SPACE,
    task: Task | None = None,
    **settings: Any,
) -> tuple[list[str], Any, Request]:
    """One proposal: lines of the question, proposal, and the request that was answered last."""
    server = ScriptedServer(answer)
    with server as endpoint:
        strategy = LMSearcher(**{"model": "m", "random_starts": 0, **settings}, seed=0)
        strategy.connect(task or Task(), Models({"m": endpoint}))
        proposal = strategy.propose(history(scores, space))
    request = server.requests[-1]
    return request["messages"][1]["content"].splitlines(), proposal, request


def offered(request: Request) -> list[str]:
    return request["response_format"]["json_schema"]["schema"]["properties"]["candidate"]["enum"]


def test_defaults_are_those_of_the_paper_and_its_code() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(LMSearcher.__init__).parameters.items()
    }
    assert defaults["random_starts"] == 5
    assert defaults["candidates"] == 10
    assert defaults["candidate_source"] == "random"
    assert defaults["history_limit"] is None
    assert defaults["rewards"] == "min-max"
    assert defaults["mapping"] == "intact"
    assert defaults["names"] == "ncode"


# What the model reads.


def test_question() -> None:
    lines, proposal, request = ask([10.0, 30.0, 20.0, 12.5])
    # Architectures 7, 14, 0, 21 in base 4, by falling score; candidates in the order of the schema.
    assert lines[1:6] == ["0013 1.0000", "0032 0.5000", "0111 0.1250", "0000 0.0000", "Candidates:"]
    assert lines[6:16] == offered(request)
    assert len(set(offered(request))) == 10
    assert not set(offered(request)) & {"0000", "0013", "0032", "0111"}
    assert SPACE.ncode(proposal.architecture) in offered(request)


def test_question_with_equal_rewards() -> None:
    assert ask([0.5, 0.5])[0][1:3] == ["0000 1.0000", "0013 1.0000"]


def test_question_with_infinite_rewards() -> None:
    lines, *_ = ask([1.0, float("-inf"), 3.0, float("inf")])
    assert lines[1:5] == ["0111 1.0000", "0032 1.0000", "0000 0.0000", "0013 0.0000"]


def test_question_without_history() -> None:
    assert ask([])[0][:2] == ["Nothing has been tried.", "Candidates:"]


def test_window_keeps_the_best() -> None:
    lines, *_ = ask([10.0, 30.0, 20.0, 12.5], history_limit=2)
    assert lines[1:4] == ["0013 1.0000", "0032 0.5000", "Candidates:"]


def test_window_keeps_the_recent_best_first() -> None:
    lines, *_ = ask([10.0, 30.0, 12.5, 20.0], history_limit=2, history_window="recent")
    assert lines[1:4] == ["0111 0.5000", "0032 0.1250", "Candidates:"]


@pytest.mark.parametrize(("window", "first"), [("best", "0013 1.0000"), ("recent", "0111 0.1250")])
def test_prompt_that_is_too_long_is_halved(window: str, first: str) -> None:
    def short_context(request: Request) -> Answer:
        if len(request["messages"][1]["content"].splitlines()) > 14:
            return Answer("this exceeds the maximum context length", status=400)
        return legal(request)

    lines, proposal, _ = ask([10.0, 30.0, 20.0, 12.5], short_context, history_window=window)
    assert lines[1:3] == [first, "Candidates:"]
    assert proposal.rejected == {"too long": 2}


def test_raw_rewards() -> None:
    lines, *_ = ask(
        [91.5, 93.25], rewards="raw", names="plain", task=Task("cifar10", Metric("accuracy", "%"))
    )
    assert lines[0].endswith("(architecture accuracy):")
    assert [line.split()[-1] for line in lines[1:3]] == ["93.25", "91.5"]
    assert lines[-1].endswith("the highest accuracy?")


def test_raw_rewards_that_should_be_low() -> None:
    lines, *_ = ask([-0.5, -0.25], rewards="raw", task=LOSS)
    assert lines[:3] == ["Tried, best first (code score):", "0013 0.25", "0000 0.5"]
    assert lines[-1].endswith("the lowest score?")


def test_shuffled_mapping_keeps_the_rewards_and_moves_them() -> None:
    scores = [float(i) for i in range(12)]
    (true, _, request), (shuffled, _, same) = ask(scores), ask(scores, mapping="shuffled")
    assert offered(request) == offered(same)
    assert [line.split()[1] for line in true[1:13]] == [line.split()[1] for line in shuffled[1:13]]
    assert {line.split()[0] for line in true[1:13]} == {line.split()[0] for line in shuffled[1:13]}
    assert sum(a != b for a, b in zip(true[1:13], shuffled[1:13], strict=True)) > 6


def test_shuffled_mapping_windows_what_it_shows() -> None:
    """The best by the rewards shown: by the true ones, the best would still stand out."""
    scores = [float(i) for i in range(12)]
    lines, *_ = ask(scores, mapping="shuffled", history_limit=3)
    assert [line.split()[1] for line in lines[1:4]] == ["1.0000", "0.9091", "0.8182"]
    assert {line.split()[0] for line in lines[1:4]} != {
        SPACE.ncode(SPACE.from_index(i * 7)) for i in (9, 10, 11)
    }


def test_domain_specific_encoding() -> None:
    lines, proposal, request = ask([90.0, 91.0], names="plain", space=NASBENCH)
    assert lines[1] == "|none~0|+|none~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2| 1.0000"
    assert lines[4:14] == offered(request)
    assert NASBENCH.format(proposal.architecture) in offered(request)
    assert "code" not in request["messages"][0]["content"]


def test_domain_specific_encoding_of_a_space_without_text() -> None:
    _, proposal, request = ask([1.0], names="plain", space=TINY, candidates=3)
    assert {frozenset(json.loads(text)) for text in offered(request)} == {frozenset(TINY.decisions)}
    assert TINY.params(proposal.architecture) in [json.loads(text) for text in offered(request)]


@pytest.mark.parametrize("names", ["ncode", "permuted"])
@pytest.mark.parametrize("rewards", ["min-max", "raw"])
def test_blind(names: str, rewards: str) -> None:
    _, _, request = ask([90.0, 91.0], names=names, rewards=rewards, space=NASBENCH, task=LOSS)
    sent = json.dumps(request)
    for secret in ("cifar", "loss", "NAS-Bench", "nasbench", "conv", "skip", "none", "pool"):
        assert secret not in sent
    assert len(set(offered(request))) == 10


# Where candidates come from.


def is_mutant(code: str, parents: list[str]) -> bool:
    return any(sum(a != b for a, b in zip(code, parent, strict=True)) == 1 for parent in parents)


def test_candidates_by_evolution_are_mutants() -> None:
    scores = [float(i) for i in range(12)]
    _, proposal, request = ask(scores, space=NASBENCH, candidate_source="evolution", population=2, sample=1)
    parents = [NASBENCH.ncode(NASBENCH.from_index(i * 7)) for i in (10, 11)]
    assert all(is_mutant(code, parents) for code in offered(request))
    assert len(set(offered(request))) == 10
    assert proposal.attributes["candidates"] == {"evolution": 10}
    assert proposal.attributes["candidate_source"] == "evolution"


def test_tournament_prefers_the_best() -> None:
    scores = [float(i == 3) for i in range(10)]
    _, _, request = ask(scores, space=NASBENCH, candidate_source="evolution", sample=100)
    assert all(is_mutant(code, [NASBENCH.ncode(NASBENCH.from_index(21))]) for code in offered(request))


@pytest.mark.parametrize("chosen", ["random", "evolution"])
def test_half_and_half(chosen: str) -> None:
    scores = [float(i) for i in range(12)]
    parents = [NASBENCH.ncode(NASBENCH.from_index(i * 7)) for i in range(2, 12)]

    def pick(request: Request) -> Answer:
        mutants = [code for code in offered(request) if is_mutant(code, parents)]
        others = [code for code in offered(request) if code not in mutants]
        return Answer(json.dumps({"candidate": (mutants if chosen == "evolution" else others)[0]}))

    _, proposal, request = ask(scores, pick, space=NASBENCH, candidate_source="half", candidates=11)
    assert proposal.attributes["candidates"] == {"evolution": 5, "random": 6}
    assert proposal.attributes["candidate_source"] == chosen
    mutants = [is_mutant(code, parents) for code in offered(request)]
    assert sorted(mutants, reverse=True) != mutants, "their place tells them apart"


def test_random_candidates_stand_in_for_mutants() -> None:
    _, proposal, _ = ask([], candidate_source="evolution")
    assert proposal.attributes["candidates"] == {"random": 10}


@pytest.mark.parametrize("source", ["random", "evolution", "half"])
def test_small_space_is_covered_before_it_repeats(source: str, scripted_model: Endpoint) -> None:
    strategy = LMSearcher(
        model=ChatModel(scripted_model), seed=3, space=TINY, random_starts=2, candidate_source=source
    )
    trials = search(strategy, 9, space=TINY)
    assert len({tuple(trial.params.values()) for trial in trials[:8]}) == 8
    attributes = [trial.system_attrs["harness:attributes"] for trial in trials[2:]]
    assert [sum(a["candidates"].values()) for a in attributes] == [6, 5, 4, 3, 2, 1, 8]


# What the model writes.


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        ('Surely ```json\n{"candidate": "%s"}\n```', "ncode"),
        ('{"candidate": "%s"}', "plain"),
        ('{"candidate": "%s"}', "permuted"),
        ('"%s"', "ncode"),
        ("%s", "ncode"),
        ("Not 000000; the candidate with the highest reward is %s.", "ncode"),
        ("%s", "plain"),
        ("`%s`", "permuted"),
    ],
)
def test_free_form(reply: str, names: str) -> None:
    def answer(request: Request) -> Answer:
        assert "response_format" not in request
        lines = request["messages"][1]["content"].splitlines()
        return Answer(reply % lines[lines.index("Candidates:") + 3])

    _, proposal, _ = ask([1.0, 2.0], answer, names=names, structured="none", space=NASBENCH)
    assert proposal.attributes["position"] == 2
    assert proposal.rejected == {}


@pytest.mark.parametrize("reply", ["The second one.", "{0}0", "{0}-{1}", "1{0}"])
def test_free_form_that_names_no_candidate(reply: str) -> None:
    def answer(request: Request) -> Answer:
        lines = request["messages"][1]["content"].splitlines()
        return Answer("I choose " + reply.format(*lines[lines.index("Candidates:") + 1 :]))

    with pytest.raises(Exhausted) as end:
        ask([1.0], answer, structured="none", attempts=1)
    assert end.value.rejected == {"not JSON": 1}


@pytest.mark.parametrize(("names", "blank"), [("ncode", "<code>"), ("plain", "<architecture>")])
def test_the_form_of_a_reply_has_a_blank_that_is_no_candidate(names: str, blank: str) -> None:
    _, _, request = ask([0.5], names=names)
    assert f'{{"candidate":"{blank}"}}' in request["messages"][0]["content"]


def test_free_form_that_names_several_means_the_last() -> None:
    def answer(request: Request) -> Answer:
        lines = request["messages"][1]["content"].splitlines()
        first, second = lines[lines.index("Candidates:") + 1 :][:2]
        return Answer(f"{first} is good, {second} is better.")

    _, proposal, _ = ask([1.0], answer, structured="none")
    assert proposal.attributes["position"] == 1


def test_free_form_choices_in_the_place_of_their_text() -> None:
    def answer(request: Request) -> Answer:
        lines = request["messages"][1]["content"].splitlines()
        return Answer('{"candidate": ' + lines[lines.index("Candidates:") + 2] + "}")

    _, proposal, _ = ask([1.0], answer, names="plain", structured="none", space=TINY)
    assert proposal.attributes["position"] == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('{"candidate": "0000"}', "illegal choice"),
        ('{"candidate": 7}', "illegal choice"),
        ('{"candidate": {"edge 0": "conv"}}', "wrong shape"),
        ('{"code": null}', "wrong shape"),
        ("The second one.", "not JSON"),
    ],
)
def test_exhausted(reply: str, reason: str) -> None:
    seen = []

    def answer(request: Request) -> Answer:
        seen.append(request["messages"][1]["content"])
        return Answer(reply)

    with pytest.raises(Exhausted, match=rf"nothing usable in 3 calls \(3 {reason}\)") as end:
        ask([1.0, 2.0], answer, structured="none", attempts=3)
    assert end.value.rejected == {reason: 3}
    assert len(set(seen)) == 3, "each attempt draws new candidates"


# With a real model.


def test_search_with_a_real_model_and_its_replay(embedded_model: Endpoint, tmp_path: Path) -> None:
    def run(endpoint: Endpoint, replay: Any) -> list[tuple[Any, ...]]:
        strategy = LMSearcher(model="tiny", seed=1, candidates=4, candidate_source="half", space=SPACE)
        strategy.connect(Task(), Models({"tiny": endpoint}, tmp_path, replay))
        trials = search(strategy, 8, direction="minimize")
        return [(trial.number, trial.params, trial.value, trial.system_attrs) for trial in trials]

    trials = run(embedded_model, "auto")
    assert len({tuple(params.values()) for _, params, *_ in trials}) == 8
    attributes = [trial[3]["harness:attributes"] for trial in trials]
    assert attributes[:5] == [{"source": "random"}] * 5
    assert all(a["candidates"] == {"evolution": 2, "random": 2} for a in attributes[5:])
    nowhere = Endpoint("http://127.0.0.1:9/v1", embedded_model.model, identity=embedded_model.identity)
    assert run(nowhere, "strict") == trials


def test_real_model_is_cut_off(embedded_model: Endpoint) -> None:
    strategy = LMSearcher(model=ChatModel(embedded_model), random_starts=0, attempts=2, max_tokens=3)
    with pytest.raises(Exhausted, match=r"nothing usable in 2 calls \(2 truncated\)") as end:
        strategy.propose(history([1.0, 2.0]))
    assert end.value.usage.completion_tokens == 6
    assert end.value.usage.prompt_tokens > 100


# Mistakes.


def test_model_not_connected() -> None:
    with pytest.raises(ModelError, match=r"'tiny' is not connected.*pass a ChatModel"):
        LMSearcher(model="tiny", random_starts=0).propose(history([]))


def test_model_unknown(scripted_model: Endpoint) -> None:
    with pytest.raises(SpecError, match="unknown model 'tinny', did you mean 'tiny'"):
        LMSearcher(model="tinny").connect(Task(), Models({"tiny": scripted_model}))


@pytest.mark.parametrize(
    "setting",
    [
        {"random_starts": -1},
        {"candidates": 0},
        {"population": 0},
        {"sample": 0},
        {"history_limit": 0},
        {"candidate_source": "elites"},
        {"history_window": "worst"},
        {"rewards": "rank"},
        {"mapping": "permuted"},
    ],
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"LMSearcher: .*{next(iter(setting))}"):
        LMSearcher(model="tiny", **setting)
