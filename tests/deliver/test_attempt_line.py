"""One wide line for each POST: all there is to know of it, and nothing that is anybody's own."""

import json
import logging
import shlex

import pytest

from pipeline.deliver import attempt_line
from pipeline.deliver.stage import Sent
from pipeline.deliver.verdict import Reply
from pipeline.model.deliveries import Timings
from tests.deliver.test_batching import Story as Batches
from tests.deliver.test_batching import _some
from tests.deliver.test_dispatch import EVENT, World, _delivery, _many

TOOK = Timings(dns=0.21, connect=1.3, tls=8.44, first_byte=20.06, total=20.5)


def _answer(world: World, mark: int, reply: Reply, took: Timings = TOOK) -> None:
    job, post = world.posts.pop(mark)
    world.dispatch.answered(job, post, Sent(reply, b"said by the server", took))


def _fields(said: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(said))


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO, "loopwire.attempts")
    made = World()
    made.loop("fast")
    return made


def test_a_post_that_was_taken_is_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.take(*_many(30))
    _answer(world, 0, Reply(204))
    [said] = caplog.messages
    delivery, event = _delivery(event="0"), json.loads(bytes(EVENT))["id"]
    assert said == (
        f"loop=fast delivery={delivery.id} event={event} type=click events=1 attempt=1 outcome=delivered"
        " status=204 dns_ms=0.2 connect_ms=1.3 tls_ms=8.4 first_byte_ms=20.1 total_ms=20.5 next=- replay=-"
        " in_flight=7 cap=9 waiting=22 breaker=closed error=-"
    )
    assert caplog.records[0].name == "loopwire.attempts"
    assert caplog.records[0].levelname == "INFO"


def test_a_post_that_failed_says_when_it_comes_again_and_at_last_that_it_is_dead(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.take(_delivery(attempts=1, replay="rp_1"))
    _answer(world, 0, Reply(None, 'Failed to connect to x port 443: "no"'), Timings(total=5000))
    world.take(_delivery(attempts=3))
    _answer(world, 1, Reply(500))
    again, dead = map(_fields, caplog.messages)
    assert {name: again[name] for name in ("outcome", "status", "attempt", "replay", "error")} == {
        "outcome": "again", "status": "-", "attempt": "2", "replay": "rp_1",
        "error": 'Failed to connect to x port 443: "no"',
    }  # fmt: skip
    assert again["next"].startswith("2026-03-20T09:16:0")  # it is 09:15:01, and the rung a minute
    assert again["next"].endswith("Z")
    assert {name: dead[name] for name in ("outcome", "status", "attempt", "next", "replay", "error")} == {
        "outcome": "dead", "status": "500", "attempt": "4", "next": "-", "replay": "-", "error": "-",
    }  # fmt: skip


def test_each_post_has_a_line_and_what_is_held_has_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.loop("paused", paused=True)
    world.take(*_many(5), _delivery("paused"))
    for mark in range(5):
        _answer(world, mark, Reply(200))
    assert len(caplog.messages) == 5


def test_the_line_of_a_batch_tells_how_many_events_it_carried(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "loopwire.attempts")
    batches = Batches()
    batches.take(*_some("a", "b", "c"))
    [whole] = batches.come_back()
    _answer(batches, whole, Reply(413))
    for half in batches.read(*batches.split(whole)):
        _answer(batches, half, Reply(200))
    told = [_fields(said) for said in caplog.messages]
    assert [(one["event"], one["events"], one["attempt"], one["outcome"], one["next"]) for one in told] == [
        ("a", "3", "1", "again", "-"),  # in halves, and at once
        ("a", "2", "1", "delivered", "-"),
        ("c", "1", "1", "delivered", "-"),
    ]


def test_the_line_holds_no_address_no_recipient_no_secret_and_nothing_a_server_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    url = "https://ann:pass-word@shop.example:pass-word/in?token=tulip"
    world.loop("fast", url=url, verified_url=url)
    world.take(*_many(2))
    post = world.posts[0][1]
    _answer(world, 0, Reply(None, "address is not a URL: Port could not be cast: pass-word"), Timings())
    _answer(world, 1, Reply(500))
    event = json.loads(bytes(EVENT))
    signature = dict(post.headers)["webhook-signature"]
    private = [event["recipient"], event["ip"], signature, "pass-word", "tulip", "shop.example", "said by", "whsec"]
    assert [word for word in private for said in caplog.messages if word in said] == []
    assert _fields(caplog.messages[0])["error"] == "address-refused"


def test_words_that_would_break_the_line_are_quoted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.take(_delivery())
    _answer(world, 0, Reply(None, "bad\nloop=forged \x1b[31m"))
    [said] = caplog.messages
    assert said.endswith('error="bad\\nloop=forged \\u001b[31m"')


def test_where_the_level_is_off_no_line_is_made(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "loopwire.attempts")
    monkeypatch.delattr(attempt_line, "line")
    world.take(_delivery())
    _answer(world, 0, Reply(200))
    assert caplog.messages == []
