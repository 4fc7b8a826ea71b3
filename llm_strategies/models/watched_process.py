"""Runs a command that ends with its parent: ``python -m llm_strategies.models.watched_process PARENT COMMAND ...``.

A process that was killed stops nobody, and vLLM starts processes of its own that hold a GPU's memory. This one
stands between: it ends the whole process group, of which it must be the leader, when its parent (by its id) is
gone or the command has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

#: Seconds between two looks at whether the parent is still there.
_WATCH_SECONDS = 0.5
#: How long the command may take to end after SIGTERM.
_GRACE_SECONDS = 10.0


def main() -> None:
    """Run the command; exit with its code."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if os.getpgrp() != os.getpid():
        sys.exit("watched_process must lead a process group of its own, for it ends the whole group.")
    # The group is told to end all at once, and this process must be the last of it. A handler, unlike SIG_IGN,
    # is not inherited by the command.
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(command)
    # The end of the parent shows in the parent's id on every POSIX system, and unlike PR_SET_PDEATHSIG this does
    # not mistake the end of a thread for it.
    while os.getppid() == parent:
        try:
            child.wait(_WATCH_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    os.killpg(0, signal.SIGTERM)
    try:
        code = child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
