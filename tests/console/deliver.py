"""A deliver process as the console asks it: it tells how a loop's lane stands, and the test decides what it tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec

from pipeline.model.lanes import LaneNow

QUIET = LaneNow(in_flight=3, cap=8, most=32, rate=None, breaker="closed", waiting=0, held=0, oldest_due=None)
BROKEN = LaneNow(in_flight=0, cap=1, most=32, rate=12.5, breaker="open", waiting=40, held=1234, oldest_due=7.25)


class Told:
    """`lanes` are by loop; `metrics_port` is what the console is told of where it is."""

    def __init__(self, port: int) -> None:
        self.lanes: dict[str, LaneNow] = {}
        self.metrics_port = port - 1


@contextmanager
def deliver() -> Iterator[Told]:
    """It listens until the block ends."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lane = told.lanes.get(self.path.removeprefix("/lanes/"))
            self.send_response(404 if lane is None else 200)
            self.end_headers()
            self.wfile.write(msgspec.json.encode(lane))

        def log_message(self, *_words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    told = Told(server.server_port)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()
