"""Every prompt of every strategy: as it was when somebody last read it, blind where it must be, never too long."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import jinja2
import pytest

import llm_strategies.prompts
from harness import registry
from harness.spaces import NASBench201Space
from harness.spaces.nasbench201 import OPERATIONS
from harness.task import Task
from llm_strategies.models.client import ChatModel
from llm_strategies.views import NAMES
from tests.llm_strategies.driver import MIXED
from tests.llm_strategies.driver import connect
from tests.llm_strategies.driver import search
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer
from tests.llm_strategies.scripted_server import legal
from tests.strategy_checks import STRATEGIES

if TYPE_CHECKING:
    from pytest_regressions.file_regression import FileRegressionFixture

    from harness.history import Proposal
    from harness.models import Endpoint
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from llm_strategies.models.client import Message
    from llm_strategies.models.client import Request
    from llm_strategies.models.reply import Reply

SNAPSHOTS = Path(__file__).parent / "snapshots"
TEMPLATES = Path(llm_strategies.prompts.__file__).parent

CASES = {case.name: case for case in STRATEGIES if case.needs_model}
SPACES: Mapping[str, SearchSpace] = {"nasbench201": NASBench201Space(), "mixed": MIXED}
BLIND = [names for names in NAMES if names != "plain"]
FILES = {f"{name}-{space}-{names}.txt" for name, space, names in product(CASES, SPACES, NAMES)}

#: Settings without which some template is not seen. They are shown on one space, in plain names.
VARIANTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "collm_nas": [
        {"phrasing": phrasing, "single": single}
        for phrasing, single in product(("base", "brief", "conversational", "formal"), (False, True))
    ],
    "ists": [{"reasoning": "cot"}],
    "lm_searcher": [{"mapping": "shuffled"}],
}
#: Settings that let a run go on for hundreds of trials.
ENDLESS: Mapping[str, Mapping[str, Any]] = {"collm_nas": {"iterations": 300}, "ists": {"rounds": 300}}
#: It asks once for all of its few trials, and shows no history.
BOUNDED_BY_NATURE = {"llm_ranking"}

Script = Callable[[Mapping[str, Any]], Answer]


class Recorder(ChatModel):
    """Keeps the requests in the order in which a strategy made them, which a server cannot know."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.requests: list[Request] = []

    def chat_all(self, requests: Sequence[Request]) -> list[Reply]:
        self.requests.extend(requests)
        return super().chat_all(requests)


def sometimes_useless(request: Mapping[str, Any]) -> Answer:
    """Fits the schema, but for one reply in four. What the client adds to a request changes nothing."""
    if request["seed"] % 4 == 0:
        return Answer("I cannot decide.")
    kept = ("messages", "seed", "response_format")
    return legal({key: request[key] for key in kept if key in request})


def run(
    name: str, trials: int, script: Script = sometimes_useless, *, space: str = "nasbench201", **settings: Any
) -> tuple[list[Request], list[Proposal]]:
    """Requests and proposals of a run."""
    cls = registry.load("strategy", name)
    with ScriptedServer(script) as endpoint:
        model = Recorder(endpoint)
        # A model that may be left out is the one that answers everything.
        strategy = cls(**{**CASES[name].params, "attempts": 20, **settings, "model": model}, seed=0)
        trials = min(trials, CASES[name].trials) if name in BOUNDED_BY_NATURE else trials
        if space == "nasbench201":
            proposals = search(connect(strategy), trials)
        else:
            proposals = search(connect(strategy, Task()), trials, space=SPACES[space], score=_sum)
    return model.requests, proposals


def _sum(arch: Architecture) -> float:
    return float(sum(arch))


# As somebody last read them.


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The texts of each template, by its name."""
    texts: dict[str, set[str]] = {}
    render = jinja2.Template.render

    def recording(template: jinja2.Template, *args: Any, **values: Any) -> str:
        text = render(template, *args, **values)
        texts.setdefault(str(template.name), set()).add(text)
        return text

    monkeypatch.setattr(jinja2.Template, "render", recording)
    return texts


def ends(request: Request) -> list[Message]:
    """The first two and the last two messages: enough of a long chat."""
    messages = request["messages"]
    return list(messages if len(messages) <= 4 else [*messages[:2], *messages[-2:]])


def templates_in(request: Request, rendered: Mapping[str, set[str]]) -> set[str]:
    shown = "\n\n".join(message["content"] for message in ends(request))
    return {name for name, texts in rendered.items() if any(text.strip() in shown for text in texts)}


def chosen(requests: Sequence[Request], rendered: Mapping[str, set[str]], seen: set[str]) -> list[int]:
    """Positions of the first and the last request with each template that was not seen before."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for i, request in enumerate(requests):
        for name in templates_in(request, rendered) - seen:
            first.setdefault(name, i)
            last[name] = i
    seen.update(first)
    return sorted({*first.values(), *last.values()})


