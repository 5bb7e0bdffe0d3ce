"""Which Kafka the tests run on, whatever this machine has; and that it is set as the embedded one is."""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AdminClient,
    ConfigResource,
    ResourceType,
)

from pipeline.local.broker import LEAN, ONE_NODE, QUICK, QUIET
from tests import brokers
from tests.brokers import Choice
from tests.conftest import CHOICE

OFFICIAL = {"LOOPWIRE_TEST_KAFKA_IMAGE": ""}
MINE = {"LOOPWIRE_TEST_KAFKA_IMAGE": "registry.example:5000/kafka:1"}


class Engine:
    """As much of Docker's API as is asked here. A pull of a name in `pulls` says that; of another, nothing for ever."""

    def __init__(self, images: set[str], pulls: dict[str, dict[str, str]]) -> None:
        self.pulled: list[str] = []
        self.closing = Event()
        engine = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.endswith("/version"):
                    self._answer(200, {"ApiVersion": "1.44"})
                elif any(path.endswith(f"/images/{image}/json") for image in images):
                    self._answer(200, {"Id": "sha256:1"})
                else:
                    self._answer(404, {"message": "no such image"})

            def do_POST(self) -> None:
                name = self.path.partition("?")[2]
                engine.pulled.append(name)
                if said := next((said for part, said in pulls.items() if part in name), None):
                    self._answer(200, said)
                else:
                    engine.closing.wait(30)

            def _answer(self, status: int, body: dict[str, str]) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.address = f"tcp://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    made = Engine(*request.param)
    monkeypatch.setenv("DOCKER_HOST", made.address)
    yield made
    made.close()


def test_an_address_that_is_given_goes_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    choice = brokers.choose({"LOOPWIRE_TEST_KAFKA": "kafka:9092", **OFFICIAL})
    assert (choice, str(choice)) == (Choice("given", "kafka:9092"), "given (kafka:9092)")


@pytest.mark.parametrize("address", ["unix:///nowhere", "tcp://127.0.0.1:9", "tcp://127.0.0.1:{silent}"])
def test_without_an_engine_it_is_the_embedded_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it lets us connect, and never says a word
        monkeypatch.setenv("DOCKER_HOST", address.format(silent=silent.getsockname()[1]))
        assert str(brokers.choose({})) == "embedded (no Docker engine answers)"


@pytest.mark.parametrize(
    ("engine", "wish", "choice"),
    [
        (({"apache/kafka:4.3.1"}, {}), {}, "testcontainers (apache/kafka:4.3.1)"),
        (({"apache/kafka:4.3.1"}, {}), OFFICIAL, "testcontainers (apache/kafka:4.3.1)"),
        (({"registry.example:5000/kafka:1"}, {}), MINE, "testcontainers (registry.example:5000/kafka:1)"),
        ((set(), {"tag=4.3.1": {"status": "Pull complete"}}), {}, "testcontainers (apache/kafka:4.3.1)"),
        (
            (set(), {"registry.example%3A5000%2Fkafka": {"status": "Pull complete"}}),
            MINE,
            "testcontainers (registry.example:5000/kafka:1)",
        ),
        (
            (set(), {"tag=4.3.1": {"error": "manifest unknown"}}),
            {},
            "embedded (Docker has no apache/kafka:4.3.1: manifest unknown)",
        ),
        ((set(), {}), {}, "embedded (Docker has no apache/kafka:4.3.1: it was not pulled within 0.5 s)"),
    ],
    indirect=["engine"],
)
def test_a_container_where_the_engine_has_the_image_or_gets_it(
    engine: Engine, wish: dict[str, str], choice: str
) -> None:
    assert str(brokers.choose(wish, patience=0.5 if "within" in choice else 30)) == choice


@pytest.mark.parametrize("engine", [({"apache/kafka:4.3.1"}, {})], indirect=True)
def test_an_image_that_is_here_is_not_pulled(engine: Engine) -> None:
    brokers.choose({})
    assert engine.pulled == []


def test_properties_become_the_variables_of_the_official_image() -> None:
    told = brokers.variables(brokers.properties("127.0.0.1:7000"))
    assert told["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:7000"
    assert told["KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS"] == "4000"
    assert [name for name in told if not name.replace("_", "").isupper()] == []
    assert [name for name in brokers.properties("") if "_" in name or "-" in name] == []  # these are spelled otherwise


def test_the_broker_is_set_as_the_embedded_one_is(kafka_address: str, pytestconfig: pytest.Config) -> None:
    if pytestconfig.stash[CHOICE].which == "given":
        pytest.skip("a broker that is given is set by its owner")
    admin = AdminClient({"bootstrap.servers": kafka_address, **QUIET})
    node = ConfigResource(ResourceType.BROKER, "1")
    told = {name: entry.value for name, entry in admin.describe_configs([node])[node].result(30).items()}
    wanted = ONE_NODE | QUICK | LEAN
    assert {name: told.get(name) for name in wanted} == wanted
