"""Profiles by the line: taken as they come, answered when the broker has them."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import requests

from pipeline.console import directory
from pipeline.kafka.memory import Memory, MemoryProducer
from tests.console.running import TOPICS, Console, rows, running
from tests.console.test_api_problems import Kept

NDJSON = {"content-type": "application/x-ndjson"}


class Cast(NamedTuple):
    """A console, its Kafka, and the key of an account named acme."""

    console: Console
    memory: Memory
    key: str

    def load(self, data: Any, **headers: str | None) -> requests.Response:
        return self.console.call("POST", "/v1/profiles", self.key, data=data, headers=NDJSON | headers)

    def kept(self) -> int:
        return sum(len(log) for log in self.memory.logs["profiles"])


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        yield Cast(console, memory, console.account("acme"))


def _lines(first: int, end: int) -> bytes:
    return b"".join(b'{"id":"p%d","email":"p%d@mail.example"}\n' % (number, number) for number in range(first, end))


def test_each_line_is_taken_or_rejected_by_itself(cast: Cast) -> None:
    good = {"id": "p1", "email": "jan@example.com", "fields": {"city": "Utrecht"}, "interests": ["bikes"]}
    body = b"\n".join([json.dumps(good).encode(), b"nonsense", b"", b'{"id":"p2","email":"none"}', _lines(3, 4)])
    answer = cast.load(body, **{"loopwire-origin": "crm"})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "accepted": 2,
            "rejected": [
                {"line": 2, "error": "is not JSON: JSON is malformed: invalid character (byte 4)"},
                {"line": 4, "error": "email: must be an e-mail address with one @"},
            ],
        },
    )
    kept = {key: (json.loads(value or b""), headers) for key, value, headers in rows(cast.memory, "profiles")}
    assert set(kept) == {b"acme/p1", b"acme/p3"}
    profile, headers = kept[b"acme/p1"]
    assert (profile | {"modified": None}, headers) == (
        good | {"account": "acme", "modified": None},
        [("origin", b"crm")],
    )


def test_a_file_may_begin_with_a_byte_order_mark(cast: Cast) -> None:
    bom = b"\xef\xbb\xbf"
    error = "is not JSON: JSON is malformed: invalid character (byte 0)"
    answer = cast.load(bom + _lines(0, 1) + bom + _lines(1, 2))
    assert answer.json() == {"accepted": 1, "rejected": [{"line": 2, "error": error}]}


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n \n"])
def test_of_no_lines_none_are_taken(cast: Cast, body: bytes) -> None:
    answer = cast.load(body)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0, "rejected": []})


@pytest.mark.parametrize(
    "kind",
    ["application/x-ndjson", "application/json", "Application/X-NDJSON; charset=utf-8", "application/jsonl", None],
)
def test_lines_may_be_called_json_or_nothing(cast: Cast, kind: str | None) -> None:
    assert cast.load(_lines(0, 3), **{"content-type": kind}).json()["accepted"] == 3


@pytest.mark.parametrize("kind", ["text/csv", ""])
def test_other_bodies_are_refused(cast: Cast, kind: str) -> None:
    answer = cast.load(_lines(0, 3), **{"content-type": kind})
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:loopwire:problem:not-json")
    assert answer.json()["detail"] == "send the body with Content-Type: application/x-ndjson or application/json"
    assert cast.kept() == 0


def test_a_line_is_64_kib_and_a_body_as_long_as_it_likes(cast: Cast) -> None:
    body = b"".join([_lines(0, 1), b'{"id":"' + b"x" * 5_000_000 + b'"}\n', _lines(1, 2)])
    assert cast.load(body).json() == {"accepted": 2, "rejected": [{"line": 2, "error": "is longer than 65536 bytes"}]}
    assert cast.load(_lines(0, 150_000)).json() == {"accepted": 150_000, "rejected": []}
    assert cast.kept() == 150_002


def test_lines_are_taken_while_others_are_still_to_come(cast: Cast) -> None:
    def at_least(count: int) -> bool:
        return cast.kept() >= count

    def slowly() -> Iterator[bytes]:
        for first in range(0, 9000, 3000):
            yield _lines(first, first + 3000)
            with cast.memory.changed:
                assert cast.memory.changed.wait_for(partial(at_least, first + 2000), 20)

    assert cast.load(slowly()).json() == {"accepted": 9000, "rejected": []}


def test_the_last_line_of_a_profile_is_what_stays(cast: Cast) -> None:
    cast.load(b"".join(b'{"id":"p","email":"p%d@mail.example"}\n' % number for number in range(3000)))
    values = [value for _, value, _ in rows(cast.memory, "profiles")]
    assert [json.loads(value or b"")["email"] for value in values] == [
        f"p{number}@mail.example" for number in range(3000)
    ]


class Forgetful(MemoryProducer):
    """A producer that never tells what became of a profile."""

    def produce(self, topic: str, *rest: Any, **told: Any) -> None:
        super().produce(topic, *rest, **({} if topic == "profiles" else told))


def test_what_the_broker_does_not_acknowledge_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "PATIENCE_SECONDS", 0.5)
    with running(Kept(Forgetful)) as console:
        key = console.account("acme")
        answer = console.call("POST", "/v1/profiles", key, data=_lines(0, 10), headers=NDJSON)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_who_leaves_in_the_middle_hurts_nobody(cast: Cast) -> None:
    def broken() -> Iterator[bytes]:
        yield _lines(0, 3000)
        raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, requests.ConnectionError)):
        cast.load(broken())
    assert cast.load(_lines(0, 1)).json()["accepted"] == 1
