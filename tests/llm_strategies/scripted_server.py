"""An OpenAI-compatible server whose replies a test decides: real HTTP, no model."""

from __future__ import annotations

import hashlib
import json
import re
import string
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np

from harness.models import Endpoint

MODEL = "scripted"


@dataclass(frozen=True)
class Answer:
    """How the server answers one request.

    Attributes:
        text: Content of the message.
        finish_reason: ``"stop"``, ``"length"``, ...
        delay: Seconds to wait first.
        status: HTTP status; from 400 on, ``text`` is the message of the error.
        headers: More headers, such as ``Retry-After``.
        raw: Whole body, in the place of a well-formed one.
        reset: Whether to drop the connection without an answer.
        message: More fields of the message, such as ``reasoning_content``.
    """

    text: str = ""
    finish_reason: str = "stop"
    delay: float = 0.0
    status: int = 200
    headers: Mapping[str, str] | None = None
    raw: bytes | None = None
    reset: bool = False
    message: Mapping[str, Any] | None = None


class ScriptedServer:
    """Use as a context manager; gives its :class:`~harness.models.Endpoint`.

    Args:
        answer: Takes the body of a request, returns how to answer it. Called from many threads.
        models: What it says when it is asked for its models, in the place of a well-formed list.

    Attributes:
        requests: Bodies of the requests so far.
        most_in_flight: Largest number of requests that were answered at the same time.
    """

    def __init__(
        self, answer: Callable[[Mapping[str, Any]], Answer] | None = None, models: bytes | None = None
    ) -> None:
        self.models = models
        self.answer = answer or legal
        self.requests: list[Mapping[str, Any]] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        self._server = _Server(self)

    def __enter__(self) -> Endpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self.endpoint

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self._server.server_port}/v1", MODEL)

    def reply(self, request: Mapping[str, Any]) -> Answer:
        with self._lock:
            self.requests.append(request)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            answer = self.answer(request)
            time.sleep(answer.delay)
            return answer
        finally:
            with self._lock:
                self._in_flight -= 1


def legal(request: Mapping[str, Any], text: Callable[[int], str] | None = None) -> Answer:
    """What fits the schema, drawn by the request alone; without a schema, prose that holds no JSON.

    Args:
        request: Body of the request.
        text: Makes a free text, given the largest number of letters.
    """
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    rng = np.random.default_rng(list(digest))
    try:
        schema = request["response_format"]["json_schema"]["schema"]
    except KeyError:
        return Answer(f"Mix wide and narrow parts, idea {rng.integers(1000)}.")
    return Answer(json.dumps(fitting(schema, rng, text)))


def fitting(
    schema: Mapping[str, Any], rng: np.random.Generator, text: Callable[[int], str] | None = None
) -> Any:
    """A random value that fits a JSON schema, of those that the strategies write."""
    if "enum" in schema:
        return schema["enum"][rng.integers(len(schema["enum"]))]
    match schema["type"]:
        case "object":
            return {key: fitting(value, rng, text) for key, value in schema["properties"].items()}
        case "array":
            least = schema.get("minItems", 0)
            length = rng.integers(least, schema.get("maxItems", least + 3) + 1)
            return [fitting(schema["items"], rng, text) for _ in range(length)]
        case "integer":
            return int(rng.integers(schema.get("minimum", 0), schema.get("maximum", 100) + 1))
        case "number":
            return float(rng.uniform(schema.get("minimum", 0), schema.get("maximum", 100)))
        case "boolean":
            return bool(rng.integers(2))
        case "string" if "pattern" in schema:
            digits = string.digits + string.ascii_lowercase
            last = re.findall(r"\[0-(?:9a-)?(.)\]", schema["pattern"])
            return "".join(digits[rng.integers(digits.index(digit) + 1)] for digit in last)
        case "string" if text is not None:
            return text(schema["maxLength"])
        case "string":
            return f"Idea {rng.integers(1000)}."
    raise ValueError(f"no value for {schema}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Sixteen clients connect at once.
    request_queue_size = 128

    def __init__(self, script: ScriptedServer) -> None:
        self.script = script
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this each reply would wait for a delayed acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
        self._send(200, self.server.script.models or listed, {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.script.reply(request)
        if answer.reset:
            self.close_connection = True
            return
        headers = answer.headers or {}
        if answer.raw is not None:
            self._send(answer.status, answer.raw, headers)
        elif answer.status >= 400:
            self._send(answer.status, {"error": {"message": answer.text, "type": "scripted"}}, headers)
        else:
            self._send(answer.status, _completion(request, answer), headers)

    def log_message(self, *_: object) -> None:
        """Silent."""

    def _send(self, status: int, content: Any, headers: Mapping[str, str]) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _completion(request: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    words = sum(len(message["content"].split()) for message in request["messages"])
    return {
        "id": "scripted",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, **(answer.message or {})},
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": words,
            "completion_tokens": len(answer.text.split()),
            "total_tokens": words + len(answer.text.split()),
        },
    }
