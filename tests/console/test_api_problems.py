"""Whatever comes in, a problem document goes out, and never a traceback."""

import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.console import directory
from pipeline.kafka.memory import Memory, MemoryProducer
from pipeline.kafka.seam import Producer
from tests.console.running import JSON, LOOP, TOPICS, Console, running

Given = tuple[Console, str]


@pytest.fixture(scope="module")
def given() -> Iterator[Given]:
    with running() as console:
        yield console, console.account("acme")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("GET", "/v2", b"", 404, "there is no call /v2"),
        ("GET", "/v1/loops/", b"", 404, "there is no call /v1/loops/"),
        ("GET", "/v1/x%2Fy", b"", 404, "there is no call /v1/x/y"),
        ("PUT", "/v1/loops", b"{}", 405, "/v1/loops has no PUT"),
        ("DELETE", "/live", b"", 405, "/live has no DELETE"),
        ("POST", "/v1/loops", b"", 422, "body: is missing"),
        ("POST", "/v1/loops", b"{", 400, "the body is not JSON: Input data was truncated"),
        (
            "POST",
            "/v1/loops",
            b"{'a':1}",
            400,
            "the body is not JSON: JSON is malformed: object keys must be strings (byte 1)",
        ),
        (
            "POST",
            "/v1/loops",
            b'{"rate":NaN}',
            400,
            "the body is not JSON: JSON is malformed: invalid character (byte 8)",
        ),
        (
            "POST",
            "/v1/loops",
            b"[" * 60_000,
            400,
            "the body is not JSON: maximum recursion depth exceeded while deserializing an object",
        ),
        (
            "POST",
            "/v1/loops",
            b'"\xff"',
            400,
            "the body is not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        ("POST", "/v1/loops", b"[1]", 422, "body: must be a JSON object"),
        ("POST", "/v1/loops", b'"x"', 422, "body: must be a JSON object"),
        ("POST", "/v1/loops", b"null", 422, "body: must be a JSON object"),
        ("POST", "/v1/loops", b"{}", 422, "body.name: is missing (and 2 more)"),
        ("POST", "/v1/loops", b" " * 65_537, 413, "the body is larger than 65536 bytes"),
        ("PUT", "/v1/profiles/p1", b" " * 65_537, 413, "the body is larger than 65536 bytes"),
        ("POST", "/v1/track", b" " * 4_194_305, 413, "the body is larger than 4194304 bytes"),
        (
            "PUT",
            "/v1/profiles/" + "p" * 129,
            b'{"email":"a@b"}',
            422,
            "path.profile: must match pattern '^[A-Za-z0-9._:@+-]{1,128}$'",
        ),
        ("PUT", "/v1/mailings/%ff", b"{}", 422, "path.mailing: must match pattern '^[A-Za-z0-9._:@+-]{1,128}$'"),
        ("DELETE", "/v1/profiles/a%0a", b"", 422, "path.profile: must match pattern '^[A-Za-z0-9._:@+-]{1,128}$'"),
    ],
)
def test_what_cannot_be_answered_gets_a_problem(
    given: Given, method: str, path: str, body: bytes, status: int, detail: str
) -> None:
    console, key = given
    answer = console.call(method, path, key, data=body, headers=dict(JSON))
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "detail"}


def test_a_body_of_unknown_length_is_bounded_too(given: Given) -> None:
    console, key = given
    chunks = (b" " * 10_000 for _ in range(10))
    answer = console.call("POST", "/v1/loops", key, data=chunks, headers=dict(JSON))
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("path", ["/v1/loops", "/v1/loops/lp_none", "/v1/privacy", "/v1/nothing", "/v1/track"])
def test_head_is_answered_as_get_without_the_body(given: Given, path: str) -> None:
    console, key = given
    answers = [console.call(method, path, key) for method in ("GET", "HEAD")]
    told = [
        (one.status_code, {name: value for name, value in one.headers.items() if name != "date"}) for one in answers
    ]
    assert told[0] == told[1]
    assert answers[1].content == b""
    assert console.call("HEAD", path).status_code == console.call("GET", path).status_code


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_body_is_sent_as_json(given: Given, kind: str) -> None:
    console, key = given
    answer = console.call("POST", "/v1/loops", key, data=b"{}", headers={"content-type": kind})
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:loopwire:problem:not-json")


