"""EvoPrompting: evolution whose crossover and mutation are a language model that reads the parents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from harness.errors import SpecError
from harness.history import Proposal
from llm_strategies import batches
from llm_strategies.base import LLMStrategy
from llm_strategies.candidates import draw_new
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.history import History
    from harness.history import Trial
    from harness.spaces import Architecture
    from llm_strategies.base import Conversation
    from llm_strategies.models.client import Message
    from llm_strategies.views import View


class EvoPrompting(LLMStrategy):
    """EvoPrompting (Chen, Dohan and So 2023, "EvoPrompting: Language Models for Code-Level Neural Architecture
    Search"), with architectures of a search space in the place of code.

    The first population is evaluated. Then, round by round, a number of prompts is asked several times each.
    A prompt shows some parents drawn from the population with their metrics, then target metrics somewhat better
    than the parents', and asks for the architecture that has them. All new children of a round are evaluated
    before the fittest of the whole run become the parents of the next one. Fitness is the negative product of
    model size and validation error.

    What of the original is out of reach:

    - It writes whole models as Python code, and its space is whatever compiles. Here a child is an architecture
      of the search space.
    - After each round it tunes a soft prompt of the model on the children. A server gives no weights, so this is
      what its ablation calls EvoPrompting without prompt-tuning.
    - Its first population are models written by hand, after the literature. Here they are random, and their
      number is our choice.
    - It keeps children below an error threshold alone. The fittest survive here without one.

    What is settled here:

    - Size is the number of parameters, where the search space can compute it, and error is 100 minus a percentage
      that should be high, or a value that should be low itself. Where either is not known (in a bare Optuna
      study, say), size is neither shown nor asked for, and fitness is the score alone. ``use_size`` switches
      size off everywhere. Note that a product of size and error favours the very small: the recommendation of a
      run is the best by validation score all the same.
    - Blind prompts show the exact number of parameters as well, under the name ``size``. It is half of what is
      optimised, and left out of these prompts alone, plain and blind would differ in more than names. A model that
      knows a benchmark by its numbers may recognise it by them, as by its scores; ``use_size: false`` shows
      none.
    - Targets are those of a public reimplementation: the smallest size of the parents times 0.9, and their
      smallest error times 0.95. Where the error is not known, the target is a score better than the parents'.
    - The population of the first round is all of the first architectures. With one survivor, its default
      from then on, a prompt has one parent, and the operator is a mutation.
    - Prompts of a round are asked one after the other, as their children are needed, so a budget that ends
      within a round has paid for no other.
    - Each child draws its temperature; the children of one prompt that share one are asked for side by side.
    - A child that the run has seen, or that its prompt gave before, is thrown away and counted as a duplicate, as
      long as the space holds others. A prompt without any new child is followed by the next one, ``attempts``
      times in all.
    - Rounds go on until the budget ends the run; the paper makes 10.

    A prompt that exceeds the model's context is sent again with half of its parents.

    Args:
        seeds: Random architectures of the first population.
        prompts: Prompts in a round.
        samples: Children asked for with one prompt.
        examples: Parents shown in a prompt; fewer where the population is smaller.
        survivors: Architectures that are the population of the next round.
        temperatures: Sampling temperatures that the children draw from.
        temperature: One temperature for all children; ``None`` lets them draw.
        target_size: Target for the number of parameters, as a share of the parents' smallest.
        target_error: Target for the error, as a share of the parents' smallest.
        use_size: Whether the number of parameters counts, and is shown.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(
        self,
        *,
        seeds: int = 4,
        prompts: int = 10,
        samples: int = 16,
        examples: int = 2,
        survivors: int = 1,
        temperatures: Sequence[float] = (0.2, 0.6, 0.8, 1.0),
        temperature: float | None = None,
        target_size: float = 0.9,
        target_error: float = 0.95,
        use_size: bool = True,
        **options: Any,
    ) -> None:
        temperatures = tuple(temperatures) if temperature is None else (temperature,)
        if not temperatures:
            raise SpecError("EvoPrompting: temperatures is empty; give at least one.")
        super().__init__(temperature=temperatures[0], **options)
        for drawn in temperatures:
            self._require("one of temperatures", drawn, low=0.0)
        self._require("seeds", seeds, low=1)
        self._require("prompts", prompts, low=1)
        self._require("samples", samples, low=1)
        self._require("examples", examples, low=1)
        self._require("survivors", survivors, low=1)
        self._require("target_size", target_size, low=0.0)
        self._require("target_error", target_error, low=0.0)
        self.seeds = seeds
        self.prompts = prompts
        self.samples = samples
        self.examples = examples
        self.survivors = survivors
        self.temperatures = temperatures
        self.target_size = target_size
        self.target_error = target_error
        self.use_size = use_size

    def suggest(self, history: History, view: View) -> Proposal:
        if len(history) < self.seeds:
            return Proposal(draw_new(history, 1)[0], {"source": "random"})
        last = batches.latest(history)
        if last and (queue := batches.waiting(history, last)):
            return Proposal(queue[0], {**last, "queue": batches.attribute(history, queue[1:])})
        conversation = self.conversation(history)
        position = _Position(**last["position"]) if last else None
        for _ in range(self.attempts):
            position = self._after(position, history)
            parents = self._parents(position, history)
            if batch := self._children(parents, history, view, conversation):
                attributes = {
                    "source": "model",
                    "position": vars(position),
                    "parents": [parent.number for parent in parents],
                    "queue": batches.attribute(history, batch[1:]),
                }
                return conversation.proposal(batch[0], attributes)
        raise conversation.exhausted()

    def messages(self, history: History, view: View, parents: Sequence[Trial], shown: int) -> list[Message]:
        """The chat that asks for a child.

        Args:
            history: The trials so far.
            view: How architectures are written.
            parents: Whose metrics set the target.
            shown: Number of parents to show, from the first.
        """
        objective = Objective(self.task, view.blind)
        values = [objective.value(parent) for parent in parents]
        sizes = [size for parent in parents if (size := self._size(history, parent)) is not None]
        size_name = "size" if view.blind else "parameters"
        examples = [
            (
                view.write(parent.architecture),
                {size_name: size, objective.name: _rounded(value)}
                if sizes
                else {objective.name: _rounded(value)},
            )
            for parent, value, size in zip(parents, values, sizes or [None] * len(parents), strict=True)
        ]
        target: dict[str, Any] = {size_name: int(self.target_size * min(sizes))} if sizes else {}
        target[objective.name] = self._target(objective, values)
        user = render(
            "evoprompting/user.j2",
            description=view.describe(),
            objective=objective,
            size_name=size_name if sizes else None,
            examples=[(architecture, json.dumps(metrics)) for architecture, metrics in examples[:shown]],
            target=json.dumps(target),
            form=view.form(),
        )
        return [
            {"role": "system", "content": render("evoprompting/system.j2")},
            {"role": "user", "content": user},
        ]

    def _after(self, position: _Position | None, history: History) -> _Position:
        if position is None:
            return _Position(round=1, prompt=1, start=history.number)
        if position.prompt < self.prompts:
            return _Position(position.round, position.prompt + 1, position.start)
        return _Position(position.round + 1, 1, history.number)

    def _parents(self, position: _Position, history: History) -> list[Trial]:
        evaluated = [trial for trial in history.trials if trial.number < position.start]
        size = self.seeds if position.round == 1 else self.survivors
        population = sorted(evaluated, key=lambda trial: -self._fitness(history, trial))[:size]
        drawn = history.rng.choice(len(population), size=min(self.examples, len(population)), replace=False)
        return [population[i] for i in drawn]

    def _children(
        self, parents: Sequence[Trial], history: History, view: View, conversation: Conversation
    ) -> list[Architecture]:
        drawn = history.rng.choice(self.temperatures, size=self.samples)
        found: list[Architecture | None] = []
        for temperature, times in zip(*np.unique(drawn, return_counts=True), strict=True):
            found += conversation.ask_all_fitting(
                [partial(self.messages, history, view, parents)] * int(times),
                len(parents),
                view.read,
                schema=view.schema(),
                temperature=float(temperature),
            )
        return batches.new(history, conversation, found)

    def _fitness(self, history: History, trial: Trial) -> float:
        objective = Objective(self.task, blind=True)
        error, size = objective.error(objective.value(trial)), self._size(history, trial)
        return trial.score if error is None or size is None else -error * size

    def _size(self, history: History, trial: Trial) -> int | None:
        """Number of parameters; ``None`` where size does not count."""
        objective = Objective(self.task, blind=True)
        if not self.use_size or objective.error(objective.value(trial)) is None:
            return None
        cost = self.task.cost(history.space, trial.architecture)
        return None if cost is None else cost.parameters

    def _target(self, objective: Objective, values: Sequence[float]) -> float | str:
        best = max(values) if objective.better == "higher" else min(values)
        error = objective.error(best)
        # A share of a negative error would be a larger one.
        if error is None or not 0 <= error < float("inf"):
            return f"{objective.better} than {_rounded(best)}"
        target = objective.error(self.target_error * error)
        assert target is not None
        return _rounded(target)


@dataclass(frozen=True)
class _Position:
    """Where in the search a question stands.

    Attributes:
        round: Number of the round, from 1.
        prompt: Number of the prompt in it, from 1.
        start: Number of the round's first trial; its parents are older.
    """

    round: int
    prompt: int
    start: int


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
