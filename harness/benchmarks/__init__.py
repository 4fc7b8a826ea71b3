"""Benchmarks."""

from harness.benchmarks.base import Benchmark
from harness.benchmarks.base import Evaluation
from harness.benchmarks.base import Extent
from harness.benchmarks.base import Metric

__all__ = ["Benchmark", "Evaluation", "Extent", "Metric"]
