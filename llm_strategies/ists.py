"""ISTS: a language model is led through exploration and optimisation, by a chain or a tree of thoughts."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from harness.history import Finished
from harness.spaces import Architecture
from llm_strategies.base import LLMStrategy
from llm_strategies.ists_tree import Tree
from llm_strategies.models.reply import Rejected
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from harness.history import History
    from harness.history import Proposal
    from harness.history import Trial
    from llm_strategies.models.client import Message
    from llm_strategies.views import View

Reasoning = Literal["cot", "tot"]
Stages = Literal["exploration", "both"]
Duplicates = Literal["reject", "keep"]
Bank = Literal["true", "shuffled"]

#: Largest number of letters of an explanation under a schema.
EXPLANATION_LENGTH = 240

#: Largest number of choices of a cell that a schema lists one by one.
LONGEST_LIST = 100


class ISTS(LLMStrategy):
    """ISTS (2025, "Instructing the Architecture Search for Spatial-temporal Sequence Forecasting with LLM").

    The paper is arXiv 2503.17994. Every round chooses one architecture and evaluates it (Algorithm 2). The model
    reads (Table 1, appendix D) the background: search space, data set, metric; the experience: a memory bank of
    all results, sorted so that the best comes last (section 4.3.2); and the instruction, in steps: recall the
    background, observe the experience, then do what the stage asks for. The first 60 % of 15 rounds explore
    (section 4.4), the rest optimise. Every reply explains itself.

    - ``reasoning: cot``, a chain of thought: one reply is a whole architecture.
    - ``reasoning: tot``, a tree of thoughts: the model proposes one cell and then judges, in a second call, whether the
      cells so far may lead to a better result. A cell that is judged impossible is ruled out and
      another one is proposed; where nothing is left, the search goes back a cell (Algorithm 1: depth first).

    The paper's own space has six cells on the edges of a graph of four nodes. A cell of another space is
    one decision, or ``cell_size`` decisions in a row; on NAS-Bench-201, which has the same graph, it is an edge, in
    the order of the architecture string.

    What the paper leaves open, and deviations:

    - No code was released. Prompts are in our own words, and work on every search space. They describe the data set
      where the benchmark does, and name what it measures: three errors for forecasts, as in the paper, one score
      elsewhere. The bank is sorted by the first.
    - Algorithm 1 grows the tree in both stages; the prompts printed in Table D.9 ask for a whole architecture in the
      optimisation stage, also of the tree. The default follows the prompts, see ``tot_stages``.
    - Neither the number of tries in a place of the tree nor any bound on its steps is given. Here a place has
      ``breadth`` tries, and a tree that has taken ``breadth`` steps per cell is given up; ``attempts`` counts trees.
    - Nothing is said of architectures that were evaluated before; one of the replies printed in Table F.10
      says that it repeats one. Here they are rejected and asked for anew, with the repeated one named, since a
      repetition teaches nothing, as long as the space holds others; ``duplicates: keep`` spends a round on them, as
      the paper may have done.
    - Under a schema an explanation has at most 240 letters, the sentence that is asked for; those printed in
      appendix F have up to 700. It follows the choice and is not shown again, so it changes none.
    - Sampling is not described. Temperature 0.6 and top-p 0.9 are what LLaMA-3-8B-Instruct, the paper's main model,
      comes with.
    - A run whose budget reaches beyond the last round goes on in the optimisation stage, unless ``ends``.
    - A prompt that is longer than the model's context is sent again with half of the memory; the worst go first.

    Ablations (section 5.4): ``strategy: false`` optimises from the first round on; ``memory: false`` shows no results.
    Ours: ``bank_size`` shows the best results alone, and ``bank: shuffled`` shows all with each other's values, so that
    a search that is none the worse for it learns nothing from them.

    Args:
        reasoning: ``cot`` or ``tot``.
        rounds: Number of rounds that the stages divide. Every trial is a round, also one that failed.
        exploration_rate: Share of rounds that explore, rounded to whole rounds.
        strategy: Whether there are two stages; ``False`` has the optimisation stage alone.
        memory: Whether the model sees the results so far.
        bank_size: So many results, the best, are shown; ``None`` shows all.
        bank: ``true``, or ``shuffled``: every result has the value of another one, drawn anew in every round.
        ends: Whether the run ends with the last round, whatever is left of its budget.
        tot_stages: In which stages the tree grows cell by cell: ``exploration`` or ``both``. Elsewhere, also where
            ``strategy`` is off and it is not ``both``, one reply is a whole architecture.
        cell_size: Number of decisions of a cell.
        breadth: Number of cells proposed in one place of the tree before it goes back.
        duplicates: ``reject`` asks again where an architecture has been evaluated, until all have been; ``keep``
            proposes it.
        temperature: See :class:`~llm_strategies.base.LLMStrategy`.
        top_p: See :class:`~llm_strategies.base.LLMStrategy`.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A value is out of range.
    """

    def __init__(
        self,
        *,
        reasoning: Reasoning = "cot",
        rounds: int = 15,
        exploration_rate: float = 0.6,
        strategy: bool = True,
        memory: bool = True,
        bank_size: int | None = None,
        bank: Bank = "true",
        ends: bool = False,
        tot_stages: Stages = "exploration",
        cell_size: int = 1,
        breadth: int = 3,
        duplicates: Duplicates = "reject",
        temperature: float = 0.6,
        top_p: float = 0.9,
        **options: Any,
    ) -> None:
        super().__init__(temperature=temperature, top_p=top_p, **options)
        self._require_one_of("reasoning", reasoning, get_args(Reasoning))
        self._require("rounds", rounds, low=1)
        self._require("exploration_rate", exploration_rate, low=0.0, high=1.0)
        if bank_size is not None:
            self._require("bank_size", bank_size, low=1)
        self._require_one_of("bank", bank, get_args(Bank))
        self._require_one_of("tot_stages", tot_stages, get_args(Stages))
        self._require("cell_size", cell_size, low=1)
        self._require("breadth", breadth, low=1)
        self._require_one_of("duplicates", duplicates, get_args(Duplicates))
        self.reasoning: Reasoning = reasoning
        self.rounds = rounds
        self.exploration_rate = exploration_rate
        self.strategy = strategy
        self.memory = memory
        self.bank_size = bank_size
        self.bank: Bank = bank
        self.ends = ends
        self.tot_stages: Stages = tot_stages
        self.cell_size = cell_size
        self.breadth = breadth
        self.duplicates: Duplicates = duplicates

    def suggest(self, history: History, view: View) -> Proposal:
        if self.ends and history.number >= self.rounds:
            raise Finished(f"all {self.rounds:,} rounds are made.")
        exploring = self.strategy and history.number < round(self.rounds * self.exploration_rate)
        cell_wise = self.reasoning == "tot" and (exploring or self.tot_stages == "both")
        search = _Round(self, history, view, exploring)
        for _ in range(self.attempts):
            found = search.grow() if cell_wise else search.whole()
            if found is not None:
                arch, steps = found
                stage = "exploration" if exploring else "optimisation"
                return search.conversation.proposal(arch, {"source": "model", "stage": stage, **steps})
        raise search.conversation.exhausted()


class _Round:
    """The questions of one round.

    Args:
        strategy: Whose settings are used.
        history: The rounds so far.
        view: The search space as the model sees it.
        exploring: Whether the round explores.
    """

    def __init__(self, strategy: ISTS, history: History, view: View, exploring: bool) -> None:
        self.conversation = strategy.conversation(history)
        self._strategy = strategy
        reject = strategy.duplicates == "reject" and len(history.seen) < history.space.size
        self._seen = history.seen if reject else set()
        self._view = view
        self._objective = Objective(strategy.task, view.blind)
        self._bank = _bank(strategy, history)
        self._round = history.number + 1
        self._exploring = exploring
        self._repeated: dict[Architecture, None] = {}

    def whole(self) -> tuple[Architecture, Mapping[str, int]] | None:
        """Ask for a whole architecture; ``None`` where the reply is of no use."""
        arch = self._ask(
            "ists/architecture.j2",
            self._view.read,
            _schema("architecture", self._view.architecture_schema()),
            repeated=[self._view.write(repeated) for repeated in self._repeated],
            form=self._view.architecture_form(),
        )
        if arch is None:
            return None
        if arch in self._seen:
            self._repeated[arch] = None
            self.conversation.reject("duplicate")
            return None
        return arch, {}

    def grow(self) -> tuple[Architecture, Mapping[str, int]] | None:
        """Grow a tree until it holds an architecture; ``None`` where it is exhausted or too large.

        Returns:
            The architecture, and how the tree grew.
        """
        decisions = len(self._view.space.decisions)
        size = self._strategy.cell_size
        cells = [range(i, min(i + size, decisions)) for i in range(0, decisions, size)]
        parts = [self._view.part(cell) for cell in cells]
        tree = Tree([part.space.size for part in parts], self._strategy.breadth)
        impossible = 0
        for step in range(1, self._strategy.breadth * len(cells) + 1):
            cell = self._next_cell(tree, cells, parts[len(tree.path)])
            last = len(tree.path) + 1 == len(cells)
            if cell is None:
                tree.miss()
            elif last and _joined([*tree.path, cell]) in self._seen:
                self.conversation.reject("duplicate")
                tree.refuse(cell)
            else:
                possible = self._judge([*tree.path, cell], cells)
                if possible:
                    tree.accept(cell)
                elif possible is None:
                    tree.miss()
                else:
                    impossible += 1
                    tree.refuse(cell)
                if possible and last:
                    steps = {"steps": step, "impossible": impossible, "backtracks": tree.backtracks}
                    return _joined(tree.path), steps
            if tree.exhausted:
                return None
        return None

    def _next_cell(self, tree: Tree, cells: Sequence[range], part: View) -> Architecture | None:
        cell = self._ask(
            "ists/cell.j2",
            partial(_read_cell, part),
            _schema("cell", _without(part, tree.refused)),
            **self._grown(tree.path, cells),
            options=[_option(self._view, i) for i in cells[len(tree.path)]],
            refused=[part.write(refused) for refused in tree.refused],
            form=part.architecture_form(),
        )
        if cell in tree.refused:
            self.conversation.reject("duplicate")
            return None
        return cell

    def _judge(self, path: Sequence[Architecture], cells: Sequence[range]) -> bool | None:
        return self._ask("ists/judgment.j2", _read_judgment, _JUDGMENT, **self._grown(path, cells))

    def _grown(self, path: Sequence[Architecture], cells: Sequence[range]) -> dict[str, Any]:
        part = self._view.part(list(chain.from_iterable(cells[: len(path)])))
        return {"chosen": len(path), "cells": len(cells), "path": part.write(_joined(path))}

    def _ask(self, template: str, read: Any, schema: Mapping[str, Any], **values: Any) -> Any:
        return self.conversation.ask_fitting(
            lambda shown: self._messages(template, shown, values), len(self._bank), read, schema=schema
        )

    def _messages(self, template: str, shown: int, values: Mapping[str, Any]) -> list[Message]:
        best = self._bank[len(self._bank) - shown :]
        trials = [
            (trial.number + 1, self._view.write(trial.architecture), self._objective.values(trial))
            for trial in best
        ]
        blind, objective = self._view.blind, self._objective
        system = render("ists/system.j2", space=self._view.describe(), objective=objective, blind=blind)
        # Silent where no result may be shown, or where none fits into the context.
        silent = not self._strategy.memory or (self._bank and not trials)
        experience = "" if silent else render("ists/experience.j2", trials=trials, objective=objective)
        user = render(
            template,
            results=bool(trials),
            experience=experience,
            round=self._round,
            rounds=max(self._strategy.rounds, self._round),
            exploring=self._exploring,
            objective=objective,
            blind=blind,
            **values,
        )
        return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _bank(strategy: ISTS, history: History) -> list[Trial]:
    """The results that the model sees, worst first."""
    if not strategy.memory:
        return []
    trials = list(history.trials)
    if strategy.bank == "shuffled":
        order = history.rng.permutation(len(trials))
        trials = [
            trial._replace(score=other.score, value=other.value, measures=other.measures)
            for trial, other in zip(trials, (trials[i] for i in order), strict=True)
        ]
    ordered = sorted(trials, key=lambda trial: trial.score)
    return ordered if strategy.bank_size is None else ordered[-strategy.bank_size :]


def _schema(key: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: value, "explanation": {"type": "string", "maxLength": EXPLANATION_LENGTH}},
        "required": [key, "explanation"],
        "additionalProperties": False,
    }


_JUDGMENT = _schema("judgment", {"enum": ["possible", "impossible"]})


def _without(part: View, refused: Sequence[Architecture]) -> dict[str, Any]:
    """Schema of a cell other than the refused ones. They fit it where the cell has too many choices to list."""
    if not refused or part.space.size > LONGEST_LIST:
        return part.architecture_schema()
    left = [arch for arch in part.space if arch not in refused]
    if part.names == "permuted":
        # Their order must not tell what the symbols stand for.
        left.sort(key=part.write)
    return {"enum": [part.value(arch) for arch in left]}


def _read_cell(part: View, value: Any) -> Architecture:
    if isinstance(value, dict) and "cell" in value:
        value = value["cell"]
    if isinstance(value, dict | list):
        return part.read(value)
    return part.read(str(value) if part.names == "ncode" else [value])


def _read_judgment(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("judgment"), str):
        raise Rejected("wrong shape")
    judgment = value["judgment"].strip().lower()
    if judgment not in ("possible", "impossible"):
        raise Rejected("illegal choice")
    return bool(judgment == "possible")


def _option(view: View, decision: int) -> tuple[str, list[Any]]:
    """A decision and its choices as the model knows them."""
    if view.names != "ncode":
        return view.decisions[decision], view.words(decision)
    part = view.part([decision])
    return f"digit {decision + 1}", [part.value(arch) for arch in part.space]


def _joined(cells: Sequence[Architecture]) -> Architecture:
    return Architecture(chain.from_iterable(cells))
