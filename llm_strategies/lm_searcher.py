"""LM-Searcher: a language model picks the next architecture among random candidates, all written as NCode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import SpecError
from harness.history import Proposal
from harness.spaces import Architecture
from llm_strategies.base import LLMStrategy
from llm_strategies.models.client import Rejected
from llm_strategies.models.client import Reply
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from harness.spaces import SearchSpace
    from llm_strategies.models.client import ChatModel
    from llm_strategies.models.client import Message


class LMSearcher(LLMStrategy):
    """LM-Searcher (Hu et al. 2025, "LM-Searcher: Cross-domain NAS with LLMs via Unified Numerical Encoding").

    After some random architectures, every proposal is one question (section 3.2, "Cross-domain Inference";
    Table 1): here are the architectures tried so far with their rewards, best first, and here are ten random
    candidates; which of them is best? Architectures are NCodes, one digit per decision, so the model sees
    neither operations nor the task. The paper's model is LLaMA-3.1-8B fine-tuned on 228,000 such questions
    (section 4.1); with a model that was not, this is the method without its training.

    The paper gives neither the number of random starts, nor the scale of rewards, nor the sampling settings;
    the first two are those of its released code, which differs from this class as follows:

    - It sends no sampling settings, so the server's defaults apply. Here the temperature is 0: the question
      has one best answer.
    - Its prompt is one system message of bare codes; here are words around them, as in the paper's Table 1.
    - It compares new codes with the names of trials, so candidates may repeat each other and the history.
      Here they are distinct and new to the run, as long as the space holds enough architectures.
    - It divides by zero when all rewards are equal; here they are then all 1.
    - It repeats the question without end until the reply is a candidate. Here the reply is constrained to the
      candidates by a JSON schema, ``attempts`` bounds the repetitions, and then the run ends as exhausted.
      Each repetition draws new candidates, as there.
    - It shows at most the best 200 trials; see ``history_limit``.

    Args:
        model: See :class:`~llm_strategies.base.LLMStrategy`.
        random_starts: Random architectures before the model is asked.
        candidates: Random architectures that the model chooses from.
        history_limit: Number of trials to show, the best by reward; ``None`` shows all. It bounds the length
            of the prompt.
        attempts: How often to ask for one proposal before the run ends.
        temperature: Sampling temperature.
        max_tokens: Longest reply in tokens.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: A number is out of range.
    """

    def __init__(
        self,
        *,
        model: str | ChatModel,
        random_starts: int = 5,
        candidates: int = 10,
        history_limit: int | None = None,
        attempts: int = 5,
        temperature: float = 0.0,
        max_tokens: int = 100,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(model=model, space=space, seed=seed)
        for name, value, low in (
            ("random_starts", random_starts, 0),
            ("candidates", candidates, 1),
            ("history_limit", history_limit, 1),
            ("attempts", attempts, 1),
            ("temperature", temperature, 0),
            ("max_tokens", max_tokens, 1),
        ):
            if value is not None and value < low:
                raise SpecError(f"lm_searcher: {name} is {value}; it must be at least {low}.")
        self.random_starts = random_starts
        self.candidates = candidates
        self.history_limit = history_limit
        self.attempts = attempts
        self.temperature = temperature
        self.max_tokens = max_tokens

    def propose(self, history: History) -> Proposal:
        if len(history) < self.random_starts:
            return Proposal(_draw(history, 1)[0], {"source": "random"})
        conversation = self.conversation()
        for _ in range(self.attempts):
            candidates = {history.space.ncode(arch): arch for arch in _draw(history, self.candidates)}
            codes = list(candidates)
            code = conversation.ask(
                self.messages(history, codes),
                partial(_read, codes=codes),
                schema=_schema(codes),
                temperature=self.temperature,
                seed=int(history.rng.integers(2**31)),
                max_tokens=self.max_tokens,
            )
            if code is not None:
                return conversation.proposal(
                    candidates[code],
                    {"source": "model", "position": codes.index(code), "candidates": len(codes)},
                )
        raise conversation.exhausted()

    def messages(self, history: History, candidates: Sequence[str]) -> list[Message]:
        """The question.

        Args:
            history: The trials so far.
            candidates: NCodes to choose from.
        """
        ranked = sorted(history.trials, key=lambda trial: -trial.score)
        rewards = _rewards(ranked)
        lines = [
            (history.space.ncode(trial.architecture), reward)
            for trial, reward in zip(ranked, rewards, strict=True)
        ]
        return [
            {"role": "system", "content": render("lm_searcher/system.j2")},
            {
                "role": "user",
                "content": render(
                    "lm_searcher/user.j2", history=lines[: self.history_limit], candidates=candidates
                ),
            },
        ]


def _draw(history: History, n: int) -> list[Architecture]:
    """Distinct random architectures, new to the run; fewer where fewer are left, any where none is."""
    space, rng = history.space, history.rng
    taboo = history.seen if len(history.seen) < space.size else set()
    left = space.size - len(taboo)
    if left <= max(n, space.size // 16):
        # Drawing until one is new would take long; listing what is left costs no more than the run did.
        rest = [indices for indices in product(*map(range, space.radices)) if indices not in taboo]
        return [Architecture(rest[i]) for i in rng.permutation(left)[:n]]
    drawn: dict[Architecture, None] = {}
    while len(drawn) < n:
        arch = space.random(rng)
        if arch not in taboo:
            drawn[arch] = None
    return list(drawn)


def _rewards(trials: Sequence[Trial]) -> list[float]:
    """Scores scaled so that the lowest is 0 and the highest 1; all are 1 where all are equal."""
    # An objective may be infinite in a bare Optuna study. Such scores lie at the ends of the scale.
    finite = [trial.score for trial in trials if math.isfinite(trial.score)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if low == high:
        return [1.0 if trial.score >= high else 0.0 for trial in trials]
    return [min(max((trial.score - low) / (high - low), 0.0), 1.0) for trial in trials]


def _schema(codes: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"candidate": {"type": "string", "enum": list(codes)}},
        "required": ["candidate"],
        "additionalProperties": False,
    }


def _read(reply: Reply, codes: Sequence[str]) -> str:
    value = reply.json()
    if not isinstance(value, dict) or not isinstance(value.get("candidate"), str):
        raise Rejected("wrong shape")
    code: str = value["candidate"]
    if code not in codes:
        raise Rejected("illegal choice")
    return code
