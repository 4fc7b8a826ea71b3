"""Tables of scores, and filling them with several processes."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pytest

from harness.errors import ProxyError
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.errors import StoreError
from harness.proxies import Proxy
from harness.proxies import ProxyScore
from harness.proxies import ScoreTable
from harness.proxies import make_proxy
from harness.proxies import score_all
from harness.spaces import NASBench201Space

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence

    from harness.spaces import Architecture
    from harness.spaces import SearchSpace

SPACE = NASBench201Space()
SAMPLE = [SPACE.random(np.random.default_rng(i)) for i in range(30)]

# Two of them share work, and write down who was asked together.
TEAM = """
import os, pathlib, signal, time
from harness.errors import ScoreError
from harness.errors import SpecError
from harness.proxies import Proxy, ProxyScore

class Team(Proxy):
    description = "The sum of the choices, times a factor."

    def __init__(self, factor: float = 1.0, log: str = "", deadly: str = "", broken: str = ""):
        self.factor, self.log, self.deadly, self.broken = factor, log, deadly, broken

    def identity(self, space, dataset):
        return {"factor": self.factor}

    @property
    def shares(self):
        return ("team",)

    def score(self, space, arch, dataset):
        if space.ncode(arch) == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if space.ncode(arch) == self.broken:
            raise ValueError("no such thing")
        return self.factor * sum(arch)

    @classmethod
    def score_together(cls, proxies, space, arch, dataset):
        if proxies[0].log:
            with open(proxies[0].log, "a") as file:
                file.write(f"{space.ncode(arch)} {len(proxies)}\\n")
        return [ProxyScore.of(proxy.score(space, arch, dataset), 0.5) for proxy in proxies]
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def team(plugin: Callable[..., None]) -> None:
    plugin(TEAM, {"team": "Team"}, group="harness.proxies")


class Half(Proxy):
    """Not registered; only its identity matters here."""

    description = "Half."

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score(self, space: SearchSpace, arch: Architecture, dataset: str) -> float:
        return 0.5


def table(proxy: Proxy | None = None, dataset: str = "cifar10") -> ScoreTable:
    return ScoreTable("half", proxy or Half(), SPACE, dataset)


def test_scores_are_there_for_the_next_process() -> None:
    scores = {SAMPLE[0]: ProxyScore(1.25, 0.5), SAMPLE[1]: ProxyScore(None, 0.25, "it is dead.")}
    first = table()
    assert first.get(SAMPLE[0]) is None
    first.add(scores)
    for known in (first, table()):
        assert {arch: known.get(arch) for arch in scores} == scores
        assert len(known) == 2
    head, *lines = first.path.read_text().splitlines()
    assert json.loads(head)["identity"] == {"seed": 0}
    assert len(lines) == 2


def test_what_decides_a_score_decides_the_table() -> None:
    tables = [table(), table(Half(seed=1)), table(dataset="cifar100")]
    assert len({t.digest for t in tables}) == 3
    tables[0].add({SAMPLE[0]: ProxyScore(1.0, 0.0)})
    assert [len(table()), len(table(Half(seed=1))), len(table(dataset="cifar100"))] == [1, 0, 0]


def test_the_first_score_of_an_architecture_counts() -> None:
    ours, other = table(), table()
    ours.add({SAMPLE[0]: ProxyScore(1.0, 0.5)})
    other.add({SAMPLE[0]: ProxyScore(1.0, 0.75), SAMPLE[1]: ProxyScore(2.0, 0.5)})
    assert other.get(SAMPLE[0]) == ProxyScore(1.0, 0.5)
    ours.refresh()
    assert ours.get(SAMPLE[1]) == ProxyScore(2.0, 0.5)


