"""LM-Searcher: a language model picks the next architecture among random candidates, all written as NCode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from harness.history import Proposal
from llm_strategies.base import LLMStrategy
from llm_strategies.candidates import draw_new
from llm_strategies.models.reply import Rejected
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from llm_strategies.models.client import Message
    from llm_strategies.views import Names
    from llm_strategies.views import View


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
        random_starts: Random architectures before the model is asked.
        candidates: Random architectures that the model chooses from.
        history_limit: Number of trials to show, the best by reward; ``None`` shows all. It bounds the length
            of the prompt.
        names: See :class:`~llm_strategies.base.LLMStrategy`; the paper's is ``ncode``.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A number is out of range.
    """

    def __init__(
        self,
        *,
        random_starts: int = 5,
        candidates: int = 10,
        history_limit: int | None = None,
        names: Names = "ncode",
        **options: Any,
    ) -> None:
        super().__init__(names=names, **options)
        self._require("random_starts", random_starts, low=0)
        self._require("candidates", candidates, low=1)
        self._require("history_limit", history_limit, low=1)
        self.random_starts = random_starts
        self.candidates = candidates
        self.history_limit = history_limit

    def suggest(self, history: History, view: View) -> Proposal:
        if len(history) < self.random_starts:
            return Proposal(draw_new(history, 1)[0], {"source": "random"})
        conversation = self.conversation(history)
        for _ in range(self.attempts):
            candidates = {view.write(arch): arch for arch in draw_new(history, self.candidates)}
            codes = list(candidates)
            code = conversation.ask_fitting(
                partial(self.messages, history, view, codes),
                min(len(history), self.history_limit or len(history)),
                partial(_read, codes=codes),
                schema=_schema(codes),
            )
            if code is not None:
                return conversation.proposal(
                    candidates[code],
                    {"source": "model", "position": codes.index(code), "candidates": len(codes)},
                )
        raise conversation.exhausted()

    def messages(self, history: History, view: View, candidates: Sequence[str], shown: int) -> list[Message]:
        """The question.

        Args:
            history: The trials so far.
            view: How architectures are written.
            candidates: Codes to choose from.
            shown: Number of trials to show, the best by reward.
        """
        ranked = sorted(history.trials, key=lambda trial: -trial.score)
        rewards = _rewards(ranked)
        lines = [
            (view.write(trial.architecture), reward) for trial, reward in zip(ranked, rewards, strict=True)
        ]
        return [
            {"role": "system", "content": render("lm_searcher/system.j2")},
            {
                "role": "user",
                "content": render("lm_searcher/user.j2", history=lines[:shown], candidates=candidates),
            },
        ]


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


def _read(value: Any, codes: Sequence[str]) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("candidate"), str):
        raise Rejected("wrong shape")
    code: str = value["candidate"]
    if code not in codes:
        raise Rejected("illegal choice")
    return code
