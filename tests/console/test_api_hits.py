"""What mail servers tell, by the API: each line is a hit that the broker has, or is rejected with its reason."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest
import requests

from pipeline.console import directory
from pipeline.kafka.memory import Memory, MemoryProducer
from pipeline.model.hits import Abuse, AnyHit, Bounce, Delivery, Failure, Unsubscribe
from pipeline.model.ids import made_at
from tests.console.running import TOPICS, Console, rows, running

NDJSON = {"content-type": "application/x-ndjson"}
HIT = {"type": "bounce", "profile": "jane", "mailing": "spring-sale"}
AT = datetime(2026, 3, 20, 9, 0, tzinfo=UTC)


class Cast(NamedTuple):
    """A console, its Kafka, and the key of an account named acme."""

    console: Console
    memory: Memory
    key: str

    def load(self, data: Any, kind: str = "application/x-ndjson") -> requests.Response:
        return self.console.call("POST", "/v1/hits", self.key, data=data, headers={"content-type": kind})

    def hits(self) -> list[tuple[bytes | None, AnyHit]]:
        return [(key, msgspec.json.decode(value or b"", type=AnyHit)) for key, value, _ in rows(self.memory, "hits")]

    def links(self, **more: str) -> dict[str, Any]:
        wish = {"profile": "jane", "mailing": "m", "links": ["https://shop.example"]} | more
        found: dict[str, Any] = self.console.call("POST", "/v1/track", self.key, json=wish).json()
        return found


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        yield Cast(console, memory, console.account("acme"))


@pytest.mark.parametrize(
    ("kind", "made"),
    [("delivery", Delivery), ("bounce", Bounce), ("failure", Failure), ("abuse", Abuse), ("unsubscribe", Unsubscribe)],
)
def test_one_object_is_a_hit(kind: str, made: type[Bounce], cast: Cast) -> None:
    before = datetime.now(UTC)
    details = {"code": 550, "description": "no such user"}
    told = HIT | {"type": kind, "message": "x@1", "at": "2026-03-20T10:00:00+01:00", "details": details}
    answer = cast.console.call("POST", "/v1/hits", cast.key, json=told)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    [(key, hit)] = cast.hits()
    assert key == b"acme/jane"
    assert hit == made(id=hit.id, account="acme", profile="jane", mailing="spring-sale", message="x@1", at=AT,
                       details=details)  # fmt: skip
    assert (made_at(hit.id) or before).replace(microsecond=0) >= before.replace(microsecond=0)


def test_what_is_told_without_a_time_happened_now(cast: Cast) -> None:
    before = datetime.now(UTC)
    assert cast.load(json.dumps(HIT)).status_code == 202
    [(_, hit)] = cast.hits()
    assert before <= hit.at <= datetime.now(UTC)
    assert (hit.details, hit.message, hit.ip, hit.method) == (None, None, None, None)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "application/x-ndjson; charset=utf-8"])
def test_lines_and_one_object_over_several_are_told_apart(kind: str, cast: Cast) -> None:
    assert cast.load(json.dumps(HIT, indent=2) + "\n", kind).json() == {"accepted": 1, "rejected": []}
    lines = "\n".join(json.dumps(HIT | {"profile": f"p{n}"}) for n in range(3))
    assert cast.load(lines, kind).json() == {"accepted": 3, "rejected": []}
    assert cast.load(lines + "\n\n{\n", kind).json() == {
        "accepted": 3,
        "rejected": [{"line": 5, "error": "is not JSON: Input data was truncated"}],
    }
    assert cast.load("", kind).json() == {"accepted": 0, "rejected": []}
    assert len(cast.hits()) == 7


def test_each_line_is_taken_or_rejected_by_itself(cast: Cast) -> None:
    lines = [
        (HIT, None),
        ({"type": "open"}, "type: must be 'delivery', 'bounce', 'failure', 'abuse' or 'unsubscribe' (and 2 more)"),
        (HIT | {"profile": "a b"}, "profile: must match pattern '^[A-Za-z0-9._:@+-]{1,128}$'"),
        ({"type": "bounce", "profile": "jane"}, "mailing: is missing"),
        (HIT | {"at": "yesterday"}, "at: must be a time such as 2026-03-20T09:00:00Z"),
        (HIT | {"at": "2026-03-20T09:00:00"}, "at: must say its zone, as 2026-03-20T09:00:00Z or +01:00 does"),
        (HIT | {"details": []}, "details: must be a JSON object"),
        (HIT | {"ip": "::1"}, "ip: is no name that is known here"),
        ([HIT], "must be a JSON object"),
        ({"type": "abuse", "link": "https://shop.example/"}, "link: is no tracking link of this account"),
        (HIT | {"link": "x"}, "profile: is no name that is known here (and 1 more)"),
        (HIT | {"profile": "joe"}, None),
    ]
    answer = cast.load("\n".join(json.dumps(line) for line, _ in lines))
    rejected = [{"line": number, "error": error} for number, (_, error) in enumerate(lines, 1) if error]
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "rejected": rejected})
    assert sorted(key or b"" for key, _ in cast.hits()) == [b"acme/jane", b"acme/joe"]
    assert len({hit.id for _, hit in cast.hits()}) == 2


def test_a_mail_is_known_by_any_of_its_links(cast: Cast) -> None:
    links = cast.links(message="x@1")
    given = [links["open"], links["unsubscribe"], links["clicks"]["https://shop.example"]]
    given += [links["unsubscribe"].rpartition("/")[2], f" {links['open']}\n"]
    body = "\n".join(json.dumps({"type": "abuse", "link": link}) for link in given)
    assert cast.load(body).json() == {"accepted": 5, "rejected": []}
    assert {(hit.profile, hit.mailing, hit.message) for _, hit in cast.hits()} == {("jane", "m", "x@1")}


def test_no_link_of_another_account_is_taken_nor_a_forged_one(cast: Cast) -> None:
    theirs = cast._replace(key=cast.console.account("rival")).links()["unsubscribe"]
    ours = cast.links()["unsubscribe"]
    given = [theirs, ours[:-1], ours + "A", ours.replace("/u/", "/x/"), "", "1.k1..", "https://t.example.com/u/"]
    answer = cast.load("\n".join(json.dumps({"type": "abuse", "link": link}) for link in given))
    assert answer.json()["accepted"] == 0
    assert {one["error"] for one in answer.json()["rejected"]} == {"link: is no tracking link of this account"}


def test_numbers_of_any_size_stay(cast: Cast) -> None:
    body = '{"type": "bounce", "profile": "p", "mailing": "m", "details": {"n": 123456789012345678901234567890}}'
    assert cast.load(body).status_code == 202


class Kept(MemoryProducer):
    """Takes records and acknowledges none."""

    def poll(self, timeout: float = -1) -> int:  # noqa: ARG002
        return 0


def test_without_the_broker_s_word_there_is_no_202(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> None:
    monkeypatch.setattr(directory, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(MemoryProducer, "poll", Kept.poll)
    assert cast.load(json.dumps(HIT)).status_code == 503
