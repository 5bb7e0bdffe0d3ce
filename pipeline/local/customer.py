"""A small customer: a real HTTP server that holds the verification file and checks each POST's signature."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qsl

from standardwebhooks import Webhook, WebhookVerificationError

HOOK = "/hooks/loopwire"


class Call(NamedTuple):
    """One POST as the customer got it; `told` holds the form's pairs, in order."""

    told: list[tuple[str, str]]
    webhook_id: str
    verified: bool

    def first(self, name: str) -> str:
        """The value of a name, empty where it wasn't told."""
        return next((value for key, value in self.told if key == name), "")


class Customer:
    """Listens on a free port of this machine; `secret` is set once the loop is made."""

    def __init__(self, heard: Callable[[Call], None]) -> None:
        self.files: dict[str, str] = {}
        self.secret = ""
        self._heard = heard
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, name="customer", daemon=True).start()

    @property
    def url(self) -> str:
        """Where its script listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{HOOK}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()

    def _call(self, body: bytes, headers: dict[str, str]) -> Call:
        try:
            # The body is a form: without json_parse=False the library would try to read it as JSON.
            Webhook(self.secret).verify(body, headers, json_parse=False)
            verified = True
        except WebhookVerificationError:
            verified = False
        return Call(parse_qsl(body.decode()), headers.get("webhook-id", ""), verified)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        customer = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                content = customer.files.get(self.path.rpartition("/")[2])
                self._answer(404 if content is None else 200, (content or "no such file").encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                call = customer._call(body, {name.lower(): value for name, value in self.headers.items()})
                self._answer(200 if call.verified else 401, b"thanks" if call.verified else b"whose is this?")
                customer._heard(call)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                """The demo tells of each POST itself."""

        return Answers
