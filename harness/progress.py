"""Progress of a sweep on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Self

from rich.progress import BarColumn
from rich.progress import MofNCompleteColumn
from rich.progress import Progress
from rich.progress import TaskID
from rich.progress import TextColumn
from rich.progress import TimeElapsedColumn
from rich.progress import TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console

    from harness.search import Outcome


class RichProgress:
    """A bar over the runs of a sweep, with messages above it.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = _bar(console)
        self._task = self._bar.add_task("runs", total=None, start=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def begin(self, total: int, earlier: int) -> None:
        if earlier:
            self.message(f"{earlier} of {total} runs are finished already.")
        self._bar.start_task(self._task)
        self._bar.update(self._task, total=total, completed=earlier)

    def ended(self, outcome: Outcome) -> None:
        self._bar.advance(self._task)
        # What parked runs wait for is said once, in the end.
        if outcome.status not in ("complete", "parked"):
            reason = f": {outcome.error}" if outcome.error else ""
            self.message(f"{outcome.status}: {outcome.path}{reason}")

    def message(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class ScoreProgress:
    """A bar per benchmark over the scores of a ranking, and one per scorer that asks models; messages above them.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = _bar(console)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def begin(self, what: str) -> None:
        self._task = self._bar.add_task(what, total=None)

    def scored(self, done: int, total: int) -> None:
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total)

    def message(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
