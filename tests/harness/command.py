"""The command line as a user runs it: another process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

HARNESS = [str(Path(sys.executable).with_name("harness"))]


def harness(
    *arguments: str | Path, cwd: Path, check: int | None = 0, preexec: object = None
) -> subprocess.CompletedProcess[str]:
    """Run ``harness`` to its end and make sure that it says no traceback."""
    done = subprocess.run(
        [*HARNESS, *map(str, arguments)],
        cwd=cwd,
        text=True,
        capture_output=True,
        env=environment(),
        timeout=300,
        preexec_fn=preexec,  # type: ignore[arg-type]
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert check is None or done.returncode == check, said
    return done


def refused(*arguments: str | Path, cwd: Path, preexec: object = None) -> str:
    """What ``harness`` says when it refuses: one message, exit code 2."""
    done = harness(*arguments, cwd=cwd, check=2, preexec=preexec)
    assert done.stderr.startswith(("Error: ", "Usage: ")), done.stdout + done.stderr
    return done.stderr


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start ``harness`` in a process group of its own."""
    return subprocess.Popen(
        [*HARNESS, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
        preexec_fn=_hear_ctrl_c,
    )


def _hear_ctrl_c() -> None:
    # A shell starts background jobs deaf to it, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kill(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """Kill a started command with SIGKILL, alone or with all that it started."""
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def obey_permissions() -> None:
    """Give up root's right to ignore permissions, so that a test means the same for root; given as ``preexec``."""
    prctl, drop_from_bounding_set, dac_override, dac_read_search = ctypes.CDLL(None).prctl, 24, 1, 2
    for right in (dac_override, dac_read_search):
        prctl(drop_from_bounding_set, right, 0, 0, 0)


def environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
