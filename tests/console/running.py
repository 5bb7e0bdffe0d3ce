"""A console in this process: the real app, served by the real server, over a Kafka in memory."""

import asyncio
import base64
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import requests

from pipeline.console.run import serve
from pipeline.kafka.memory import Memory
from pipeline.kafka.seam import Kafka
from pipeline.settings import Settings, read
from tests.conftest import free_port

ADMIN = "adm_of_the_tests"
MASTER = b"m" * 32
TOKEN_KEY = b"t" * 32
TRACKING = "https://t.example.com"
TOPICS = {
    "accounts": 1,
    "loops": 1,
    "loop-states": 1,
    "replay-states": 1,
    "attempts": 3,
    "deliveries-dead": 3,
    "deliveries-retry-5s": 3,
    "replays": 3,
    "batches": 3,
    "events": 3,
    "profiles": 3,
    "tags": 3,
    "hits": 3,
}
JSON = {"content-type": "application/json"}
LOOP = {"name": "shop", "url": "https://shop.example/hooks/in.php?a=1", "events": ["open", "click"]}


def settings(**given: Any) -> Settings:
    """Settings that read nothing from this machine."""
    known = {
        "kafka": "memory:9092",
        "admin_key": ADMIN,
        "master_key": base64.b64encode(MASTER).decode(),
        "token_keys": f"k1:{base64.b64encode(TOKEN_KEY).decode()}",
        "capture_url": TRACKING,
        "console_port": free_port(),
        "allow_networks": "127.0.0.0/8",
        "data": tempfile.mkdtemp(prefix="loopwire-console-"),
    }
    return read(_env_file=None, **(known | given))


class Console:
    """A console that runs, and the calls tests make to it."""

    def __init__(self, chosen: Settings, kafka: Kafka) -> None:
        self.url = f"http://127.0.0.1:{chosen.console_port}"
        self.fault: BaseException | None = None
        self._loaded = Event()
        self._thread = Thread(target=self._run, args=(chosen, kafka))
        self._thread.start()
        while self._thread.is_alive() and not self._loaded.wait(0.02):
            pass
        assert self._loaded.is_set(), self.fault
        self._until_it_answers()

    def call(self, method: str, path: str, key: str = "", **more: Any) -> requests.Response:
        headers = ({"authorization": f"Bearer {key}"} if key else {}) | more.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=20, **more)

    def account(self, name: str) -> str:
        """A new account; its API key."""
        answer = self.call("POST", "/v1/accounts", ADMIN, json={"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["api_key"])

    def loop(self, key: str, **more: Any) -> dict[str, Any]:
        """A new loop, as it was answered."""
        answer = self.call("POST", "/v1/loops", key, json=LOOP | more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def stop(self) -> None:
        if self._thread.is_alive():
            self._event_loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self, chosen: Settings, kafka: Kafka) -> None:
        try:
            asyncio.run(self._serve(chosen, kafka))
        except BaseException as fault:  # noqa: BLE001 (the test looks at it)
            self.fault = fault

    async def _serve(self, chosen: Settings, kafka: Kafka) -> None:
        self._stop, self._event_loop = asyncio.Event(), asyncio.get_running_loop()
        await serve(chosen, kafka, self._stop, self._loaded.set)

    def _until_it_answers(self) -> None:
        for _ in range(200):
            try:
                self.call("GET", "/live")
                return
            except requests.ConnectionError:
                time.sleep(0.02)
        raise AssertionError("the console does not answer")


@contextmanager
def running(kafka: Kafka | None = None, **given: Any) -> Iterator[Console]:
    chosen = settings(**given)
    try:
        console = Console(chosen, kafka or Memory(TOPICS))
        try:
            yield console
        finally:
            console.stop()
    finally:
        shutil.rmtree(chosen.data, ignore_errors=True)


Script = dict[str, tuple[int, dict[str, str], bytes]]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_words: object) -> None:
        """A client that had enough hung up, which is what some tests are about."""


class Site:
    """A customer's web server: what stands at each path, and which paths were asked for."""

    def __init__(self) -> None:
        self.script: Script = {}
        self.asked: list[str] = []
        self.patience = Event()  # a status of 0 hangs until it is set
        self._server = Server(("127.0.0.1", 0), self._answers())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.patience.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answers(site) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (self is the handler's)
        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                site.asked.append(self.path)
                status, headers, body = site.script.get(self.path, (404, {}, b"no such page"))
                if status == 0:
                    site.patience.wait(20)
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                self.do_GET()

            def log_message(self, *_words: object) -> None:
                pass

        return Answers


@contextmanager
def site() -> Iterator[Site]:
    one = Site()
    try:
        yield one
    finally:
        one.close()


def rows(memory: Memory, topic: str) -> list[tuple[bytes | None, bytes | None, Any]]:
    """Key, value and headers of all records of a topic."""
    return [(one.key(), one.value(), one.headers()) for log in memory.logs[topic] for one in log]