def written(requests: Sequence[Request], positions: Sequence[int], title: str, printed: set[str]) -> str:
    """Requests as text. A message that was printed before is named alone."""
    lines = []
    for position in positions:
        lines.append(f"######## request {position + 1} of {len(requests)}{title}")
        messages = ends(requests[position])
        left_out = len(requests[position]["messages"]) - len(messages)
        for i, message in enumerate(messages):
            if left_out and i == 2:
                lines.append(f"######## {left_out} messages more")
            content = message["content"]
            lines.append(f"######## {message['role']}{', as above' if content in printed else ''}")
            if content not in printed:
                lines.append(content)
            printed.add(content)
    return "\n".join([*lines, ""])


def snapshot(
    name: str, space: str, names: str, rendered: Mapping[str, set[str]]
) -> tuple[str, Mapping[str, set[str]]]:
    seen: set[str] = set()
    printed: set[str] = set()
    text = ""
    variants = VARIANTS.get(name, []) if (space, names) == ("nasbench201", "plain") else []
    for settings in [{}, *variants]:
        requests, _ = run(name, 16, space=space, names=names, **settings)
        positions = chosen(requests, rendered, seen)
        title = "".join(f", {key}: {value}" for key, value in settings.items())
        text += written(requests, positions, title, printed)
    return text, seen


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", CASES)
def test_prompts_are_as_they_were_read(
    name: str,
    space: str,
    names: str,
    rendered: dict[str, set[str]],
    file_regression: FileRegressionFixture,
) -> None:
    """Prompts that were changed on purpose: ``pytest --regen-all``, and read the difference."""
    text, seen = snapshot(name, space, names, rendered)
    if (space, names) == ("nasbench201", "plain"):
        written_by_hand = {
            path.relative_to(TEMPLATES).as_posix() for path in (TEMPLATES / name).rglob("*.j2")
        }
        assert written_by_hand <= seen, "VARIANTS names no setting that shows these templates"
    file_regression.check(text, encoding="utf-8", fullpath=SNAPSHOTS / f"{name}-{space}-{names}.txt")


def test_no_snapshot_is_left_over() -> None:
    assert {path.name for path in SNAPSHOTS.glob("*")} <= FILES


# Blind.


@pytest.mark.parametrize("names", BLIND)
@pytest.mark.parametrize("name", CASES)
def test_blind_prompts_leak_nothing(name: str, names: str) -> None:
    """Neither the data set, the benchmark, the metric nor an operation is in what is sent, schemas included."""
    secrets = ["cifar", "nas-bench", "nasbench", "nats", "accuracy", "conv", "pool", "skip_connect", '"none"']
    assert {name for name in OPERATIONS if not any(secret in json.dumps(name) for secret in secrets)} == set()
    for settings in [{}, *VARIANTS.get(name, [])]:
        requests, _ = run(name, 16, names=names, **settings)
        for request in requests:
            sent = json.dumps([request["messages"], request["schema"]]).replace('\\"', '"').lower()
            assert [secret for secret in secrets if secret in sent] == []


# Never too long.


def length(request: Mapping[str, Any]) -> int:
    return sum(len(message["content"]) for message in request["messages"])


def short_context(limit: int) -> Script:
    """A server that refuses longer prompts in the words of vLLM and of llama.cpp in turn."""

    def script(request: Mapping[str, Any]) -> Answer:
        if length(request) <= limit:
            return legal(request)
        if request["seed"] % 2:
            return Answer(f"This model's maximum context length is {limit} tokens.", status=400)
        return Answer("the request exceeds the available context size, try increasing it", status=400)

    return script


def check_bounded(name: str, trials: int, room: int) -> None:
    """A run goes on when the history has outgrown the context.

    Args:
        name: Strategy.
        trials: Number of trials.
        room: Letters that the context leaves for the growth after the first few trials.
    """
    settings = {"names": "plain", **ENDLESS.get(name, {})}
    few, _ = run(name, 8, legal, **settings)
    limit = max(map(length, few)) + room
    requests, proposals = run(name, trials, short_context(limit), **settings)
    assert all(proposal.attributes.get("source") != "fallback" for proposal in proposals)
    refused = sum(length(request) > limit for request in requests)
    assert sum(proposal.rejected.get("too long", 0) for proposal in proposals) == refused


@pytest.mark.parametrize("name", CASES)
def test_history_outgrows_the_context(name: str) -> None:
    check_bounded(name, trials=20, room=200)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_long_history_outgrows_the_context(name: str) -> None:
    check_bounded(name, trials=300, room=3000)
