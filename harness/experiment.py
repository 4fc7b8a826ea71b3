"""``experiments.yaml`` to validated sweeps, and a sweep to the specs of its runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import ClassVar
from typing import Literal

from pydantic import BaseModel
from pydantic import BeforeValidator
from pydantic import ConfigDict
from pydantic import Discriminator
from pydantic import Field
from pydantic import Tag
from pydantic import ValidationError
from pydantic import field_validator
from pydantic_core import PydanticCustomError

from harness import registry
from harness import scoring
from harness.arguments import arguments_model
from harness.budget import Budget
from harness.data_folder import is_name
from harness.entries import LABEL
from harness.entries import BenchmarkEntry
from harness.entries import StrategyEntry
from harness.errors import SpecError
from harness.errors import unknown_name
from harness.models import Replay
from harness.ranking.entry import Ranking
from harness.section import Section
from harness.store import TRANSCRIPTS
from harness.strategy import Strategy
from harness.tabulation import Tabulation
from harness.yaml_file import YamlFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping
    from collections.abc import Sequence

    from harness.benchmarks import Benchmark

Location = tuple[str | int, ...]

_MOST_SEEDS = 1_000_000


class Objective(Section):
    """How a trial is scored.

    Attributes:
        fidelity: Epochs of one evaluation; ``None`` is the benchmark's highest. A proxy has 0 alone.
        noise: ``mean`` scores by the mean over training seeds; ``drawn`` by one training seed per trial.
    """

    fidelity: Annotated[int, Field(ge=0)] | None = None
    noise: Literal["mean", "drawn"] = "mean"


class Sweep(Section):
    """All runs of one entry of ``experiments.yaml``: strategies x benchmarks x seeds."""

    hints: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"scorers": "`scorers` belong to a sweep of another kind; add `kind: ranking`."}
    )

    kind: Literal["search"] = "search"
    description: str = ""
    benchmarks: Annotated[list[BenchmarkEntry], Field(min_length=1)]
    strategies: Annotated[list[StrategyEntry], Field(min_length=1)]
    seeds: tuple[int, ...]
    budget: Budget
    objective: Objective = Objective()

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_in_any_form(cls, value: Any) -> Any:
        return parse_seeds(value)


def _kind(value: Any) -> str:
    return (
        str(value.get("kind", "search")) if isinstance(value, dict) else str(getattr(value, "kind", "search"))
    )


def _kind_is_known(value: Any) -> Any:
    if _kind(value) not in _KINDS:
        message = unknown_name("kind of sweep", _kind(value), _KINDS)
        raise PydanticCustomError("unknown_key", "{message}", {"key": "kind", "message": message})
    return value


_KINDS = ("ranking", "search")
AnySweep = Annotated[
    Annotated[Sweep, Tag("search")] | Annotated[Ranking, Tag("ranking")],
    Discriminator(_kind),
    BeforeValidator(_kind_is_known),
]
"""An entry of ``sweeps``; without ``kind`` it is a sweep of searches."""


class Tracking(Section):
    """Where runs are tracked.

    Attributes:
        uri: Any MLflow tracking URI; ``None`` tracks nothing.
        traces: Whether each call of a language model is logged as a trace of its run.
    """

    uri: str | None = "sqlite:///mlflow.db"
    traces: bool = False


class ModelEntry(BaseModel):
    """A language model: the kind of its server, and that server's keyword arguments.

    Attributes:
        kind: Registered name.
        concurrency: How many runs may ask it at the same time; ``None`` leaves that to the kind. No part of a
            run's identity.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    kind: str
    concurrency: Annotated[int, Field(ge=1, le=256)] | None = None

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Experiments(Section):
    """The whole of ``experiments.yaml``.

    Attributes:
        results: Folder of all results.
        replay: How stored replies of models are used; no part of a run's identity.
        tracking: Where runs are tracked.
        models: Language models by name.
        tables: Tables of trainings that can be made, by name.
        sweeps: Sweeps by name, at least one.
    """

    results: str = "results"
    replay: Replay = "auto"
    tracking: Tracking = Tracking()
    models: dict[str, ModelEntry] = Field(default_factory=dict)
    tables: dict[str, Tabulation] = Field(default_factory=dict)
    sweeps: Annotated[dict[str, AnySweep], Field(min_length=1)]

    @field_validator("tables")
    @classmethod
    def _names_are_table_names(cls, value: dict[str, Tabulation]) -> dict[str, Tabulation]:
        for name in value:
            if not is_name(name):
                raise PydanticCustomError(
                    "table_name",
                    "a table's name names a file: letters, digits, '.', '_' and '-'",
                    {"key": name},
                )
        return value

    @field_validator("sweeps")
    @classmethod
    def _names_are_folder_names(cls, value: dict[str, AnySweep]) -> dict[str, AnySweep]:
        for name in value:
            if not LABEL.fullmatch(name) or name == TRANSCRIPTS:
                raise PydanticCustomError(
                    "sweep_name",
                    "a sweep's name names a folder: letters, digits, '.', '_', '+' and '-', and not "
                    f"{TRANSCRIPTS!r}, where those of all sweeps are",
                    {"key": name},
                )
        return value


