"""What is optimised, in words that a language model may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.history import Trial
    from harness.task import Task


class Objective:
    """The metric of a task, named or blind.

    Nothing of the metric is known in a bare Optuna study. There the score stands for it, whose sign is turned so
    that higher is better.

    Args:
        task: What the search is about.
        blind: Whether the model must not learn what is measured, and on what. It still learns the direction.

    Attributes:
        name: What is measured, in a word or two: ``"accuracy"``, or ``"score"`` where that is a secret.
        title: The same with unit and data set: ``"accuracy (%) on cifar10"``.
        better: ``"higher"`` or ``"lower"``.
        about: What the data are and what is to be predicted; empty where that is a secret, or the name says it.
        others: Names with units of what else is measured of an architecture; none where that is a secret.
    """

    def __init__(self, task: Task, blind: bool) -> None:
        self._metric = task.metric
        self.name = "score" if blind else task.metric.name
        unit = f" ({task.metric.unit})" if task.metric.unit else ""
        dataset = f" on {task.dataset}" if task.dataset else ""
        self.title = self.name if blind else f"{self.name}{unit}{dataset}"
        self.about = "" if blind else task.description
        self.others = () if blind else tuple(f"{m.name} ({m.unit})" for m in task.measures[1:])
        self._others = () if blind else tuple(m.name for m in task.measures[1:])
        self.better = "higher" if task.metric.higher_is_better else "lower"

    def value(self, trial: Trial) -> float:
        """The score of a trial in the direction of the metric."""
        # Subtracted, so that a zero has no sign.
        return trial.score if self._metric.higher_is_better else 0.0 - trial.score

    def values(self, trial: Trial) -> str:
        """All that was measured of a trial that the model may see, as text: ``MAE 4.05 RMSE 7.7 MAPE 12.6``."""
        measured = [(self.name, self.value(trial))]
        measured += [(name, trial.measures[name]) for name in self._others if name in trial.measures]
        return " ".join(f"{name} {value:.6g}" for name, value in measured)

    def error(self, value: float) -> float | None:
        """How far a value is from perfect: the rest of a percentage that should be high, or a value that should
        be low itself; ``None`` where nobody knows what is perfect.

        Its own inverse.
        """
        if not self._metric.higher_is_better:
            return value
        return 100.0 - value if self._metric.unit == "%" else None
