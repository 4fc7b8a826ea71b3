"""The process that serves a GGUF file with llama.cpp: ``python -m llm_strategies.models.llama_process``.

llama.cpp runs in a process of its own, so that a crash of it is an error message, and so that its settings
cannot reach the process of the sweep. The first line on standard output is the address, printed when the
model is loaded and answers; everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

#: Seconds between two looks at whether the parent is still there.
_WATCH_SECONDS = 0.5


def main() -> None:
    """Serve until the parent ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()

    # llama.cpp logs to both streams; only the address may appear on the pipe to the parent.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.model.stem}
    params.hostnames = [options.host]
    params.port = options.port
    params.n_ctx = options.context
    # Without this, llama.cpp may choose another context size by how much memory is free.
    params.fit_params = False
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    # A reply must depend on its request alone. Requests that share a batch, and prompts that continue a
    # cached one, are computed in pieces of other sizes, and rounding then differs in the last bits.
    params.n_parallel = 1
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.use_jinja = True
    params.ui = False
    params.endpoint_slots = False

    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        # llama.cpp has logged the cause; a traceback would push it out of the log's tail.
        sys.exit(f"llama.cpp: {error}")
    pipe.write(f"{server.listening_address}\n")
    pipe.flush()
    # A parent that was killed cannot stop this process. Its end shows in the parent's id on every POSIX
    # system, and unlike PR_SET_PDEATHSIG this does not mistake the end of a thread for it.
    while os.getppid() == options.parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
