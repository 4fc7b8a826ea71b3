"""A server in a process of its own: started with its log kept, and always stopped with all its children."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence

from harness.errors import ModelError

#: Loopback, where no other machine reaches a server.
LOOPBACK = "127.0.0.1"

#: How long a server may take to end by itself before it is killed; longer than its watcher waits.
_STOP_SECONDS = 15.0
_LOG_TAIL_LINES = 15
_LOG_TAIL_BYTES = 65536
_LINE_LENGTH = 500
_FOLLOWING_LINES = 3
# What a Python program or its argument parser says last of all.
_ERROR = re.compile(r"\b\w+(Error|Exception|Interrupt): |\berror: ")
# "(EngineCore pid=7) ERROR 11-23 13:08:22 [core.py:12] ": the same for every line of a traceback.
_PREFIX = re.compile(r"^(\(.*? pid=\d+\) )?((ERROR|INFO|WARNING) [\d-]+ [\d:]+ \[[^]]*\] ?)?")


class ServerProcess:
    """A running command, leader of a session of its own, so that Ctrl-C leaves it to whoever stops it.

    Args:
        command: Program and arguments.
        environment: Variables in addition to those of this process.
        watched: Whether to end it when this process ends, however that comes about. Without, the command must
            see to that itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        watched: bool = True,
    ) -> None:
        watcher = [sys.executable, "-m", "llm_strategies.models.watched_process", str(os.getpid())]
        # Without a name, so that nothing is left behind however this process ends.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        try:
            self._process = subprocess.Popen(
                [*(watcher if watched else ()), *command],
                stdin=subprocess.DEVNULL,
                stdout=self._log if watched else subprocess.PIPE,
                stderr=self._log,
                env=os.environ | dict(environment or {}),
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise
        #: Standard output of a command that is not watched; otherwise it is part of the log.
        self.output = self._process.stdout
        self._stopped = False

    @property
    def exit_code(self) -> int | None:
        """The code with which it ended, or ``None`` while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait until it has ended by itself; returns its code."""
        return self._process.wait()

    def tail(self) -> str:
        """The end of its log, indented."""
        return "\n".join(f"  {line}" for line in self._lines()[-_LOG_TAIL_LINES:]) or "  (empty)"

    def errors(self) -> str:
        """The lines of its log that name errors, in their order and once each; the end of the log where there
        are none. A traceback of several processes is hundreds of lines, and its causes are a few.
        """
        errors: dict[str, None] = {}
        follow = 0
        for line in (_PREFIX.sub("", line) for line in self._lines()):
            if _ERROR.search(line):
                follow = _FOLLOWING_LINES
            elif not line.startswith("  ") or line.startswith('  File "'):
                # What is indented below an error says more of it; a traceback's next frame does not.
                follow = 0
            elif follow:
                follow -= 1
            if follow or _ERROR.search(line):
                errors[line.rstrip()[:_LINE_LENGTH]] = None
        return "\n".join(f"  {line}" for line in [*errors][-_LOG_TAIL_LINES:]) or self.tail()

    def stop(self) -> None:
        """End it and everything it started. Safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_STOP_SECONDS)
        # Also when it has ended: what it started may have stayed.
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self.output is not None:
            self.output.close()
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _lines(self) -> list[str]:
        # By position: the server writes where this process would leave the file's offset.
        log = self._log.fileno()
        content = os.pread(log, _LOG_TAIL_BYTES, max(os.fstat(log).st_size - _LOG_TAIL_BYTES, 0))
        return content.decode(errors="replace").splitlines()


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that is in use, before minutes are spent on loading a model.

    Raises:
        ModelError: It is in use, or the host is none of this machine.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ModelError(
                f"port {port} of {host} is in use or cannot be taken ({error.strerror}); "
                "stop the other process, choose another `port`, or leave `port` out to take a free one."
            ) from error


def free_port(host: str) -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
