"""Search spaces."""

from harness.spaces.base import Architecture
from harness.spaces.base import Choice
from harness.spaces.base import Cost
from harness.spaces.base import SearchSpace
from harness.spaces.cell import CellSpace
from harness.spaces.ists import ISTSSpace
from harness.spaces.nasbench201 import NASBench201Space

__all__ = ["Architecture", "CellSpace", "Choice", "Cost", "ISTSSpace", "NASBench201Space", "SearchSpace"]
