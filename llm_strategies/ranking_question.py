"""One question to a language model: order these architectures, none of whose scores you know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from llm_strategies.models.reply import Rejected
from llm_strategies.objective import Objective
from llm_strategies.prompts import render

if TYPE_CHECKING:
    from harness.spaces import Architecture
    from harness.task import Task
    from llm_strategies.models.client import Message
    from llm_strategies.views import View


def messages(view: View, task: Task, shown: Sequence[Architecture]) -> list[Message]:
    """The question.

    Args:
        view: How architectures are written.
        task: What is measured; its data set is not named.
        shown: What to rank, in the order in which it is numbered.
    """
    objective = Objective(task, view.blind)
    return [
        {
            "role": "system",
            "content": render(
                "llm_ranking/system.j2", blind=view.blind, space=view.describe(), metric=objective.name
            ),
        },
        {
            "role": "user",
            "content": render(
                "llm_ranking/user.j2",
                architectures=[view.text(architecture) for architecture in shown],
                better=objective.better,
                symbols=view.names == "permuted",
            ),
        },
    ]


def schema(n: int) -> dict[str, Any]:
    """JSON schema of a reply that ranks ``n`` architectures."""
    # That no number comes twice is more than constrained decoding can hold a model to.
    numbers = {"type": "array", "items": {"enum": list(range(1, n + 1))}, "minItems": n, "maxItems": n}
    return {
        "type": "object",
        "properties": {"ranking": numbers},
        "required": ["ranking"],
        "additionalProperties": False,
    }


def read(value: Any, n: int) -> list[int]:
    """The numbers of a ranking, best first.

    Raises:
        Rejected: The numbers from 1 to ``n`` do not each come once.
    """
    ranking = value.get("ranking") if isinstance(value, dict) else value
    if not isinstance(ranking, list):
        raise Rejected("wrong shape")
    labels = {str(number): number for number in range(1, n + 1)}
    numbers = [labels.get(str(label).strip()) for label in ranking]
    order = [number for number in numbers if number is not None]
    if len(order) < len(numbers):
        raise Rejected("illegal choice")
    if len(order) != n or len(set(order)) < n:
        raise Rejected("wrong shape")
    return order
