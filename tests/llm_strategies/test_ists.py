"""ISTS: what it asks in each stage, and how its tree grows."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest

from harness.benchmarks.base import Metric
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import Finished
from harness.history import History
from harness.history import Trial
from harness.models import Endpoint
from harness.models import Models
from harness.spaces import ISTSSpace
from harness.spaces import NASBench201Space
from harness.spaces import SearchSpace
from harness.task import Task
from llm_strategies.ists import ISTS
from llm_strategies.ists_tree import Tree
from llm_strategies.models.client import ChatModel
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal

SPACE = NASBench201Space()
EDGES = tuple(SPACE.decisions)
ACCURACY = Task("cifar10", Metric("accuracy", "%"), 200, "nasbench201")

Request = Mapping[str, Any]
Asker = Callable[[Request], Answer]


def history(scores: list[float], number: int | None = None, space: SearchSpace = SPACE) -> History:
    architectures = [space.from_index(i * 7 % space.size) for i in range(len(scores))]
    trials = [Trial(i, a, s, s, {}) for i, (a, s) in enumerate(zip(architectures, scores, strict=True))]
    return History(
        space,
        trials,
        number=len(trials) if number is None else number,
        seen={trial.architecture for trial in trials},
        make_rng=lambda: np.random.default_rng(0),
        folds={},
    )


def ask(
    run: History, answer: Asker = legal, task: Task = ACCURACY, **settings: Any
) -> tuple[list[Request], Any]:
    """One proposal: the requests, and the proposal."""
    server = ScriptedServer(answer)
    with server as endpoint:
        strategy = ISTS(model="m", seed=0, **settings)
        strategy.connect(task, Models({"m": endpoint}))
        proposal = strategy.propose(run)
    return server.requests, proposal


def text(request: Request) -> str:
    return "\n".join(message["content"] for message in request["messages"])


def asked_for(request: Request) -> str:
    """``architecture``, ``cell`` or ``judgment``."""
    properties = request["response_format"]["json_schema"]["schema"]["properties"]
    assert list(properties)[1] == "explanation"
    return next(iter(properties))


def judging(*judgments: str, cell: Asker = legal) -> Asker:
    """A server that judges in this order, then takes everything for possible."""
    left = list(judgments)

    def answer(request: Request) -> Answer:
        if "judgment" not in text(request):
            return cell(request)
        return Answer(json.dumps({"judgment": left.pop(0) if left else "possible", "explanation": "so"}))

    return answer


def test_defaults_are_those_of_the_paper() -> None:
    defaults = {name: p.default for name, p in inspect.signature(ISTS.__init__).parameters.items()}
    assert defaults["rounds"] == 15
    assert defaults["exploration_rate"] == 0.6
    assert defaults["strategy"] is True
    assert defaults["memory"] is True


# Stages.


@pytest.mark.parametrize(("number", "stage"), [(0, "exploration"), (8, "exploration"), (9, "optimisation")])
def test_the_first_nine_of_fifteen_rounds_explore(number: int, stage: str) -> None:
    (request,), proposal = ask(history([90.0] * number))
    assert proposal.attributes == {"source": "model", "stage": stage}
    assert ("Explore:" in text(request)) == (stage == "exploration")
    assert ("Optimise:" in text(request)) == (stage == "optimisation")
    assert f"round {number + 1} of 15" in text(request)


def test_failed_trials_are_rounds() -> None:
    _, proposal = ask(history([90.0] * 3, number=9))
    assert proposal.attributes["stage"] == "optimisation"


def test_rounds_beyond_the_last_optimise() -> None:
    (request,), proposal = ask(history([90.0] * 5), rounds=4)
    assert proposal.attributes["stage"] == "optimisation"
    assert "round 6 of 6" in text(request)


def test_the_run_can_end_with_the_last_round() -> None:
    ask(history([90.0] * 3), rounds=4, ends=True)
    with pytest.raises(Finished, match="all 4 rounds"):
        ask(history([90.0] * 4), rounds=4, ends=True)


@pytest.mark.parametrize(("rate", "explores"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_exploration_rate(rate: float, explores: int) -> None:
    stages = [
        ask(history([90.0] * n), rounds=4, exploration_rate=rate)[1].attributes["stage"] for n in range(4)
    ]
    assert stages == ["exploration"] * explores + ["optimisation"] * (4 - explores)


def test_without_strategy_it_optimises_from_the_start() -> None:
    (request,), proposal = ask(history([]), strategy=False)
    assert proposal.attributes["stage"] == "optimisation"
    assert "Optimise:" in text(request)


# Memory.


def bank(request: Request) -> list[str]:
    return [line.split()[-1] for line in text(request).splitlines() if line.startswith("Round ")]


def test_bank_holds_all_results_the_best_last() -> None:
    (request,), _ = ask(history([91.5, 30.25, 93.0, 12.0]))
    assert bank(request) == ["12", "30.25", "91.5", "93"]
    assert 'Round 1: {"0->1":"none",' in text(request)


def test_bank_of_a_loss() -> None:
    loss = Task("cifar10", Metric("loss", "", higher_is_better=False))
    (request,), _ = ask(history([-0.5, -2.0, -0.25]), task=loss)
    assert bank(request) == ["2", "0.5", "0.25"]
    assert "lower is better" in text(request)


def test_bank_of_the_best_alone() -> None:
    (request,), _ = ask(history([91.5, 30.25, 93.0, 12.0]), bank_size=2)
    assert bank(request) == ["91.5", "93"]


def test_shuffled_bank_has_the_same_values_of_other_architectures() -> None:
    def shown(**settings: Any) -> dict[str, str]:
        (request,), _ = ask(history([float(score) for score in range(8)]), **settings)
        lines = [line for line in text(request).splitlines() if line.startswith("Round ")]
        return {line.split()[2]: line.split()[-1] for line in lines}

    true, shuffled = shown(), shown(bank="shuffled")
    assert true.keys() == shuffled.keys()
    assert true != shuffled
    assert sorted(true.values()) == list(shuffled.values()), "sorted by the value that is shown"


def test_forecasts_are_described_with_all_their_errors() -> None:
    space = ISTSSpace()
    errors = [Metric("MAE", "mph", False), Metric("RMSE", "mph", False), Metric("MAPE", "%", False)]
    task = Task("roads", errors[0], 1, description="Speeds at 29 sensors.", measures=tuple(errors))
    run = history([-4.5, -4.25], space=space)
    measured = [{"MAE": 4.5, "RMSE": 8.25, "MAPE": 12.0}, {"MAE": 4.25, "RMSE": 8.5, "MAPE": 13.5}]
    run = History(
        space,
        [trial._replace(measures=m) for trial, m in zip(run.trials, measured, strict=True)],
        number=2,
        seen=run.seen,
        make_rng=lambda: np.random.default_rng(0),
        folds={},
    )
    (request,), _ = ask(run, task=task)
    shown = text(request)
    assert "Speeds at 29 sensors." in shown
    assert "MAE (mph) on roads; lower is better. Also measured: RMSE (mph), MAPE (%)." in shown
    assert "four nodes" in shown
    assert shown.index("MAE 4.5 RMSE 8.25 MAPE 12") < shown.index("MAE 4.25 RMSE 8.5 MAPE 13.5")
    (request,), _ = ask(run, task=task, names="permuted")
    assert not any(word in text(request) for word in ("Speeds", "MAE", "RMSE", "stp", "spatial"))


@pytest.mark.parametrize("number", [0, 12])
@pytest.mark.parametrize("reasoning", ["cot", "tot"])
def test_nothing_tried(reasoning: str, number: int) -> None:
    requests, _ = ask(history([], number=number), judging(), reasoning=reasoning, tot_stages="both")
    for request in requests:
        assert text(request).count("esult") == 1
        assert "No results yet." in text(request)


def test_results_that_do_not_fit_are_not_denied() -> None:
    def no_room(request: Request) -> Answer:
        if bank(request):
            return Answer("this exceeds the maximum context length", status=400)
        return legal(request)

    requests, _ = ask(history([91.5, 30.25]), no_room)
    assert "Study the results" in text(requests[0])
    assert "esult" not in text(requests[-1])


@pytest.mark.parametrize("reasoning", ["cot", "tot"])
def test_without_memory_no_result_is_shown(reasoning: str) -> None:
    requests, _ = ask(history([91.5, 93.0]), reasoning=reasoning, memory=False)
    for request in requests:
        assert bank(request) == []
        assert "esults" not in text(request)
        assert "91.5" not in text(request)


def test_the_worst_go_first_where_the_prompt_is_too_long() -> None:
    def short_context(request: Request) -> Answer:
        if len(bank(request)) > 2:
            return Answer("this exceeds the maximum context length", status=400)
        return legal(request)

    requests, proposal = ask(history([91.5, 30.25, 93.0, 12.0, 90.0]), short_context)
    assert bank(requests[-1]) == ["91.5", "93"]
    assert proposal.rejected == {"too long": 1}


# Prompts.


def test_plain_prompts_name_task_and_operations() -> None:
    (request,), _ = ask(history([90.0]))
    for word in ("accuracy (%) on cifar10", "higher is better", SPACE.describe(), "nor_conv_3x3"):
        assert word in text(request)


@pytest.mark.parametrize("names", ["ncode", "permuted"])
@pytest.mark.parametrize("reasoning", ["cot", "tot"])
@pytest.mark.parametrize("number", [2, 12])
def test_blind(names: str, reasoning: str, number: int) -> None:
    answer = judging("impossible", "impossible", "possible", "impossible")
    requests, _ = ask(
        history([90.0, 91.0], number), answer, names=names, reasoning=reasoning, tot_stages="both"
    )
    for request in requests:
        for secret in (
            "cifar",
            "accuracy",
            "NAS-Bench",
            "nasbench",
            "conv",
            "skip",
            "none",
            "pool",
            "neural",
        ):
            assert secret not in json.dumps(request)


@pytest.mark.parametrize("names", ["plain", "ncode", "permuted"])
@pytest.mark.parametrize("reasoning", ["cot", "tot"])
def test_free_form(names: str, reasoning: str) -> None:
    """The prompt says the form; what is written in it is read, with prose around."""

    def answer(request: Request) -> Answer:
        assert "response_format" not in request
        prompt = text(request)
        if '"judgment"' in prompt:
            return Answer('I think: {"judgment": "Possible", "explanation": "it {may} be"}')
        form = prompt.split("Reply with JSON alone: ")[1]
        word = {"plain": "avg_pool_3x3", "permuted": "A2"}.get(names, "")
        code = "4" if '"cell"' in form else "4" * 6
        return Answer("```json\n" + form.replace("<choice>", word).replace("<code>", code) + "\n```")

    run = history([])
    _, proposal = ask(run, answer, names=names, reasoning=reasoning, structured="none")
    assert len(set(proposal.architecture)) == 1
    assert proposal.rejected == {}
    if names != "permuted":
        assert SPACE.ncode(proposal.architecture) == "444444"


@pytest.mark.parametrize("reasoning", ["cot", "tot"])
def test_prompts_are_the_same_with_and_without_schema(reasoning: str) -> None:
    def answer(request: Request) -> Answer:
        if '"judgment"' in text(request):
            return Answer('{"judgment": "possible", "explanation": ""}')
        form = text(request).split("Reply with JSON alone: ")[1]
        return Answer(form.replace("<choice>", "none"))

    prompts = [
        [
            request["messages"]
            for request in ask(history([]), answer, reasoning=reasoning, structured=structured)[0]
        ]
        for structured in ("schema", "none")
    ]
    assert prompts[0] == prompts[1]
    assert len(prompts[0]) == (1 if reasoning == "cot" else 12)


# The tree of thoughts.


def test_every_edge_is_a_cell_that_is_judged() -> None:
    requests, proposal = ask(history([]), judging(), reasoning="tot")
    assert [asked_for(request) for request in requests] == ["cell", "judgment"] * 6
    for i, edge in enumerate(EDGES):
        assert f"- {edge}: none, skip_connect" in text(requests[2 * i])
        assert f"{i} of 6 cells are chosen" in text(requests[2 * i])
        judged = dict(list(SPACE.params(proposal.architecture).items())[: i + 1])
        assert json.dumps(judged, separators=(",", ":")) in text(requests[2 * i + 1])
    assert proposal.attributes == {
        "source": "model",
        "stage": "exploration",
        "steps": 6,
        "impossible": 0,
        "backtracks": 0,
    }


def test_cells_of_several_decisions() -> None:
    requests, _ = ask(history([]), judging(), reasoning="tot", cell_size=4)
    assert [asked_for(request) for request in requests] == ["cell", "judgment"] * 2
    sizes = [
        len(request["response_format"]["json_schema"]["schema"]["properties"]["cell"]["required"])
        for request in requests[::2]
    ]
    assert sizes == [4, 2]


def cell_schema(request: Request) -> Mapping[str, Any]:
    return request["response_format"]["json_schema"]["schema"]["properties"]["cell"]


@pytest.mark.parametrize("names", ["plain", "ncode", "permuted"])
@pytest.mark.parametrize("cell_size", [1, 2])
def test_a_cell_that_is_judged_impossible_is_ruled_out(names: str, cell_size: int) -> None:
    requests, proposal = ask(
        history([]), judging("impossible"), reasoning="tot", names=names, cell_size=cell_size
    )
    first, judged, second, *_ = requests
    assert "Ruled out here: " not in text(first)
    refused = text(judged).split("cells are chosen: ")[1].split(".\n")[0]
    assert f"Ruled out here: {refused}. Choose another." in text(second)
    assert "0 of " in text(second)
    left = [
        v if names == "ncode" else json.dumps(v, separators=(",", ":")) for v in cell_schema(second)["enum"]
    ]
    assert len(left) == len(set(left)) == 5**cell_size - 1
    assert refused not in left
    assert proposal.attributes["impossible"] == 1
    if names == "permuted":
        assert left == sorted(left), "the order tells what the symbols stand for"


def test_a_cell_of_too_many_choices_to_list_is_ruled_out_when_read() -> None:
    """A model that insists is told in the prompt, counted, and at last sent back."""
    insists = {"0->1": "none", "0->2": "none", "1->2": "none"}
    cells = iter([insists, insists])

    def cell(request: Request) -> Answer:
        chosen = next(cells, None)
        return legal(request) if chosen is None else Answer(json.dumps({"cell": chosen, "explanation": ""}))

    requests, proposal = ask(history([]), judging("impossible", cell=cell), reasoning="tot", cell_size=3)
    assert "Ruled out here: " in text(requests[2])
    assert "enum" not in cell_schema(requests[2])
    assert proposal.rejected == {"duplicate": 1}
    assert proposal.attributes["steps"] == 4


def test_it_goes_back_where_nothing_is_left() -> None:
    """Of the second cell both tries are impossible: the first is ruled out with them."""
    judgments = ("possible", "impossible", "impossible")
    requests, proposal = ask(history([]), judging(*judgments), reasoning="tot", breadth=2)
    cells = [request for request in requests if asked_for(request) == "cell"]
    assert [text(cell).split(" of 6 cells")[0][-1] for cell in cells[:4]] == ["0", "1", "1", "0"]
    assert "Ruled out here: " in text(cells[3])
    assert proposal.attributes["backtracks"] == 1
    assert proposal.attributes["steps"] == 9


def test_a_tree_of_impossible_cells_ends_as_exhausted() -> None:
    with pytest.raises(Exhausted) as end:
        ask(history([]), judging(*["impossible"] * 100), reasoning="tot", attempts=2)
    # Two trees, three cells in the first place of each, each with its judgment.
    assert end.value.usage.calls == 12
    assert end.value.rejected == {}


def test_a_tree_that_never_completes_is_bounded() -> None:
    """The last cell is always impossible; the whole tree would have hundreds of places."""

    def answer(request: Request) -> Answer:
        if "judgment" in text(request):
            possible = "6 of 6" not in text(request)
            return Answer(json.dumps({"judgment": "possible" if possible else "impossible"}))
        return legal(request)

    with pytest.raises(Exhausted) as end:
        ask(history([]), answer, reasoning="tot", attempts=1)
    assert end.value.usage.calls == 2 * 3 * 6


def test_a_choice_alone_is_a_cell() -> None:
    """Also one that is no text: numbers, truth values."""
    space = SearchSpace({"rate": (0.1, 0.5), "residual": (True, False), "depth": (1, 2)})
    replies = iter(["0.5", "false", '"2"'])
    answer = judging(cell=lambda request: Answer(f'{{"cell": {next(replies)}}}'))
    _, proposal = ask(history([], space=space), answer, reasoning="tot")
    assert space.params(proposal.architecture) == {"rate": 0.5, "residual": False, "depth": 2}


def test_unusable_replies_cost_tries() -> None:
    replies = iter(["no idea", '{"cell": "max_pool"}'])

    def cell(request: Request) -> Answer:
        reply = next(replies, None)
        return legal(request) if reply is None else Answer(reply)

    _, proposal = ask(history([]), judging(cell=cell), reasoning="tot")
    assert proposal.rejected == {"not JSON": 1, "illegal choice": 1}
    assert proposal.attributes["steps"] == 8


def test_a_judgment_that_cannot_be_read_rules_nothing_out() -> None:
    requests, proposal = ask(history([]), judging("maybe"), reasoning="tot")
    assert proposal.rejected == {"illegal choice": 1}
    assert proposal.attributes["impossible"] == 0
    assert text(requests[0]) == text(requests[2])


@pytest.mark.parametrize(("stages", "expected"), [("exploration", "architecture"), ("both", "cell")])
def test_tree_in_the_optimisation_stage(stages: str, expected: str) -> None:
    requests, _ = ask(history([90.0] * 12), judging(), reasoning="tot", tot_stages=stages)
    assert asked_for(requests[0]) == expected
    assert "Optimise:" in text(requests[0])


def test_known_architecture_at_the_end_of_a_tree_is_ruled_out() -> None:
    """The tree goes on from its last place, without a judgment of what is known."""

    def cell(request: Request) -> Answer:
        edge = next(edge for edge in EDGES if f"- {edge}: none" in text(request))
        first = cell_schema(request)["enum"][0] if "enum" in cell_schema(request) else {edge: "none"}
        return Answer(json.dumps({"cell": first, "explanation": ""}))

    requests, proposal = ask(history([90.0]), judging(cell=cell), reasoning="tot")
    assert SPACE.ncode(proposal.architecture) == "000001"
    assert proposal.rejected == {"duplicate": 1}
    assert len(requests) == 13


def test_tree_leaves_a_place_whose_choices_are_all_refused() -> None:
    tree = Tree([2, 2], breadth=9)
    first, second = SPACE.from_ncode("000000"), SPACE.from_ncode("000001")
    tree.accept(first)
    tree.refuse(first)
    assert tree.path == [first]
    tree.refuse(second)
    assert tree.path == []
    assert tree.refused == (first,)
    assert tree.backtracks == 1
    tree.refuse(second)
    assert tree.exhausted


# Architectures that are known.


def repeats(request: Request) -> Answer:
    return Answer(json.dumps({"architecture": dict.fromkeys(EDGES, "none"), "explanation": ""}))


def test_known_architectures_are_rejected() -> None:
    with pytest.raises(Exhausted) as end:
        ask(history([90.0]), repeats, attempts=3)
    assert end.value.rejected == {"duplicate": 3}


def test_a_repetition_is_named_when_the_model_is_asked_again() -> None:
    replies = iter([repeats, legal])
    requests, proposal = ask(history([90.0]), lambda request: next(replies)(request))
    assert "Already evaluated" not in text(requests[0])
    assert 'Already evaluated, choose another: {"0->1":"none"' in text(requests[1])
    assert proposal.rejected == {"duplicate": 1}


@pytest.mark.parametrize("reasoning", ["cot", "tot"])
def test_once_all_are_known_they_are_admitted(reasoning: str) -> None:
    space = SearchSpace({"depth": (1, 2), "width": (16, 32)})
    _, proposal = ask(history([90.0, 91.0, 92.0, 93.0], space=space), judging(), reasoning=reasoning)
    assert proposal.rejected == {}


def test_known_architectures_are_kept() -> None:
    _, proposal = ask(history([90.0]), repeats, duplicates="keep")
    assert SPACE.ncode(proposal.architecture) == "000000"
    assert proposal.rejected == {}


# Runs.


def test_resumes_within_the_tree_stage(scripted_model: Endpoint) -> None:
    def study(earlier: list[optuna.trial.FrozenTrial]) -> list[tuple[Any, ...]]:
        strategy = ISTS(model=ChatModel(scripted_model), reasoning="tot", rounds=6, seed=5, space=SPACE)
        study = optuna.create_study(sampler=strategy, direction="maximize")
        study.add_trials(earlier)

        def objective(trial: optuna.Trial) -> float:
            choices = {name: trial.suggest_categorical(name, c) for name, c in SPACE.decisions.items()}
            return float(sum(SPACE.architecture(choices)))

        study.optimize(objective, n_trials=6 - len(earlier))
        return study.trials

    whole = study([])
    stages = [trial.system_attrs["harness:attributes"]["stage"] for trial in whole]
    assert stages == ["exploration"] * 4 + ["optimisation"] * 2
    for cut in (1, 3, 5):
        resumed = study(whole[:cut])
        assert [(t.params, t.system_attrs) for t in resumed] == [(t.params, t.system_attrs) for t in whole]


def test_real_model(embedded_model: Endpoint) -> None:
    space = SearchSpace({"depth": (1, 2, 3), "width": (16, 32, 64)})
    proposal = ISTS(model=ChatModel(embedded_model), seed=1).propose(history([], space=space))
    assert proposal.usage.calls == 1
    assert proposal.rejected == {}


@pytest.mark.parametrize(
    "setting",
    [
        {"reasoning": "got"},
        {"rounds": 0},
        {"exploration_rate": 1.5},
        {"tot_stages": "none"},
        {"cell_size": 0},
        {"breadth": 0},
        {"duplicates": "forget"},
        {"bank_size": 0},
        {"bank": "empty"},
    ],
)
def test_bad_settings(setting: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"ISTS: .*{next(iter(setting))}"):
        ISTS(model="m", **setting)
