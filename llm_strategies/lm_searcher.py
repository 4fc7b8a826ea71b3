"""LM-Searcher: a language model picks the next architecture among candidates, all written as NCode."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from harness.history import Proposal
from llm_strategies.base import LLMStrategy
from llm_strategies.candidates import draw_mutants
from llm_strategies.candidates import draw_new
from llm_strategies.models.reply import Rejected
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from harness.spaces import Architecture
    from llm_strategies.models.client import Message
    from llm_strategies.views import Names
    from llm_strategies.views import View

Window = Literal["best", "recent"]
Rewards = Literal["min-max", "raw"]
Source = Literal["random", "evolution", "half"]
Pairs = Literal["intact", "shuffled"]


class LMSearcher(LLMStrategy):
    """LM-Searcher (Hu et al. 2025, "LM-Searcher: Cross-domain NAS with LLMs via Unified Numerical Encoding").

    After some random architectures, every proposal is one question (section 3.2, "Cross-domain Inference";
    Table 1): here are the architectures tried so far with their rewards, best first, and here are ten random
    candidates; which of them is best? Architectures are NCodes, one digit per decision, so the model sees
    neither operations nor the task. The paper's model is LLaMA-3.1-8B fine-tuned on 228,000 such questions
    (section 4.1); with a model that was not, this is the method without its training.

    The paper's variations are options:

    - **Domain-specific encoding** (section 5.4, "LM-Searcher-FT"): ``names: plain`` writes every architecture, also
      the candidates, in the space's own string form (``|nor_conv_3x3~0|+...``), or as JSON where it has none.
      The paper fine-tunes its model on 1,000 samples of this form; here it is the form alone.
    - **Shuffled mapping** (section 5.3, Table 6): ``mapping: shuffled`` shows the rewards of the history in a random
      order, each beside an architecture that did not earn it. What a search loses by it is what the model
      read from the history. The paper shuffles the benchmark's table; here each question shuffles what
      the run has seen. Evolution, and the architecture that the run recommends, go by the true scores.
    - **Candidate sources** (appendix C.1, Figure 3): ``candidate_source: half`` draws half of the candidates from
      an evolutionary algorithm and half at random, ``evolution`` all. The trial's attributes
      say where the chosen one came from (``candidate_source``), and how many were offered of each
      (``candidates``). The paper does not describe its algorithm; here it is that of
      :func:`~llm_strategies.candidates.draw_mutants`, with the settings of NAS-Bench-201's regularized evolution.
      Random ones stand in for mutants that do not exist (no history yet, no new mutants), and count as random.
      Candidates of two sources are shuffled, so that their place does not tell them apart.

    The paper gives neither the number of random starts, nor the scale of rewards (its Table 1, a training sample, has
    raw accuracies), nor the sampling settings; the first two are those of its released code, which differs from this
    class as follows:

    - It sends no sampling settings, so the server's defaults apply. Here the temperature is 0: the question
      has one best answer.
    - Its prompt is one system message of bare codes; here are words around them, as in the paper's Table 1.
    - It compares new codes with the names of trials, so candidates may repeat each other and the history.
      Here they are distinct and new to the run, as long as the space holds enough architectures.
    - It divides by zero when all rewards are equal; here they are then all 1.
    - It repeats the question without end until the reply is a candidate and nothing else, as in Table 1. Here the
      reply is constrained to the candidates by a JSON schema; of a free-form reply without JSON, the candidate that
      it names last counts. ``attempts`` bounds the repetitions, and then the run ends as exhausted. Each
      repetition draws new candidates, as there.
    - It shows at most the best 200 trials; see ``history_limit``. A prompt that is longer than the model's context
      is sent again with half as many trials, the best or the most recent, as ``history_window`` says.

    Args:
        random_starts: Random architectures before the model is asked.
        candidates: Number of architectures that the model chooses from.
        candidate_source: ``random``, ``evolution``, or ``half`` of each; of an odd number, the last is random.
        population: Number of youngest trials that can be parents of mutants.
        sample: Number of trials drawn for each tournament of parents.
        history_limit: Number of trials to show; ``None`` shows all. It bounds the length of the prompt.
        history_window: Which trials are shown where not all are: the ``best`` by reward, or the ``recent``. They are
            listed best first in either case.
        rewards: ``min-max`` scales scores so that the lowest of the run is 0 and the highest 1; ``raw`` shows the
            metric as it is.
        mapping: ``intact`` shows each architecture with its reward, ``shuffled`` with that of another.
        names: See :class:`~llm_strategies.base.LLMStrategy`; the paper's is ``ncode``.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(
        self,
        *,
        random_starts: int = 5,
        candidates: int = 10,
        candidate_source: Source = "random",
        population: int = 10,
        sample: int = 3,
        history_limit: int | None = None,
        history_window: Window = "best",
        rewards: Rewards = "min-max",
        mapping: Pairs = "intact",
        names: Names = "ncode",
        **options: Any,
    ) -> None:
        super().__init__(names=names, **options)
        self._require("random_starts", random_starts, low=0)
        self._require("candidates", candidates, low=1)
        self._require_one_of("candidate_source", candidate_source, get_args(Source))
        self._require("population", population, low=1)
        self._require("sample", sample, low=1)
        self._require("history_limit", history_limit, low=1)
        self._require_one_of("history_window", history_window, get_args(Window))
        self._require_one_of("rewards", rewards, get_args(Rewards))
        self._require_one_of("mapping", mapping, get_args(Pairs))
        self.random_starts = random_starts
        self.candidates = candidates
        self.candidate_source: Source = candidate_source
        self.population = population
        self.sample = sample
        self.history_limit = history_limit
        self.history_window: Window = history_window
        self.rewards: Rewards = rewards
        self.mapping: Pairs = mapping

    def suggest(self, history: History, view: View) -> Proposal:
        if len(history) < self.random_starts:
            return Proposal(draw_new(history, 1)[0], {"source": "random"})
        conversation = self.conversation(history)
        for _ in range(self.attempts):
            candidates = {view.text(arch): (arch, source) for arch, source in self._draw(history)}
            texts = list(candidates)
            architectures = {arch: text for text, (arch, _) in candidates.items()}
            chosen = conversation.ask_fitting(
                partial(self.messages, self._memory(history), view, texts),
                min(len(history), self.history_limit or len(history)),
                partial(_read, view, architectures),
                schema=_schema(texts),
                prose=partial(_named, texts),
            )
            if chosen is not None:
                arch, source = candidates[chosen]
                offered = Counter(source for _, source in candidates.values())
                attributes = {
                    "source": "model",
                    "candidate_source": source,
                    "candidates": dict(sorted(offered.items())),
                    "position": texts.index(chosen),
                }
                return conversation.proposal(arch, attributes)
        raise conversation.exhausted()

    def messages(
        self, memory: Sequence[Trial], view: View, candidates: Sequence[str], shown: int
    ) -> list[Message]:
        """The question.

        Args:
            memory: The trials so far, with the scores to show.
            view: How architectures are written.
            candidates: What to choose from.
            shown: Number of trials to show.
        """
        lines = list(zip(memory, self._rewards(memory, view), strict=True))
        if self.history_window == "recent":
            lines = lines[len(lines) - shown :]
        lines.sort(key=lambda line: -line[0].score)
        objective = Objective(self.task, view.blind)
        raw = self.rewards == "raw"
        user = render(
            "lm_searcher/user.j2",
            history=[(view.text(trial.architecture), reward) for trial, reward in lines[:shown]],
            candidates=candidates,
            reward=objective.name if raw else "reward",
            lowest=raw and objective.better == "lower",
            names=view.names,
        )
        return [
            {"role": "system", "content": render("lm_searcher/system.j2", names=view.names)},
            {"role": "user", "content": user},
        ]

    def _draw(self, history: History) -> list[tuple[Architecture, str]]:
        """Candidates with their source, in the order in which they are shown."""
        share = {"random": 0, "half": self.candidates // 2, "evolution": self.candidates}
        mutants = draw_mutants(
            history, share[self.candidate_source], population=self.population, sample=self.sample
        )
        rest = draw_new(history, self.candidates - len(mutants), but=mutants)
        drawn = [(arch, "evolution") for arch in mutants] + [(arch, "random") for arch in rest]
        if mutants and rest:
            drawn = [drawn[i] for i in history.rng.permutation(len(drawn))]
        return drawn

    def _memory(self, history: History) -> Sequence[Trial]:
        if self.mapping == "intact":
            return history.trials
        order = history.rng.permutation(len(history))
        return [
            trial._replace(score=history.trials[i].score, value=history.trials[i].value)
            for trial, i in zip(history.trials, order, strict=True)
        ]

    def _rewards(self, trials: Sequence[Trial], view: View) -> list[str]:
        if self.rewards == "raw":
            objective = Objective(self.task, view.blind)
            return [f"{objective.value(trial):.6g}" for trial in trials]
        return [f"{reward:.4f}" for reward in _scaled(trials)]


def _scaled(trials: Sequence[Trial]) -> list[float]:
    """Scores scaled so that the lowest is 0 and the highest 1; all are 1 where all are equal."""
    # An objective may be infinite in a bare Optuna study. Such scores lie at the ends of the scale.
    finite = [trial.score for trial in trials if math.isfinite(trial.score)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if low == high:
        return [1.0 if trial.score >= high else 0.0 for trial in trials]
    return [min(max((trial.score - low) / (high - low), 0.0), 1.0) for trial in trials]


def _schema(candidates: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"candidate": {"type": "string", "enum": list(candidates)}},
        "required": ["candidate"],
        "additionalProperties": False,
    }


def _read(view: View, candidates: Mapping[Architecture, str], value: Any) -> str:
    """The text of the candidate that a parsed reply names, by its text or as an object or list of choices."""
    if isinstance(value, dict) and "candidate" in value:
        value = value["candidate"]
    if isinstance(value, str | int):
        text = str(value).strip()
        if text in candidates.values():
            return text
        raise Rejected("illegal choice")
    chosen = candidates.get(view.read(value))
    if chosen is None:
        raise Rejected("illegal choice")
    return chosen


def _named(candidates: Sequence[str], text: str) -> str:
    """The candidate that a text names last."""
    # Whole words: a longer code names no candidate that it holds.
    named = "|".join(map(re.escape, candidates))
    mentions = re.findall(rf"(?<![\w-])(?:{named})(?![\w-])", text)
    if not mentions:
        raise Rejected("not JSON")
    return str(mentions[-1])
