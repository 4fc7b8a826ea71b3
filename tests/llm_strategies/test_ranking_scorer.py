"""LLM ranking as a scorer: who is asked about, what the replies are worth, and what they cost."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from harness.errors import SpecError
from harness.models import Models
from harness.ranking.scorer import Resources
from llm_strategies.models.reply import Reply
from llm_strategies.ranking_scorer import LLMRankingScorer
from llm_strategies.ranking_scorer import Question
from llm_strategies.ranking_scorer import deal
from llm_strategies.ranking_scorer import seconds_of
from tests.llm_strategies.driver import accuracy
from tests.llm_strategies.driver import benchmark
from tests.llm_strategies.scripted_server import Answer
from tests.llm_strategies.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping
    from collections.abc import Sequence
    from pathlib import Path

    from harness.models import Endpoint
    from harness.proxies import ProxyScore
    from harness.spaces import Architecture

SPACE = benchmark().space
Request = dict[str, Any]


def sample(count: int) -> list[Architecture]:
    indices = np.random.default_rng(0).permutation(SPACE.size)[:count]
    return [SPACE.from_index(int(index)) for index in indices]


def shown(request: Mapping[str, Any]) -> list[Architecture]:
    """The architectures of a question with plain names, in the order of their numbers."""
    lines = re.findall(r"^\d+: (.+)$", request["messages"][1]["content"], re.MULTILINE)
    return [SPACE.parse(line) for line in lines]


def best_first(key: Callable[[Architecture], Any], request: Mapping[str, Any]) -> Answer:
    """Ranks by a key, the highest first."""
    architectures = shown(request)
    order = sorted(range(len(architectures)), key=lambda i: key(architectures[i]), reverse=True)
    return Answer(json.dumps({"ranking": [i + 1 for i in order]}))


def resources(
    endpoint: Endpoint, transcripts: Path | None = None, together: int = 4, **more: Any
) -> Resources:
    return Resources(models=Models({"m": endpoint}, transcripts, **more), concurrency={"m": together})


def scored(
    answer: Callable[[Mapping[str, Any]], Answer],
    architectures: Sequence[Architecture],
    together: int = 4,
    **settings: Any,
) -> tuple[Sequence[ProxyScore], list[Any]]:
    """The scores, and the requests that led to them."""
    server = ScriptedServer(answer)
    with server as endpoint:
        found = LLMRankingScorer.score_together(
            {"llm": LLMRankingScorer(model="m", **settings)},
            benchmark(),
            architectures,
            resources(endpoint, together=together),
            progress=lambda done, total: None,
        )
    assert server.most_in_flight <= together
    return found["llm"], server.requests


def tau(scores: Sequence[ProxyScore], truth: Sequence[float]) -> float:
    return float(kendalltau([score.value for score in scores], truth).statistic)


@pytest.mark.parametrize(
    ("count", "n", "sizes"),
    [
        (40, 10, [10] * 4),
        (41, 10, [9, 8, 8, 8, 8]),
        (11, 10, [6, 5]),
        (9, 10, [9]),
        (2, 10, [2]),
        (7, 3, [3, 2, 2]),
        # Nobody is left alone.
        (7, 2, [3, 2, 2]),
        (3, 2, [3]),
    ],
)
def test_groups_are_equal_and_hold_everybody_once(count: int, n: int, sizes: list[int]) -> None:
    groups = deal(count, n, np.random.default_rng(0))
    assert [len(group) for group in groups] == sizes
    assert sorted(position for group in groups for position in group) == list(range(count))
    # Drawn, and by the generator alone.
    assert groups == deal(count, n, np.random.default_rng(0))
    assert any(groups != deal(count, n, np.random.default_rng(seed)) for seed in range(1, 20))


def test_each_is_in_as_many_questions_as_repeats_and_scores_whom_it_was_put_before() -> None:
    architectures = sample(23)
    scores, requests = scored(partial(best_first, SPACE.format), architectures, n=5, repeats=3)
    beaten: dict[Architecture, list[float]] = defaultdict(list)
    for request in requests:
        group = shown(request)
        assert 4 <= len(set(group)) == len(group) <= 5
        for one in group:
            others = [other for other in group if other != one]
            beaten[one].append(np.mean([SPACE.format(one) > SPACE.format(other) for other in others]).item())
    assert set(beaten) == set(architectures)
    assert {len(shares) for shares in beaten.values()} == {3}
    assert [score.value for score in scores] == pytest.approx([np.mean(beaten[a]) for a in architectures])
    # Not the same groups over again.
    assert len({frozenset(shown(request)) for request in requests}) == len(requests) == 15


def test_equal_means_are_equal_scores() -> None:
    # Sums of ninths in any order; as floating-point numbers some would differ in the last bit, and be no ties.
    scores, _ = scored(partial(best_first, SPACE.format), sample(100), n=10, repeats=3)
    values = {score.value for score in scores}
    assert values <= {k / 27 for k in range(28)}


def test_one_question_about_all_is_the_model_s_order() -> None:
    architectures = sample(12)
    scores, requests = scored(partial(best_first, SPACE.format), architectures, n=12, repeats=1)
    assert len(requests) == 1
    ranked = sorted(architectures, key=SPACE.format)
    assert [scores[architectures.index(arch)].value for arch in ranked] == pytest.approx(
        np.linspace(0, 1, 12)
    )


def test_what_perfect_replies_and_replies_by_position_come_to() -> None:
    architectures = sample(40)
    truth = [accuracy(arch) for arch in architectures]
    perfect, _ = scored(partial(best_first, accuracy), architectures)
    # Opponents are drawn, so that even these leave something to chance.
    assert 0.8 < tau(perfect, truth) < 1
    more, _ = scored(partial(best_first, accuracy), architectures, repeats=30)
    assert tau(more, truth) > tau(perfect, truth)
    in_order, _ = scored(
        lambda request: Answer(json.dumps({"ranking": list(range(1, len(shown(request)) + 1))})),
        architectures,
    )
    # Two standard errors of tau without any correlation.
    assert abs(tau(in_order, truth)) < 2 * np.sqrt(2 * (2 * 40 + 5) / (9 * 40 * 39))


def test_the_number_of_questions_in_flight_decides_nothing() -> None:
    def moody(request: Mapping[str, Any]) -> Answer:
        if request["seed"] % 3 == 0:
            return Answer('{"ranking": [1, 1]}')
        return best_first(SPACE.format, request)

    one, alone = scored(moody, sample(30), together=1)
    many, at_once = scored(moody, sample(30), together=7)
    assert [score.value for score in one] == [score.value for score in many]
    assert Counter(map(json.dumps, alone)) == Counter(map(json.dumps, at_once))
    assert len(alone) > 12


def test_plain_and_blind_see_the_same_groups_in_the_same_order() -> None:
    def codes(request: Mapping[str, Any]) -> list[str]:
        return re.findall(r"^\d+: (.+)$", request["messages"][1]["content"], re.MULTILINE)

    keep = Answer(json.dumps({"ranking": [1, 2, 3, 4, 5]}))
    _, plain = scored(lambda request: keep, sample(20), together=1, n=5)
    _, blind = scored(lambda request: keep, sample(20), together=1, n=5, names="ncode")
    assert [[SPACE.ncode(SPACE.parse(text)) for text in codes(request)] for request in plain] == [
        codes(request) for request in blind
    ]
    _, other = scored(lambda request: keep, sample(20), together=1, n=5, seed=1)
    assert [set(codes(request)) for request in plain] != [set(codes(request)) for request in other]


def test_a_reply_that_is_no_permutation_is_asked_for_again_in_another_order() -> None:
    replies = iter([[1, 1, 2], [3, 2, 1]])
    scores, requests = scored(
        lambda request: Answer(json.dumps({"ranking": next(replies)})), sample(3), repeats=1
    )
    first, second = (shown(request) for request in requests)
    assert first != second
    assert set(first) == set(second)
    assert [scores[sample(3).index(arch)].value for arch in second] == [0.0, 0.5, 1.0]


def test_no_usable_reply_is_no_score_and_costs_seconds() -> None:
    lost = sample(12)[5]

    def refuses_one(request: Mapping[str, Any]) -> Answer:
        if lost in shown(request):
            return Answer("I cannot judge these.") if request["seed"] % 2 else Answer('{"ranking": []}')
        return best_first(SPACE.format, request)

    scores, requests = scored(refuses_one, sample(12), n=4, repeats=2, attempts=3)
    asked = Counter(lost in shown(request) for request in requests)
    assert asked == {True: 2 * 3, False: 4}
    assert scores[5].value is None
    reasons = re.fullmatch(r"no usable reply to any question \((.+)\)", scores[5].problem or "")
    assert reasons is not None
    assert set(reasons[1].split(", ")) <= {"not JSON", "wrong shape"}
    # Who was among others in its second question has the score of that one.
    assert sum(score.value is not None for score in scores) > 3
    assert all(score.seconds > 0 for score in scores)


def test_seconds_are_shared_by_calls_side_by_side() -> None:
    def asked(*calls: tuple[float, float]) -> Question:
        question = Question([0, 1], np.random.default_rng(0))
        for started, seconds in calls:
            question.take(Reply("", "stop", 1, 1, started=started, seconds=seconds), [0, 1])
        return question

    # In flight: 10 to 12 and 11 to 13; then one alone, and again after a pause.
    assert seconds_of([asked((10, 2)), asked((11, 2))]) == pytest.approx([1.5, 1.5])
    assert seconds_of([asked((10, 2), (20, 3)), asked((11, 2))]) == pytest.approx([4.5, 1.5])
    assert seconds_of([asked((10, 4)), asked((10, 4)), asked((10, 4)), asked((10, 1))]) == pytest.approx(
        [1.25, 1.25, 1.25, 0.25]
    )
    assert seconds_of([asked((5, 0)), asked((5, 0))]) == [0, 0]


def test_a_replay_gives_the_same_scores_and_seconds(tmp_path: Path) -> None:
    scorer = {"llm": LLMRankingScorer(model="m", n=4, repeats=2)}
    server = ScriptedServer(partial(best_first, SPACE.format))
    with server as endpoint:
        found = [
            LLMRankingScorer.score_together(
                scorer,
                benchmark(),
                sample(10),
                resources(endpoint, tmp_path, replay=replay),
                progress=lambda done, total: None,
            )
            for replay in ("auto", "strict")
        ]
    assert len(server.requests) == 6
    assert found[0] == found[1]


def test_what_decides_the_scores_is_its_identity() -> None:
    def digest(**settings: Any) -> str:
        return LLMRankingScorer(**{"model": "m", **settings}).digest(benchmark())

    variants: list[dict[str, Any]] = [
        {},
        {"n": 5},
        {"repeats": 2},
        {"seed": 1},
        {"names": "permuted"},
        {"structured": "none"},
        {"temperature": 0.0},
        {"top_p": 0.9},
        {"max_tokens": 100},
        {"attempts": 1},
    ]
    assert len({digest(**settings) for settings in variants}) == len(variants)
    # The engine adds what stands behind the name.
    assert digest() == digest(model="other")
    assert (
        LLMRankingScorer(model="m").identity(benchmark())["prompt"]
        != LLMRankingScorer(model="m", names="ncode").identity(benchmark())["prompt"]
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"n": 1}, "LLMRankingScorer: n is 1; it must be at least 2"),
        ({"repeats": 0}, "repeats is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"attempts": 0}, "attempts is 0"),
        ({"top_p": 1.5}, "top_p is 1.5; it must be at most 1"),
        ({"names": "blind"}, "unknown names 'blind'"),
        ({"structured": "json"}, "unknown structured 'json'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        LLMRankingScorer(model="m", **settings)


def test_a_real_model_ranks_or_says_why_not(embedded_model: Endpoint, tmp_path: Path) -> None:
    scorer = {
        "llm": LLMRankingScorer(model="m", n=3, repeats=1, names="permuted", attempts=2, max_tokens=100)
    }

    def score(replay: str) -> Sequence[ProxyScore]:
        given = resources(embedded_model, tmp_path, together=2, replay=replay)
        return LLMRankingScorer.score_together(
            scorer, benchmark(), sample(6), given, progress=lambda done, total: None
        )["llm"]

    scores = score("auto")
    for one in scores:
        assert one.value in {0.0, 0.5, 1.0} or (one.problem or "").startswith("no usable reply")
        assert one.seconds > 0
    assert score("strict") == scores
