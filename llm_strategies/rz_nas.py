"""RZ-NAS: evolution whose mutations a language model makes, and reflects upon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from harness import registry
from harness import seeding
from harness.errors import SpecError
from harness.history import Exhausted
from harness.history import Proposal
from harness.limits import Limits
from harness.population import Population
from llm_strategies.base import TEXT_LENGTH
from llm_strategies.base import LLMStrategy
from llm_strategies.candidates import draw_new
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.history import Failure
    from harness.history import History
    from harness.history import Trial
    from harness.proxies import Proxy
    from harness.spaces import Architecture
    from llm_strategies.base import Conversation
    from llm_strategies.models.client import Message
    from llm_strategies.views import View

Selection = Literal["random", "best"]

_MOST_DRAWS = 1_000

_PROBLEMS = {
    "not JSON": "the reply held no JSON.",
    "wrong shape": "the JSON of the reply did not give one choice for each decision.",
    "illegal choice": "the reply named a choice that its decision does not have.",
    "truncated": "the reply was longer than allowed and was cut off.",
    "refused": "there was no answer.",
    "empty": "there was no answer.",
}


class RZNAS(LLMStrategy):
    """RZ-NAS (Ji et al. 2025, "RZ-NAS: Enhancing LLM-guided NAS via Reflective Zero-Cost Strategy").

    Evolution (section 3.2, Algorithm 1). After a random population, every trial mutates one of its members,
    drawn at random: the model gets the member and its score, and answers with a mutant. A mutant that is legal
    and within the limits is scored and joins the population, which then loses its worst member. The system
    message describes the search space, the network and the score, in words and, where there is any, in code
    (section 3.3, appendix A.3); an exchange about one mutation shows the form. The model reflects twice:
    within its reply, as a ``reasoning`` that comes first, and in a call of its own after each mutation, which
    looks at parent, mutant and score, or at what was wrong, and gives advice for the next one (appendix A.2).

    The paper's score is a zero-cost proxy: use the ``proxy`` benchmark. With another benchmark the texts
    describe its metric instead, and there is no code of it. Where the names are blind, the model sees neither
    code, nor the name of the score; limits it is told all the same. The paper makes 1,500 mutations with
    GPT-4o; here the budget ends the run.

    What the paper leaves open, or does otherwise:

    - Section 4 fills the whole population at random first, Algorithm 1 begins with one architecture.
      ``random_starts`` is that of section 4, so that the model is asked from trial 100 on. Set it lower where the
      budget is small.
    - A mutation that cannot be used is reflected upon and another parent is drawn, as in Algorithm 1; but it is
      counted as a rejected reply and not as an iteration, and after ``attempts`` in a row the model is exhausted.
    - An architecture that the run knows counts as such a mutation, while the space holds others: scored again,
      it would tell nothing, and the population would fill with copies.
    - The model is asked to change one decision (appendix A.3), and one that changes more is not stopped
      (appendix A.2 shows such an answer).
    - ``max_parameters`` and ``max_flops`` are the paper's inference budget, ``max_depth`` is its maximal depth.
    - Section 3.3 has successful mutations as examples, and appendix A.3 claims a gain for the one that it
      shows. Here the mutation is drawn at random for each run. It is a success, with its true scores, where
      the proxy is arithmetic on the architecture (``flops``, ``parameters``) and the names are plain.
      Elsewhere a success would cost evaluations: the example then has no scores, and is said to show the form
      alone.
    - The paper's reply repeats a score that the model makes up. Here it holds none.
    - The paper's larger population is 256 (CIFAR-100, ImageNet and COCO in other spaces).

    Its released code (``PasaLab/RZ-NAS``, ``evolution_search.py``) has a population of 512 and up to 480,000
    iterations; mutates the initial network until the population has more than ten members; does not put the
    parent into the prompt; samples at temperature 0, top-p 0.5 and 500 tokens; and has no loop of reflections.

    The prompt holds one architecture, whatever the length of the run. Most of it is code: on NAS-Bench-201 it
    has about 2,000 tokens, as in the paper (2,300 to 2,600). A prompt beyond the model's context is rejected
    as too long; ``code: false`` makes it short.

    Args:
        random_starts: Random architectures before the model is asked.
        population: Number of architectures of which parents are drawn.
        selection: ``random`` draws the parent evenly; ``best`` takes the member of the best score (section
            4.2.2).
        temperature: Fixed sampling temperature; ``None`` draws one of ``temperatures`` for each call.
        temperatures: Sampling temperatures to draw from.
        max_parameters: Largest number of trainable parameters of an architecture; ``None`` sets no limit.
        max_flops: Largest number of multiply-accumulate operations; ``None`` sets no limit.
        max_depth: Largest number of layers with weights on a path; ``None`` sets no limit.
        example: Whether the prompt holds the example (section 4.2.1, as the next three).
        reflection: Whether the model reflects, within its reply and afterwards.
        text: Whether the system messages explain in words.
        code: Whether the system message shows code.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A value is out of range, or a limit is set and the search space knows no exact costs.
    """

    def __init__(
        self,
        *,
        random_starts: int = 100,
        population: int = 100,
        selection: Selection = "random",
        temperature: float | None = None,
        temperatures: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0),
        max_parameters: int | None = None,
        max_flops: int | None = None,
        max_depth: int | None = None,
        example: bool = True,
        reflection: bool = True,
        text: bool = True,
        code: bool = True,
        **options: Any,
    ) -> None:
        # The base needs a number; every call here names its own.
        super().__init__(temperature=0.0 if temperature is None else temperature, **options)
        self._require("random_starts", random_starts, low=1)
        self._require("population", population, low=1)
        self._require_one_of("selection", selection, get_args(Selection))
        if not temperatures:
            raise SpecError(f"{type(self).__name__}: temperatures is empty; give at least one.")
        for each in temperatures:
            self._require("temperatures", each, low=0.0)
        self.random_starts = random_starts
        self.selection: Selection = selection
        self.temperatures = temperatures if temperature is None else (temperature,)
        self.limits = Limits(max_parameters, max_flops, max_depth)
        self.population = Population(population, self.limits)
        self.example = example
        self.reflection = reflection
        self.text = text
        self.code = code

    def suggest(self, history: History, view: View) -> Proposal:
        members = self.population.members(history, self.task)
        if len(history) < self.random_starts or not members:
            return Proposal(self._draw(history), {"source": "random"})
        conversation = self.conversation(history)
        advice = self._look_back(conversation, history, view) if self.reflection else None
        for _ in range(self.attempts):
            parent = self._select(history, members)
            temperature = self._temperature(history)
            mutant = conversation.ask(
                self.messages(view, parent, advice),
                view.read,
                schema=self._schema(view),
                temperature=temperature,
            )
            problem = self._problem(conversation, history, view, mutant)
            if mutant is not None and problem is None:
                attributes = {"source": "mutation", "parent": parent.number, "temperature": temperature}
                return conversation.proposal(mutant, attributes | ({"advice": advice} if advice else {}))
            if self.reflection and problem is not None:
                advice = self._reflect(conversation, history, view, parent, mutant, None, problem) or advice
        raise conversation.exhausted()

    def recommend(self, history: History) -> Architecture:
        return self.population.best(history, self.task)

    def messages(self, view: View, parent: Trial, advice: str | None) -> list[Message]:
        """What the model is asked for one mutation.

        Args:
            view: The space as the model sees it.
            parent: The member of the population to mutate.
            advice: What the last reflection said; ``None`` without one.
        """
        objective = Objective(self.task, view.blind)
        proxy = None if view.blind else self._proxy()
        show_code = self.code and not view.blind
        example = self._example(view) if self.example else None
        system = render(
            "rz_nas/system.j2",
            blind=view.blind,
            space=view.describe(),
            network_code=view.space.code() if show_code else None,
            proxy=proxy,
            proxy_code=proxy.code() if show_code and proxy is not None else None,
            title=objective.title,
            metric=objective.name,
            better=objective.better,
            text=self.text,
            reflection=self.reflection,
            example=example,
        ).strip()
        messages: list[Message] = [{"role": "system", "content": system}] if system else []
        if example is not None:
            messages += self._exchange(view, example)
        question = self._question(view, parent.architecture, objective.value(parent), advice)
        return [*messages, {"role": "user", "content": question}]

    # The population.

    def _select(self, history: History, members: list[Trial]) -> Trial:
        if self.selection == "best":
            return max(members, key=lambda member: member.score)
        return members[history.rng.integers(len(members))]

    def _draw(self, history: History) -> Architecture:
        """A random architecture within the limits.

        Raises:
            Exhausted: There is none among many.
        """
        for _ in range(_MOST_DRAWS):
            arch = draw_new(history, 1)[0]
            if self.limits.exceeded_by(arch, history.space, self.task) is None:
                return arch
        raise Exhausted(f"none of {_MOST_DRAWS:,} random architectures is within the limits.")

    def _temperature(self, history: History) -> float:
        return self.temperatures[history.rng.integers(len(self.temperatures))]

    # Validation.

    def _problem(
        self, conversation: Conversation, history: History, view: View, mutant: Architecture | None
    ) -> str | None:
        """What is wrong with a mutation; ``None`` where nothing is, or nothing that advice could mend."""
        if mutant is None:
            return _PROBLEMS.get(conversation.usage.log[-1].verdict)
        if mutant in history.seen and len(history.seen) < history.space.size:
            conversation.reject("duplicate")
            return "this architecture was tried before."
        over = self.limits.exceeded_by(mutant, history.space, self.task)
        if over is not None:
            conversation.reject("too costly")
        return over

    # Reflection.

    def _look_back(self, conversation: Conversation, history: History, view: View) -> str | None:
        """Advice from the last trial; ``None`` where that was no mutation, or the model gives none."""
        score: float | None = None
        problem: str | None = None
        if history.failures and history.failures[-1].number == history.number - 1:
            last: Trial | Failure = history.failures[-1]
            # The proxy's own words may name operations.
            problem = "it has no score." if view.blind else f"it has no score: {history.failures[-1].problem}"
        else:
            last = history.trials[-1]
            score = Objective(self.task, view.blind).value(history.trials[-1])
        parent = next((t for t in history.trials if t.number == last.attributes.get("parent")), None)
        if parent is None:
            return None
        return self._reflect(conversation, history, view, parent, last.architecture, score, problem)

    def _reflect(
        self,
        conversation: Conversation,
        history: History,
        view: View,
        parent: Trial,
        mutant: Architecture | None,
        score: float | None,
        problem: str | None,
    ) -> str | None:
        objective = Objective(self.task, view.blind)
        before = self._shown(view, parent.architecture, objective.value(parent))
        after = None if mutant is None else self._shown(view, mutant, score)
        system = render("rz_nas/reflect_system.j2", text=self.text, space=view.describe())
        user = render(
            "rz_nas/reflect.j2",
            before=before,
            after=after,
            problem=problem,
            metric=objective.name,
            better=objective.better,
        )
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        advice = conversation.ask_text(messages, temperature=self._temperature(history))
        return advice and advice[:TEXT_LENGTH]

    # What the model reads and writes.

    def _proxy(self) -> type[Proxy] | None:
        if self.task.proxy is None:
            return None
        proxy: type[Proxy] = registry.load("proxy", self.task.proxy)
        return proxy

    def _shown(self, view: View, arch: Architecture, score: float | None) -> str:
        objective = Objective(self.task, view.blind)
        kind = {} if view.blind else {"type": objective.name}
        known = {} if score is None else {"score": _rounded(score)}
        return _json({"arch": view.value(arch)} | kind | known)

    def _question(self, view: View, arch: Architecture, score: float | None, advice: str | None) -> str:
        objective = Objective(self.task, view.blind)
        blank = "<code>" if view.names == "ncode" else dict.fromkeys(view.decisions, "<choice>")
        return render(
            "rz_nas/user.j2",
            advice=advice,
            architecture=self._shown(view, arch, score),
            metric=objective.name,
            better=objective.better,
            limits=self.limits.describe(),
            form=self._reply(blank, "<why>"),
        )

    def _example(self, view: View) -> _Example:
        """A mutation of one decision, the same in the whole run: an improvement where that is known for free."""
        space = view.space
        rng = seeding.generator(self._entropy, "example")
        parent = space.random(rng)
        mutants = space.neighbours(parent) or [parent]
        order = [mutants[i] for i in rng.permutation(len(mutants))]
        proxy = self._proxy()
        # The task does not say with which settings a proxy scores, so one that has any is not asked.
        if view.blind or proxy is None or not proxy.closed_form or signature(proxy).parameters:
            return _Example(parent, order[0])
        scored = [(proxy().score(space, arch, self.task.dataset), arch) for arch in (parent, *order)]
        before = scored[0]
        after = next((other for other in scored if other[0] != before[0]), None)
        if after is None:
            return _Example(parent, order[0])
        (low, worse), (high, better) = sorted((before, after))
        if not proxy.higher_is_better:
            low, worse, high, better = high, better, low, worse
        return _Example(worse, better, low, high)

    def _exchange(self, view: View, example: _Example) -> list[Message]:
        pairs = zip(example.parent, example.mutant, strict=True)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
        reasoning = render(
            "rz_nas/example_reasoning.j2",
            old=view.word(at, example.parent[at]),
            new=view.word(at, example.mutant[at]),
            decision=f"digit {at + 1}" if view.names == "ncode" else view.decisions[at],
            metric=Objective(self.task, view.blind).name,
            before=None if example.before is None else _rounded(example.before),
            after=None if example.after is None else _rounded(example.after),
        )
        return [
            {"role": "user", "content": self._question(view, example.parent, example.before, None)},
            {"role": "assistant", "content": self._reply(view.value(example.mutant), reasoning)},
        ]

    def _reply(self, value: Any, reasoning: str) -> str:
        first = {"reasoning": reasoning} if self.reflection else {}
        return _json(first | (value if isinstance(value, dict) else {"architecture": value}))

    def _schema(self, view: View) -> dict[str, Any]:
        schema = view.schema()
        if not self.reflection:
            return schema
        reasoning = {"type": "string", "maxLength": TEXT_LENGTH}
        return schema | {
            # First, so that a model thinks before it decides.
            "properties": {"reasoning": reasoning} | schema["properties"],
            "required": ["reasoning", *schema["required"]],
        }


@dataclass(frozen=True)
class _Example:
    """A mutation to show, and the true scores before and after it; ``None`` where they are not known."""

    parent: Architecture
    mutant: Architecture
    before: float | None = None
    after: float | None = None


def _rounded(score: float) -> float:
    """A score in at most six digits; one without a fraction is shown without a point."""
    rounded = float(f"{score:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
