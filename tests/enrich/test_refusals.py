"""What Kafka refused for good is found again among the hits it came from, and waits until it is known not to be all."""

import asyncio

import pytest
from confluent_kafka import KafkaError

from pipeline.enrich.refusals import FRAME, HOLD_SECONDS, Refusal, Refusals
from pipeline.kafka.consume import Batch
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.memory import Message
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Message as Seen
from pipeline.record import Record

TOO_LARGE, FORBIDDEN = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
EVENTS = "staging-events"


def _hit(offset: int, name: str) -> Message:
    return Message("staging-hits", 3, offset, b"shop/jane", f'{{"id":"{name}"}}'.encode(), None)


def _event(name: str, topic: str = EVENTS) -> Message:
    return Message(topic, 3, 0, b"shop/jane", f'{{"id":"{name}","recipient":"jane@mail.example"}}'.encode(), None)


@pytest.fixture
def refusals() -> Refusals:
    return Refusals(EVENTS)


@pytest.fixture
def receipt() -> Receipt:
    return Receipt(Ledger(), 10, 14, lambda _error: None)


HITS: list[Seen] = [
    _hit(10, "a"),
    _hit(11, "twice"),
    Message("staging-hits", 3, 12, b"", b"no hit", None),
    _hit(13, "twice"),
]
BATCH = Batch("hits", 3, HITS, Ledger())


async def _next(refusals: Refusals) -> list[Refusal]:
    return await asyncio.wait_for(refusals.next(), HOLD_SECONDS * 10)


def test_each_refused_event_s_own_hit_becomes_the_dead_letter(refusals: Refusals, receipt: Receipt) -> None:
    for name in ("twice", "a", "twice"):
        assert refusals.of_hit(BATCH, FORBIDDEN, _event(name), receipt)
    found = asyncio.run(_next(refusals))
    assert [(one.place, one.offset, one.receipt) for one in found] == [
        (("hits", 3), offset, receipt) for offset in (10, 11, 13)
    ]
    headers = (("reason", b"events: Broker: Topic authorization failed"), ("topic", b"hits"), ("partition", b"3"),
               ("offset", b"10"))  # fmt: skip
    assert found[0].letter == Record("hits-dead", b"shop/jane", b'{"id":"a"}', headers)
    assert asyncio.run(_next(refusals)) == [], "each is given once"


def test_what_another_thread_refuses_while_the_rest_is_taken_is_not_forgotten(
    refusals: Refusals, receipt: Receipt
) -> None:
    late = Refusal("profiles", _hit(20, "late"), FORBIDDEN, 10, receipt)
    append = refusals._waiting.append  # as far as that thread came
    assert refusals.take("hits", _hit(10, "a"), FORBIDDEN, 10, receipt)
    assert [one.offset for one in asyncio.run(_next(refusals))] == [10]
    append(late)
    assert asyncio.run(_next(refusals)) == [late]


def test_a_change_s_dead_letter_is_the_record_of_profiles(refusals: Refusals, receipt: Receipt) -> None:
    change = Message("staging-profiles", 3, 7, b"shop/jane", b"{}", None)
    assert refusals.of_change(change, TOO_LARGE, _event("a"), receipt)
    [found] = asyncio.run(_next(refusals))
    assert dict(found.letter.headers)["topic"] == b"profiles"
    assert found.place == ("profiles", 3)


@pytest.mark.parametrize(
    ("error", "topic"),
    [(KafkaError(KafkaError._TIMED_OUT), EVENTS), (TOO_LARGE, "staging-hits-dead"), (FORBIDDEN, "staging-hits-dead")],
)
def test_what_may_pass_and_what_dead_letters_met_is_not_taken(
    refusals: Refusals, receipt: Receipt, error: KafkaError, topic: str
) -> None:
    assert not refusals.of_hit(BATCH, error, _event("a", topic), receipt)
    assert not refusals.of_change(HITS[0], error, _event("a", topic), receipt)
    assert asyncio.run(_next(refusals)) == []


@pytest.mark.parametrize(
    ("error", "size", "fits"), [(TOO_LARGE, 20_000, False), (TOO_LARGE, 20_000 - FRAME, True), (FORBIDDEN, 1, False)]
)
def test_one_that_was_too_large_only_with_others_fits(
    receipt: Receipt, error: KafkaError, size: int, fits: bool
) -> None:
    assert Refusal("hits", HITS[0], error, size, receipt).fits(20_000) is fits
