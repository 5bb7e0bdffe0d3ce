"""The operator sees the installation and nothing of an account; an account sees nothing of the installation."""

import re
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

import msgspec
import pytest

from pipeline import __version__, flow
from pipeline.console.probing import GROUPS
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.settings import Settings
from tests.console.running import ADMIN, TOPICS, Console, running
from tests.console.test_pages_recipients import put_attempt, put_event
from tests.console.visitor import Visitor, editor, viewer


class Stages(NamedTuple):
    """Something that answers as stages do, on one port; its status of /ready."""

    port: int
    ready: list[int]


@pytest.fixture
def stage() -> Iterator[Stages]:
    ready = [200]

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'# TYPE x gauge\nloopwire_build{version="9.8.7"} 1.0\n' if self.path == "/metrics" else b"ready\n"
            self.send_response(200 if self.path == "/metrics" else ready[0])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Stages(server.server_port, ready)
    server.shutdown()
    server.server_close()
    thread.join()


def operator(console: Console) -> Visitor:
    one = Visitor(console)
    answer = one.by_key(ADMIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/system")
    return one


def shown(one: Visitor) -> str:
    answer = one.get("/system")
    assert answer.status_code == 200, answer.text
    return unescape(re.sub(r"<[^>]+>", " ", answer.text))


def test_stages_say_whether_they_are_ready_and_which_version_they_are(stage: Stages) -> None:
    memory = Memory(TOPICS)
    with running(memory, capture_port=stage.port, metrics_port=1) as console:
        one = operator(console)
        page = " ".join(shown(one).split())
        assert f"capture http://127.0.0.1:{stage.port} Ready 9.8.7" in page
        assert "enrich http://127.0.0.1:1 Not reached here" in page
        assert "may be well: what it has left to do is under Lag" in page
        assert f"console this one Ready {__version__}" in page
        stage.ready[0] = 503
        assert "Not ready" in shown(one)


def test_an_operator_sees_accounts_by_name_and_nothing_of_theirs() -> None:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key, name="secret shop")["id"]
        put_event(memory, recipient="jane@example.com")
        put_attempt(memory, loop=loop)
        one = operator(console)
        page = shown(one)
        assert "acme" in page
        assert "secret shop" not in page
        assert "jane" not in page
        for path in ("/", "/loops", f"/loops/{loop}", "/watch", "/watch/stream", "/recipients?q=jane", "/login"):
            answer = one.get(path)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/system"), path
        for path in (f"/loops/{loop}/pause", "/loops/new", f"/loops/{loop}/remove"):
            assert one.session.post(one.url + path, {}, allow_redirects=False, timeout=20).status_code == 404
        assert one.session.get(one.url + "/v1/loops", timeout=20).status_code == 401
        assert console.call("GET", f"/v1/loops/{loop}", key).json()["state"] == "unverified"
        token = re.search(r'name="token" value="([^"]+)"', one.get("/system").text)
        assert token
        assert one.post("/logout", {"token": token[1]}).status_code == 303
        assert one.get("/system").headers["location"].startswith("/login")


def test_an_account_sees_nothing_of_the_system() -> None:
    with running(Memory(TOPICS)) as console:
        for who in (editor(console, console.account("acme")), viewer(console)):
            assert who.get("/system").status_code == 404
            assert "/system" not in who.get("/loops").text


def test_without_an_admin_key_nobody_is_an_operator() -> None:
    with running(Memory(TOPICS), admin_key="") as console:
        assert Visitor(console).by_key("").status_code == 401
        assert Visitor(console).by_key(ADMIN).status_code == 401


def test_a_session_of_another_admin_key_is_over() -> None:
    with running(Memory(TOPICS)) as console:
        one = operator(console)
        with running(Memory(TOPICS), admin_key="adm_new") as newer:
            moved = Visitor(newer)
            moved.session.cookies.update(one.session.cookies.get_dict())
            assert moved.get("/system").headers["location"].startswith("/login")


def test_the_groups_are_those_of_the_flow() -> None:
    found = {f"loopwire-{stage.name}": stage.reads for stage in flow.FLOW if stage.name not in {"capture", "console"}}
    assert found == GROUPS


def test_lag_and_records_are_those_of_the_broker(cluster_settings: Settings) -> None:
    cluster = Cluster(cluster_settings)
    producer = cluster.producer()
    for number in range(7):
        hit = {"id": f"h{number}", "type": "open"}
        producer.produce(cluster.full("hits"), msgspec.json.encode(hit), f"acme/p{number}".encode())
    assert producer.flush(30) == 0
    with running(cluster) as console:
        one = operator(console)
        while "did not answer" in (page := shown(one)):
            pass  # the first question may take longer than a page waits
        page = " ".join(page.split())
        assert "hits loopwire-enrich 7" in page
        assert "deliveries-retry-5s loopwire-deliver 0" in page
        assert "hits 7 4" in page
