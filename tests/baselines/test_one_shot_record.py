"""Searches on disk: repeated, resumed, killed and damaged; and what a run makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from baselines.one_shot.bilevel import Bilevel
from baselines.one_shot.darts import DARTS
from baselines.one_shot.strategy import OneShot
from harness import registry
from harness.errors import SpecError
from harness.errors import StoreError
from harness.errors import TrainingError
from harness.spaces import SearchSpace
from tests.baselines.one_shot import SPACE
from tests.baselines.one_shot import TINY
from tests.baselines.one_shot import same
from tests.strategy_checks import STRATEGIES

CASES = [
    pytest.param(case, id=case.name)
    for case in STRATEGIES
    if issubclass(registry.load("strategy", case.name), OneShot)
]
EPOCHS = 6


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    """A data folder of each test's own."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def darts(seed=0, **options):
    return DARTS(**TINY | {"epochs": 4} | options, seed=seed)


def search(strategy=None):
    return (strategy or darts()).search(SPACE, "cifar10")


def architectures(record, count=4):
    return [record.epoch(number).architecture for number in range(count)]


@pytest.mark.parametrize("case", CASES)
def test_cut_off_anywhere_it_ends_as_one_that_was_not(case, tmp_path, monkeypatch):
    """Architectures, metrics, and every bit of the state; the other process knows nothing but the folder."""
    strategy = registry.load("strategy", case.name)(**case.params, seed=3)
    epochs = min(EPOCHS, strategy.length(SPACE, "cifar10"))
    whole = strategy.search(SPACE, "cifar10")
    expected = [whole.epoch(number) for number in range(epochs)]
    state = whole.method_after(epochs - 1).state()
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cut"))
    for number in range(epochs):
        # A new record is what a new process has.
        cut = strategy.search(SPACE, "cifar10")
        found = cut.epoch(number)
        assert found.architecture == expected[number].architecture
        assert found.metrics == expected[number].metrics
    assert same(cut.method_after(epochs - 1).state(), state)


@pytest.mark.parametrize("case", CASES)
def test_length_is_the_number_of_epochs_of_the_method(case):
    strategy = registry.load("strategy", case.name)(**case.params, seed=0)
    context = strategy.context(SPACE, "cifar10")
    assert strategy.method(context).epochs == strategy.length(SPACE, "cifar10")


@pytest.mark.parametrize("case", CASES)
def test_what_is_made_here_decides_nothing_elsewhere(case):
    """The global generator of PyTorch is neither read nor changed."""
    strategy = registry.load("strategy", case.name)(**case.params, seed=3)
    before = torch.get_rng_state()
    method = strategy.method(strategy.context(SPACE, "cifar10"))
    method.epoch(0)
    method.read(0)
    assert torch.equal(before, torch.get_rng_state())


def test_another_process_makes_the_same(tmp_path):
    lines = [
        "from tests.baselines.test_one_shot_record import architectures, search",
        "print([list(arch) for arch in architectures(search())])",
    ]
    made = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"HARNESS_DATA": str(tmp_path / "other"), "PATH": ""},
    )
    assert json.loads(made.stdout) == [list(arch) for arch in architectures(search())]


def test_a_search_that_was_made_is_read_with_its_seconds():
    first = search()
    seconds = [first.epoch(number).seconds for number in range(4)]
    again = search()
    assert [again.epoch(number).seconds for number in range(4)] == seconds
    assert again._method is None


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 5},
        {"batch_size": 8},
        {"learning_rate": 0.01},
        {"train_images": 48},
        {"size": {"channels": 2}},
        {"precision": "bfloat16"},
        {"threads": 2},
        {"second_order": True},
        {"selection": "perturbation"},
        {"seed": 1},
    ],
)
def test_what_decides_a_search_decides_its_folder(other):
    assert search(darts(**other)).folder != search().folder


def test_killed_between_checkpoint_and_list():
    whole = search()
    expected = architectures(whole)
    listed = whole.folder / "search.json"
    content = json.loads(listed.read_text())
    content["epochs"].pop()
    listed.write_text(json.dumps(content))
    assert architectures(search()) == expected
    assert len(json.loads(listed.read_text())["epochs"]) == 4


def test_a_lost_checkpoint_costs_time_and_changes_nothing():
    whole = search(darts(epochs=4))
    first = [whole.epoch(number) for number in range(3)]
    (whole.folder / "checkpoint").unlink()
    again = search()
    again.epoch(3)
    assert [again.epoch(number) for number in range(3)] == first


