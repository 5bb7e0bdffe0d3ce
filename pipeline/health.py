"""What a stage without a web page of its own shows to those who watch it: /live, /ready, /metrics."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline.settings import unusable

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"
LOOK_SECONDS = 0.05  # what a stage that ends waits for this server at most


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def serve(
    host: str, port: int, ready: Callable[[], bool], more: Callable[[str], bytes | None] = lambda _path: None
) -> ThreadingHTTPServer:
    """Serves on a thread of its own; `ready` decides between 200 and 503 of /ready; `more` has JSON for other paths.

    SettingsError where that can't be listened on.
    """

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            status, kind, body = _answer(self.path, ready, more)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """A probe each second is no news."""

    try:
        server = _Server((host, port), Answers)
    except OSError as taken:
        raise unusable(("CONSOLE_HOST", "METRICS_PORT"), host, port, taken) from taken
    Thread(target=server.serve_forever, args=(LOOK_SECONDS,), name="health", daemon=True).start()
    return server


def _answer(path: str, ready: Callable[[], bool], more: Callable[[str], bytes | None]) -> tuple[int, str, bytes]:
    match path.partition("?")[0]:
        case "/live":
            return 200, PLAIN, b"live\n"
        case "/ready":
            return (200, PLAIN, b"ready\n") if ready() else (503, PLAIN, b"not ready\n")
        case "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        case other if (told := more(other)) is not None:
            return 200, JSON, told
        case _:
            return 404, PLAIN, b"there is /live, /ready and /metrics\n"