class Named(BaseModel):
    """A registered name with its arguments."""

    model_config = ConfigDict(frozen=True)

    name: str
    params: dict[str, Any]


class Labels(BaseModel):
    """What a run is called. No part of its identity."""

    model_config = ConfigDict(frozen=True)

    sweep: str
    benchmark: str
    strategy: str


class RunSpec(BaseModel):
    """Everything that decides what a run does: frozen, hashable, JSON.

    Attributes:
        strategy: Registered name and hyper-parameters.
        benchmark: Registered name and parameters.
        objective: Fidelity (never ``None`` here) and noise.
        budget: What ends the run.
        seed: Seed of everything random.
        models: The language models that the strategy names, without what only says where they run.
        labels: What the run is called.
    """

    model_config = ConfigDict(frozen=True)

    strategy: Named
    benchmark: Named
    objective: Objective
    budget: Budget
    seed: int
    models: dict[str, dict[str, Any]]
    labels: Labels

    @cached_property
    def id(self) -> str:
        """SHA-256 of the spec without its labels."""
        identity = self.model_dump(mode="json", exclude={"labels"})
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def path(self) -> Path:
        """The run's folder below that of its sweep."""
        return Path(self.labels.benchmark, self.labels.strategy, f"seed-{self.seed}")

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return str(self.path)


def parse_seeds(value: Any) -> tuple[int, ...]:
    """Seeds from a count, a range ``"A:B"`` (B excluded), or a list.

    Raises:
        ValueError: Not one of these, no seed at all, a negative one, or one twice.
    """
    if isinstance(value, bool):
        raise ValueError(f"seeds are a count, a range 'A:B' or a list, not {value!r}")
    if isinstance(value, int):
        if value <= 0:
            raise ValueError(f"the number of seeds must be at least 1, not {value}")
        return tuple(_bounded(0, value))
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", value)
        if match is None:
            raise ValueError(f"a range of seeds is written A:B with 0 <= A < B, not {value!r}")
        seeds = tuple(_bounded(int(match[1]), int(match[2])))
    elif isinstance(value, list | tuple):
        if not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in value):
            raise ValueError(f"seeds are whole numbers, not {value!r}")
        seeds = tuple(value)
    else:
        raise ValueError(f"seeds are a count, a range 'A:B' or a list, not {value!r}")
    if not seeds:
        raise ValueError(f"{value!r} holds no seed; give at least one")
    if min(seeds) < 0 or max(seeds) >= 2**63:
        raise ValueError(f"seeds lie between 0 and 2**63 - 1, not {min(seeds)} to {max(seeds)}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed is listed twice in {value!r}")
    return seeds


def _bounded(start: int, stop: int) -> range:
    if stop - start > _MOST_SEEDS:
        raise ValueError(f"{stop - start:,} seeds are more than the {_MOST_SEEDS:,} that a sweep can have")
    return range(start, stop)


def read_experiments(path: Path) -> ExperimentsFile:
    """Read and validate ``experiments.yaml``.

    Raises:
        SpecError: Names file, line and key of everything that is wrong, with near misses.
    """
    return ExperimentsFile(YamlFile(path))


