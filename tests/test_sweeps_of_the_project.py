"""Every sweep of the project's own experiments.yaml can be planned, or says what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness import experiment
from harness.errors import SpecError
from harness.ranking.plan import plan_ranking
from harness.tabulation import plan_table

FILE = experiment.read_experiments(Path(__file__).parents[1] / "experiments.yaml")
_GPU = "unknown source 'official'" if torch.cuda.is_available() else "device 'cuda' cannot be used"
_NO_GPU = "device 'cuda' cannot be used"
_TRAFFIC = "traffic set 'pems-03' is not imported" if torch.cuda.is_available() else _NO_GPU
#: Those that need more than a fresh machine has, and what they say there.
NEEDS = {
    "ists-one-step": "unknown table 'ists-metr-la-29-trained'",
    "ists-table-2": _TRAFFIC,
    "ists-table-2-gradient": _TRAFFIC,
    "ists-table-5": _TRAFFIC,
    "nats-protocol": "unknown source 'official'",
    "multi-fidelity": "unknown source 'official'",
    "one-shot": "unknown source .official.",
    "one-shot-small": "image set .cifar10. is not imported",
    "rz-nas-table-2": _GPU,
    "rz-nas-table-3": _GPU,
}


#: Tables that need traffic, and what they say where it is not there.
TABLES = dict.fromkeys(FILE.experiments.tables, "unknown traffic set")


def plan(name: str) -> None:
    if isinstance(FILE.experiments.sweeps[name], experiment.Ranking):
        assert plan_ranking(FILE, name).benchmarks
    else:
        assert FILE.plan(name)


@pytest.mark.parametrize("name", [name for name in FILE.experiments.sweeps if name not in NEEDS])
def test_sweep_can_be_planned_anywhere(name: str) -> None:
    plan(name)


@pytest.mark.parametrize("name", TABLES)
def test_table_says_what_it_needs(name: str) -> None:
    with pytest.raises(SpecError, match=TABLES[name]):
        plan_table(FILE, name)


@pytest.mark.parametrize("name", NEEDS)
def test_sweep_says_what_it_needs(name: str) -> None:
    with pytest.raises(SpecError, match=NEEDS[name]):
        plan(name)
