"""The command line. Everything heavy is imported inside the command that needs it, so that help is instant."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Literal

import typer

from harness.errors import HarnessError
from harness.errors import SpecError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from harness.experiment import ExperimentsFile
    from harness.experiment import RunSpec
    from harness.models import Replay
    from harness.ranking.plan import Plan

app = typer.Typer(
    name="harness",
    help="Compare neural architecture search strategies by the same rules.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Tables of benchmarks, image sets and traffic sets: what is there, and importing official files.",
    no_args_is_help=True,
)
app.add_typer(data_app, name="data")
transcripts_app = typer.Typer(
    help="What was asked of models and what they replied: taking it along, to run a sweep without them.",
    no_args_is_help=True,
)
app.add_typer(transcripts_app, name="transcripts")

ExperimentsArgument = Annotated[Path, typer.Argument(metavar="[FILE]", help="The experiments file.")]
DEFAULT_FILE = Path("experiments.yaml")
FileOption = Annotated[Path, typer.Option(help="The experiments file.")]
ResultsOption = Annotated[Path | None, typer.Option(help="Results folder in place of the file's.")]

_CALL_KEY = re.compile(r"[0-9a-f]{64}")


def main() -> None:
    """Entry point: a user's error is one message and exit code 2."""
    try:
        app()
    except HarnessError as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(2)


@app.command()
def run(
    file: ExperimentsArgument = DEFAULT_FILE,
    sweep: Annotated[str | None, typer.Option(help="Sweep to run; the file's first one without.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs whose strategy, benchmark, or benchmark/strategy fits this pattern; of a ranking, scorers."
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="A:B", help="Seeds A to B-1 in place of the file's.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for runs that ask no model.")] = 2,
    results: ResultsOption = None,
    replay: Annotated[
        Literal["auto", "strict", "off"] | None,
        typer.Option(
            help="Stored replies of models: auto asks for what is missing, strict starts no model, off asks for all."
        ),
    ] = None,
    track: Annotated[bool, typer.Option(help="Log to MLflow.")] = True,
    retry_failed: Annotated[
        bool, typer.Option(help="Make the runs that failed earlier, and only those.")
    ] = False,
    report: Annotated[bool, typer.Option(help="Make the report when the runs have ended.")] = True,
    dry_run: Annotated[bool, typer.Option(help="Check everything and list the runs, but make none.")] = False,
) -> None:
    """Run a sweep: strategies x benchmarks x seeds, or a ranking. What is finished is not run again."""
    from rich.markup import escape

    from harness import experiment
    from harness.progress import RichProgress
    from harness.sweep import run_sweep
    from harness.sweep import select

    console = _console()
    experiments = experiment.read_experiments(file)
    name, declared = experiments.sweep(sweep)
    if isinstance(declared, experiment.Ranking):
        given = {"--seeds": seeds, "--retry-failed": retry_failed or None}
        _refuse_options(name, [option for option, value in given.items() if value is not None])
        _run_ranking(
            experiments,
            name,
            only or [],
            results or Path(experiments.experiments.results),
            workers,
            experiments.experiments.tracking.uri if track else None,
            console,
            replay=replay,
            report=report,
            dry_run=dry_run,
        )
        return
    now = _seeds(seeds) or declared.seeds
    # The seeds of the file belong to the sweep also while others are made, so that a report misses them.
    planned = experiments.plan(name, seeds=sorted({*declared.seeds, *now}))
    specs = select([spec for spec in planned if spec.seed in now], only or [])
    settings = experiments.experiments
    root = results or Path(settings.results)
    uri = settings.tracking.uri if track else None
    if dry_run:
        console.print(_plan_table(name, specs, root))
        return
    with _interruptible(console), RichProgress(console) as progress:
        result = run_sweep(
            experiments,
            name,
            specs,
            planned=planned,
            results=root,
            workers=workers,
            tracking_uri=uri,
            traces=settings.tracking.traces,
            retry_failed=retry_failed,
            replay=replay or settings.replay,
            progress=progress,
        )
    if report:
        _report(result.folder, None, console)
    for path, reason in result.failed.items():
        console.print(f"[red]failed[/red] {path}: {escape(reason)}", highlight=False)
    _print_parked(result.parked.values(), "run", console)
    if uri is not None and not result.untracked:
        _track_sweep(result.folder, uri, console, report=report)
    if result.failed or result.parked:
        raise typer.Exit(1)


