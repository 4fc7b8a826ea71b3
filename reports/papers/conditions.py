"""Under which conditions something was measured, as far as they are not those that a paper's authors propose."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from pydantic_core import to_jsonable_python

from harness.arguments import default_arguments
from harness.budget import Budget
from reports import formats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

    from harness.benchmarks import Benchmark

# What a benchmark measures, and not how.
_IDENTITY = frozenset({"dataset", "source", "table", "of", "proxy", "space"})
# What says where something is computed, or how long that goes on, which is said in words.
_SAID_OTHERWISE = frozenset({"device", "epochs"})


def unusual(cls: type, params: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that are not the defaults of a class, which are those of its paper; names of models are none.

    Args:
        cls: A registered class.
        params: Arguments, as JSON values.
    """
    defaults = to_jsonable_python(default_arguments(cls))
    models = getattr(cls, "model_parameters", ())
    return {
        key: value
        for key, value in params.items()
        if key not in _SAID_OTHERWISE
        and key not in models
        and (key not in defaults or defaults[key] != value)
    }


def text(settings: Mapping[str, Any]) -> str:
    """Settings in a line: ``images digits, size (channels 8, cells 1)``."""
    return ", ".join(f"{key} {_value(value)}" for key, value in settings.items())


def of_benchmark(benchmark: Benchmark, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """How a benchmark scores what runs recommend: after how many epochs, and settings of its own.

    Args:
        benchmark: The benchmark.
        spec: Specification of a run on it.
    """
    own = unusual(type(benchmark), spec["benchmark"]["params"])
    settings = {key: value for key, value in own.items() if key not in _IDENTITY}
    if benchmark.size is not None:
        settings.setdefault("size", dict(benchmark.size))
    phrases = [f"trained for {formats.epochs(benchmark.final_fidelity)}", text(settings)]
    return tuple(phrase for phrase in phrases if phrase)


def of_search(benchmark: Benchmark, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """What a run could spend, and what it saw where that was not the score that counts.

    Args:
        benchmark: Of the run.
        spec: Its specification.
    """
    return (str(Budget.model_validate(spec["budget"])), *_objective(benchmark, spec))


def _objective(benchmark: Benchmark, spec: Mapping[str, Any]) -> Iterator[str]:
    fidelity, noise = spec["objective"]["fidelity"], spec["objective"]["noise"]
    # A proxy trains nothing; that it guided the search is known already.
    if 0 < fidelity < benchmark.final_fidelity:
        yield f"searched after {formats.epochs(fidelity)}"
    if noise == "drawn":
        yield "one training seed per trial"


def _value(value: Any) -> str:
    match value:
        case dict():
            return f"({text(value)})"
        case list():
            return f"({', '.join(map(_value, value))})"
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)
