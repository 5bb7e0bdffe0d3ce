"""A customer's server for tests: real HTTP, a script of answers, and everything it was told."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Call:
    """One POST as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = 0.0  # Unix seconds

    @property
    def form(self) -> dict[str, Any]:
        """The form's names; those that end in [] as lists."""
        found: dict[str, Any] = {}
        for name, value in parse_qsl(self.body.decode(), keep_blank_values=True):
            if name.endswith("[]"):
                found.setdefault(name[:-2], []).append(value)
            else:
                found[name] = value
        return found

    def verified(self, secret: str) -> bool:
        """Whether the signature is good, as an independent library sees it."""
        try:
            Webhook(secret).verify(self.body, self.headers, json_parse=False)
        except WebhookVerificationError:
            return False
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be gone before the answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Customer:
    """Answers each POST with the next status of `script`, 200 once it is empty; holds `files` for GETs.

    It takes `seconds` for each answer; one that is no 2xx says `retry_after`, if there is one. Or `answer` decides.
    """

    files: dict[str, str] = field(default_factory=dict)
    script: deque[int] = field(default_factory=deque)
    seconds: float = 0.0
    retry_after: str | None = None
    answer: Callable[[Call], int] | None = None

    def __post_init__(self) -> None:
        self.calls: list[Call] = []
        self._news = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._hurried = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait(self, holds: Callable[[list[Call]], bool], seconds: float = 60) -> list[Call]:
        """The calls, once `holds` of them; AssertionError where it doesn't come true."""
        with self._news:
            assert self._news.wait_for(lambda: holds(self.calls), seconds), f"{len(self.calls)} calls after {seconds} s"
            return list(self.calls)

    def hurry(self) -> None:
        """From now on each answer comes at once, also those that are under way."""
        self._hurried.set()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        customer = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                content = customer.files.get(self.path)
                self._answer(404 if content is None else 200, (content or "").encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body, time.time())
                with customer._news:
                    status = customer.script.popleft() if customer.script else 200
                    status = customer.answer(call) if customer.answer else status
                    customer.calls.append(call)
                    customer._news.notify_all()
                customer._hurried.wait(customer.seconds)  # a slow server is what is asked for
                self._answer(status, b"")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if customer.retry_after and status >= 300:
                    self.send_header("Retry-After", customer.retry_after)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                """Quiet."""

        return Answers
