"""The last acknowledgement of a stretch's outputs closes it; one that is refused never does."""

from itertools import permutations

import pytest
from confluent_kafka import KafkaError

from pipeline.kafka.ledger import Ledger
from pipeline.kafka.memory import Message
from pipeline.kafka.proof import UNPLACED
from pipeline.kafka.receipt import Receipt

MESSAGE = Message("events", 0, 0, b"k", b"v", None)
REFUSAL = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)


class Desk:
    """A receipt for offsets 10 to 19, and what it did."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.refused: list[KafkaError] = []
        self.receipt = Receipt(self.ledger, 10, 20, self.refused.append)

    def acknowledge(self) -> None:
        self.receipt(None, MESSAGE)

    def refuse(self) -> None:
        self.receipt(REFUSAL, MESSAGE)

    def complete(self) -> None:
        self.receipt.complete()


@pytest.mark.parametrize("order", sorted(set(permutations(["acknowledge", "acknowledge", "complete"]))))
def test_it_closes_once_all_is_produced_and_acknowledged_in_whatever_order(order: tuple[str, ...]) -> None:
    desk = Desk()
    desk.receipt.expect(2)
    for at, step in enumerate(order):
        assert (desk.ledger.safe, desk.ledger.finished) == (10, False), f"before step {at}"
        getattr(desk, step)()
    assert (desk.ledger.safe, desk.ledger.finished, desk.refused) == (20, True, [])


def test_outputs_may_be_announced_one_by_one() -> None:
    desk = Desk()
    for _ in range(3):
        desk.receipt.expect(1)
        desk.acknowledge()
        assert not desk.ledger.finished
    desk.complete()
    assert desk.ledger.finished


def test_what_has_no_outputs_is_safe_at_once() -> None:
    desk = Desk()
    desk.complete()
    assert desk.ledger.safe == 20


def test_what_is_refused_is_told_and_stays_unfinished() -> None:
    desk = Desk()
    desk.receipt.expect(3)
    desk.acknowledge()
    desk.refuse()
    desk.complete()
    desk.acknowledge()
    assert (desk.ledger.safe, desk.ledger.finished, desk.refused) == (10, False, [REFUSAL])


def test_an_acknowledgement_without_an_offset_is_none() -> None:
    desk = Desk()
    desk.receipt.expect(1)
    desk.complete()
    desk.receipt(None, Message("events", 0, None, b"k", b"v", None))  # type: ignore[arg-type]
    assert (desk.ledger.safe, desk.ledger.finished, desk.refused) == (10, False, [UNPLACED])


def test_nothing_is_owed_for_a_partition_that_is_another_worker_s() -> None:
    ledger = Ledger()
    assert Receipt(ledger, 0, 1, lambda _error: None).owed is True
    ledger.retire()
    assert Receipt(ledger, 1, 2, lambda _error: None).owed is False
    assert ledger.safe == 0
