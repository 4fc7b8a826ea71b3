"""A search space in the words that a language model sees: as they are, or blind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import Literal
from typing import get_args

from harness import seeding
from harness.errors import SpaceError
from harness.spaces import Architecture
from harness.spaces import SearchSpace
from llm_strategies.models.reply import Rejected

if TYPE_CHECKING:
    from llm_strategies.models.reply import Reason

Names = Literal["plain", "permuted", "ncode"]
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

NAMES: tuple[Names, ...] = get_args(Names)


class View:
    """A search space as a model sees it.

    With ``plain`` names the model reads what a person would: the space's description, its operations, its
    string form. With ``permuted`` names every choice is a symbol without a meaning, under a permutation drawn
    for the run, and the description is a bare list of decisions: whatever the model knows by heart about
    operations, or about this benchmark, is of no use to it. With ``ncode`` an architecture is one digit per
    decision, the index of the choice, as in LM-Searcher (section 3.2); the order of the choices is that of
    the space, and the paper publishes it for NAS-Bench-201. The difference between plain and permuted is what a
    model knew before it searched.

    Args:
        space: The space.
        names: How it is shown.
        entropy: Seed of the permutation.
    """

    def __init__(self, space: SearchSpace, names: Names, entropy: int) -> None:
        self.space = space
        self.names: Names = names
        #: What the model reads in the place of the decisions' names.
        self.decisions = (
            tuple(f"d{i + 1}" for i in range(len(space.decisions)))
            if names == "permuted"
            else tuple(space.decisions)
        )
        self._words = _words(space, names, entropy)
        self._index = [_lookup(words) for words in self._words]

    @property
    def blind(self) -> bool:
        """Whether the model must not learn what the space, the data set and the operations are."""
        return self.names != "plain"

    # What the model reads.

    def describe(self) -> str:
        """What the space is."""
        if self.names == "plain":
            return self.space.describe()
        if self.names == "ncode":
            digits = ", ".join(str(radix - 1) for radix in self.space.radices)
            return (
                f"An architecture is a code with one digit for each of {len(self.decisions)} decisions; there are "
                f"{self.space.size:,} codes. The digits start at 0; the largest digit of each decision, in order: "
                f"{digits}."
            )
        lines = [f"{len(self.decisions)} decisions, {self.space.size:,} architectures:"]
        lines += [
            f"- {name}: {', '.join(map(str, sorted(words)))}"
            for name, words in zip(self.decisions, self._words, strict=True)
        ]
        return "\n".join(lines)

    def value(self, arch: Architecture) -> Any:
        """An architecture as the JSON value that a reply holds."""
        if self.names == "ncode":
            return self.space.ncode(arch)
        return {name: words[i] for name, words, i in zip(self.decisions, self._words, arch, strict=True)}

    def write(self, arch: Architecture) -> str:
        """An architecture in a prompt: :meth:`value` as compact JSON, or the bare code."""
        value = self.value(arch)
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

    def text(self, arch: Architecture) -> str:
        """An architecture as one short text: the space's own string form, symbols joined by ``-``, or the code.

        A plain space without a string form of its own has :meth:`write`.
        """
        match self.names:
            case "ncode":
                return self.space.ncode(arch)
            case "permuted":
                return "-".join(words[i] for words, i in zip(self._words, arch, strict=True))
            case "plain":
                text = self.space.format(arch)
                return self.write(arch) if text == self.space.ncode(arch) else text

    def part(self, decisions: Sequence[int]) -> View:
        """The view of some decisions alone, in the same words: an architecture of it has a choice for each.

        Args:
            decisions: Their positions in the space.
        """
        names = list(self.space.decisions)
        part = View(SearchSpace({names[i]: self.space.decisions[names[i]] for i in decisions}), self.names, 0)
        part.decisions = tuple(self.decisions[i] for i in decisions)
        part._words = [self._words[i] for i in decisions]
        part._index = [self._index[i] for i in decisions]
        return part

    def words(self, decision: int) -> list[Any]:
        """The choices of a decision as the model sees them; sorted where their order would say something."""
        words = self._words[decision]
        return sorted(words) if self.names == "permuted" else list(words)

    def word(self, decision: int, choice: int) -> Any:
        """One choice of a decision, given by its index in the space, as the model sees it."""
        return self._words[decision][choice]

    def form(self, n: int = 1, least: int | None = None) -> str:
        """How a reply has to look, in a sentence.

        Args:
            n: Number of architectures in the reply.
            least: Smallest number of them, where a range is asked for and ``n`` is more than 1.
        """
        one = self.architecture_form()
        if n > 1:
            number = n if least in (None, n) else f"{least} to {n}"
            start = f"Reply with JSON alone, holding {number} different architectures"
            return f'{start}: {{"architectures":[{one}, ...]}}'
        whole = f'{{"architecture":{one}}}' if self.names == "ncode" else one
        return f"Reply with JSON alone: {whole}"

    def architecture_form(self) -> str:
        """How an architecture looks within a JSON reply."""
        if self.names == "ncode":
            return '"<code>"'
        return "{" + ",".join(f'"{name}":"<choice>"' for name in self.decisions) + "}"

    # What the model writes.

    def schema(self, n: int = 1, least: int | None = None) -> dict[str, Any]:
        """JSON schema that only legal replies with ``n`` architectures fit, or with ``least`` to ``n`` where ``n`` is
        more than 1; its root is an object."""
        one = self.architecture_schema()
        if n == 1 and self.names != "ncode":
            return one
        many = {"type": "array", "items": one, "minItems": least or n, "maxItems": n}
        key = "architecture" if n == 1 else "architectures"
        return {
            "type": "object",
            "properties": {key: one if n == 1 else many},
            "required": [key],
            "additionalProperties": False,
        }

    def architecture_schema(self) -> dict[str, Any]:
        """JSON schema of an architecture within a reply."""
        if self.names == "ncode":
            return {"type": "string", "pattern": self._pattern()}
        if self.names == "plain":
            return self.space.json_schema()
        return {
            "type": "object",
            "properties": {name: {"enum": self.words(i)} for i, name in enumerate(self.decisions)},
            "required": list(self.decisions),
            "additionalProperties": False,
        }

    def read(self, value: Any) -> Architecture:
        """The architecture that a parsed reply describes.

        Accepted are an object with a choice for each decision, a list of choices in order, the space's own
        string form (``plain``), a code (``ncode``), and an object whose only architecture-like entry is one of
        these.

        Raises:
            Rejected: ``"wrong shape"``, or ``"illegal choice"`` where the shape is right.
        """
        match value:
            case str():
                return self._read_text(value.strip())
            case int() if (
                self.names == "ncode"
                and not isinstance(value, bool)
                and len(str(value)) == len(self.decisions)
            ):
                # A code without quotes.
                return self._read_text(str(value))
            case list() if len(value) == len(self.decisions):
                return self._read_choices(value)
            case dict() if self.names != "ncode" and value.keys() >= set(self.decisions):
                return self._read_choices([value[name] for name in self.decisions])
            case dict():
                for key in ("architecture", "arch", "code", "candidate"):
                    if key in value and not isinstance(value[key], dict):
                        return self.read(value[key])
                    if key in value and not {"architecture", "arch"} & value[key].keys():
                        return self.read(value[key])
        raise Rejected("wrong shape")

    def read_many(self, value: Any) -> tuple[list[Architecture], Counter[Reason]]:
        """All legal architectures in a parsed reply, in order and without repetition.

        Returns:
            The architectures, and how many items were thrown away, by reason.

        Raises:
            Rejected: ``"wrong shape"``: the value is no list of architectures, no object that holds one, and no
                architecture.
        """
        items: Sequence[Any]
        if isinstance(value, dict) and isinstance(value.get("architectures"), list):
            items = value["architectures"]
        elif isinstance(value, list) and not self._is_architecture(value):
            items = value
        else:
            items = [value]
        read: dict[Architecture, None] = {}
        rejected: Counter[Reason] = Counter()
        for item in items:
            try:
                arch = self.read(item)
            except Rejected as rejection:
                rejected[rejection.reason] += 1
                continue
            if arch in read:
                rejected["duplicate"] += 1
            read[arch] = None
        if not read and set(rejected) <= {"wrong shape"}:
            raise Rejected("wrong shape")
        return list(read), rejected

    def _is_architecture(self, value: Sequence[Any]) -> bool:
        try:
            self.read(value)
        except Rejected:
            return False
        return True

    def _read_text(self, text: str) -> Architecture:
        if self.names == "permuted":
            raise Rejected("wrong shape")
        try:
            return self.space.from_ncode(text) if self.names == "ncode" else self.space.parse(text)
        except SpaceError:
            raise Rejected("illegal choice") from None

    def _read_choices(self, values: Sequence[Any]) -> Architecture:
        return Architecture([self._choice(i, value) for i, value in enumerate(values)])

    def _choice(self, decision: int, value: Any) -> int:
        if isinstance(value, dict | list):
            raise Rejected("wrong shape")
        index = self._index[decision].get(str(value).strip())
        if index is None:
            raise Rejected("illegal choice")
        return index

    def _pattern(self) -> str:
        most = max(self.space.radices, default=0)
        if most > len(_DIGITS):
            # Numbers joined by "-"; the parser refuses those that are too large.
            number = f"[0-9]{{1,{len(str(most - 1))}}}"
            return "^" + "-".join([number] * len(self.space.radices)) + "$"
        return "^" + "".join(map(_digit_pattern, self.space.radices)) + "$"


def _digit_pattern(radix: int) -> str:
    """One digit below ``radix``: 0 to 9, then letters."""
    if radix <= 10:
        return f"[0-{radix - 1}]"
    return f"[0-9a-{_DIGITS[radix - 1]}]"


def _words(space: SearchSpace, names: Names, entropy: int) -> list[list[Any]]:
    if names == "ncode":
        return [list(range(radix)) for radix in space.radices]
    if names == "plain":
        return [list(choices) for choices in space.decisions.values()]
    # Decisions with the same choices share their symbols: that they are the same is no secret of the benchmark.
    symbols: dict[tuple[Any, ...], list[str]] = {}
    for choices in space.decisions.values():
        key = tuple((type(choice), choice) for choice in choices)
        if key not in symbols:
            letter = _letters(len(symbols))
            order = seeding.generator(entropy, "names", len(symbols)).permutation(len(choices))
            symbols[key] = [f"{letter}{i + 1}" for i in order]
    return [
        symbols[tuple((type(choice), choice) for choice in choices)] for choices in space.decisions.values()
    ]


def _letters(number: int) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    more, last = divmod(number, len(alphabet))
    return (_letters(more - 1) if more else "") + alphabet[last]


def _lookup(words: Sequence[Any]) -> Mapping[str, int]:
    """Index by text: a model may write ``"3"`` for 3. Choices that read alike are told apart by nobody."""
    index: dict[str, int] = {}
    for i, word in enumerate(words):
        for text in {str(word), json.dumps(word)}:
            index.setdefault(text.strip('"'), i)
    return index
