"""What every worker process needs, whatever it works on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Workers are processes already; libraries inside them must not start a thread per core as well. Nor may they in
# the process that workers are forked from.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def limit_threads() -> None:
    """Have libraries of the workers to come use one thread each, unless the environment says otherwise."""
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, "1")


def prepare(environment: Mapping[str, str]) -> None:
    """Set up a worker: quiet, and gone as soon as its parent is.

    A worker that outlived a killed parent would go on writing what the resumed sweep writes too.

    Args:
        environment: That of the parent now, not of the time when the process was started that workers are forked
            from.
    """
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl-C reaches every process of the terminal; a worker ends at once and in silence, for its work can go on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
