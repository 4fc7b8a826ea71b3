"""Training of forecasting networks: one pass, or many with early stopping."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

import torch

from harness import seeding
from harness.errors import ScoreError
from harness.errors import StoreError
from harness.forecasting.errors import Errors
from harness.forecasting.errors import ErrorSums
from harness.forecasting.errors import masked_mae
from harness.forecasting.settings import TrainingSettings
from harness.networks.initialisation import fresh
from harness.store import storage_errors
from harness.store import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from harness.forecasting.partition import Part
    from harness.forecasting.windows import Windows

_DIGEST = hashlib.sha256().digest_size
# Windows of a batch that is evaluated: no gradient is kept, but tensors that leave the cache take longer.
_EVALUATED_AT_ONCE = 32


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        valid: Errors on the validation part, of the pass where its MAE was lowest.
        test: Errors on the test part, of the weights of that pass.
        passes: Passes that were made.
        best_pass: The pass whose weights are kept, from 1.
        seconds: Training and validation, measured: what a search pays.
        test_seconds: The forecasts for the test part, measured.
    """

    valid: Errors
    test: Errors
    passes: int
    best_pass: int
    seconds: float
    test_seconds: float


def train(
    make: Callable[[], nn.Module],
    windows: Windows,
    settings: TrainingSettings,
    *,
    passes: int,
    seed: int,
    threads: int,
    checkpoint: Path | None = None,
    tell: Callable[[int, float, float], None] | None = None,
) -> Trained:
    """Train a network on the training part; the weights of the pass with the lowest validation MAE are kept.

    With one pass this is one-step tuning (ISTS, section 4.3.1). On one kind of device and for one number of threads,
    equal arguments give equal bits; interrupted and gone on with from its checkpoint, too.

    Args:
        make: Makes the network; its weights are drawn anew.
        windows: What to learn from.
        settings: How.
        passes: Largest number of passes.
        seed: Of weights, order and dropout.
        threads: Of PyTorch on a CPU.
        checkpoint: File of what was done so far. It is written after every pass, gone on from where it is there, and
            deleted in the end, also where the training diverges; ``None`` writes none.
        tell: Called after every pass with its number from 1, its training loss, and its validation MAE.

    Raises:
        ScoreError: The training diverged.
        StoreError: The checkpoint cannot be read or written, or is damaged.
    """
    try:
        with _reproducible(threads):
            training = _Training(make, windows, settings, seed)
            training.restore(checkpoint)
            while training.passes < passes and training.passes - training.best_pass < settings.patience:
                loss = training.make_pass()
                if tell is not None:
                    tell(training.passes, loss, training.last.mae)
                if training.passes < passes:
                    training.keep(checkpoint)
            trained = training.result()
    except ScoreError:
        # From here, it would diverge again.
        _delete(checkpoint)
        raise
    _delete(checkpoint)
    return trained


def _delete(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        with storage_errors(checkpoint):
            checkpoint.unlink(missing_ok=True)


class _Training:
    """A network, what trains it, and how far that has come."""

    best: Errors
    last: Errors
    best_weights: dict[str, torch.Tensor]

    def __init__(
        self, make: Callable[[], nn.Module], windows: Windows, settings: TrainingSettings, seed: int
    ) -> None:
        self._windows = windows
        self._settings = settings
        self._seed = seed
        self.network = fresh(make, seed).to(windows.device)
        self._adam = torch.optim.Adam(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.passes = 0
        self.best_pass = 0
        self.seconds = 0.0

    def make_pass(self) -> float:
        """Train on every batch once, then look at the validation part; returns the mean training loss."""
        began = self._now()
        loss = self._train()
        self.last = self._errors("valid")
        self.passes += 1
        self.seconds += self._now() - began
        if not math.isfinite(loss) or not math.isfinite(self.last.mae):
            raise ScoreError(
                f"the training diverged in pass {self.passes}: its loss is {loss}, its validation MAE {self.last.mae}.",
                self.seconds,
            )
        if self.passes == 1 or self.last.mae < self.best.mae:
            self.best, self.best_pass = self.last, self.passes
            self.best_weights = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        return loss

    def _train(self) -> float:
        settings, windows = self._settings, self._windows
        self.network.train()
        seed = seeding.integer(self._seed, "pass", self.passes)
        order = torch.Generator().manual_seed(seed)
        total = torch.zeros((), device=windows.device)
        count = 0
        with torch.random.fork_rng(enabled=True):
            # Dropout draws from the global generator alone. It gets its state back.
            torch.manual_seed(seed)
            for batch in windows.shuffled("train", settings.batch_size, order, stride=settings.stride):
                loss = masked_mae(windows.in_unit(self.network(batch.inputs)), batch.targets)
                self._adam.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
                self._adam.step()
                total += loss.detach()
                count += 1
        return float(total) / count

    @torch.no_grad()
    def _errors(self, part: Part) -> Errors:
        self.network.eval()
        windows = self._windows
        sums: ErrorSums | None = None
        stride = self._settings.evaluation_stride
        for batch in windows.in_order(part, _EVALUATED_AT_ONCE, stride=stride):
            sums = sums or ErrorSums(batch.targets.shape[1], windows.device)
            sums.add(windows.in_unit(self.network(batch.inputs)), batch.targets)
        assert sums is not None
        return sums.errors()

    def result(self) -> Trained:
        """What came of it; the network has its best weights then."""
        self.network.load_state_dict(self.best_weights)
        began = self._now()
        test = self._errors("test")
        return Trained(
            valid=self.best,
            test=test,
            passes=self.passes,
            best_pass=self.best_pass,
            seconds=round(self.seconds, 6),
            test_seconds=round(self._now() - began, 6),
        )

    def _now(self) -> float:
        if self._windows.device.type == "cuda":
            torch.cuda.synchronize(self._windows.device)
        return time.perf_counter()

    def keep(self, file: Path | None) -> None:
        """Write everything that the next pass needs."""
        if file is None:
            return
        state = {
            "network": self.network.state_dict(),
            "adam": self._adam.state_dict(),
            "best_weights": self.best_weights,
            "best": asdict(self.best),
            "passes": self.passes,
            "best_pass": self.best_pass,
            "seconds": self.seconds,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        with storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, hashlib.sha256(content).digest() + content)

    def restore(self, file: Path | None) -> None:
        """Take over what was written, where there is something."""
        if file is None:
            return
        with storage_errors(file):
            content = file.read_bytes() if file.exists() else None
        if content is None:
            return
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            raise StoreError(f"{file}: this checkpoint is damaged; delete it, and the training begins anew.")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content[_DIGEST:]), map_location=self._windows.device, weights_only=True
        )
        self.network.load_state_dict(state["network"])
        self._adam.load_state_dict(state["adam"])
        self.best_weights = state["best_weights"]
        self.best = Errors(**state["best"])
        self.passes, self.best_pass, self.seconds = state["passes"], state["best_pass"], state["seconds"]


@contextmanager
def _reproducible(threads: int) -> Iterator[None]:
    """The same operations in the same order on every call.

    Args:
        threads: Of PyTorch; other numbers round otherwise.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
