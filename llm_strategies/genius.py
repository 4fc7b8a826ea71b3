"""GENIUS: one chat in which a language model proposes an architecture, hears its score, and proposes a better one."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from harness.history import Finished
from harness.history import Proposal
from llm_strategies.base import TEXT_LENGTH
from llm_strategies.base import LLMStrategy
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history import History
    from harness.spaces import Architecture
    from llm_strategies.models.client import Message
    from llm_strategies.views import View


class GENIUS(LLMStrategy):
    """GENIUS (Zheng et al. 2023, "Can GPT-4 Perform Neural Architecture Search?").

    One chat at temperature 0. A persona and a description of the search space open it; then the model proposes
    an architecture, is told its score to three decimals, and is asked for a better one, ten times. The model
    sees the whole chat, its own replies included. The chat is rebuilt from the history for every proposal.

    After ``iterations`` proposals the method is at its end, and so is the run: it ends as ``complete``, also
    where the budget would allow more.

    The paper's model is GPT-4. Settings and components are those of its released code
    (``mingkai-zheng/GENIUS``, ``nas_bench_201.py``), from which this class differs as follows:

    - There, a person reads each reply and types the architecture into the program. Here, the reply is JSON: a
      rationale, then the architecture. What a model writes around the JSON is not kept in the chat.
    - There, operations and block are described for one benchmark, with the block as PyTorch code, and the
      persona is a living researcher. Here, the space describes itself, in words and, where it has any, in
      code; and the persona has no name.
    - A reply that cannot be used is asked for again, with the reason: at temperature 0 the same question would
      get the same reply. Such replies are counted, and are no iterations.
    - Where the chat outgrows the model's context, the oldest exchanges are left out. There, nothing bounds it.
    - The model is asked, as there, not to repeat itself. An architecture that it repeats all the same is an
      iteration, costs no evaluation, and is counted as a duplicate; the model is told which result it repeats,
      where the released code says nothing.

    At temperature 0 a server that computes exactly gives every seed of a sweep the same run; the spread over
    seeds then says nothing. The name ``permuted`` draws other symbols for each seed.

    Args:
        iterations: Number of proposals after which the search ends; ``None`` leaves it to the budget.
        rationale: Whether the model is asked why it proposes an architecture, as in the released code on
            NAS-Bench-201; on the paper's other benchmarks it is not.
        code: Whether the description of a space that has code holds it. Blind modes never show it.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A number is out of range.
    """

    def __init__(
        self,
        *,
        iterations: int | None = 10,
        rationale: bool = True,
        code: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._require("iterations", iterations, low=1)
        self.iterations = iterations
        self.rationale = rationale
        self.code = code

    def suggest(self, history: History, view: View) -> Proposal:
        # By the number of the trial: one that failed was an iteration as well.
        if self.iterations is not None and history.number >= self.iterations:
            raise Finished(f"the search ends after {self.iterations} iterations.")
        conversation = self.conversation(history)
        complaint = ""
        for attempt in range(1, self.attempts + 1):
            answer = conversation.ask_fitting(
                partial(self.messages, history, view, complaint),
                len(history),
                partial(_read, view=view),
                schema=self._schema(view),
            )
            if answer is not None:
                arch, rationale = answer
                spoken = {"rationale": rationale} if self.rationale else {}
                return conversation.proposal(arch, {"source": "model", **spoken})
            reason = conversation.usage.log[-1].verdict
            complaint = render("genius/retry.j2", attempt=attempt, reason=reason)
        raise conversation.exhausted()

    def messages(self, history: History, view: View, complaint: str, shown: int) -> list[Message]:
        """The chat so far, which ends with what the model has to answer now.

        Args:
            history: The trials so far.
            view: The space as the model sees it.
            complaint: What was wrong with the last reply to this question; empty where there was none.
            shown: Number of trials to show, the latest.
        """
        objective = Objective(self.task, view.blind)
        common = {"metric": objective.name, "better": objective.better, "rationale": self.rationale}
        code = view.space.code() if self.code and not view.blind else None
        task = render(
            "genius/task.j2",
            title=objective.title,
            space=view.describe(),
            code=code,
            form=self._form(view),
            **common,
        )
        chat = [
            {"role": "system", "content": render("genius/system.j2", blind=view.blind)},
            {"role": "user", "content": task},
        ]
        first: dict[Architecture, int] = {}
        for number, trial in enumerate(history.trials, start=1):
            known = first.setdefault(trial.architecture, number)
            if number <= len(history) - shown:
                continue
            # A fallback, or a trial that another sampler made, is news to the model.
            own = trial.attributes.get("source") == "model"
            feedback = render(
                "genius/feedback.j2",
                number=number,
                value=objective.value(trial),
                architecture="" if own else view.write(trial.architecture),
                first=known if own and known < number else None,
                **common,
            )
            if own:
                reply = self._reply(view, trial.architecture, trial.attributes)
                chat.append({"role": "assistant", "content": reply})
                chat.append({"role": "user", "content": feedback})
            else:
                chat[-1]["content"] += f"\n\n{feedback}"
        if complaint:
            chat[-1]["content"] += f"\n\n{complaint}"
        return list(chat)

    def _form(self, view: View) -> str:
        if not self.rationale:
            return view.form()
        return f'Reply with JSON alone: {{"rationale":"<why>","architecture":{view.architecture_form()}}}'

    def _schema(self, view: View) -> dict[str, Any]:
        if not self.rationale:
            return view.schema()
        return {
            "type": "object",
            "properties": {
                "rationale": {"type": "string", "maxLength": TEXT_LENGTH},
                "architecture": view.architecture_schema(),
            },
            "required": ["rationale", "architecture"],
            "additionalProperties": False,
        }

    def _reply(self, view: View, arch: Architecture, attributes: Mapping[str, Any]) -> str:
        """What the model said, as the form has it."""
        value = view.value(arch)
        if self.rationale:
            return _json({"rationale": attributes.get("rationale", ""), "architecture": value})
        return _json({"architecture": value} if view.names == "ncode" else value)


def _read(value: Any, view: View) -> tuple[Architecture, str]:
    arch = view.read(value)
    rationale = value.get("rationale") if isinstance(value, dict) else None
    if not isinstance(rationale, str):
        return arch, ""
    # Half of a surrogate pair, which JSON can hold, could not be sent back.
    return arch, rationale[:TEXT_LENGTH].encode("utf-8", "replace").decode("utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
