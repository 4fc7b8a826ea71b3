"""Training of forecasting networks: what decides it, what is kept, and what is left after faults."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import ScoreError
from harness.errors import StoreError
from harness.forecasting.settings import TrainingSettings
from harness.forecasting.training import Trained
from harness.forecasting.training import train
from harness.forecasting.windows import Windows
from harness.networks.spatial_temporal import Cells
from harness.networks.spatial_temporal import Forecaster
from harness.networks.spatial_temporal import Graph
from harness.networks.spatial_temporal import SpatialTemporalCell
from tests.harness.forecasting import traffic
from tests.harness.forecasting import waves

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS, SENSORS = 280, 3
VALUES = waves(STEPS, SENSORS)
# Parts begin at steps 0, 140 and 196: less than a day, so that the time of day tells steps apart.
SHARES = (5, 2, 3)
VALID, TEST = 140, 196
SETTINGS = TrainingSettings(batch_size=16, learning_rate=0.01, patience=15)


class Watched(nn.Module):
    """A network of two cells that notes which windows it sees."""

    def __init__(self, at_step: Callable[[int, bool], None] | None = None) -> None:
        super().__init__()
        roads = Graph(traffic(VALUES))
        self.at_step = at_step
        self.forecaster = Forecaster(
            lambda channels: Cells(
                ((0, 1), (0, 2), (1, 2)),
                [
                    SpatialTemporalCell(
                        kind, roads, channels, attention=4, heads=2, hidden=8, convolutions=1, dropout=0.1
                    )
                    for kind in ("stp", "stt", "tts")
                ],
            ),
            4,
            features=2,
            steps=12,
            horizons=12,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.at_step is not None:
            for start in (x[:, 1, 0, 0] * 288).round().int().tolist():
                self.at_step(start, self.training)
        return self.forecaster(x)


def windows(values: np.ndarray = VALUES) -> Windows:
    return Windows(traffic(values), SHARES, steps=12, horizons=12)


def trained(
    settings: TrainingSettings = SETTINGS,
    *,
    values: np.ndarray = VALUES,
    at_step: Callable[[int, bool], None] | None = None,
    passes: int = 3,
    seed: int = 0,
    **options: Any,
) -> Trained:
    make = lambda: Watched(at_step)  # noqa: E731
    return train(make, windows(values), settings, passes=passes, seed=seed, threads=1, **options)


def content(result: Trained) -> Trained:
    """What is the same on every call."""
    return replace(result, seconds=0, test_seconds=0)


@pytest.fixture(scope="module")
def three() -> Trained:
    """A training of three passes."""
    return trained()


# What a training is.


def test_a_pass_sees_every_window_once_and_the_test_part_comes_last() -> None:
    seen: list[tuple[int, bool]] = []
    told: list[int] = []

    def tell(number: int, loss: float, error: float) -> None:
        told.append(len(seen))
        assert 0 < loss < 100
        assert 0 < error < 100

    result = trained(passes=2, at_step=lambda start, training: seen.append((start, training)), tell=tell)
    training, validation, test = range(VALID - 23), range(VALID, TEST - 23), range(TEST, STEPS - 23)
    each = len(training) + len(validation)
    assert told == [each, 2 * each]
    for number in range(2):
        made = seen[number * each : (number + 1) * each]
        assert sorted(start for start, training in made if training) == list(training)
        assert [start for start, training in made if not training] == list(validation)
    assert seen[2 * each :] == [(start, False) for start in test]
    # Passes are in orders of their own.
    assert seen[: len(training)] != seen[each : each + len(training)]
    assert result.passes == 2
    assert result.seconds > 0
    assert result.test_seconds > 0


def test_one_pass_is_a_training() -> None:
    result = trained(passes=1)
    assert (result.passes, result.best_pass) == (1, 1)
    # The first of more passes is the same.
    errors: list[float] = []
    trained(passes=2, tell=lambda _, __, error: errors.append(error))
    assert errors[0] == result.valid.mae


def test_strides_show_less() -> None:
    seen: list[tuple[int, bool]] = []
    settings = replace(SETTINGS, stride=7, evaluation_stride=3)
    trained(settings, passes=1, at_step=lambda start, training: seen.append((start, training)))
    shown = sorted(start for start, training in seen if training)
    assert shown == list(range(shown[0], VALID - 23, 7))
    judged = [start for start, training in seen if not training]
    assert judged == [*range(VALID, TEST - 23, 3), *range(TEST, STEPS - 23, 3)]


def test_it_learns() -> None:
    result = trained(passes=30)
    forecast_of_the_mean = np.abs(VALUES[VALID + 12 : TEST] - VALUES[:VALID].mean()).mean()
    assert result.valid.mae < 0.7 * forecast_of_the_mean
    assert result.test.mae < 0.7 * forecast_of_the_mean


def test_the_weights_of_the_best_pass_are_kept() -> None:
    batches = 0

    class Declines(Watched):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal batches
            batches += self.training
            # From the third pass on, of 8 batches each.
            return super().forward(x) + 10 * (batches > 16)

    made: list[Watched] = []
    weights: list[dict[str, torch.Tensor]] = []
    errors: list[float] = []

    def make() -> Watched:
        made.append(Declines())
        return made[-1]

    def tell(_: int, __: float, error: float) -> None:
        errors.append(error)
        weights.append({name: values.clone() for name, values in made[0].state_dict().items()})

    result = train(make, windows(), SETTINGS, passes=5, seed=0, threads=1, tell=tell)
    assert batches == 5 * 8
    assert len(errors) == result.passes == 5
    assert result.valid.mae == min(errors)
    assert result.best_pass == 1 + errors.index(min(errors)) <= 2
    for name, values in made[0].state_dict().items():
        assert torch.equal(values, weights[result.best_pass - 1][name])
        assert not torch.equal(values, weights[-1][name])


@pytest.mark.parametrize("patience", [1, 2])
def test_it_ends_when_patience_does(patience: int) -> None:
    settings = replace(SETTINGS, learning_rate=0.1, patience=patience)
    errors: list[float] = []
    result = trained(settings, passes=40, tell=lambda _, __, error: errors.append(error))
    assert result.passes < 40
    assert result.passes == result.best_pass + patience
    # No pass before was without a better one for so long.
    best = [1 + errors.index(min(errors[:made])) for made in range(1, len(errors))]
    assert all(made - at < patience for made, at in enumerate(best, start=1))


# What decides it.


def test_nothing_of_the_test_part_is_known(three: Trained) -> None:
    poisoned = VALUES.copy()
    poisoned[TEST:] = waves(STEPS - TEST, SENSORS, seed=1) * 50
    found = trained(values=poisoned)
    assert found.valid == three.valid
    assert found.best_pass == three.best_pass
    assert found.test != three.test


def test_nothing_is_learned_from_the_validation_part() -> None:
    poisoned = VALUES.copy()
    poisoned[VALID:TEST] = 1000
    losses: list[list[float]] = []
    for values in (VALUES, poisoned):
        losses.append([])
        trained(values=values, passes=2, tell=lambda _, loss, __: losses[-1].append(loss))
    assert losses[0] == losses[1]


def test_the_seed_decides(three: Trained) -> None:
    # (That it does in any process, test_tabulation.py shows.)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert content(trained()) == content(three)
    assert trained(seed=1).valid != three.valid


def test_what_is_global_is_left_as_it_was() -> None:
    threads: set[int] = set()
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = torch.get_rng_state()
        torch.set_num_threads(2)
        try:
            trained(passes=1, at_step=lambda *_: threads.add(torch.get_num_threads()))
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert torch.equal(torch.get_rng_state(), state)
    assert threads == {1}


# What is left after faults.


class Killed(BaseException):
    """What a signal does, at a place of our choice."""


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_training_that_was_cut_off_goes_on(at: int, three: Trained, tmp_path: Path) -> None:
    checkpoint = tmp_path / "there" / "x.checkpoint"

    def die(number: int, *_: float) -> None:
        if number == at:
            raise Killed

    with pytest.raises(Killed):
        trained(tell=die, checkpoint=checkpoint)
    assert checkpoint.exists() == (at > 1)
    numbers: list[int] = []
    resumed = trained(tell=lambda number, *_: numbers.append(number), checkpoint=checkpoint)
    assert numbers == list(range(at, 4))
    assert content(resumed) == content(three)
    assert list(checkpoint.parent.iterdir()) == []


def test_a_training_that_was_cut_off_in_a_pass_goes_on(three: Trained, tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    seen: list[int] = []

    def die(start: int, _: bool) -> None:
        seen.append(start)
        if len(seen) == 400:
            raise Killed

    for _ in range(3):
        seen.clear()
        with pytest.raises(Killed):
            trained(at_step=die, checkpoint=checkpoint)
        if checkpoint.exists():
            break
    assert checkpoint.exists()
    assert content(trained(checkpoint=checkpoint)) == content(three)


def test_a_training_that_had_ended_early_goes_on(tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=0.1, patience=2)
    whole = trained(settings, passes=40)
    checkpoint = tmp_path / "x.checkpoint"

    def die(start: int, _: bool) -> None:
        if start >= TEST:
            raise Killed

    with pytest.raises(Killed):
        trained(settings, passes=40, at_step=die, checkpoint=checkpoint)
    numbers: list[int] = []
    resumed = trained(
        settings, passes=40, tell=lambda number, *_: numbers.append(number), checkpoint=checkpoint
    )
    assert numbers == [], "its passes were all made"
    assert content(resumed) == content(whole)


def test_seconds_before_it_was_cut_off_count(tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    slow = [0.3]

    def wait(start: int, _: bool) -> None:
        if slow:
            time.sleep(slow.pop())

    def die(number: int, *_: float) -> None:
        if number == 2:
            raise Killed

    with pytest.raises(Killed):
        trained(at_step=wait, tell=die, checkpoint=checkpoint)
    assert trained(checkpoint=checkpoint).seconds > 0.3


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "digest", "foreign"])
def test_a_damaged_checkpoint_is_named(damage: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"

    def die(number: int, *_: float) -> None:
        if number == 2:
            raise Killed

    with pytest.raises(Killed):
        trained(tell=die, checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    checkpoint.write_bytes(
        {
            "empty": b"",
            "short": whole[:-100],
            "flipped": bytes(flipped),
            "digest": b"\0" + whole[1:],
            "foreign": b"what somebody else has written there",
        }[damage]
    )
    with pytest.raises(
        StoreError, match=r"x.checkpoint: this checkpoint is damaged; delete it, and .* begins anew"
    ):
        trained(checkpoint=checkpoint)


def test_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        trained(checkpoint=tmp_path / "file" / "x.checkpoint")


@pytest.mark.parametrize("passes", [1, 3])
def test_a_training_that_diverges_has_no_score(passes: int, tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    settings = replace(SETTINGS, learning_rate=1e30)
    with pytest.raises(ScoreError, match=r"the training diverged in pass 1: its loss is .*nan") as caught:
        trained(settings, passes=passes, checkpoint=checkpoint)
    assert caught.value.seconds > 0


def test_a_training_that_diverges_later_leaves_nothing(tmp_path: Path) -> None:
    checkpoint = tmp_path / "x.checkpoint"
    count = 0

    class Breaks(Watched):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal count
            count += self.training
            # In the second pass.
            return super().forward(x) * (float("nan") if count > 10 else 1.0)

    with pytest.raises(
        ScoreError, match=r"diverged in pass 2: its loss is nan, its validation MAE nan"
    ) as caught:
        train(Breaks, windows(), SETTINGS, passes=5, seed=0, threads=1, checkpoint=checkpoint)
    # The pass before was paid for, too.
    assert caught.value.seconds > 0
    assert list(tmp_path.iterdir()) == []
