"""What Kafka did not write is found again among the hits it came from, in order, with the reason why it can't be."""

import pytest
from confluent_kafka import KafkaError

from pipeline.enrich.refusals import BEHIND, Output, Refusal, Refusals, closed
from pipeline.enrich.sizes import Sizes
from pipeline.kafka.consume import Batch
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.memory import Message
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Message as Seen
from pipeline.record import Record

TOO_LARGE, FORBIDDEN = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
INVALID, BESIDE = KafkaError(KafkaError.INVALID_RECORD), KafkaError(KafkaError._INVALID_DIFFERENT_RECORD)
EVENTS = "staging-events"
LETTER = Record("hits-dead", b"shop/jane", b"no hit", (("reason", b"value: JSON is malformed"),))
SIZES = Sizes(event=20_000, batch=18_000)


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


def _output(receipt: Receipt, value: bytes = b"{}", offset: int = 10, turn: int = 0) -> Output:
    return Output(turn, "hits", _hit(offset, "a"), Record("events", b"shop/jane", value, partition=3), receipt)


def test_each_event_that_was_not_written_is_found_with_its_own_hit(refusals: Refusals, receipt: Receipt) -> None:
    for name in ("twice", "a", "twice"):
        assert refusals.of_hit(0, BATCH, FORBIDDEN, _event(name), receipt)
    found = refusals.taken()
    assert [(one.output.place, one.output.offset, one.output.receipt) for one in found] == [
        (("hits", 3), offset, receipt) for offset in (10, 11, 13)
    ]
    written = _event("a")
    assert found[0].output.record == Record("events", b"shop/jane", written.value(), partition=3)
    headers = (("reason", b"events: Broker: Topic authorization failed"), ("topic", b"hits"), ("partition", b"3"),
               ("offset", b"10"))  # fmt: skip
    assert found[0].buried(FORBIDDEN).record == Record("hits-dead", b"shop/jane", b'{"id":"a"}', headers)
    assert refusals.taken() == [], "each is given once"


def test_they_come_in_the_order_in_which_they_should_have_been_written(refusals: Refusals, receipt: Receipt) -> None:
    turns = [refusals.turn() for _ in range(3)]
    places = [(turns[2], 4), (turns[0], 11), (turns[1], 2), (turns[0], 10)]  # a change of a profile has another offset
    for turn, offset in places:
        assert refusals.take(Refusal(_output(receipt, offset=offset, turn=turn), BEHIND))
    assert [(one.output.turn, one.output.offset) for one in refusals.taken()] == sorted(places)


def test_what_another_thread_refuses_while_the_rest_is_taken_is_not_forgotten(
    refusals: Refusals, receipt: Receipt
) -> None:
    first, late = (Refusal(_output(receipt, offset=offset), FORBIDDEN) for offset in (10, 20))
    append = refusals._waiting.append  # as far as that thread came
    assert refusals.take(first)
    assert refusals.taken() == [first]
    append(late)
    assert refusals.taken() == [late]


def test_a_change_s_dead_letter_is_the_record_of_profiles(receipt: Receipt) -> None:
    change = Message("staging-profiles", 3, 7, b"shop/jane", b"{}", None)
    output = Output(0, "profiles", change, Record("events", b"shop/jane", b"{}", partition=3), receipt)
    assert output.place == ("profiles", 3)
    assert dict(Refusal(output, INVALID).buried(INVALID).record.headers)["topic"] == b"profiles"


@pytest.mark.parametrize(
    ("error", "topic"),
    [
        (KafkaError(KafkaError._TIMED_OUT), EVENTS),
        (KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER), EVENTS),
        (TOO_LARGE, "staging-hits-dead"),
        (BEHIND, "staging-hits-dead"),
    ],
)
def test_of_a_batch_only_events_are_taken_and_only_what_will_not_pass(
    refusals: Refusals, receipt: Receipt, error: KafkaError, topic: str
) -> None:
    assert not refusals.of_hit(0, BATCH, error, _event("a", topic), receipt)
    assert refusals.taken() == []


@pytest.mark.parametrize(
    ("error", "is_taken"),
    [(TOO_LARGE, False), (FORBIDDEN, False), (KafkaError(KafkaError._TIMED_OUT), False), (BEHIND, True)],
)
def test_a_dead_letter_is_not_buried_again_but_what_did_not_come_to_its_turn_is_written(
    refusals: Refusals, error: KafkaError, *, is_taken: bool
) -> None:
    told = list[KafkaError]()
    receipt = Receipt(Ledger(), 10, 14, told.append)
    refusals.watch(_output(receipt)._replace(record=LETTER))(error, _event("a", "staging-hits-dead"))
    assert told == ([] if is_taken else [error])
    assert [one.output.record for one in refusals.taken()] == [LETTER] * is_taken


def test_one_that_is_watched_and_safe_is_its_receipt_s(refusals: Refusals) -> None:
    ledger = Ledger()
    receipt = Receipt(ledger, 10, 14, lambda _error: None)
    receipt.expect(1)
    receipt.complete()
    refusals.watch(_output(receipt))(None, _event("a"))
    assert ledger.safe == 14
    assert refusals.taken() == []


@pytest.mark.parametrize(
    ("error", "size", "why"),
    [
        (TOO_LARGE, SIZES.event + 1, TOO_LARGE),
        (TOO_LARGE, SIZES.batch - len("shop/jane"), TOO_LARGE),  # it was sent alone
        (TOO_LARGE, SIZES.batch - len("shop/jane") - 1, None),
        (FORBIDDEN, 1, FORBIDDEN),
        (INVALID, 1, INVALID),
        (BESIDE, 1, None),
        (BEHIND, 1, None),
    ],
)
def test_one_that_was_too_large_only_with_others_and_what_came_behind_can_be_written(
    receipt: Receipt, error: KafkaError, size: int, why: KafkaError | None
) -> None:
    assert Refusal(_output(receipt, b"x" * size), error).reason(SIZES, {}) is why


def test_where_one_may_not_be_written_none_of_its_topic_may(receipt: Receipt) -> None:
    behind, refused = Refusal(_output(receipt), BEHIND), Refusal(_output(receipt), FORBIDDEN)
    shut = closed([behind, refused])
    assert behind.reason(SIZES, shut) is FORBIDDEN
    assert Refusal(behind.output._replace(record=LETTER), BEHIND).reason(SIZES, shut) is None


def test_two_hits_of_one_id_are_told_apart_by_what_they_say(refusals: Refusals, receipt: Receipt) -> None:
    short, long = (Message("hits", 3, offset, b"shop/jane", b'{"id":"a","url":"%s"}' % url, None)
                   for offset, url in ((10, b"x"), (11, b"y" * 100)))  # fmt: skip
    batch = Batch("hits", 3, [short, long], Ledger())
    event = Message(EVENTS, 3, 0, b"shop/jane", (long.value() or b"")[:-1] + b',"tags":[]}', None)
    assert refusals.of_hit(0, batch, FORBIDDEN, event, receipt)
    assert [one.output.offset for one in refusals.taken()] == [11]