@pytest.mark.parametrize("torn", [b'{"nc', b'{"ncode":"000000","score":1.0,"seconds":0.0}'])
def test_a_line_that_a_kill_cut_off_is_dropped(torn: bytes) -> None:
    first = table()
    first.add({SAMPLE[0]: ProxyScore(1.0, 0.5)})
    with first.path.open("ab") as file:
        file.write(torn)
    again = table()
    assert len(again) == 1
    again.add({SAMPLE[1]: ProxyScore(2.0, 0.5)})
    assert [len(line) for line in map(json.loads, first.path.read_text().splitlines())] == [5, 3, 3]
    assert len(table()) == 2


def test_a_damaged_line_is_named() -> None:
    first = table()
    first.add({SAMPLE[0]: ProxyScore(1.0, 0.5)})
    with first.path.open("ab") as file:
        file.write(b'{"ncode":"9","score":1.0,"seconds":0.0}\n')
    with pytest.raises(StoreError, match="half-.*damaged.*delete the file"):
        table()


def _add(part: int) -> None:
    own = table()
    for i in range(part, len(SAMPLE), 4):
        own.add({SAMPLE[i]: ProxyScore(float(i), 0.0)})


def test_processes_add_side_by_side() -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add, args=(part,)) for part in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    known = table()
    assert len(known) == len(set(SAMPLE))
    assert len(known.path.read_text().splitlines()) == 1 + len(SAMPLE)


def fill(workers: int, sample: Sequence[Architecture] = SAMPLE, **settings: Any) -> dict[str, list[Any]]:
    proxies = {
        "once": ("team", make_proxy("team", settings)),
        "twice": ("team", make_proxy("team", {"factor": 2.0, **settings})),
        "flops": ("flops", make_proxy("flops", {})),
    }
    scored = score_all(proxies, SPACE, "cifar10", sample, workers=workers)
    return {label: [made[arch] for arch in sample] for label, made in scored.items()}


