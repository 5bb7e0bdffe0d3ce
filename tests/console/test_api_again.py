"""One delivery is sent again: from the event that stands in Kafka, under the id it had."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.kafka.memory import Memory
from pipeline.model.deliveries import Delivery
from tests.console.attempting import attempt, attempts, event, prove
from tests.console.running import TOPICS, Console, rows, running


class Cast(NamedTuple):
    console: Console
    memory: Memory
    key: str
    loop: str

    def again(self, attempt: str, key: str = "", loop: str = "") -> Any:
        path = f"/v1/loops/{loop or self.loop}/attempts/{attempt}/again"
        return self.console.call("POST", path, key or self.key)


@pytest.fixture
def cast() -> Iterator[Cast]:
    memory = Memory(TOPICS)
    with running(memory) as console:
        key = console.account("acme")
        loop = console.loop(key)["id"]
        prove(console, memory, key, loop)
        yield Cast(console, memory, key, loop)


def test_the_same_event_goes_to_the_loop_s_replays_under_the_same_id(cast: Cast) -> None:
    for number in range(50):
        event(cast.memory, profile=f"p{number}")
    told = event(cast.memory)
    made = attempt(cast.memory, cast.loop, told)
    [shown] = attempts(cast.console, cast.key, cast.loop)
    answer = cast.again(shown["id"])
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"delivery": made["delivery"], "event": told["id"], "replay": answer.json()["replay"]}
    [(key, value, _)] = rows(cast.memory, "replays")
    sent = msgspec.json.decode(value or b"", type=Delivery)
    assert key == cast.loop.encode()
    assert msgspec.json.decode(sent.event) == told
    assert sent == Delivery(
        id=made["delivery"], loop=cast.loop, account="acme", event=sent.event, replay=answer.json()["replay"]
    )


def test_an_event_whose_id_tells_no_time_is_found_within_a_day_before(cast: Cast) -> None:
    told = event(cast.memory, id=f"loop.failing.{cast.loop}.1", type="loop.failing")
    attempt(cast.memory, cast.loop, told)
    [shown] = attempts(cast.console, cast.key, cast.loop)
    assert cast.again(shown["id"]).status_code == 202


@pytest.mark.parametrize("other", [{"id": "019ab5c7-5f20-7b3c-9d01-0242ac12ffff"}, {"details": {"of": "the id"}}])
def test_what_is_no_longer_kept_can_t_be_sent(cast: Cast, other: dict[str, Any]) -> None:
    gone = {"account": "acme", "id": "e1", "type": "click", "profile": "jane"}
    event(cast.memory, **other)
    attempt(cast.memory, cast.loop, gone)
    [shown] = attempts(cast.console, cast.key, cast.loop)
    answer = cast.again(shown["id"])
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:loopwire:problem:gone")
    assert rows(cast.memory, "replays") == []


def test_a_paused_loop_may_be_sent_to_and_one_that_is_not_verified_may_not(cast: Cast) -> None:
    told = event(cast.memory)
    attempt(cast.memory, cast.loop, told)
    [shown] = attempts(cast.console, cast.key, cast.loop)
    assert cast.console.call("POST", f"/v1/loops/{cast.loop}/pause", cast.key).status_code == 200
    assert cast.again(shown["id"]).status_code == 202
    cast.console.call("PATCH", f"/v1/loops/{cast.loop}", cast.key, json={"url": "https://new.example/in"})
    answer = cast.again(shown["id"])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loopwire:problem:unverified")
    assert len(rows(cast.memory, "replays")) == 1


def test_another_s_attempt_or_another_loop_s_is_not_there(cast: Cast) -> None:
    attempt(cast.memory, cast.loop, event(cast.memory))
    [shown] = attempts(cast.console, cast.key, cast.loop)
    stranger = cast.console.account("other")
    theirs, mine = cast.console.loop(stranger)["id"], cast.console.loop(cast.key)["id"]
    assert cast.again(shown["id"], stranger).json()["detail"] == "there is no such loop"
    for loop, key in ((theirs, stranger), (mine, cast.key)):
        assert cast.again(shown["id"], key, loop).json()["detail"] == "there is no such attempt"
    for name in ("at_ffffffffffffffff", "at_", "x", "at_fffffffffffffff"):
        assert cast.again(name).json()["detail"] == "there is no such attempt"


def test_an_event_of_before_the_attempt_s_time_is_looked_for_in_vain_after_it(cast: Cast) -> None:
    told = event(cast.memory)
    long_ago = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    attempt(cast.memory, cast.loop, told | {"id": "e-without-time"}, at=long_ago)
    [shown] = attempts(cast.console, cast.key, cast.loop)
    assert cast.again(shown["id"]).status_code == 410