@app.command()
def tabulate(
    name: Annotated[str, typer.Argument(help="An entry of `tables` in the experiments file.")],
    file: FileOption = DEFAULT_FILE,
    workers: Annotated[int, typer.Option(min=1, help="Processes that train.")] = 2,
) -> None:
    """Train every architecture of a space, or a sample, and write a table that serves as a benchmark.

    What is trained already is not trained again: a table that was cut off goes on where it stopped.
    """
    from harness import experiment
    from harness.progress import ScoreProgress
    from harness.tabulation import make_table
    from harness.tabulation import plan_table

    console = _console()
    plan = plan_table(experiment.read_experiments(file), name)
    with _interruptible(console), ScoreProgress(console) as progress:
        progress.begin(name)
        table = make_table(plan, workers=workers, progress=progress.scored)
    console.print(f"Table: {table.path}", highlight=False, soft_wrap=True)
    console.print(
        f"As a benchmark of a sweep: {{name: tabulated, table: {name}}}", highlight=False, markup=False
    )


@app.command("report")
def make_report(
    results: Annotated[
        str | None,
        typer.Argument(
            metavar="[RESULTS]",
            help="Folder of one sweep, e.g. results/quickstart; of several, for the tables of papers (`results` "
            "without). With --from-mlflow, the name of a sweep.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write; without, RESULTS/report, or RESULTS/papers, or SWEEP-report with --from-mlflow."
        ),
    ] = None,
    from_mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Make the report from what this MLflow server has of a sweep, without its folder.",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(help="One table of a paper, such as collm-table3, beside what was measured."),
    ] = None,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Make tables, curves and one HTML page from a results folder.

    Of a folder of several sweeps: every table of every paper, as published and as measured, with the sweeps of the
    experiments file that would fill the rest.
    """
    if from_mlflow is not None:
        if table is not None:
            raise SpecError("--table reads a folder of results; leave out --from-mlflow, or --table.")
        _report_from_mlflow(from_mlflow, results, out, _console())
        return
    folder = Path(results or "results")
    # Only the file that nobody named may be missing: then no sweep is proposed.
    experiments = file if file != DEFAULT_FILE or file.exists() else None
    if table is not None:
        _print_report(_reports("table")(table, folder, out, experiments), _console())
    elif _holds_no_sweep_itself(folder):
        _print_report(_reports("papers")(folder, out, experiments), _console())
    else:
        _report(folder, out, _console())


def _holds_no_sweep_itself(folder: Path) -> bool:
    try:
        return folder.is_dir() and not (folder / "sweep.json").exists()
    except OSError:
        # What cannot be read is told by what reads it.
        return False


@app.command("list")
def list_registered(
    what: Annotated[
        Literal["spaces", "benchmarks", "proxies", "references", "scorers", "strategies", "models"],
        typer.Argument(),
    ],
) -> None:
    """List what is registered, with the parameters that experiments.yaml can set."""
    import inspect

    from rich.markup import escape
    from rich.table import Table

    from harness import registry
    from harness.arguments import arguments_model

    kinds: dict[str, registry.Kind] = {
        "spaces": "space",
        "benchmarks": "benchmark",
        "proxies": "proxy",
        "references": "reference",
        "scorers": "scorer",
        "strategies": "strategy",
        "models": "model",
    }
    kind = kinds[what]
    table = Table("name", "what it is", "parameters")
    for name in registry.names(kind):
        cls = registry.load(kind, name)
        fields = arguments_model(cls).model_fields
        parameters = [
            key if field.is_required() else f"{key}={field.default!r}" for key, field in fields.items()
        ]
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
        table.add_row(name, escape(summary), escape(", ".join(parameters)))
    _console().print(table)


@app.command()
def track(
    folder: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A sweep's folder, or the folder of all results.")
    ],
    uri: Annotated[
        str | None, typer.Option(help="MLflow tracking URI; that of the experiments file without.")
    ] = None,
    traces: Annotated[
        bool | None,
        typer.Option(
            "--traces/--no-traces",
            help="Log each call of a language model; without, as the experiments file says, or not with --uri.",
            show_default=False,
        ),
    ] = None,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Log finished runs to MLflow. Runs that are there already are left alone."""
    from harness import experiment
    from harness.tracking import track_results

    if uri is None:
        tracking = experiment.read_experiments(file).experiments.tracking
        uri = tracking.uri
        traces = tracking.traces if traces is None else traces
    if uri is None:
        raise SpecError(f"{file}: `tracking.uri` is null; give --uri.")
    summary = track_results(folder, uri, traces=bool(traces))
    _console().print(str(summary), highlight=False, markup=False, soft_wrap=True)
    if summary.unreadable:
        raise typer.Exit(1)


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="A model of the experiments file.")],
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Start a model and keep it until Ctrl-C. `harness run` uses it where its `port` is set."""
    from harness import experiment
    from harness.serving import keep_serving

    console = _console()
    with _ended_by_signals(), contextlib.suppress(KeyboardInterrupt):
        keep_serving(
            experiment.read_experiments(file),
            name,
            lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
        )


@app.command()
def doctor(file: ExperimentsArgument = DEFAULT_FILE) -> None:
    """What is installed, which devices, which data, which models answer."""
    from harness.doctor import examine

    healthy = examine(file, _console())
    if not healthy:
        raise typer.Exit(1)


@data_app.command("status")
def data_status() -> None:
    """Every table, image set and traffic set: where it is, what it holds, whether it is intact."""
    from harness import images
    from harness import traffic
    from harness.benchmarks import data
    from harness.doctor import data_table
    from harness.doctor import image_table
    from harness.doctor import traffic_table

    console = _console()
    console.print(data_table(data.status()))
    console.print(image_table(images.status()))
    console.print(traffic_table(traffic.status()))


@data_app.command("import")
def data_import(
    benchmark: Annotated[
        str,
        typer.Argument(
            help="E.g. nasbench201; or `images`, for an image set; or `traffic`, for a traffic set."
        ),
    ],
    path: Annotated[
        Path,
        typer.Argument(
            help="Official archive or folder, .pth, Parquet or CSV; .npz of images; .h5 or .npz of traffic."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="What to call it: a table for `source:` in experiments.yaml (official without), an image set for "
            "`images:`, a traffic set for `dataset:` (the data set's own name without).",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="For images and traffic, the data set that they are of, e.g. cifar10 or metr-la."),
    ] = None,
    adjacency: Annotated[
        Path | None, typer.Option(help="For traffic, the graph: .pkl of a matrix, or .csv of distances.")
    ] = None,
    sensors: Annotated[
        Path | None,
        typer.Option(help="For traffic, ids of the sensors, where only a .csv of distances has them."),
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML file that maps columns (Parquet, CSV).")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="One mapping, e.g. cifar10/valid/200=my_column.")
    ] = None,
    allow_partial: Annotated[bool, typer.Option(help="Accept a table that lacks cells.")] = False,
) -> None:
    """Import a table of a benchmark, an image set, or a traffic set, from its official files. See docs/data.md."""
    from rich.progress import Progress

    from harness.benchmarks import data
    from harness.doctor import data_table
    from harness.doctor import image_table
    from harness.doctor import traffic_table
    from harness.images import SHAPES
    from harness.images.importing import import_images
    from harness.traffic.importing import import_traffic
    from harness.traffic.official import OFFICIAL

    console = _console()
    if benchmark != "traffic" and (adjacency or sensors):
        raise SpecError("--adjacency and --sensors are for traffic.")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"reading {path.name}", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        for_tables = bool(mapping or column or allow_partial)
        if benchmark == "images":
            dataset = _imported_for(benchmark, dataset, SHAPES, for_tables)
            shown = image_table([import_images(path, dataset=dataset, name=name, progress=progress)])
        elif benchmark == "traffic":
            dataset = _imported_for(benchmark, dataset, OFFICIAL, for_tables)
            imported = import_traffic(path, dataset=dataset, adjacency=adjacency, sensors=sensors, name=name)
            shown = traffic_table([imported])
        else:
            if dataset is not None:
                raise SpecError(
                    "--dataset is for images and traffic; a table holds all data sets of its benchmark."
                )
            table = data.import_table(
                benchmark,
                path,
                name=name or "official",
                mapping=mapping,
                columns=column or [],
                allow_partial=allow_partial,
                progress=progress,
            )
            shown = data_table([table])
    console.print(shown)


def _imported_for(kind: str, dataset: str | None, known: Iterable[str], for_tables: bool) -> str:
    """The data set of an import that needs one, and no option for tables."""
    if dataset is None:
        raise SpecError(f"{kind} must be of a known data set; give --dataset: {', '.join(known)}.")
    if for_tables:
        raise SpecError(f"--mapping, --column and --allow-partial are for tables, and not for {kind}.")
    return dataset


@transcripts_app.command("export")
def transcripts_export(
    target: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="The file to write.")],
    results: ResultsOption = None,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Write all transcripts to one file, sorted by key."""
    count = _transcripts(results, file).export(target)
    _console().print(f"{count:,} transcripts: {target}", highlight=False, soft_wrap=True)


