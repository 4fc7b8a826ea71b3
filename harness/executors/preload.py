"""What workers that ask models would import one by one: imported once in the process that they are forked from.

Nothing here may start a thread or an event loop, for a fork takes neither along.
"""

from __future__ import annotations

import jinja2
from openai import AsyncOpenAI

from harness.executors import local

# The client imports what it needs when it is made and first used; nothing is sent.
AsyncOpenAI(base_url="http://127.0.0.1", api_key="none").chat.completions.with_raw_response  # noqa: B018

__all__ = ["jinja2", "local"]
