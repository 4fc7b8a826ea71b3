"""The messages of CoLLM-NAS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.spaces import Cost
    from harness.task import Task
    from llm_strategies.collm_iterations import Iteration
    from llm_strategies.models.client import Message
    from llm_strategies.views import View

Phrasing = Literal["base", "brief", "formal", "conversational"]
PHRASINGS: tuple[Phrasing, ...] = get_args(Phrasing)

#: Names of the attributes of :class:`~harness.spaces.Cost` in a prompt: plain, and blind.
_COSTS = {"flops": ("FLOPs", "cost A"), "parameters": ("parameters", "cost B")}


class Prompts:
    """Renders the messages of one run and puts them together to chats.

    Args:
        phrasing: Whose words.
        task: What the search is about.
        view: How the model sees the space.
        example: An architecture that shows the form.
        batch: Smallest and largest number of architectures to ask for.
        target: Value that ends the search; ``None`` for as good as can be.
        limits: Largest cost, by attribute of :class:`~harness.spaces.Cost`.
        single: Whether one model plays both parts.
    """

    def __init__(
        self,
        phrasing: Phrasing,
        task: Task,
        view: View,
        *,
        example: Architecture,
        batch: tuple[int, int],
        target: float | None,
        limits: Mapping[str, float],
        single: bool,
    ) -> None:
        self._phrasing = phrasing
        self._task = task
        self._view = view
        self._limits = limits
        self._single = single
        self._objective = Objective(task, view.blind)
        least, most = batch
        self._facts: dict[str, Any] = {
            "subject": "architectures" if view.blind else "neural architectures",
            "goal": self._goal(target),
            "better": self._objective.better,
            "limits": bool(limits),
            "space": view.describe(),
            "example": view.write(example),
            "number": most if least == most else f"{least} to {most}",
            "form": view.form(most, least),
            "single": single,
        }

    def navigator(self, iterations: Sequence[Iteration], memory: bool, shown: int) -> list[Message]:
        """The question for the next strategy.

        Args:
            iterations: All iterations so far.
            memory: Whether earlier questions and answers are part of the chat.
            shown: Number of trials to show. The oldest go first, and with them the questions that hold them; of
                one iteration, the worst.
        """
        kept = _newest(iterations if memory else iterations[-1:], shown)
        whole = len(kept) == len(iterations) and (memory or not iterations)
        chat = [self._message("system", "single_system" if self._single else "navigator_system")]
        if whole:
            chat.append(self._message("user", "navigator_first"))
        for position, (iteration, room) in enumerate(kept):
            if position or whole:
                chat += self._answer(iteration)
            chat.append(self._feedback(iteration, room))
        return chat

    def generator(self, strategy: str, earlier: Sequence[Iteration]) -> list[Message]:
        """The question for a batch.

        Args:
            strategy: The Navigator's.
            earlier: Iterations that the Generator remembers.
        """
        chat = [self._message("system", "generator_system")]
        for iteration in earlier:
            chat += [self._request(iteration.strategy), _assistant(_json(iteration.reply))]
        return [*chat, self._request(strategy)]

    def single(self, chat: Sequence[Message], strategy: str) -> list[Message]:
        """The question for a batch, to the model that has just written the strategy.

        Args:
            chat: That of :meth:`navigator`.
            strategy: The model's answer to it.
        """
        return [*chat, _assistant(strategy), self._request(strategy)]

    def _goal(self, target: float | None) -> str:
        measure = self._objective.title
        if target is None:
            wanted = f"the {'highest' if self._objective.better == 'higher' else 'lowest'} possible {measure}"
        else:
            bound = "at least" if self._objective.better == "higher" else "at most"
            wanted = f"a {measure} of {bound} {target:g}"
        within = [f"{self._cost_name(key)} of at most {limit:,.0f}" for key, limit in self._limits.items()]
        return " and ".join([f"{wanted}, with {within[0]}", *within[1:]]) if within else wanted

    def _answer(self, iteration: Iteration) -> list[Message]:
        answer = [_assistant(iteration.strategy)]
        if self._single:
            answer += [self._request(iteration.strategy), _assistant(_json(iteration.reply))]
        return answer

    def _feedback(self, iteration: Iteration, room: int) -> Message:
        ranked = sorted(iteration.trials, key=lambda trial: -trial.score)
        return self._message(
            "user",
            "navigator_feedback",
            results=[
                f"{self._priced(trial.architecture)}: {self._objective.value(trial):.6g}"
                for trial in ranked[:room]
            ],
            left_out=len(ranked) - room,
            measure=self._objective.name,
            illegal=iteration.illegal,
            known=iteration.known,
            costly=[self._priced(architecture) for architecture in iteration.costly],
            best=None if iteration.best is None else f"{self._objective.value(iteration.best):.6g}",
        )

    def _request(self, strategy: str) -> Message:
        return self._message("user", "generator_user", strategy=strategy)

    def _priced(self, architecture: Architecture) -> str:
        """An architecture with what it costs, where that is limited."""
        text = self._view.write(architecture)
        if not self._limits:
            return text
        cost: Cost | None = self._task.cost(self._view.space, architecture)
        costs = [f"{self._cost_name(key)} {getattr(cost, key):,}" for key in self._limits]
        return f"{text} ({', '.join(costs)})"

    def _cost_name(self, key: str) -> str:
        plain, blind = _COSTS[key]
        return blind if self._view.blind else plain

    def _message(self, role: str, name: str, **values: Any) -> Message:
        return {
            "role": role,
            "content": render(f"collm_nas/{self._phrasing}/{name}.j2", **self._facts, **values),
        }


def _newest(iterations: Sequence[Iteration], shown: int) -> list[tuple[Iteration, int]]:
    """The newest iterations that hold so many trials, each with the number of its trials to show, in order."""
    kept: list[tuple[Iteration, int]] = []
    for iteration in reversed(iterations):
        if kept and iteration.trials and not shown:
            break
        room = min(shown, len(iteration.trials))
        kept.append((iteration, room))
        shown -= room
    return kept[::-1]


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
