"""CoLLM-NAS: one language model plans the search, another writes the architectures."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from harness import seeding
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import Finished
from harness.history import Proposal
from harness.spaces import Architecture
from harness.spaces import SearchSpace
from llm_strategies.base import LLMStrategy
from llm_strategies.collm_iterations import Archive
from llm_strategies.collm_iterations import Iteration
from llm_strategies.collm_prompts import PHRASINGS
from llm_strategies.collm_prompts import Phrasing
from llm_strategies.collm_prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history import History
    from harness.models import Models
    from harness.task import Task
    from llm_strategies.base import Conversation
    from llm_strategies.models.client import ChatModel
    from llm_strategies.models.client import Message
    from llm_strategies.models.reply import Reason
    from llm_strategies.views import View

# The Generator's reply: its legal architectures, what was thrown away by reason, and the whole of it as JSON.
_Batch = tuple[list[Architecture], "Counter[Reason]", Any]


class CoLLMNAS(LLMStrategy):
    """CoLLM-NAS ("Collaborative Large Language Models for Efficient Knowledge-Guided NAS", section 3.2, Algorithm 1).

    In each iteration a Navigator, which keeps its chat, reads the results of the last one and writes a search
    strategy in words; a Generator, which remembers nothing, turns the strategy into a batch of architectures. This
    class is the Coordinator: it throws away what is illegal, visited or over a limit, has the rest evaluated one by
    one, and reports the results to the Navigator. The first strategy is asked for without results. A run ends after
    the iteration in which the target is reached, or after the last iteration; the paper's cap of 100 architectures
    is the sweep's budget.

    The paper's model is Qwen3-30B-A3B with reasoning (section 4.1); such a model needs a larger ``max_tokens``. Its
    settings for NAS-Bench-201 are the defaults here. It gives no target; by default there is none. What differs:

    - An architecture over a limit costs no evaluation: the Navigator learns its cost and that it was discarded.
      Algorithm 1 evaluates it and only keeps it from being the best.
    - The paper names a corridor of FLOPs below the limit as ideal, for its MobileNet space. Here the prompt says in
      words that the limit should be used.
    - Prompts are our own words around the components of its appendix G. Strategies are asked for in at most 120
      words, which fits the text that a JSON schema allows; the paper's are longer.
    - The Generator's reply is JSON. Where it cannot be read, the model is asked again, up to ``attempts`` times for
      each question. A batch of which nothing is left is an iteration like any other, and reported as such; after
      ``attempts`` of them in a row the model is exhausted. Where a random trial follows (``on_exhausted: random``),
      they are forgotten.
    - The chat is bounded by the model's context: the oldest iterations are left out first, then the worst results
      of the last one. The paper does not say what it does.

    The ablations of section 4.4 and appendix E:

    - ``navigator_memory``, ``generator_memory`` (figure 4b). A Generator with memory sees the strategies and its own
      replies of all iterations, illegal entries among them.
    - ``single`` (SiLLM-NAS, figure 4a): one chat of one model, which reflects first and generates then. The paper
      says no more of it.
    - ``phrasing`` (table 4): four wordings of the same components; the paper has another model reword its own.
    - ``model`` and ``generator_model`` (table 5), ``temperature`` and ``generator_temperature`` (figure 5).

    Attributes of a trial: ``source``, ``iteration`` (from 1), and for the first of a batch ``begins``, which records
    the strategy, the batch and what was thrown away.

    Args:
        iterations: Largest number of iterations.
        min_batch: Smallest number of architectures to ask the Generator for. Fewer in a free-form reply are used.
        max_batch: Largest number of architectures to ask the Generator for.
        target: Validation score, in the benchmark's metric, that ends the run.
        max_flops: Largest number of multiply-accumulates of one forward pass.
        max_parameters: Largest number of trainable parameters.
        navigator_memory: Whether the Navigator keeps its chat over the iterations.
        generator_memory: Whether the Generator does.
        single: Whether ``model`` plays both parts.
        phrasing: Wording of the prompts: ``base``, ``brief``, ``formal`` or ``conversational``.
        generator_model: Model of the Generator; ``None`` for that of the Navigator, ``model``.
        temperature: See :class:`~llm_strategies.base.LLMStrategy`; that of the Navigator.
        generator_temperature: That of the Generator; ``None`` for that of the Navigator.
        options: See :class:`~llm_strategies.base.LLMStrategy`. With a limit of cost, ``on_exhausted`` must be
            ``end``: architectures drawn at random keep to none.

    Raises:
        SpecError: A value is out of range, two contradict each other, or a cost is limited on a search space that
            has no exact costs.
    """

    model_parameters: ClassVar[tuple[str, ...]] = ("model", "generator_model")

    def __init__(
        self,
        *,
        iterations: int = 20,
        min_batch: int = 10,
        max_batch: int = 20,
        target: float | None = None,
        max_flops: float | None = None,
        max_parameters: float | None = None,
        navigator_memory: bool = True,
        generator_memory: bool = False,
        single: bool = False,
        phrasing: Phrasing = "base",
        generator_model: str | ChatModel | None = None,
        temperature: float = 0.6,
        generator_temperature: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(temperature=temperature, **options)
        self._require("iterations", iterations, low=1)
        self._require("min_batch", min_batch, low=1)
        self._require("max_batch", max_batch, low=min_batch)
        self._require("max_flops", max_flops, low=1)
        self._require("max_parameters", max_parameters, low=1)
        self._require("generator_temperature", generator_temperature, low=0.0)
        self._require_one_of("phrasing", phrasing, PHRASINGS)
        if single and generator_memory:
            raise SpecError(
                "CoLLMNAS: generator_memory has no meaning with single, as there is one chat; its memory is "
                "navigator_memory."
            )
        if single and generator_model is not None:
            raise SpecError(
                "CoLLMNAS: generator_model has no meaning with single; name the one model in `model`."
            )
        self.iterations = iterations
        self.batch = (min_batch, max_batch)
        self.target = target
        limits = {"flops": max_flops, "parameters": max_parameters}
        self.limits = {key: limit for key, limit in limits.items() if limit is not None}
        if self.limits and self.on_exhausted != "end":
            raise SpecError(
                f"CoLLMNAS: on_exhausted is {self.on_exhausted!r}, but architectures drawn at random keep to no limit "
                "of cost; leave it at 'end'."
            )
        self.navigator_memory = navigator_memory
        self.generator_memory = generator_memory
        self.single = single
        self.phrasing: Phrasing = phrasing
        self.generator_model = generator_model
        self.generator_temperature = generator_temperature
        if self.limits and self.space is not None and type(self.space).cost is SearchSpace.cost:
            raise self._no_costs(self.space)

    def connect(self, task: Task, models: Models) -> None:
        super().connect(task, models)
        if self.space is not None:
            self._over_limit(self.space, Architecture([0] * len(self.space.decisions)))

    def suggest(self, history: History, view: View) -> Proposal:
        archive = history.fold("collm_nas", partial(Archive, history.space), Archive.add)
        pending = archive.pending(history.seen)
        if pending is not None:
            return Proposal(pending, {"source": "model", "iteration": archive.iterations[-1].number})
        self._end_at_target(archive)
        if len(history.seen) >= history.space.size:
            raise Exhausted("all architectures of the search space are visited.")
        conversation = self.conversation(history)
        begun: list[Iteration] = []
        while len(archive.iterations) + len(begun) < self.iterations:
            iteration = self._iterate(conversation, history, view, [*archive.iterations, *begun])
            iteration.best = archive.best
            begun.append(iteration)
            if not iteration.batch and len(begun) == self.attempts:
                raise conversation.exhausted()
            if iteration.batch:
                return conversation.proposal(
                    iteration.batch[0],
                    {
                        "source": "model",
                        "iteration": iteration.number,
                        "begins": [each.record(history.space) for each in begun],
                    },
                )
        if not archive.iterations:
            raise conversation.exhausted()
        raise Finished(
            f"the search is finished after {self.iterations} iterations.",
            usage=conversation.usage,
            rejected=conversation.rejected,
        )

    def prompts(self, view: View) -> Prompts:
        """What renders the messages of this run."""
        return Prompts(
            self.phrasing,
            self.task,
            view,
            example=view.space.random(seeding.generator(self._entropy, "example")),
            batch=self.batch,
            target=self.target,
            limits=self.limits,
            single=self.single,
        )

    def _iterate(
        self, conversation: Conversation, history: History, view: View, earlier: Sequence[Iteration]
    ) -> Iteration:
        """Ask for a strategy, then for a batch, and sort the batch.

        Raises:
            NoUsableReply: One of the two questions got no usable reply.
        """
        prompts = self.prompts(view)
        strategy = self._strategy(conversation, prompts, earlier)
        architectures, rejected, reply = self._generate(conversation, prompts, view, strategy, earlier)
        new = [architecture for architecture in architectures if architecture not in history.seen]
        costly = [architecture for architecture in new if self._over_limit(history.space, architecture)]
        rejected["duplicate"] += len(architectures) - len(new)
        rejected["too costly"] += len(costly)
        for reason, times in rejected.items():
            conversation.reject(reason, times)
        return Iteration(
            number=len(earlier) + 1,
            strategy=strategy,
            batch=[architecture for architecture in new if architecture not in costly],
            illegal=rejected["illegal choice"] + rejected["wrong shape"],
            known=rejected["duplicate"],
            costly=costly,
            reply=reply if self.single or self.generator_memory else None,
        )

    def _strategy(self, conversation: Conversation, prompts: Prompts, earlier: Sequence[Iteration]) -> str:
        for _ in range(self.attempts):
            text = conversation.ask_text_fitting(
                partial(prompts.navigator, earlier, self.navigator_memory), self._trials(earlier)
            )
            if text is not None:
                return text
        raise conversation.exhausted()

    def _generate(
        self,
        conversation: Conversation,
        prompts: Prompts,
        view: View,
        strategy: str,
        earlier: Sequence[Iteration],
    ) -> _Batch:
        def chat(shown: int) -> Sequence[Message]:
            if self.single:
                return prompts.single(prompts.navigator(earlier, self.navigator_memory, shown), strategy)
            return prompts.generator(strategy, earlier[len(earlier) - shown :])

        remembered = len(earlier) if self.generator_memory else 0
        least, most = self.batch
        for _ in range(self.attempts):
            batch = conversation.ask_fitting(
                chat,
                self._trials(earlier) if self.single else remembered,
                partial(_read, view),
                schema=view.schema(most, least),
                model=self.generator_model,
                temperature=self.generator_temperature,
            )
            if batch is not None:
                return batch
        raise conversation.exhausted()

    def _trials(self, earlier: Sequence[Iteration]) -> int:
        """Number of trials that the Navigator's chat holds when nothing is left out."""
        return sum(len(each.trials) for each in (earlier if self.navigator_memory else earlier[-1:]))

    def _end_at_target(self, archive: Archive) -> None:
        if self.target is None or archive.best is None:
            return
        sign = 1.0 if self.task.metric.higher_is_better else -1.0
        if archive.best.score >= sign * self.target:
            raise Finished(f"the target of {self.target:g} is reached.")

    def _over_limit(self, space: SearchSpace, architecture: Architecture) -> bool:
        if not self.limits:
            return False
        cost = self.task.cost(space, architecture)
        if cost is None:
            raise self._no_costs(space)
        return any(getattr(cost, key) > limit for key, limit in self.limits.items())

    def _no_costs(self, space: SearchSpace) -> SpecError:
        where = f" on data set {self.task.dataset!r}" if self.task.dataset else ""
        return SpecError(
            f"CoLLMNAS: {' and '.join(f'max_{key}' for key in self.limits)} cannot be kept to, as the exact costs of "
            f"search space {space.name!r}{where} are not known; leave the limit out, or choose a space with costs."
        )


def _read(view: View, value: Any) -> _Batch:
    architectures, rejected = view.read_many(value)
    return architectures, rejected, value
