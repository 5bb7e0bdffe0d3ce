"""Commands run as a user runs them, and an API for them: real HTTP, a script of answers, all calls kept."""

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}
PROBLEM = {"content-type": "application/problem+json"}


class Answer(NamedTuple):
    status: int
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


class Call(NamedTuple):
    """One call as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str:
        return self.headers["authorization"].removeprefix("Bearer ")


def bulk(call: Call) -> Answer:
    """`POST /v1/profiles` as the contract has it; a line without an email is rejected."""
    lines = call.body.splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if "email" not in json.loads(line)]
    rejected = [{"line": number, "error": "email: is missing"} for number in wrong]
    return Answer(200, {"accepted": len(lines) - len(wrong), "rejected": rejected})


class Api:
    """Answers `METHOD /path` by the next of `script`, else by `always`, else 404."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.script: dict[str, deque[Answer]] = defaultdict(deque)
        self.always: dict[str, Callable[[Call], Answer]] = {"POST /v1/profiles": bulk}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, call: str, *answers: Answer) -> None:
        self.script[call].extend(answers)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, call: Call) -> Answer:
        name = f"{call.method} {call.path}"
        with self._lock:
            self.calls.append(call)
            if self.script[name]:
                return self.script[name].popleft()
        answer = self.always.get(name)
        return problem(404, "not-found", f"there is no call {call.path}") if answer is None else answer(call)

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (self is the handler's)
        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = api._take(Call(self.command, self.path, headers, body))
                sent = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                sent = b"" if answer.body is None else sent
                self.send_response(answer.status)
                for name, value in ({"content-length": str(len(sent))} | dict(answer.headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 (http.server's names)

            def log_message(self, *_words: object) -> None:
                pass

        return Answers


@contextmanager
def api() -> Iterator[Api]:
    one = Api()
    try:
        yield one
    finally:
        one.close()


def problem(status: int, kind: str, detail: str, **more: Any) -> Answer:
    """A problem document, as console/problems.py writes them."""
    document = {"type": f"urn:loopwire:problem:{kind}", "title": kind, "status": status, "detail": detail}
    return Answer(status, document | more, PROBLEM)


def start(*words: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env=os.environ | PLAIN,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]", told: str | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, once it ended; `told` is its stdin."""
    out, err = process.communicate(told, timeout=60)
    return process.returncode, out, err