class ExperimentsFile:
    """A validated ``experiments.yaml`` that still knows its lines.

    Attributes:
        path: The file.
        experiments: Its content.
    """

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self.path = file.path
        try:
            self.experiments = Experiments.model_validate(file.content)
        except ValidationError as error:
            raise SpecError("\n".join(self._explain(error))) from None

    def sweep(self, name: str | None) -> tuple[str, Sweep | Ranking]:
        """A sweep by name; the first one without.

        Raises:
            SpecError: There is no sweep of that name.
        """
        sweeps = self.experiments.sweeps
        if name is None:
            return next(iter(sweeps.items()))
        if name not in sweeps:
            raise SpecError(f"{self.path}: {unknown_name('sweep', name, sweeps)}")
        return name, sweeps[name]

    def table(self, name: str) -> Tabulation:
        """An entry of ``tables`` by name.

        Raises:
            SpecError: There is none of that name.
        """
        tables = self.experiments.tables
        if name not in tables:
            raise SpecError(f"{self.path}: {unknown_name('table', name, tables)}")
        return tables[name]

    def benchmark(self, here: Location, entry: BenchmarkEntry) -> tuple[Named, Benchmark]:
        """The one benchmark of an entry: its name with arguments, and itself.

        Args:
            here: Where the file says it.
            entry: What it says.

        Raises:
            SpecError: Names file, line and key of what is wrong; among other things, a list of values.
            DataError: Data that the benchmark needs are missing.
        """
        with self.locate(here):
            cls = registry.load("benchmark", entry.name)
            expanded = list(entry.expand())
            if len(expanded) > 1:
                raise SpecError("here is one benchmark, so a parameter has one value and no list.")
        params = self.arguments(cls, f"benchmark {entry.name!r}", expanded[0][1], here, BenchmarkEntry)
        with self.locate(here):
            return Named(name=entry.name, params=params), scoring.make_benchmark(entry.name, params)

    def plan(self, name: str, *, seeds: Sequence[int] | None = None) -> list[RunSpec]:
        """The specs of all runs of a sweep, every part of them checked against what is registered.

        Args:
            name: A sweep of the file, of kind ``search``.
            seeds: Takes the place of the sweep's seeds.

        Raises:
            SpecError: Names file, line and key of the first thing that cannot run.
            DataError: Data that a benchmark needs are missing.
        """
        sweep = self.experiments.sweeps[name]
        at: Location = ("sweeps", name)
        if not isinstance(sweep, Sweep):
            with self.locate(at):
                raise SpecError(f"this sweep is of kind {sweep.kind!r}; it has no runs.")
        strategies = self.strategies(name)
        specs = []
        for here, label, named, benchmark in self.benchmarks(name):
            with self.locate(here):
                objective = _checked_objective(sweep, benchmark, strategies)
            for s, strategy in enumerate(strategies.values()):
                with self.locate((*at, "strategies", s)):
                    _try(strategy, benchmark)
            specs += [
                RunSpec(
                    strategy=strategy,
                    benchmark=named,
                    objective=objective,
                    budget=sweep.budget,
                    seed=seed,
                    models=self.models_of(registry.load("strategy", strategy.name), strategy.params),
                    labels=Labels(sweep=name, benchmark=label, strategy=strategy_label),
                )
                for strategy_label, strategy in strategies.items()
                for seed in (sweep.seeds if seeds is None else seeds)
            ]
        self._no_run_twice(specs, at)
        return specs

    def benchmarks(self, name: str) -> Iterator[tuple[Location, str, Named, Benchmark]]:
        """Each benchmark of a sweep: where the file says it, its label, its name with arguments, and itself.

        Raises:
            SpecError: As :meth:`plan`.
            DataError: Data that a benchmark needs are missing.
        """
        labels = set()
        for b, entry in enumerate(self.experiments.sweeps[name].benchmarks):
            here: Location = ("sweeps", name, "benchmarks", b)
            with self.locate(here):
                cls = registry.load("benchmark", entry.name)
                expanded = list(entry.expand())
            for label, raw in expanded:
                params = self.arguments(cls, f"benchmark {entry.name!r}", raw, here, BenchmarkEntry)
                with self.locate(here):
                    if label in labels:
                        raise SpecError(f"two benchmarks have the label {label!r}; set `label` on one.")
                    benchmark = scoring.make_benchmark(entry.name, params)
                labels.add(label)
                yield here, label, Named(name=entry.name, params=params), benchmark

    def model(self, name: str) -> dict[str, Any]:
        """Checked keyword arguments of a model's server."""
        entry = self.experiments.models[name]
        here = ("models", name)
        with self.locate(here):
            cls = registry.load("model", entry.kind)
        return self.arguments(cls, f"model kind {entry.kind!r}", entry.params, here, ModelEntry)

    def _no_run_twice(self, specs: list[RunSpec], at: Location) -> None:
        first: dict[str, RunSpec] = {}
        for spec in specs:
            other = first.setdefault(spec.id, spec)
            if other is not spec:
                with self.locate(at):
                    raise SpecError(
                        f"{spec.path} and {other.path} are the same run under two labels; drop one, or change a "
                        "parameter."
                    )

    def _identity(self, model: str) -> dict[str, Any]:
        """What decides a model's replies: its entry without what only says where it runs."""
        kind = self.experiments.models[model].kind
        params = self.model(model)
        cls = registry.load("model", kind)
        with self.locate(("models", model)):
            _make(cls, f"model {model!r}", params)
        return {"kind": kind} | {k: v for k, v in params.items() if k not in cls.operational_parameters}

    def strategies(self, name: str) -> dict[str, Named]:
        """The strategies of a sweep of kind ``search``: labels to names with arguments, every default among them.

        Raises:
            SpecError: Names file, line and key of what is wrong.
        """
        sweep = self.experiments.sweeps[name]
        assert isinstance(sweep, Sweep), "a ranking has scorers"
        at: Location = ("sweeps", name)
        strategies: dict[str, Named] = {}
        for s, entry in enumerate(sweep.strategies):
            here: Location = (*at, "strategies", s)
            with self.locate(here):
                cls = registry.load("strategy", entry.name)
                if not (isinstance(cls, type) and issubclass(cls, Strategy)):
                    raise SpecError(f"strategy {entry.name!r} is no subclass of harness.strategy.Strategy.")
            self.check_models(cls, f"strategy {entry.name!r}", entry.params, here)
            params = self.arguments(cls, f"strategy {entry.name!r}", entry.params, here, StrategyEntry)
            label = entry.label or entry.name
            with self.locate(here):
                if label in strategies:
                    raise SpecError(f"two strategies have the label {label!r}; set `label` on one.")
            strategies[label] = Named(name=entry.name, params=params)
        return strategies

    def check_models(self, cls: type, what: str, raw: Mapping[str, Any], here: Location) -> None:
        """Make sure that the models that a strategy or scorer needs are named, and declared.

        Args:
            cls: The class; its ``model_parameters`` are the arguments that name one.
            what: It, for messages.
            raw: What the file says.
            here: Where the file says it.

        Raises:
            SpecError: Names file, line and key, and the models that there are.
        """
        declared = self.experiments.models
        arguments = arguments_model(cls).model_fields
        for parameter in getattr(cls, "model_parameters", ()):
            model = raw.get(parameter)
            if model is None and not arguments[parameter].is_required():
                continue
            with self.locate((*here, parameter)):
                if model is None:
                    raise SpecError(
                        f"{what} needs `{parameter}`, the name of an entry of `models`: "
                        f"{', '.join(declared) or 'there is none yet'}."
                    )
                if not isinstance(model, str) or model not in declared:
                    raise SpecError(unknown_name("model", str(model), declared))

    def models_of(self, cls: type, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The models that a strategy or scorer names, each with what decides its replies.

        Args:
            cls: The class.
            params: Its checked arguments.

        Raises:
            SpecError: A model refuses its parameters.
        """
        named = [params[parameter] for parameter in getattr(cls, "model_parameters", ())]
        return {model: self._identity(model) for model in named if model is not None}

    def arguments(
        self, cls: type, what: str, raw: Mapping[str, Any], here: Location, entry: type[BaseModel]
    ) -> dict[str, Any]:
        """Checked keyword arguments of a registered class, every default among them.

        Args:
            cls: The class.
            what: It, for messages.
            raw: What the file says.
            here: Where the file says it.
            entry: Has the keys that may stand beside the arguments.

        Raises:
            SpecError: An argument is unknown, missing, or of a wrong type; names file, line and key.
        """
        model = arguments_model(cls)
        for key in raw:
            if key not in model.model_fields:
                with self.locate((*here, key)):
                    known = {*model.model_fields, *entry.model_fields}
                    raise SpecError(unknown_name(f"parameter of {what}", key, known))
        try:
            # Through JSON, where strict validation still takes a list for a tuple.
            checked = model.model_validate_json(json.dumps(dict(raw)))
        except ValidationError as error:
            raise SpecError("\n".join(self._explain(error, here))) from None
        except (TypeError, ValueError) as error:
            with self.locate(here):
                raise SpecError(f"{what} takes numbers, texts and lists: {error}.") from None
        # With every default, so that a run's identity does not hang on what they are in this version.
        arguments: dict[str, Any] = checked.model_dump(mode="json")
        return arguments

    def _explain(self, error: ValidationError, at: Location = ()) -> Iterator[str]:
        for detail in error.errors():
            location = [*at, *_without_kind(detail["loc"])]
            if "key" in detail.get("ctx", {}):
                location.append(detail["ctx"]["key"])
            yield f"{self._file.where(tuple(location))}: {_sentence(detail)}"

    def locate(self, location: Location) -> contextlib.AbstractContextManager[None]:
        """Puts file, line and key before the message of a :class:`SpecError` raised inside."""
        return _Located(self._file, location)


class _Located(contextlib.AbstractContextManager[None]):
    def __init__(self, file: YamlFile, location: Location) -> None:
        self._where = file.where(location)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SpecError):
            raise SpecError(f"{self._where}: {error}") from None


def _without_kind(location: Location) -> Location:
    """A place in the file, without the word with which pydantic names the kind of a sweep."""
    return (*location[:2], *location[3:]) if location[:1] == ("sweeps",) and len(location) > 2 else location


def _sentence(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"`{detail['loc'][-1]}` is missing; it is required."
    if detail["type"] in {"unknown_key", "sweep_name", "table_name"} or "input" not in detail:
        return message
    shown = repr(detail["input"])
    return f"{message}; got {shown if len(shown) <= 60 else shown[:57] + '...'}."


def _try(strategy: Named, benchmark: Benchmark) -> None:
    """Make the strategy once, so that values it refuses are found before anything runs."""
    cls = registry.load("strategy", strategy.name)
    made = _make(cls, f"strategy {strategy.name!r}", {**strategy.params, "space": benchmark.space, "seed": 0})
    made.check(benchmark.space, benchmark.dataset)


def _make(cls: type, what: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return cls(**arguments)
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(f"{what} refuses its parameters: {type(error).__name__}: {error}") from error


def _checked_objective(sweep: Sweep, benchmark: Benchmark, strategies: Mapping[str, Named]) -> Objective:
    """The objective with its fidelity filled in, after checks that need the benchmark itself."""
    name = benchmark.name
    size = benchmark.space.size
    wanted = sweep.budget.architectures
    if wanted is not None and wanted > size:
        raise SpecError(
            f"the budget of {wanted:,} architectures is larger than the space of {name!r}, "
            f"which has {size:,}; lower `budget.architectures`."
        )
    fidelity = sweep.objective.fidelity
    if fidelity is None:
        fidelity = max(benchmark.fidelities)
    if fidelity not in benchmark.fidelities:
        raise SpecError(
            f"source {benchmark.source!r} of {name!r} has no validation score at fidelity {fidelity}; "
            f"legal are {', '.join(map(str, benchmark.fidelities))} epochs. "
            "`harness data status` lists what each table holds."
        )
    if sweep.objective.noise == "drawn" and not benchmark.draws_seeds(fidelity):
        raise SpecError(
            f"source {benchmark.source!r} of {name!r} has only means over training seeds at {fidelity} epochs, so "
            "none can be drawn; set `objective: {noise: mean}`, or use a source with single seeds."
        )
    below = [f for f in benchmark.fidelities if f <= fidelity]
    for label, named in strategies.items():
        if registry.load("strategy", named.name).multi_fidelity and len(below) < 2:
            raise SpecError(
                f"strategy {label!r} stops trials at lower fidelities, and source {benchmark.source!r} has "
                f"only {', '.join(map(str, below))} epochs up to the objective's; import a table with more "
                "(`harness data import`) or leave this strategy out."
            )
    return Objective(fidelity=fidelity, noise=sweep.objective.noise)


__all__ = [
    "AnySweep",
    "BenchmarkEntry",
    "Experiments",
    "ExperimentsFile",
    "Labels",
    "ModelEntry",
    "Named",
    "Objective",
    "Ranking",
    "RunSpec",
    "StrategyEntry",
    "Sweep",
    "Tracking",
    "parse_seeds",
    "read_experiments",
]
