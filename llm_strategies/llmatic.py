"""LLMatic: a language model as mutation and crossover of a quality-diversity search over architectures and prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from typing import Any

from harness import seeding
from harness.history import Proposal
from llm_strategies.base import LLMStrategy
from llm_strategies.prompts import render
from llm_strategies.quality_diversity import Archive
from llm_strategies.quality_diversity import Descriptors

if TYPE_CHECKING:
    import numpy as np

    from harness.history import History
    from harness.history import Trial
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace
    from llm_strategies.models.client import Message
    from llm_strategies.views import View

#: What a mutation asks for. Like those of the original, some are broad and some specific; unlike them, they make
#: sense for decisions of any kind. Their indices are kept with trials.
INSTRUCTIONS = (
    "Improve the architecture as you think best.",
    "Improve the architecture by changing exactly one decision.",
    "Improve the architecture by changing two decisions.",
    "Improve the architecture by giving it more capacity.",
    "Improve the architecture by giving it less capacity.",
    "Improve the architecture by making it much larger.",
    "Improve the architecture by making it much smaller.",
    "Improve the architecture by using a choice that it does not use yet.",
    "Improve the architecture by using several choices that it does not use yet.",
    "Improve the architecture by removing one of the choices that it uses most often.",
    "Improve the architecture by exchanging the choices of two decisions.",
    "Improve the architecture by changing its first decisions and keeping the last.",
    "Improve the architecture by changing its last decisions and keeping the first.",
)

#: Indices of the instructions on capacity and size. Whoever reads symbols or digits cannot follow them.
ABOUT_SIZE = frozenset({3, 4, 5, 6})

_COLDEST, _HOTTEST = 0.1, 1.0


class LLMatic(LLMStrategy):
    """LLMatic (Nasir et al. 2024, "LLMatic: Neural Architecture Search via Large Language Models and Quality
    Diversity Optimization").

    Two archives hold the best of each of 100 niches (CVT-MAP-Elites): one architectures, by their score; one
    prompts with the temperature at which they are asked, by whether the architecture that they gave entered the
    first archive. Until ten architectures are archived, an initial one is mutated by random prompts. Then a
    proposal is, with probability 0.85, a mutation: one of the three best architectures, with the instruction
    and the temperature of equal rank among the three most curious prompts; otherwise a crossover of the best
    architecture with another archived one, at the temperature of the most curious prompt. The model is shown the
    parents and no scores. A prompt grows
    more curious by 1 when it leads to an architecture that is archived, and less so by 0.5 when it does not. The
    temperature of a mutation varies by up to 0.1 either way. It is stored raised by 0.05 if the score
    equals or beats the best so far, and otherwise lowered by 0.05.

    Of the original, code is out of reach: CodeGen-6B writes PyTorch classes of at most 350 more tokens, without
    a search space, and each is trained for 50 epochs with the weights it inherits. Here the model changes
    architectures of a search space, which a benchmark scores. What follows from that, and what differs from the
    released code (``umair-nasir14/LLMatic``):

    - The 13 instructions of the original name layers (add a convolution, a dropout layer, ...). These are 13
      that fit any decisions, :data:`INSTRUCTIONS`. Where the names are blind, the four of them that speak of
      capacity and size are never drawn: nobody can tell how large a symbol or a digit is, and a model would take
      "smaller" for a smaller number. The other nine keep their places in the prompt archive.
    - The original describes a network by its width-to-depth ratio and its FLOPs. Categorical decisions know no
      width and depth, so the variety of the choices stands for their ratio; and FLOPs where they are known, else
      the mean rank of the choices (:class:`~llm_strategies.quality_diversity.Descriptors`). The released code
      compares raw values with niches of the unit square; here they are scaled to it.
    - One proposal is one trial, and both archives learn from it before the next. There, one operator makes
      four roll-outs of ten networks each, and then the archives learn. The paper's 2,000 candidates are 2,000
      trials here. The budget of the sweep ends the search.
    - The initial architecture is drawn at random for each run, and is not evaluated unless the model proposes it;
      there, it is a small network written by hand.
    - A small space may not fill ten niches. The random phase ends at the latest when half of the niches are filled
      that 1,000 random architectures reach. The released code ends it with ten networks, or with twenty prompts,
      which here would be every niche that the prompts of the random phase can reach.
    - Curiosity belongs to the prompt that was selected, as well as to the one that is archived. In the
      released code, only a new entry has it, and no entry's curiosity ever changes.
    - The released code draws the second parent of a crossover from all archived networks, but looks it up in a
      list of two. Here it is drawn from all.
    - A reply that is no architecture is counted, and another proposal is drawn; there, the parent takes its
      place. An architecture that was proposed before is a trial like any other, as there, which here costs no
      evaluation; its prompt becomes less curious.

    Args:
        niches: Number of niches of each archive.
        samples: Number of points that k-means clusters to make the niches.
        initial_networks: Number of archived architectures that ends the random phase; see above for small
            spaces.
        mutation_probability: Probability of a mutation; otherwise crossover.
        top: Number of the best architectures, and of the most curious prompts, that a mutation selects from.
        temperature: Of the random phase; from 0.1 to 1, as all temperatures of this search.
        temperature_step: How far an outcome moves the temperature that is stored.
        temperature_mutation: How far a mutation varies a stored temperature, at most.
        curiosity_reward: What a prompt gains when the architecture is archived.
        curiosity_penalty: What it loses when not.
        options: See :class:`~llm_strategies.base.LLMStrategy`.

    Raises:
        SpecError: A number is out of range.
    """

    def __init__(
        self,
        *,
        niches: int = 100,
        samples: int = 25_000,
        initial_networks: int = 10,
        mutation_probability: float = 0.85,
        top: int = 3,
        temperature: float = 0.6,
        temperature_step: float = 0.05,
        temperature_mutation: float = 0.1,
        curiosity_reward: float = 1.0,
        curiosity_penalty: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(temperature=temperature, **options)
        self._require("niches", niches, low=1)
        self._require("samples", samples, low=niches)
        self._require("initial_networks", initial_networks, low=1)
        self._require("mutation_probability", mutation_probability, low=0.0, high=1.0)
        self._require("top", top, low=1)
        self._require("temperature", temperature, low=_COLDEST, high=_HOTTEST)
        self._require("temperature_step", temperature_step, low=0.0)
        self._require("temperature_mutation", temperature_mutation, low=0.0)
        self._require("curiosity_reward", curiosity_reward, low=0.0)
        self._require("curiosity_penalty", curiosity_penalty, low=0.0)
        self.niches = niches
        self.samples = samples
        self.initial_networks = initial_networks
        self.mutation_probability = mutation_probability
        self.top = top
        self.temperature_step = temperature_step
        self.temperature_mutation = temperature_mutation
        self.curiosity_reward = curiosity_reward
        self.curiosity_penalty = curiosity_penalty

    def suggest(self, history: History, view: View) -> Proposal:
        archives = history.fold("llmatic", partial(self._archives, history.space), self._learn)
        conversation = self.conversation(history)
        for _ in range(self.attempts):
            variation = self._draw(archives, history, view)
            arch = conversation.ask(
                self.messages(variation, view),
                view.read,
                schema=view.schema(),
                temperature=variation.temperature,
            )
            if arch is not None:
                return conversation.proposal(arch, variation.attributes(history.space))
        raise conversation.exhausted()

    def messages(self, variation: Variation, view: View) -> list[Message]:
        """The question for a mutation, or for a crossover of two parents."""
        parents = [view.write(parent) for parent in variation.parents]
        common = {"space": view.describe(), "form": view.form()}
        if variation.operator == "crossover":
            question = render("llmatic/crossover.j2", parents=parents, **common)
        else:
            instruction = INSTRUCTIONS[variation.prompt]
            question = render("llmatic/mutation.j2", parent=parents[0], instruction=instruction, **common)
        return [
            {"role": "system", "content": render("llmatic/system.j2", blind=view.blind)},
            {"role": "user", "content": question},
        ]

    # The archives, rebuilt from the trials.

    def _archives(self, space: SearchSpace) -> Archives:
        networks: Archive[Architecture] = Archive(self.niches, self.samples)
        describe = Descriptors(space, self.task)
        reached = {networks.niche(describe(arch)) for arch in describe.samples}
        return Archives(
            networks=networks,
            prompts=Archive(self.niches, self.samples),
            describe=describe,
            enough=min(self.initial_networks, max(len(reached) // 2, 1)),
        )

    def _learn(self, archives: Archives, trial: Trial) -> Archives:
        descriptor = archives.describe(trial.architecture)
        added = archives.networks.add(trial.architecture, trial.score, descriptor)
        improved = trial.score >= archives.best_score
        archives.best_score = max(archives.best_score, trial.score)
        # A fallback, or a trial that another sampler made, came of no prompt.
        if "prompt" not in trial.attributes:
            return archives
        curiosity = self.curiosity_reward if added else -self.curiosity_penalty
        selected = archives.prompts.elites.get(trial.attributes["niche"])
        if selected is not None:
            selected[0].curiosity += curiosity
        number = trial.attributes["prompt"]
        step = self.temperature_step if improved else -self.temperature_step
        temperature = _clip(trial.attributes["temperature"] + step)
        archives.prompts.add(
            Prompt(number, temperature, curiosity), float(added), _prompt_descriptor(number, temperature)
        )
        return archives

    # What is asked next.

    def _draw(self, archives: Archives, history: History, view: View) -> Variation:
        rng = history.rng
        if len(archives.networks) < archives.enough or not len(archives.prompts):
            initial = history.space.random(seeding.generator(self._entropy, "initial network"))
            numbers = [i for i in range(len(INSTRUCTIONS)) if not (view.blind and i in ABOUT_SIZE)]
            number = numbers[rng.integers(len(numbers))]
            return Variation("random", (initial,), number, self.temperature, niche=None)
        networks = archives.networks.best()
        prompts = archives.most_curious()
        if len(networks) > 1 and rng.random() >= self.mutation_probability:
            second = networks[1 + int(rng.integers(len(networks) - 1))]
            niche, prompt = prompts[0]
            return Variation("crossover", (networks[0], second), prompt.number, prompt.temperature, niche)
        rank = int(rng.integers(self.top))
        niche, prompt = prompts[min(rank, len(prompts) - 1)]
        temperature = self._mutated(prompt.temperature, rng)
        parent = networks[min(rank, len(networks) - 1)]
        return Variation("mutation", (parent,), prompt.number, temperature, niche)

    def _mutated(self, temperature: float, rng: np.random.Generator) -> float:
        return _clip(temperature + float(rng.uniform(-self.temperature_mutation, self.temperature_mutation)))


@dataclass
class Prompt:
    """An archived prompt: which instruction, at which temperature, and how curious it is."""

    number: int
    temperature: float
    curiosity: float


@dataclass
class Archives:
    """What the trials taught.

    Attributes:
        networks: Architectures by score.
        prompts: Prompts by whether their architecture was archived.
        describe: Where an architecture lies.
        enough: Number of archived architectures that ends the random phase.
        best_score: Highest score so far.
    """

    networks: Archive[Architecture]
    prompts: Archive[Prompt]
    describe: Descriptors
    enough: int
    best_score: float = float("-inf")

    def most_curious(self) -> list[tuple[int, Prompt]]:
        """Niches and their prompts by falling curiosity; of equals, the niche that was filled first."""
        prompts = [(niche, prompt) for niche, (prompt, _) in self.prompts.elites.items()]
        return sorted(prompts, key=lambda item: -item[1].curiosity)


@dataclass(frozen=True)
class Variation:
    """One question to the model.

    Attributes:
        operator: ``random`` (a mutation of the initial architecture), ``mutation`` or ``crossover``.
        parents: One architecture, or two.
        prompt: Index of the instruction; that of a crossover is not shown, but its prompt is credited.
        temperature: At which it is asked.
        niche: Niche of the prompt that was selected; ``None`` where it was drawn.
    """

    operator: str
    parents: tuple[Architecture, ...]
    prompt: int
    temperature: float
    niche: int | None

    def attributes(self, space: SearchSpace) -> dict[str, Any]:
        """What is kept with the trial."""
        return {
            "source": "model",
            "operator": self.operator,
            "parents": [space.ncode(parent) for parent in self.parents],
            "prompt": self.prompt,
            "temperature": self.temperature,
            "niche": self.niche,
        }


def _prompt_descriptor(number: int, temperature: float) -> tuple[float, float]:
    return number / (len(INSTRUCTIONS) - 1), temperature


def _clip(temperature: float) -> float:
    # Rounded, so that steps up and down end where they began.
    return round(min(max(temperature, _COLDEST), _HOTTEST), 4)