def test_a_body_whose_type_is_not_told_is_read_as_json(given: Given) -> None:
    console, key = given
    loop = b'{"name":"in","url":"https://shop.example/in","events":["open"]}'
    assert console.call("POST", "/v1/loops", key, data=loop).status_code == 201
    answer = console.call("POST", "/v1/loops", key, data=b"name=in")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/live", "GET, HEAD"),
        ("/v1/loops", "GET, HEAD, POST"),
        ("/v1/loops/lp_a", "DELETE, GET, HEAD, PATCH"),
        ("/v1/replays/rp_a", "DELETE, GET, HEAD"),
        ("/v1/track", "POST"),
    ],
)
def test_a_405_says_all_there_is(given: Given, path: str, allowed: str) -> None:
    console, _ = given
    answer = console.call("PUT", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"secret": "x"}, "body.secret", "is no name that is known here"),
        ({"filter": {"tag": []}}, "body.filter.tag", "is no name that is known here"),
        ({"name": 1}, "body.name", "must be a valid string"),
        ({"name": None}, "body.name", "must be a valid string"),
        ({"url": "https://u:p@shop.example/"}, "body.url", "has credentials in it: use headers for them"),
        ({"events": []}, "body.events", "must have at least 1 item after validation, not 0"),
        ({"events": ["open", "open"]}, "body.events", "has open twice"),
        ({"format": "xml"}, "body.format", "must be 'form' or 'json'"),
        (
            {"filter": {"mailings": ["a b"]}},
            "body.filter.mailings.0",
            "must match pattern '^[A-Za-z0-9._:@+-]{1,128}$'",
        ),
        ({"filter": {"machine": "yes"}}, "body.filter.machine", "must be a valid boolean"),
        ({"fields": "city"}, "body.fields", "must be a valid list"),
        ({"headers": {"Host": "x"}}, "body.headers", "'Host' is a header that we set"),
        ({"headers": {"X": 1}}, "body.headers.X", "must be a valid string"),
        ({"rate": "5"}, "body.rate", "must be a valid number"),
        ({"rate": 0}, "body.rate", "must be greater than 0"),
        ({"max_in_flight": 0}, "body.max_in_flight", "must be greater than or equal to 1"),
        ({"batch": 100}, "body.batch", "must be a JSON object"),
        ({"batch": {"events": 1.5}}, "body.batch.events", "must be a valid integer"),
        ({"batch": {"events": 1001}}, "body.batch.events", "must be less than or equal to 1000"),
        ({"batch": {"bytes": 1023}}, "body.batch.bytes", "must be greater than or equal to 1024"),
        ({"batch": {"ms": 10_001}}, "body.batch.ms", "must be less than or equal to 10000"),
        ({"ordered": 1}, "body.ordered", "must be a valid boolean"),
    ],
)
def test_a_loop_that_is_wrong_is_told_where(given: Given, change: dict[str, Any], where: str, what: str) -> None:
    console, key = given
    made = console.loop(key)["id"]
    answers = [
        console.call("POST", "/v1/loops", key, json=LOOP | change),
        console.call("PATCH", f"/v1/loops/{made}", key, json=change),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["errors"]) == (422, [{"where": where, "what": what}])
        assert answer.json()["detail"] == f"{where}: {what}"


def test_a_password_is_never_repeated(given: Given) -> None:
    console, key = given
    answer = console.call(
        "POST", "/v1/loops", key, json=LOOP | {"headers": {"Authorization": "hunter2\n"}, "url": "https://u:hunter2@x/"}
    )
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


class Failing(MemoryProducer):
    """A producer that fails at profiles."""

    def __init__(self, memory: Memory, fault: Exception) -> None:
        super().__init__(memory)
        self._fault = fault

    def produce(self, topic: str, *rest: Any, **told: Any) -> None:
        if topic == "profiles":
            raise self._fault
        super().produce(topic, *rest, **told)


class Silent(MemoryProducer):
    """A producer that never tells what became of a record."""

    def poll(self, timeout: float = -1) -> int:  # noqa: ARG002 (nothing is told)
        return 0


class Kept(Memory):
    """A Kafka in memory with a producer of the test's own."""

    def __init__(self, producer: Callable[[Memory], Producer]) -> None:
        super().__init__(TOPICS)
        self._producer = producer

    def producer(self, **_more: Any) -> Producer:
        return self._producer(self)


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), 503, "unavailable"),
        (BufferError("queue full"), 503, "unavailable"),
        (ZeroDivisionError("secret detail"), 500, "fault"),
    ],
)
def test_a_fault_is_a_problem_too(fault: Exception, status: int, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with running(Kept(lambda memory: Failing(memory, fault))) as console, caplog.at_level(logging.WARNING):
        key = console.account("acme")
        answer = console.call("PUT", "/v1/profiles/p1", key, json={"email": "a@b"})
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:loopwire:problem:{kind}")
        assert "secret detail" not in answer.text
        assert "PUT /v1/profiles/p1" in caplog.text
        assert console.call("PUT", "/v1/mailings/m1", key, json={}).status_code == 204


def test_who_waits_for_kafka_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "PATIENCE_SECONDS", 0.2)

    with running(Kept(Silent), admin_key="adm") as console:
        answer = console.call("POST", "/v1/accounts", "adm", json={"name": "acme"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_bytes_that_are_no_http_hurt_nobody(given: Given) -> None:
    console, key = given
    port = int(console.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        line.recv(1024)
    assert console.call("GET", "/v1/loops", key).status_code == 200
