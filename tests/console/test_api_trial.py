"""A customer tries its loop out: one signed POST, and what its server said of it; and secrets that are replaced."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
import pytest
import requests

from pipeline.kafka.memory import Memory
from pipeline.model.loops import LoopState, Reason
from tests.console.running import TOPICS, Console, rows, running
from tests.customer import Call, Customer


class Cast(NamedTuple):
    """A console, a customer's server, an account's key, and a verified loop as it was made."""

    console: Console
    memory: Memory
    customer: Customer
    key: str
    loop: dict[str, Any]

    def ask(self, what: str) -> requests.Response:
        return self.console.call("POST", f"/v1/loops/{self.loop['id']}/{what}", self.key)

    def patch(self, **change: Any) -> None:
        answer = self.console.call("PATCH", f"/v1/loops/{self.loop['id']}", self.key, json=change)
        assert answer.status_code == 200, answer.text

    def found(self, reason: Reason) -> None:
        """Deliver disabled the loop, and the console knows."""
        state = LoopState(loop=self.loop["id"], epoch=1, reason=reason, at=datetime.now(UTC))
        self.memory.producer().produce("loop-states", msgspec.json.encode(state), self.loop["id"].encode())
        self.console.loop(self.key)

    def told(self) -> list[Call]:
        return self.customer.calls


@pytest.fixture
def cast() -> Iterator[Cast]:
    customer, memory = Customer(), Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key, url=f"{customer.origin}/in", headers={"X-Shop": "secret 7"}, events=["click", "open"])
        customer.files["/" + loop["verification"]["file"]] = loop["verification"]["content"]
        cast = Cast(console, memory, customer, key, loop)
        assert cast.ask("verify").json()["state"] == "active"
        yield cast
    customer.close()


def test_a_trial_comes_like_a_delivery(cast: Cast) -> None:
    answer = cast.ask("test")
    assert (answer.status_code, set(answer.json())) == (200, {"status", "ms", "response"})
    assert (answer.json()["status"], answer.json()["response"]) == (200, "")
    (call,) = cast.told()
    assert call.verified(cast.loop["secret"])
    headers = {name: call.headers[name] for name in ("x-shop", "content-type", "loopwire-attempt", "loopwire-loop")}
    assert headers == {
        "x-shop": "secret 7",
        "content-type": "application/x-www-form-urlencoded",
        "loopwire-attempt": "1",
        "loopwire-loop": cast.loop["id"],
    }
    assert call.headers["webhook-id"].startswith("test_")
    told = dict(parse_qsl(call.body.decode()))
    del told["event"], told["timestamp"], told["time"]
    assert told == {
        "type": "click",
        "id": "test",
        "recipient": "test@shop.example",
        "ip": "198.51.100.7",
        "useragent": "Mozilla/5.0 (X11; Linux x86_64)",
        "original": "https://shop.example/spring",
        "tags[]": "test",
        "mailing": "test",
        "profile": "test",
        "account": "acme",
        "fields[city]": "Utrecht",
        "machine": "false",
    }


def test_a_trial_has_the_shape_that_the_loop_asks_for_and_an_id_of_its_own(cast: Cast) -> None:
    cast.patch(format="json", fields=[], events=["bounce"])
    for _ in range(2):
        assert cast.ask("test").json()["status"] == 200
    one, two = cast.told()
    told = msgspec.json.decode(one.body)
    assert (told["type"], told["code"], "fields" in told) == ("bounce", "5.1.1", False)
    assert one.headers["webhook-id"] != two.headers["webhook-id"]
    assert told["event"] != msgspec.json.decode(two.body)["event"]


def test_what_the_server_says_is_shown_whatever_it_is(cast: Cast) -> None:
    cast.customer.script.extend([500, 302, 410])
    assert [cast.ask("test").json()["status"] for _ in range(3)] == [500, 302, 410]
    # A trial is no attempt: nothing is retried, nothing held against the loop.
    assert rows(cast.memory, "loop-states") == []
    assert cast.console.call("GET", f"/v1/loops/{cast.loop['id']}", cast.key).json()["state"] == "active"


def test_a_server_that_is_not_there_is_told(cast: Cast) -> None:
    cast.customer.close()
    with running(cast.memory) as other:  # one that holds no connection to it
        answer = other.call("POST", f"/v1/loops/{cast.loop['id']}/test", cast.key)
    assert (answer.status_code, answer.json()["status"], answer.json()["response"]) == (200, None, "")
    assert "connect" in answer.json()["error"].lower()


@pytest.mark.parametrize("reason", ["gone", "failing"])
def test_who_mends_a_disabled_loop_may_try_it(cast: Cast, reason: Reason) -> None:
    cast.found(reason)
    assert cast.ask("test").json()["status"] == 200


def test_a_url_that_is_not_the_verified_one_gets_nothing(cast: Cast) -> None:
    cast.patch(url=f"{cast.customer.origin}/other")
    _refused(cast, "the loop's url is not verified")
    cast.patch(url=f"{cast.customer.origin}/in")
    _refused(cast, "the loop's url is not verified")


def test_an_address_whose_file_is_gone_gets_nothing(cast: Cast) -> None:
    cast.found("ownership")
    _refused(cast, "the verification file is gone")


def _refused(cast: Cast, why: str) -> None:
    answer = cast.ask("test")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loopwire:problem:unverified")
    assert answer.json()["detail"].startswith(why)
    assert cast.told() == []


def test_an_address_that_may_no_longer_be_called_is_not(cast: Cast) -> None:
    with running(cast.memory, allow_networks="") as stricter:
        answer = stricter.call("POST", f"/v1/loops/{cast.loop['id']}/test", cast.key).json()
    assert (answer["status"], answer["error"]) == (None, "address 127.0.0.1 is refused: loopback")
    assert cast.told() == []


def test_after_a_rotation_both_secrets_sign(cast: Cast) -> None:
    before = datetime.now(UTC)
    answer = cast.ask("secrets")
    assert (answer.status_code, set(answer.json())) == (201, {"secret", "old_expires_at"})
    day = timedelta(hours=24)
    assert before + day <= datetime.fromisoformat(answer.json()["old_expires_at"]) <= datetime.now(UTC) + day
    cast.ask("test")
    (call,) = cast.told()
    assert [call.verified(secret) for secret in (cast.loop["secret"], answer.json()["secret"])] == [True, True]
    assert len(call.headers["webhook-signature"].split()) == 2
    assert all(answer.json()["secret"].encode() not in (value or b"") for _, value, _ in rows(cast.memory, "loops"))
    shown = cast.console.call("GET", f"/v1/loops/{cast.loop['id']}", cast.key).text
    assert "whsec_" not in shown


def test_three_rotations_end_a_secret_that_leaked_at_once(cast: Cast) -> None:
    secrets = [cast.loop["secret"], *(cast.ask("secrets").json()["secret"] for _ in range(3))]
    cast.ask("test")
    assert [cast.told()[0].verified(secret) for secret in secrets] == [False, True, True, True]
