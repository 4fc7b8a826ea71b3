"""What is installed, which devices, which data, which models answer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from rich.markup import escape
from rich.table import Column
from rich.table import Table

from harness import environment
from harness import experiment
from harness import images
from harness import registry
from harness import traffic
from harness.benchmarks import data
from harness.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from harness.benchmarks.data import TableStatus
    from harness.images import ImageSetStatus
    from harness.traffic import TrafficSetStatus

_OK, _NOTE, _BAD = "[green]ok[/green]", "[yellow]note[/yellow]", "[red]missing[/red]"
_OPTIONAL = {"vllm": "serve models with vLLM: pip install 'nas-harness[vllm]'"}


def examine(file: Path, console: Console) -> bool:
    """Print what this machine can run.

    Args:
        file: The experiments file whose models and tracking are looked at; it may be missing.
        console: Where to print.

    Returns:
        Whether nothing that the quick start needs is missing.
    """
    checks = Table("", "what", "found", title="harness doctor")
    healthy = True
    for mark, what, found in _checks(file):
        checks.add_row(mark, escape(what), escape(found))
        healthy &= mark != _BAD
    console.print(checks)
    console.print(data_table(data.status()))
    console.print(image_table(images.status()))
    console.print(traffic_table(traffic.status()))
    return healthy


def data_table(tables: Iterable[TableStatus]) -> Table:
    """The state of benchmark tables, for a terminal."""
    shown = Table(Column("table", overflow="fold"), "state", "columns", title="tables", show_lines=True)
    for table in tables:
        state = [f"{table.benchmark}, source: {table.name}", str(table.path)]
        if table.digest is not None:
            state.append(f"{table.size_bytes / 1e6:.1f} MB, digest {table.digest[:12]}")
        columns = [
            f"{c.dataset}/{c.split}/{c.fidelity}: "
            + (f"{len(c.seeds)} seeds" if c.seeds else "means only")
            + ("" if c.architectures == table.size else f", {c.architectures:,} of {table.size:,} cells")
            for c in table.columns
        ]
        shown.add_row(
            escape("\n".join(state)),
            escape(table.state if table.problem is None else f"{table.state}: {table.problem}"),
            escape("\n".join(columns)),
        )
    return shown


def image_table(sets: Iterable[ImageSetStatus]) -> Table:
    """The state of image sets, for a terminal."""
    return _table_of_sets("images", "image sets", sets)


def traffic_table(sets: Iterable[TrafficSetStatus]) -> Table:
    """The state of traffic sets, for a terminal."""
    return _table_of_sets("traffic", "traffic sets", sets)


def _table_of_sets(kind: str, title: str, sets: Iterable[ImageSetStatus | TrafficSetStatus]) -> Table:
    shown = Table(kind, "state", "what they are", title=title, show_lines=True)
    for found in sets:
        what = [found.description] if found.description else []
        if found.digest is not None:
            size = "made when it is needed" if found.path is None else f"{found.size_bytes / 1e6:.1f} MB"
            what.append(f"{size}, digest {found.digest[:12]}")
        if found.state != "not imported" and found.path is not None:
            what.append(str(found.path))
        if found.problem is not None:
            what.append(found.problem)
        shown.add_row(escape(found.name), found.state, escape("\n".join(what)))
    return shown


def _checks(file: Path) -> Iterable[tuple[str, str, str]]:
    described: dict[str, Any] = environment.describe()
    for name, version in described["versions"].items():
        yield _OK, name, version
    for name, advice in _OPTIONAL.items():
        version = environment.installed(name)
        yield (_OK, name, version) if version else (_NOTE, name, f"not installed; optional, to {advice}")
    yield _OK, "commit", (described["git"] or {}).get("commit", "not a checkout")
    yield _OK, "CPU", f"{described['host']['cpus']} cores"
    yield from _devices()
    for kind in registry.names("model"):
        try:
            problem = registry.load("model", kind).check()
        except HarnessError as error:
            problem = str(error)
        # A machine need not have every kind; those that the file declares are tried below.
        yield (_NOTE, f"model kind {kind}", problem) if problem else (_OK, f"model kind {kind}", "can start")
    yield from _experiments(file)


def _devices() -> Iterable[tuple[str, str, str]]:
    import torch

    if not torch.cuda.is_available():
        yield _NOTE, "GPU", "none that torch can use; tabular benchmarks and the embedded model need none"
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield _OK, f"GPU {index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _experiments(file: Path) -> Iterable[tuple[str, str, str]]:
    try:
        experiments = experiment.read_experiments(file)
    except HarnessError as error:
        yield _BAD, "experiments file", str(error)
        return
    yield _OK, "experiments file", f"{file}: sweeps {', '.join(experiments.experiments.sweeps)}"
    yield _OK, "tracking", str(experiments.experiments.tracking.uri)
    for name in experiments.experiments.models:
        try:
            answer = _answer(experiments, name)
        except HarnessError as error:
            yield _BAD, f"model {name}", str(error)
        else:
            yield _OK, f"model {name}", answer


def _answer(experiments: experiment.ExperimentsFile, name: str) -> str:
    from harness.serving import make_server

    server = make_server(experiments, name)
    try:
        return f"answers as {server.start().model!r}"
    finally:
        server.stop()
