"""A language model's ranking as a score: the mean rank of an architecture among small random groups."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar
from typing import get_args

import numpy as np

from harness import seeding
from harness.proxies import ProxyScore
from harness.ranking.scorer import Scorer
from harness.task import Task
from llm_strategies import ranking_question
from llm_strategies.base import Structured
from llm_strategies.models.client import ChatModel
from llm_strategies.models.reply import Rejected
from llm_strategies.options import require
from llm_strategies.options import require_one_of
from llm_strategies.views import NAMES
from llm_strategies.views import Names
from llm_strategies.views import View

if TYPE_CHECKING:
    from harness.benchmarks.tabular import TabularBenchmark
    from harness.ranking.scorer import Progress
    from harness.ranking.scorer import Resources
    from harness.spaces import Architecture
    from llm_strategies.models.client import Message
    from llm_strategies.models.reply import Reason
    from llm_strategies.models.reply import Reply


class LLMRankingScorer(Scorer):
    """Mean rank by a language model that sees some architectures at a time, and no score of any.

    CoLLM-NAS (section 3.1) lets a model order ten architectures in one reply. Here all of a sample are ordered by that
    question: the sample is dealt into groups at random, ``repeats`` times over, and the model orders each group. An
    architecture's score is its mean Borda score over its groups, (size - rank) / (size - 1): 1 where it always came
    first, 0 where last, the share of the others that it was put before (de Borda 1784). So a score depends on the whole
    sample, and its chance opponents make it coarse: even replies without a fault reach a tau below 1, see
    ``docs/rankings.md``. Where ``n`` is the size of the sample and ``repeats`` is 1, the score is the order of the
    paper's question.

    The question, and how it differs from the paper's, is that of
    :class:`~llm_strategies.llm_ranking.LLMRanking`. A reply that is no permutation is thrown away, and the model is
    asked again with the group in another order. Groups and orders depend on ``seed`` and the data set alone, so that
    two models, or one plain and blind, get the same ones.

    An architecture has no score where none of its questions got a usable reply.

    Args:
        model: Name of an entry of ``models`` in ``experiments.yaml``.
        n: Architectures of a question. Groups are as equal as they can be, and none is larger, but for one of three
            where an odd number is dealt into pairs.
        repeats: Number of questions that each architecture is in.
        seed: Of the groups, of the orders in which they are shown, of permuted names, and of the calls.
        structured: See :class:`~llm_strategies.base.LLMStrategy`, as for all below.
        names: As there.
        attempts: How often to ask one question before its group counts as not ranked.
        temperature: As there.
        top_p: As there.
        max_tokens: As there.

    Raises:
        SpecError: A value is out of range.
    """

    model_parameters: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self,
        *,
        model: str,
        n: int = 10,
        repeats: int = 4,
        seed: int = 0,
        structured: Structured = "schema",
        names: Names = "plain",
        attempts: int = 5,
        temperature: float = 0.6,
        top_p: float = 1.0,
        max_tokens: int = 2048,
    ) -> None:
        require(self, "n", n, low=2)
        require(self, "repeats", repeats, low=1)
        require(self, "seed", seed, low=0)
        require_one_of(self, "structured", structured, get_args(Structured))
        require_one_of(self, "names", names, NAMES)
        require(self, "attempts", attempts, low=1)
        require(self, "temperature", temperature, low=0.0)
        require(self, "top_p", top_p, low=0.0, high=1.0)
        require(self, "max_tokens", max_tokens, low=1)
        self.model = model
        self.n = n
        self.repeats = repeats
        self.seed = seed
        self.structured: Structured = structured
        self.names: Names = names
        self.attempts = attempts
        self.sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}

    def identity(self, benchmark: TabularBenchmark) -> Mapping[str, Any]:
        # Any question will do: it holds the wording, and how the space and its architectures are written.
        example = [benchmark.space.from_index(i) for i in range(min(self.n, benchmark.space.size))]
        prompt = json.dumps(self._messages(benchmark, example)).encode()
        return {
            "n": self.n,
            "repeats": self.repeats,
            "seed": self.seed,
            "structured": self.structured,
            "names": self.names,
            "attempts": self.attempts,
            **self.sampling,
            "prompt": hashlib.sha256(prompt).hexdigest(),
        }

    @classmethod
    def score_together(
        cls,
        scorers: Mapping[str, LLMRankingScorer],
        benchmark: TabularBenchmark,
        architectures: Sequence[Architecture],
        resources: Resources,
        *,
        progress: Progress,
    ) -> Mapping[str, Sequence[ProxyScore]]:
        ((label, scorer),) = scorers.items()
        questions = scorer.ask(benchmark, architectures, resources, progress)
        resources.message(f"{label}: {_summary(questions)}.")
        return {label: _scores(questions, len(architectures))}

    def ask(
        self,
        benchmark: TabularBenchmark,
        architectures: Sequence[Architecture],
        resources: Resources,
        progress: Progress,
    ) -> list[Question]:
        """Ask all questions about a sample, as many side by side as the model takes.

        Nothing that is asked depends on the answers to other questions.

        Args:
            benchmark: The benchmark, for its space and what is measured on it.
            architectures: The sample.
            resources: Where the model answers.
            progress: As of :meth:`score_together`.

        Returns:
            The questions, answered or given up.

        Raises:
            ModelError: The model does not answer, or refuses. Replies so far are in the transcripts.
        """
        client = ChatModel.of(resources.models, self.model)
        together = resources.concurrency[self.model]
        questions = self._questions(benchmark, len(architectures))
        open_ones = questions
        while open_ones:
            # Those that were asked in vain come first again, so that the end is no long row of single questions.
            now = open_ones[:together]
            orders = [question.next_order() for question in now]
            requests = [
                client.request(
                    self._messages(benchmark, [architectures[i] for i in order]),
                    schema=ranking_question.schema(len(order)) if self.structured == "schema" else None,
                    sampling=self.sampling,
                    seed=question.next_seed(),
                )
                for question, order in zip(now, orders, strict=True)
            ]
            for question, order, reply in zip(now, orders, client.chat_all(requests), strict=True):
                question.take(reply, order)
            open_ones = [q for q in open_ones if q.ranking is None and len(q.replies) < self.attempts]
            done = len(questions) - len(open_ones)
            progress(len(architectures) * done // len(questions), len(architectures))
        return questions

    def _questions(self, benchmark: TabularBenchmark, count: int) -> list[Question]:
        entropy = self._entropy(benchmark)
        return [
            Question(group, seeding.generator(entropy, "question", repeat, number))
            for repeat in range(self.repeats)
            for number, group in enumerate(deal(count, self.n, seeding.generator(entropy, "groups", repeat)))
        ]

    def _messages(self, benchmark: TabularBenchmark, shown: Sequence[Architecture]) -> list[Message]:
        view = View(benchmark.space, self.names, self._entropy(benchmark))
        return ranking_question.messages(view, Task.of(benchmark, benchmark.final_fidelity), shown)

    def _entropy(self, benchmark: TabularBenchmark) -> int:
        return seeding.integer(self.seed, benchmark.dataset)


class Question:
    """A group that a model is asked to rank, and what came of it.

    Args:
        group: Its architectures, by their positions in the sample.
        rng: Of the orders in which they are shown, and of the calls.

    Attributes:
        group: As above.
        ranking: The same positions, best first; ``None`` as long as there is no usable reply.
        replies: All replies.
        rejected: Why replies were thrown away.
    """

    def __init__(self, group: Sequence[int], rng: np.random.Generator) -> None:
        self.group = group
        self.ranking: list[int] | None = None
        self.replies: list[Reply] = []
        self.rejected: Counter[Reason] = Counter()
        self._rng = rng

    def next_order(self) -> list[int]:
        """The group in the order in which it is shown next."""
        return [self.group[i] for i in self._rng.permutation(len(self.group))]

    def next_seed(self) -> int:
        """Seed of the next call."""
        return int(self._rng.integers(2**31))

    def take(self, reply: Reply, shown: Sequence[int]) -> None:
        """Read a reply.

        Args:
            reply: What the model answered.
            shown: The order in which it saw the group.
        """
        self.replies.append(reply)
        try:
            numbers = reply.read(partial(ranking_question.read, n=len(shown)))
        except Rejected as rejection:
            self.rejected[rejection.reason] += 1
        else:
            self.ranking = [shown[number - 1] for number in numbers]


def deal(count: int, n: int, rng: np.random.Generator) -> list[list[int]]:
    """Deal a sample into random groups of at least two, whose sizes differ by one at most.

    Args:
        count: Size of the sample, at least 2.
        n: Largest size of a group. An odd sample is dealt into pairs and one group of three.
        rng: Draws them.

    Returns:
        The groups, as positions in the sample; each position is in one of them.
    """
    number = min(math.ceil(count / n), count // 2)
    return [[int(i) for i in group] for group in np.array_split(rng.permutation(count), number)]


def _scores(questions: Sequence[Question], count: int) -> list[ProxyScore]:
    """A score per position of the sample."""
    # Fractions, so that equal means are equal scores, whatever they are the means of.
    points: list[list[Fraction]] = [[] for _ in range(count)]
    rejected: list[set[Reason]] = [set() for _ in range(count)]
    seconds = [0.0] * count
    for question, spent in zip(questions, seconds_of(questions), strict=True):
        last = len(question.group) - 1
        for rank, position in enumerate(question.ranking or ()):
            points[position].append(Fraction(last - rank, last))
        for position in question.group:
            seconds[position] += spent / len(question.group)
            rejected[position] |= question.rejected.keys()
    return [
        ProxyScore(float(mean(points[i])), seconds[i])
        if points[i]
        else ProxyScore(
            None, seconds[i], f"no usable reply to any question ({', '.join(sorted(rejected[i]))})"
        )
        for i in range(count)
    ]


def seconds_of(questions: Sequence[Question]) -> list[float]:
    """What each question took of the model's time: while k calls were in flight, each second counts 1/k to each.

    By the times that the transcripts hold, so that a replay gives the same.
    """
    calls = [(i, reply) for i, question in enumerate(questions) for reply in question.replies]
    starts = np.array([reply.started for _, reply in calls])
    ends = starts + [reply.seconds for _, reply in calls]
    edges = np.unique([starts, ends])
    in_flight = np.searchsorted(np.sort(starts), edges[:-1], side="right") - np.searchsorted(
        np.sort(ends), edges[:-1], side="right"
    )
    # A clock that runs at 1/k of the speed of time, as in harness.meter.
    clock = np.concatenate([[0.0], np.cumsum(np.diff(edges) / np.maximum(in_flight, 1))])
    shares = clock[np.searchsorted(edges, ends)] - clock[np.searchsorted(edges, starts)]
    seconds = [0.0] * len(questions)
    for (i, _), share in zip(calls, shares, strict=True):
        seconds[i] += float(share)
    return seconds


def _summary(questions: Sequence[Question]) -> str:
    """What was asked and thrown away, in words."""
    replies = [reply for question in questions for reply in question.replies]
    rejected = sum((question.rejected for question in questions), Counter())
    unanswered = sum(question.ranking is None for question in questions)
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
    return (
        f"{len(questions):,} questions, {unanswered:,} of them without a usable reply; {len(replies):,} calls, "
        f"{sum(reply.prompt_tokens for reply in replies):,} prompt and "
        f"{sum(reply.completion_tokens for reply in replies):,} completion tokens; "
        f"{rejected.total():,} replies thrown away{f' ({counts})' if counts else ''}"
    )
