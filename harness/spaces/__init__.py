"""Search spaces."""

from harness.spaces.base import Architecture
from harness.spaces.base import Choice
from harness.spaces.base import Cost
from harness.spaces.base import SearchSpace

__all__ = ["Architecture", "Choice", "Cost", "SearchSpace"]