@pytest.mark.parametrize("workers", [1, 2])
def test_all_are_scored_together_and_once(workers: int, team: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    scores = fill(workers, log=str(log))
    assert [s.value for s in scores["twice"]] == [2.0 * sum(arch) for arch in SAMPLE]
    assert [s.value for s in scores["flops"]] == [SPACE.cost(arch, "cifar10").flops for arch in SAMPLE]
    assert {s.seconds for s in scores["once"]} == {0.5}
    assert sorted(log.read_text().splitlines()) == sorted(f"{SPACE.ncode(a)} 2" for a in set(SAMPLE))
    assert fill(workers, log=str(log)) == scores
    assert len(log.read_text().splitlines()) == len(set(SAMPLE))


def test_only_what_is_missing_is_scored(team: None, tmp_path: Path) -> None:
    fill(1, SAMPLE[:10])
    log = tmp_path / "log"
    fill(1, SAMPLE, log=str(log))
    assert len(log.read_text().splitlines()) == len(set(SAMPLE) - set(SAMPLE[:10]))


def test_what_is_counted_has_no_table(team: None, own_folder: Path) -> None:
    fill(1)
    assert {path.name.partition("-")[0] for path in own_folder.rglob("*.jsonl")} == {"team"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_proxy_that_fails_is_named_and_costs_no_finished_score(workers: int, team: None) -> None:
    last = SPACE.ncode(SAMPLE[-1])
    proxies = {
        "good": ("team", make_proxy("team", {})),
        "bad": ("team", make_proxy("team", {"factor": 2.0, "broken": last})),
    }
    said = (
        rf"proxy 'bad' failed on architecture {last} of 'nasbench201': ValueError: no such thing "
        r"\(.*third_party.py, line \d+\)"
    )
    with pytest.raises(ProxyError, match=said):
        score_all(proxies, SPACE, "cifar10", SAMPLE, workers=workers)
    known = ScoreTable("team", make_proxy("team", {}), SPACE, "cifar10")
    # All but the chunks that were in flight.
    assert len(known) >= (28 if workers == 1 else 12)


def test_progress_is_told(team: None) -> None:
    told: list[tuple[int, int]] = []
    proxies = {"a": ("team", make_proxy("team", {}))}
    score_all(proxies, SPACE, "cifar10", SAMPLE[:6], progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 6), (4, 6), (6, 6)]


def test_a_process_that_dies_is_told_and_costs_nothing_else(team: None, tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="a process that scored architectures died.*goes on"):
        fill(2, deadly=SPACE.ncode(SAMPLE[-1]))
    log = tmp_path / "log"
    scores = fill(2, log=str(log))
    assert [s.value for s in scores["once"]] == [float(sum(arch)) for arch in SAMPLE]
    assert len(log.read_text().splitlines()) < len(SAMPLE)


def test_a_killed_call_is_resumed(team: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"""
    import time
    from harness.proxies import make_proxy, score_all
    from harness.spaces import NASBench201Space
    space = NASBench201Space()
    proxies = {{"once": ("team", make_proxy("team", {{"log": {str(log)!r}}}))}}
    score_all(proxies, space, "cifar10", [space.from_index(i) for i in range(400)], workers=1,
              progress=lambda done, total: time.sleep(0.05))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    while not log.exists() or len(log.read_text().splitlines()) < 40:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = len(log.read_text().splitlines())
    sample = [SPACE.from_index(i) for i in range(400)]
    scored = score_all({"once": ("team", make_proxy("team", {"log": str(log)}))}, SPACE, "cifar10", sample)
    assert [scored["once"][arch].value for arch in sample] == [float(sum(arch)) for arch in sample]
    # At most the chunk that was in flight is scored twice.
    assert before < 400 <= len(log.read_text().splitlines()) <= 404


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, "unknown setting of proxy 'grad_norm' 'sed', did you mean 'seed'"),
        ({"seed": "a"}, "setting seed of proxy 'grad_norm': .*integer; got 'a'"),
        ({"batch_size": 2.5}, "setting batch_size of proxy 'grad_norm': .*integer"),
        ({"size": {"channels": "x"}}, "setting size.channels of proxy 'grad_norm'"),
        ({"seed": object()}, "settings of proxy 'grad_norm' are numbers, texts and lists"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_proxy("grad_norm", settings)


def test_a_deleted_table_is_begun_anew_by_who_uses_it() -> None:
    used = table()
    used.add({SAMPLE[0]: ProxyScore(1.0, 0.5), SAMPLE[1]: ProxyScore(2.0, 0.5)})
    used.path.unlink()
    used.add({SAMPLE[2]: ProxyScore(3.0, 0.5)})
    assert used.get(SAMPLE[2]) == ProxyScore(3.0, 0.5)
    assert used.get(SAMPLE[0]) == ProxyScore(1.0, 0.5)
    assert len(table()) == 1


def test_a_table_of_other_settings_is_refused() -> None:
    other = table(Half(seed=1))
    other.add({SAMPLE[0]: ProxyScore(1.0, 0.5)})
    own = table()
    own.path.write_bytes(other.path.read_bytes())
    with pytest.raises(StoreError, match="no table of scores of proxy 'half' at these settings"):
        table()


@pytest.mark.parametrize(
    "row",
    [
        {"ncode": "000000", "score": "abc", "seconds": 1.0},
        {"ncode": "000000", "score": float("nan"), "seconds": 1.0},
        {"ncode": "000000", "score": 1.0, "seconds": None},
        {"ncode": "000000", "score": 1.0, "seconds": -1.0},
        {"ncode": "000000", "score": None, "seconds": 1.0},
        {"ncode": "000000", "score": 1.0, "seconds": 1.0, "problem": "it is dead."},
        {"score": 1.0, "seconds": 1.0},
        [],
    ],
)
def test_what_is_no_score_is_damage(row: Any) -> None:
    own = table()
    own.add({SAMPLE[0]: ProxyScore(1.0, 0.5)})
    with own.path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(StoreError, match="damaged"):
        table()
