"""A benchmark whose trainings take no time, as a third party would write it."""

SOURCE = '''
import fnmatch
import os
import time
from collections.abc import Sequence

from harness.benchmarks.base import Metric
from harness.benchmarks.trained import TrainedBenchmark
from harness.benchmarks.trained import Training
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.spaces.ists import ISTSSpace


class Quick(TrainedBenchmark):
    """Errors by a formula: those of an architecture rise with its index, and fall with epochs."""

    name = "quick"
    source = "a formula"
    description = "What a formula says of hills."

    def __init__(
        self,
        dataset: str = "hills",
        epochs: int = 4,
        repeats: int = 2,
        search_repeats: int = 1,
        slope: float = 1.0,
        broken: str = "",
        wait: float = 0.0,
    ) -> None:
        self.dataset = dataset
        self.space = ISTSSpace()
        self.metric = Metric("MAE", "mph", higher_is_better=False)
        self.fidelities = (1, epochs)
        self.repeats = repeats
        self.search_repeats = search_repeats
        self._slope, self._broken, self._wait = slope, broken, wait
        self.keep_in({"slope": slope})

    @property
    def measures(self):
        return (self.metric, Metric("MAPE", "%", higher_is_better=False))

    def network(self, subject):
        if subject.architecture is None and subject.name not in ("graph_wavenet", "stsgcn", "planner"):
            raise SpecError(f"nobody has designed {subject.name!r}.")
        return None

    def train(self, subject, *, fidelity, seed, checkpoint):
        label = f"{subject.name}/{fidelity}/{seed}"
        with open(os.environ["QUICK_LOG"], "a") as log:
            log.write(f"{label} {checkpoint.exists()}\\n")
        checkpoint.write_text("begun")
        time.sleep(self._wait)
        checkpoint.unlink()
        if os.environ.get("QUICK_INTERRUPTED") == str(fidelity):
            raise KeyboardInterrupt
        seconds = 0.5 + 0.25 * seed
        if fnmatch.fnmatchcase(label, self._broken):
            raise ScoreError("it diverged.", seconds)
        index = 0 if subject.architecture is None else self.space.index(subject.architecture)
        error = 20 + self._slope * index / 8 + seed + 1 / fidelity
        return Training(
            scores={
                "valid": {"MAE": error, "MAPE": error / 2},
                "test": {"MAE": error + 1000, "MAPE": error / 2 + 1000},
            },
            seconds=seconds,
            details={"note": "done"},
        )
'''