def test_what_is_damaged_is_named():
    record = search()
    record.epoch(0)
    (record.folder / "checkpoint").write_bytes(b"torn")
    with pytest.raises(
        StoreError, match=r"checkpoint: this checkpoint is damaged; delete it, and the search begins"
    ):
        search().epoch(1)
    (record.folder / "search.json").write_text("{}")
    with pytest.raises(StoreError, match=r"search.json: this is no record of this search"):
        search().epoch(0)


def test_a_state_that_is_gone_is_made_again():
    record = search()
    record.epoch(0)
    state = record.method_after(0).state()
    state = {name: tensor.clone() for name, tensor in state["supernet"].items()}
    record.epoch(2)
    assert same(dict(search().method_after(0).state()["supernet"]), state)
    # What is on disk is still the newest.
    assert search().epoch(3)


def test_states_that_are_made_again_go_on_from_each_other():
    record = search()
    record.epoch(3)
    made = []
    make = record._make
    record._make = lambda: made.append(1) or make()
    states = [
        same(record.method_after(number).state(), search().method_after(number).state())
        for number in (0, 1, 2)
    ]
    assert states == [True] * 3
    assert len(made) == 1


def test_an_epoch_that_is_interrupted_leaves_nothing_behind(monkeypatch):
    """As in a notebook: the process lives on, and so does the strategy."""
    whole = search()
    expected = [whole.epoch(number).metrics for number in range(3)]
    shutil.rmtree(whole.folder)
    record = search()
    step = Bilevel.step
    calls = iter(range(100))

    def interrupted(*arguments):
        if next(calls) in (1, 4):
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(Bilevel, "step", interrupted)
    for number in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            record.epoch(number)
        record.epoch(number)
    record.epoch(2)
    assert [record.epoch(number).metrics for number in range(3)] == expected


def test_a_search_that_diverges_says_so_and_is_not_kept():
    record = search(darts(learning_rate=1e9))
    with pytest.raises(
        TrainingError, match=r"DARTS search diverged in epoch \d: its loss is nan. Lower the learning"
    ):
        record.epoch(3)
    assert not any("nan" in file.read_text().lower() for file in record.folder.glob("search.json"))


def test_settings_that_a_method_adds_decide_its_folder():
    class Halved(DARTS):
        """DARTS with an argument of its own."""

        def __init__(self, *, share: float = 0.5, **options):
            super().__init__(**options)
            self.share = share

    folders = {
        search(made).folder
        for made in (
            Halved(**TINY, seed=0),
            Halved(**TINY, seed=0, share=0.5),
            Halved(**TINY, seed=0, share=0.25),
            DARTS(**TINY, seed=0),
        )
    }
    assert len(folders) == 3


def test_two_that_want_one_search_make_it_once():
    records = [search(), search()]
    found = {}

    def want(number):
        found[number] = records[number].epoch(1)

    threads = [threading.Thread(target=want, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Seconds are measured: equal ones were measured once.
    assert found[0] == found[1]


class TestStrategy:
    def test_what_cannot_be_searched_is_refused(self):
        with pytest.raises(SpecError, match="'categorical' has no cells"):
            darts().check(SearchSpace({"a": (1, 2)}), "cifar10")
        with pytest.raises(SpecError, match="half of 20 training images is less than one batch of 16"):
            darts(train_images=20).check(SPACE, "cifar10")
        with pytest.raises(SpecError, match="image set 'cifar10' is not imported"):
            darts(images=None).check(SPACE, "cifar10")
        with pytest.raises(SpecError, match="unknown size"):
            darts(size={"width": 3}).check(SPACE, "cifar10")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"epochs": 0}, "DARTS: epochs must be at least 1, not 0"),
            ({"learning_rate": 0.0}, "DARTS: learning_rate must be above 0"),
            ({"precision": "float8"}, "DARTS: precision 'float8' is none of float32"),
            ({"selection": "magic"}, "DARTS: selection 'magic' is none of magnitude, perturbation"),
            ({"tuning": 0}, "DARTS: tuning must be at least 1"),
            ({"device": "tpu9"}, "device 'tpu9' cannot be used here"),
        ],
    )
    def test_values_out_of_range_are_refused(self, options, message):
        with pytest.raises(SpecError, match=message):
            darts(**options)

    def test_mixed_precision_searches(self):
        losses = [search(darts(precision=p)).epoch(1).metrics["loss"] for p in ("float32", "bfloat16")]
        assert losses[0] != losses[1]
        assert losses[0] == pytest.approx(losses[1], rel=0.05)