@transcripts_app.command("import")
def transcripts_import(
    source: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="What `export` wrote.")],
    results: ResultsOption = None,
    file: FileOption = DEFAULT_FILE,
) -> None:
    """Take over transcripts. What is stored already stays as it is."""
    loaded = _transcripts(results, file).load(source)
    console = _console()
    console.print(f"{loaded.added:,} transcripts imported, {loaded.known:,} known already.", highlight=False)
    if loaded.different:
        console.print(
            f"[yellow]{loaded.different:,} have another reply here, which stays.[/yellow] "
            "Import into another --results folder to replay those of the file.",
            highlight=False,
        )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let what ends a process end this one as Ctrl-C does, so that it stops what it has started."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    # One that is ignored stays so: `nohup` does that.
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _interruptible(console: Console) -> Iterator[None]:
    """What can go on later: Ctrl-C ends it with a word about that."""
    try:
        with _ended_by_signals():
            yield
    except KeyboardInterrupt:
        console.print("Interrupted. Run the same command to go on where it stopped.")
        raise typer.Exit(130) from None


def _print_parked(reasons: Collection[str], what: str, console: Console) -> None:
    """What waits for a model, and why."""
    from rich.markup import escape

    for alike in _alike(reasons):
        count = f"{len(alike)} {what if len(alike) == 1 else f'{what}s'}"
        console.print(f"[yellow]parked[/yellow] {count}: {escape(alike[0])}", highlight=False, soft_wrap=True)
    if reasons:
        console.print(
            f"Nothing of parked {what}s is lost: the same command goes on with them.", highlight=False
        )


