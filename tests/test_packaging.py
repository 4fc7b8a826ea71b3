"""What a clone must keep: imports that point one way, a quick command line, complete pins, true words."""

from __future__ import annotations

import ast
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import distribution
from importlib.metadata import entry_points
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "baselines", "llm_strategies", "reports")
HEAVY = ("torch", "mlflow", "pandas", "matplotlib", "scipy", "pyarrow", "openai", "xllamacpp")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listing.decode().split("\0") if name and (ROOT / name).is_file()]


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(line) for line in PROJECT["dependencies"] + extras["dev"]]


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [shutil.which("lint-imports", path=Path(sys.executable).parent) or "lint-imports", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=f"{entry.group}.{entry.name}")
        for group in PROJECT["entry-points"]
        for entry in entry_points(group=group)
        if entry.value.startswith(PACKAGES)
    ],
)
def test_entry_point_loads(entry) -> None:
    assert callable(entry.load())


def test_every_declared_entry_point_is_installed() -> None:
    """An editable installation keeps the entry points of the day it was made: repeat it after a change."""
    for group, declared in PROJECT["entry-points"].items():
        installed = {entry.name: entry.value for entry in entry_points(group=group)}
        assert declared.items() <= installed.items(), group


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """``--help`` answers in a fraction of a second because nothing that takes longer is imported."""
    program = (
        "import sys\n"
        "from harness.cli import main\n"
        f"sys.argv = ['harness', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print('heavy:', *(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


def test_constraints_pin_all_that_an_installation_needs() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert all(re.fullmatch(r"[\w.!]+", version) for version in pins.values()), (
        "exact, without a local suffix"
    )

    missing, differing = set(), {}
    waiting, seen = requirements(), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen:
            continue
        seen.add((name, *sorted(requirement.extras)))
        # Named by the package that needs them, exactly: torch's CUDA packages differ from build to build.
        if name.startswith(("nvidia-", "cuda-")) or name == "triton":
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            missing.add(f"{name} (not installed)")
            continue
        if name not in pins:
            missing.add(name)
        elif installed.version.split("+")[0] != pins[name]:
            differing[name] = (installed.version, pins[name])
        for line in installed.requires or []:
            below = Requirement(line)
            extras = requirement.extras or {""}
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(below)
    assert not missing, "run `make constraints`"
    assert not differing, "run `make lint`, which installs what constraints.txt says"


def test_every_import_is_a_declared_dependency() -> None:
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    declared |= {
        canonicalize_name(Requirement(line).name)
        for extra in PROJECT["optional-dependencies"].values()
        for line in extra
    }
    # Some packages name their modules with a slash.
    providers = {module.strip("/"): names for module, names in packages_distributions().items()}
    undeclared = set()
    for path in (
        file for folder in (*PACKAGES, "tests", "scripts") for file in (ROOT / folder).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            else:
                continue
            for name in (name.split(".")[0] for name in names):
                if name in sys.stdlib_module_names or name in (*PACKAGES, "tests"):
                    continue
                if not declared & {canonicalize_name(provider) for provider in providers.get(name, [name])}:
                    undeclared.add(f"{path.relative_to(ROOT)}: {name}")
    assert not undeclared


def test_no_path_of_one_machine_is_tracked() -> None:
    home = re.compile(rb"(?<![\w.])/(?:home|root|Users|work|tmp)/\w")
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}"
            for number, line in enumerate(content.splitlines(), 1)
            if home.search(line) and path != Path(__file__)
        ]
    assert not found


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/experiments.md"])
def test_make_targets_and_links_of_the_page_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\s]*(?:[A-Z]+=|[`#\n]))", text)) <= targets
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    assert not [link for link in links if not ((ROOT / page).parent / link).exists()]


def test_the_python_example_of_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert examples
    program = tmp_path / "example.py"
    program.write_text("\n".join(examples), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_experiments_of_the_pages_are_valid(tmp_path: Path) -> None:
    """Every YAML block with sweeps, in the README and the reference, plans runs or a ranking."""
    from harness.experiment import Ranking
    from harness.experiment import read_experiments
    from harness.ranking.plan import plan_ranking

    for page in ("README.md", "docs/experiments.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "sweeps:" in block]
        assert blocks, page
        for block in blocks:
            path = tmp_path / "experiments.yaml"
            path.write_text(block, encoding="utf-8")
            file = read_experiments(path)
            for name, sweep in file.experiments.sweeps.items():
                plan = plan_ranking(file, name).benchmarks if isinstance(sweep, Ranking) else file.plan(name)
                assert plan


@pytest.fixture
def ui(tmp_path: Path):
    """Calls what ``make ui`` calls, in a folder with an experiments file."""

    def call(tracking: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "experiments.yaml").write_text(
            f"tracking: {{uri: {tracking}}}\n"
            "sweeps:\n"
            "  s: {benchmarks: [nasbench201], strategies: [random_search], seeds: 1, budget: {trials: 1}}\n",
            encoding="utf-8",
        )
        script = ROOT / "scripts" / "ui.py"
        return subprocess.run(
            [sys.executable, script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return call


@pytest.mark.parametrize(
    ("tracking", "message"),
    [
        ("sqlite:///none.db", "none.db: there is no tracking database yet"),
        ("null", "no run is tracked"),
        ("http://mlflow.example:5000", "open http://mlflow.example:5000"),
    ],
)
def test_ui_says_why_there_is_nothing_to_show(ui, tracking: str, message: str) -> None:
    done = ui(tracking)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_ui_says_that_its_port_is_in_use(ui, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        done = ui("sqlite:///mlflow.db", "--port", str(busy.getsockname()[1]))
    assert done.returncode == 2
    assert "is in use" in done.stderr
    assert "Traceback" not in done.stderr
