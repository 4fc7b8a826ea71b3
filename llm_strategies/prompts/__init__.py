"""Prompts as Jinja templates: one folder per strategy, one file per message."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2 import FileSystemLoader
from jinja2 import StrictUndefined


def render(template: str, **values: Any) -> str:
    """The text of a message.

    Args:
        template: E.g. ``lm_searcher/user.j2``.
        values: What the template names. One that is missing is an error.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Prompts are plain text: nothing in them is HTML.
        autoescape=False,
    )