def _run_ranking(
    experiments: ExperimentsFile,
    name: str,
    only: list[str],
    root: Path,
    workers: int,
    uri: str | None,
    console: Console,
    *,
    replay: Replay | None,
    report: bool,
    dry_run: bool,
) -> None:
    from harness.progress import ScoreProgress
    from harness.ranking.plan import plan_ranking
    from harness.ranking.plan import select
    from harness.ranking.run import run_ranking

    plan = plan_ranking(experiments, name)
    if replay is not None and not plan.asks:
        raise SpecError(
            f"--replay is for what asks language models, and no scorer of the ranking {name!r} does; leave it out."
        )
    chosen = select(plan, only)
    if dry_run:
        console.print(_scorer_table(chosen, root))
        return
    with _interruptible(console), ScoreProgress(console) as progress:
        result = run_ranking(
            experiments,
            plan,
            chosen,
            results=root,
            workers=workers,
            progress=progress,
            replay=replay or experiments.experiments.replay,
        )
    if report:
        _report(result.folder, None, console)
        if uri is not None:
            _track_ranking(result.folder, uri, console)
    elif uri is not None:
        console.print(
            f"Not tracked: a ranking is logged with its report. `harness report {result.folder}` makes that, and "
            f"`harness track {result.folder}` logs it.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    _print_parked(result.parked.values(), "scorer", console)
    if result.parked:
        raise typer.Exit(1)


def _track_sweep(folder: Path, uri: str, console: Console, *, report: bool) -> None:
    from harness.tracking import track_sweep

    _track(lambda: track_sweep(folder, uri, report=report), uri, console)


def _track_ranking(folder: Path, uri: str, console: Console) -> None:
    from harness.tracking import track_ranking

    _track(lambda: track_ranking(folder, uri), uri, console)


def _track(log: Callable[[], object], uri: str, console: Console) -> None:
    """Log a sweep with its report; where that fails, nothing is lost."""
    from harness.errors import TrackingError

    try:
        log()
    except TrackingError as error:
        console.print(f"Not tracked: {error} `harness track` logs it later.", highlight=False, markup=False)
    else:
        console.print(f"MLflow: {uri} (make ui)", highlight=False)


def _refuse_options(sweep: str, options: list[str]) -> None:
    why = {
        "--seeds": "scores each architecture once; `seed` of the sweep is that of its sample.",
        "--retry-failed": "has no runs that fail: an architecture that cannot be scored is counted as such.",
    }
    for option in options:
        raise SpecError(
            f"{option} is for searches. Sweep {sweep!r} is of kind 'ranking', which {why[option]}"
        )


def _scorer_table(plan: Plan, root: Path) -> Table:
    from rich.table import Table

    from harness.ranking.folder import RankingFolder

    table = Table("benchmark", "scorer", "architectures", "status", title=f"ranking {plan.name}")
    if plan.asks:
        table.add_column("asks")
    for benchmark in plan.benchmarks:
        record = RankingFolder(root / plan.name / benchmark.label).record
        for label, scorer in benchmark.scorers.items():
            status = "complete" if record and label in record.scorers else "not complete"
            number = f"{len(benchmark.architectures):,}" if scorer.missing is None else "none: no such scores"
            asks = [", ".join(scorer.models)] if plan.asks else []
            table.add_row(benchmark.label, label, number, status, *asks)
    return table


def _transcripts(results: Path | None, file: Path) -> Any:
    """The store of transcripts in a results folder."""
    from importlib.metadata import entry_points

    from harness import experiment
    from harness.store import TRANSCRIPTS

    if results is None:
        results = Path(experiment.read_experiments(file).experiments.results)
    # By name, for the engine knows nothing of the package that asks models.
    (store,) = entry_points(group="harness.transcripts", name="default")
    return store.load()(results / TRANSCRIPTS)


def _report(folder: Path, out: Path | None, console: Console) -> None:
    _print_report(_reports("default")(folder, out), console)


def _report_from_mlflow(uri: str, sweep: str | None, out: Path | None, console: Console) -> None:
    """Make a sweep's report in a folder that is there for as long as that takes."""
    import tempfile

    from harness.tracking import fetch_sweep

    with tempfile.TemporaryDirectory(prefix="harness-") as results:
        fetched = fetch_sweep(uri, sweep, Path(results))
        for remark in fetched.remarks:
            console.print(remark, highlight=False, markup=False, soft_wrap=True)
        _report(fetched.folder, out or Path(f"{fetched.name}-report"), console)


def _reports(kind: str) -> Callable[..., Any]:
    """What makes a kind of report. By name, for the engine knows nothing of the package that makes reports."""
    from importlib.metadata import entry_points

    (build,) = entry_points(group="harness.reports", name=kind)
    made: Callable[..., Any] = build.load()
    return made


def _print_report(made: Any, console: Console) -> None:
    for table in made.console_tables:
        console.print(table)
    console.print(f"Report: {made.page}", highlight=False, soft_wrap=True)


def _alike(reasons: Iterable[str]) -> list[list[str]]:
    """Reasons that differ at most in the key of a call, together; the most frequent first."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(_CALL_KEY.sub("", reason), []).append(reason)
    return sorted(groups.values(), key=len, reverse=True)


def _seeds(text: str | None) -> tuple[int, ...] | None:
    from harness.experiment import parse_seeds

    if text is None:
        return None
    try:
        return parse_seeds(text)
    except ValueError as error:
        raise SpecError(f"--seeds: {error}.") from None


def _plan_table(name: str, specs: list[RunSpec], root: Path) -> Table:
    from rich.table import Table

    from harness.store import RunFolder

    table = Table("run", "budget", "objective", "status", title=f"sweep {name}: {len(specs)} runs")
    for spec in specs:
        status = RunFolder(root / name / spec.path).status or "not started"
        objective = f"{spec.objective.fidelity} epochs, {spec.objective.noise}"
        table.add_row(str(spec.path), str(spec.budget), objective, status)
    return table


def _console() -> Console:
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # A file or a pipe has no width; tables are made for this one.
        console.width = 100
    return console
