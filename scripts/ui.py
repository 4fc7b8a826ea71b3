"""Open the tracked runs in MLflow's browser interface (``make ui``).

Says the address first, and what to do where there is nothing to show or nowhere to show it.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from harness.errors import HarnessError
from harness.experiment import read_experiments

HOST = "127.0.0.1"


def main() -> None:
    parser = argparse.ArgumentParser(description="Open the tracked runs in MLflow's browser interface.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("experiments.yaml"))
    parser.add_argument("--port", type=int, default=5000)
    options = parser.parse_args()
    try:
        uri = read_experiments(options.file).experiments.tracking.uri
    except HarnessError as error:
        stop(str(error))
    if uri is None:
        stop(f"{options.file}: `tracking.uri` is null, so no run is tracked; give it an MLflow tracking URI.")
    if uri.startswith(("http://", "https://")):
        stop(f"The runs are on an MLflow server of their own: open {uri}.")
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.exists():
        stop(f"{database}: there is no tracking database yet; `make run` makes it.")
    if not 0 < options.port < 65536:
        stop(f"{options.port} is no port; legal are 1 to 65535.")
    if in_use(options.port):
        stop(f"Port {options.port} is in use; choose another: `make ui PORT={options.port + 1}`.")

    print(f"The runs are at http://{HOST}:{options.port} (Ctrl-C ends this).", flush=True)
    arguments = ["--backend-store-uri", uri, "--host", HOST, "--port", str(options.port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments])


def in_use(port: int) -> bool:
    """Whether something listens on the port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def stop(message: str) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
