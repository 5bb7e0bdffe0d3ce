"""A small customer: a real HTTP server that holds the verification file and checks each POST's signature.

Beside its script it takes POSTs at any address, and holds the files of a folder: so that a loop can be made by hand.
"""

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qsl

from standardwebhooks import Webhook, WebhookVerificationError

HOOK = "/hooks/loopwire"
PLAIN = re.compile(r"[\w-][\w.-]*", re.ASCII)  # names that lead nowhere else
LONGEST_FILE = 4096  # as much as is read of a verification file


class Call(NamedTuple):
    """One POST as the customer got it; `told` holds the form's pairs, in order.

    `verified` is None where it came to an address whose secret the customer does not know.
    """

    told: list[tuple[str, str]]
    webhook_id: str
    verified: bool | None
    path: str

    def first(self, name: str) -> str:
        """The value of a name, empty where it wasn't told."""
        return next((value for key, value in self.told if key == name), "")


class Customer:
    """Listens on `port` of this machine, or on a free one; `secret` is set once the loop is made."""

    def __init__(self, heard: Callable[[Call], None], folder: Path, port: int = 0) -> None:
        self.files: dict[str, str] = {}
        self.secret = ""
        self._heard = heard
        self._folder = folder
        self._server = _server(port, self._handler())
        Thread(target=self._server.serve_forever, name="customer", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def origin(self) -> str:
        """Its web root."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where its script listens."""
        return self.origin + HOOK

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def _call(self, path: str, body: bytes, headers: dict[str, str]) -> Call:
        return Call(_told(body, headers), headers.get("webhook-id", ""), self._verified(path, body, headers), path)

    def _verified(self, path: str, body: bytes, headers: dict[str, str]) -> bool | None:
        if path != HOOK:
            return None
        try:
            # The body is a form: without json_parse=False the library would try to read it as JSON.
            Webhook(self.secret).verify(body, headers, json_parse=False)
        except WebhookVerificationError:
            return False
        return True

    def _file(self, name: str) -> str | None:
        if name in self.files or not PLAIN.fullmatch(name):
            return self.files.get(name)
        try:
            with (self._folder / name).open("rb") as file:
                return file.read(LONGEST_FILE).decode(errors="replace")
        except OSError:
            return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        customer = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                content = customer._file(self.path.rpartition("/")[2])
                self._answer(404 if content is None else 200, (content or "no such file").encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = customer._call(self.path, body, headers)
                bad = call.verified is False
                self._answer(401 if bad else 200, b"whose is this?" if bad else b"thanks")
                customer._heard(call)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                """The demo tells of each POST itself."""

        return Answers


def _server(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # somebody else has it now
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


def _told(body: bytes, headers: dict[str, str]) -> list[tuple[str, str]]:
    text = body.decode(errors="replace")
    return [("", text)] if "json" in headers.get("content-type", "") else parse_qsl(text)
