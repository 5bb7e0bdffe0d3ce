"""A delivery becomes a POST, a record that waits or a dead letter; then its answer becomes records."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from pipeline.deliver.failing import Failures
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.signing import signature
from pipeline.deliver.stage import Post, Sent, buried, held, judged, onward, prepared, read
from pipeline.deliver.verdict import Dead, Reply
from pipeline.kafka.memory import Message
from pipeline.model.deliveries import Delivery, Timings
from pipeline.model.loops import Loop, LoopState, state_of
from pipeline.model.sealed import unseal
from pipeline.model.standing import Standing, Standings
from pipeline.record import Record
from tests.examples import example, raw

NOW = 1_773_998_101.5
LADDER = Ladder((timedelta(seconds=5), timedelta(minutes=1)))
TIMINGS = Timings(dns=1.5, connect=12.5, tls=30.25, first_byte=80.5, total=81.5)
SENT_500 = Sent(Reply(500), b"oops", TIMINGS)
SECRETS = {
    "bmV3": "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3",
    "b2xk": "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk",
    "c2VhbGVk": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


def _unseal(loop: str, sealed: str) -> str:
    assert loop == "lp_7h3k"
    return SECRETS[sealed]


def _delivery(name: str = "first", **changed: Any) -> Delivery:
    return msgspec.json.decode(json.dumps(example("delivery.v1", name) | changed), type=Delivery)


def _standing(name: str = "active", found: LoopState | None = None, **changed: Any) -> Standing:
    loop = msgspec.convert(example("loop.v1", name) | changed, Loop)
    return Standing(loop, *state_of(loop, found))


def _post(delivery: Delivery | None = None, **changed: Any) -> Post:
    post = prepared(delivery or _delivery(), _standing(**changed), NOW, _unseal)
    assert isinstance(post, Post)
    return post


def _value(record: Record) -> Any:
    return json.loads(record.value or b"null")


def test_the_post_of_a_first_attempt() -> None:
    post = _post()
    assert post.body.startswith(b"type=click&id=spring-sale.jane&event=019ab5c7-5f20-7b3c-9d01-0242ac120002&")
    sign = signature([SECRETS["c2VhbGVk"]], post.delivery.id, int(NOW), post.body)
    assert post.headers == (
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("webhook-id", "msg_50f860418eb7a06547c8d6b07371d4f0"),
        ("webhook-timestamp", "1773998101"),
        ("webhook-signature", sign),
        ("loopwire-attempt", "1"),
        ("loopwire-loop", "lp_7h3k"),
    )
    assert (post.loop.url, post.events[0].recipient, post.at) == (
        "https://shop.example/hooks/in.php", "jane@mail.example", NOW,
    )  # fmt: skip


def test_a_later_attempt_has_the_same_id_and_body_and_says_which_it_is() -> None:
    first, second = _post(), _post(_delivery("waits-for-its-second-attempt"))
    assert (second.body, dict(second.headers)["webhook-id"]) == (first.body, dict(first.headers)["webhook-id"])
    assert dict(second.headers)["loopwire-attempt"] == "2"


def test_a_loop_with_every_wish_gets_its_format_its_fields_its_headers_and_both_signatures() -> None:
    now = datetime(2026, 2, 2, 9, 0, tzinfo=UTC).timestamp()
    unsealed = SECRETS | {"c2VhbGVk": '{"Authorization":"Basic eA=="}'}
    standing = _standing("with-every-wish")
    post = prepared(_delivery(), standing, now, lambda _loop, sealed: unsealed[sealed])
    assert isinstance(post, Post)
    assert json.loads(post.body)["fields"] == {"city": "Utrecht"}
    headers = dict(post.headers)
    assert (headers["Authorization"], headers["Content-Type"]) == ("Basic eA==", "application/json")
    assert len(headers["webhook-signature"].split(" ")) == 2
    later = prepared(_delivery(), standing, now + 3600, lambda _loop, sealed: unsealed[sealed])
    assert isinstance(later, Post)
    assert dict(later.headers)["webhook-signature"] == signature(
        [SECRETS["bmV3"]], post.delivery.id, int(now + 3600), later.body
    )


def test_a_receiver_verifies_a_post_made_now() -> None:
    post = prepared(_delivery(), _standing(), datetime.now(UTC).timestamp(), _unseal)
    assert isinstance(post, Post)
    Webhook(SECRETS["c2VhbGVk"]).verify(post.body, dict(post.headers), json_parse=False)


GONE = msgspec.convert(example("loop-state.v1", "gone"), LoopState)


@pytest.mark.parametrize(
    ("standing", "found"),
    [
        (None, Dead("the loop was removed")),
        (_standing("unverified"), "unverified"),
        (_standing("moved"), "unverified"),
        (_standing("paused"), "paused"),
        (_standing("active", GONE), "gone"),
        (_standing("active", msgspec.structs.replace(GONE, reason="failing")), "failing"),
        (_standing("moved", GONE), "unverified"),
    ],
)
def test_only_an_active_loop_at_its_verified_url_is_sent_to(standing: Standing | None, found: Dead | str) -> None:
    assert prepared(_delivery(), standing, NOW, _unseal) == found


@pytest.mark.parametrize(
    "event",
    [
        b"null",
        b"[]",
        b"{}",
        raw("event.v1/rejected", "machine-is-a-word"),
        raw("event.v1/rejected", "time-without-zone"),
        raw("event.v1", "open-of-nobody-known")
        .replace(b'"2026-03-20T09', b'"0001-01-01T00')
        .replace(b"56Z", b"56+05:00"),
        raw("event.v1", "open-of-nobody-known").rstrip()[:-1] + b',"fields":{"x":' + b"[" * 600 + b"]" * 600 + b"}}",
        raw("event.v1", "open-of-nobody-known").rstrip()[:-1] + b',"later":' + b"[" * 99_999 + b"]" * 99_999 + b"}",
    ],
)
@pytest.mark.parametrize("form", ["form", "json"])
def test_an_event_that_can_t_be_told_is_dead_and_stops_nobody(event: bytes, form: str) -> None:
    found = prepared(
        msgspec.structs.replace(_delivery(), event=msgspec.Raw(event)), _standing(format=form), NOW, _unseal
    )
    if isinstance(found, Post):
        assert form == "form" or json.loads(found.body)["fields"]["x"]  # deep, and told all the same
    else:
        assert isinstance(found, Dead)
        assert found.error.startswith("the event can't be read: ")
        assert found.gone is False


@pytest.mark.parametrize("changed", [{}, {"headers": "b2xk"}])
def test_what_can_t_be_unsealed_waits_for_the_operator(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(loop: str, sealed: str) -> str:
        if changed and sealed == "c2VhbGVk":
            return SECRETS[sealed]
        return unseal(bytes(32), loop, sealed)

    assert prepared(_delivery(), _standing(**changed), NOW, broken) == "sealed"
    assert [record.getMessage() for record in caplog.records] == [
        "deliver: what was sealed for lp_7h3k can't be opened with this LOOPWIRE_MASTER_KEY"
    ]


_BATCH = b'{"id":"batch_1","loop":"lp_7h3k","account":"shop","event":%s}'


def test_a_delivery_is_read_from_its_record() -> None:
    message = Message("deliveries", 3, 42, b"lp_7h3k", raw("delivery.v1", "given-up"), None)
    found = read(message, "deliveries")
    assert isinstance(found, Delivery)
    assert json.loads(msgspec.json.encode(found)) == example("delivery.v1", "given-up")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, b"value: is null, which no delivery is"),
        (b"{}", b"value: Object missing required field `id`"),
        (raw("delivery.v1/rejected", "no-event"), b"value: Object missing required field `event`"),
        (b"[" * 100_000, None),
        (b'{"id":"\xff"}', None),
        (_BATCH % b'5,"more":[{"id":"b"}]', b"value: Expected `object`, got `int`"),
        (_BATCH % b'{"id":"a"},"more":[{}]', b"value: Object missing required field `id`"),
        (_BATCH % b'{"id":"a"},"source":"deliveries","offsets":[1,2]', b"value: 2 offsets for 1 events"),
        (_BATCH % b'{"id":"a"},"replay":"rp_1\\r\\nX: 1"', None),  # both become headers
        (raw("delivery.v1", "first").replace(b'"msg_', b'"msg\\r\\n_'), None),
    ],
)
def test_a_record_that_holds_none_is_a_dead_letter_as_it_came(value: bytes | None, reason: bytes | None) -> None:
    record = read(Message("x-deliveries-retry-5s", 3, 42, b"lp_7h3k", value, None), "deliveries-retry-5s")
    assert isinstance(record, Record)
    found = dict(record.headers)["reason"]
    assert reason in {None, found}
    headers = (("reason", found), ("topic", b"deliveries-retry-5s"), ("partition", b"3"), ("offset", b"42"))
    key = b"lp_7h3k/deliveries-retry-5s-3-42"  # its own: in a compacted topic another's would take its place
    assert record == Record("deliveries-dead", key, value or b"null", headers)


def test_a_2xx_leaves_one_attempt() -> None:
    (attempt,) = judged(_post(), Sent(Reply(200), b"ok", TIMINGS), LADDER, Failures(Standings()), NOW + 0.1)
    assert (attempt.topic, attempt.key) == ("attempts", b"lp_7h3k")
    assert _value(attempt) == example("attempt.v1", "delivered")


def test_what_failed_at_one_time_does_not_come_again_at_one_time() -> None:
    dues = {
        _value(judged(_post(_delivery(id=f"msg_{number}")), SENT_500, LADDER, Failures(Standings()), NOW)[1])["due"]
        for number in range(20)
    }
    assert len(dues) == 20
    assert all(NOW + 5 <= due <= NOW + 5.25 for due in dues)


def test_a_500_leaves_an_attempt_and_climbs_the_ladder() -> None:
    attempt, retry = judged(_post(), SENT_500, LADDER, Failures(Standings()), NOW + 5)
    due = _value(retry)["due"]
    assert NOW + 10 <= due <= NOW + 10.25
    told = datetime.fromtimestamp(due, UTC).isoformat().replace("+00:00", "Z")
    assert _value(attempt) == example("attempt.v1", "again") | {"next_attempt": told}
    assert (retry.topic, retry.key, retry.headers) == ("deliveries-retry-5s", b"lp_7h3k", ())
    failed = {"attempt": 1, "at": "2026-03-20T09:15:01.500000Z", "error": "answered 500", "status": 500}
    assert _value(retry) == example("delivery.v1", "first") | {
        "attempts": 1, "due": due, "leaves": due, "history": [failed],
    }  # fmt: skip


def test_no_answer_leaves_an_attempt_with_its_error() -> None:
    error = "Connection timed out after 5000 milliseconds"
    attempt, retry = judged(
        _post(), Sent(Reply(None, error), b"", Timings(total=5000.5)), LADDER, Failures(Standings()), NOW
    )
    found = _value(attempt)
    assert (found["outcome"], found["error"], found["timings"]) == ("again", error, {"total": 5000.5})
    assert not {"status", "response"} & set(found)
    assert _value(retry)["history"] == [{"attempt": 1, "at": "2026-03-20T09:15:01.500000Z", "error": error}]


def test_a_held_delivery_that_fails_is_no_longer_held() -> None:
    _, retry = judged(
        _post(_delivery("held-twice")), Sent(Reply(500), b"", TIMINGS), LADDER, Failures(Standings()), NOW
    )
    assert _value(retry)["attempts"] == 1
    assert "holds" not in _value(retry)


def test_the_end_of_the_ladder_is_a_dead_letter_with_its_history() -> None:
    attempt, dead = judged(
        _post(_delivery("given-up")), Sent(Reply(503), b"", TIMINGS), LADDER, Failures(Standings()), NOW
    )
    assert (_value(attempt)["outcome"], _value(attempt)["attempt"]) == ("dead", 3)
    assert "next_attempt" not in _value(attempt)
    assert (dead.topic, dead.key) == ("deliveries-dead", b"lp_7h3k/msg_50f860418eb7a06547c8d6b07371d4f0")
    assert dead.headers == (("reason", b"given up after 3 attempts: answered 503"),)
    failed = {
        "attempt": 3, "at": "2026-03-20T09:15:01.500000Z",
        "error": "answered 503", "status": 503,
    }  # fmt: skip
    before = example("delivery.v1", "given-up")
    assert _value(dead) == before | {"attempts": 3, "history": [*before["history"], failed]}


def test_a_410_is_dead_at_once_and_disables_its_loop() -> None:
    attempt, dead, state, notice = judged(_post(), Sent(Reply(410), b"", TIMINGS), LADDER, Failures(Standings()), NOW)
    assert (_value(attempt)["outcome"], _value(attempt)["status"]) == ("dead", 410)
    assert (dead.topic, dead.headers) == ("deliveries-dead", (("reason", b"answered 410 Gone"),))
    assert (state.topic, state.key) == ("loop-states", b"lp_7h3k")
    assert _value(state) == {
        "loop": "lp_7h3k",
        "kind": "disabled",
        "epoch": 1,
        "reason": "gone",
        "at": "2026-03-20T09:15:01.500000Z",
    }
    assert (notice.topic, notice.key, _value(notice)["type"]) == ("events", b"shop/lp_7h3k", "loop.disabled")


@pytest.mark.parametrize(
    ("body", "kept"),
    [(b"ok", "ok"), (b"", None), (b"\xff\x1f", "\ufffd\x1f"), (b"a" * 16_384, "a" * 1024),
     ("é".encode() * 2000, "é" * 1024)],
)  # fmt: skip
def test_an_attempt_keeps_the_beginning_of_the_answer(body: bytes, kept: str | None) -> None:
    (attempt,) = judged(_post(), Sent(Reply(200), body, TIMINGS), LADDER, Failures(Standings()), NOW)
    assert _value(attempt).get("response") == kept


@pytest.mark.parametrize(
    ("holds", "topic", "wait"), [(0, "5s", 5), (1, "1m", 60), (2, "1m", 60), (99, "1m", 60)]
)  # fmt: skip
def test_a_held_delivery_waits_without_an_attempt(holds: int, topic: str, wait: float) -> None:
    record = held(_delivery(holds=holds), LADDER, NOW)
    assert (record.topic, record.key) == (f"deliveries-retry-{topic}", b"lp_7h3k")
    assert _value(record) == example("delivery.v1", "first") | {
        "holds": holds + 1, "due": NOW + wait, "leaves": NOW + wait,
    }  # fmt: skip


def test_a_wait_longer_than_its_topic_goes_on_in_the_next() -> None:
    waits = _delivery(due=NOW + 100, leaves=NOW, attempts=1)
    record = onward(waits, LADDER, NOW)
    assert record is not None
    assert (record.topic, _value(record)["due"], _value(record)["leaves"]) == (
        "deliveries-retry-1m", NOW + 100, NOW + 60,
    )  # fmt: skip
    assert _value(record)["attempts"] == 1
    assert onward(_delivery(due=NOW, leaves=NOW), LADDER, NOW) is None
    assert onward(_delivery(), LADDER, NOW) is None


def test_a_dead_letter_is_keyed_by_loop_and_delivery() -> None:
    record = buried(_delivery("given-up"), "the loop was removed")
    assert record == Record(
        "deliveries-dead",
        b"lp_7h3k/msg_50f860418eb7a06547c8d6b07371d4f0",
        msgspec.json.encode(_delivery("given-up")),
        (("reason", b"the loop was removed"),),
    )
