"""A receipt is what is owed for a stretch of offsets: the last acknowledgement of its outputs closes it."""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError

from pipeline.kafka.ledger import Ledger
from pipeline.kafka.proof import fault
from pipeline.kafka.seam import Message, OnDelivery

Refused = Callable[[KafkaError], None]
# Whether another output takes the place of one that was refused; the receipt is called again for that.
Replaced = Callable[[KafkaError, Message, "Receipt"], bool]


class Receipt:
    """Given to librdkafka as the delivery callback of each output.

    Holds one piece for itself until `complete`, so that it can't close while outputs are still being made. An
    output that is refused and not replaced leaves the stretch unfinished for good: nothing behind it is committed.
    """

    __slots__ = ("_first", "_ledger", "_left", "_refused", "_replaced", "owed")

    def __init__(
        self, ledger: Ledger, first: int, end: int, refused: Refused, replaced: Replaced | None = None
    ) -> None:
        self._ledger = ledger
        self._first = first
        self._left = 1
        self._refused = refused
        self._replaced = replaced
        self.owed = ledger.open(first, end)  # False: the partition is another worker's, and so is the work

    def expect(self, outputs: int) -> None:
        """That many more outputs will be produced."""
        self._left += outputs

    def complete(self) -> None:
        """All outputs were produced."""
        self(None)

    def __call__(self, error: KafkaError | None, message: Message | None = None) -> None:
        wrong = error if message is None else fault(error, message)
        if wrong is not None:
            if message is None or self._replaced is None or not self._replaced(wrong, message, self):
                self._refused(wrong)
            return
        self._left -= 1
        if not self._left:
            self._ledger.close(self._first)


def shared(receipts: Sequence[Receipt]) -> OnDelivery:
    """Given to librdkafka with the one output that all of them wait for; nothing else is owed for any."""

    def told(error: KafkaError | None, message: Message) -> None:
        for receipt in receipts:
            receipt(error, message)

    return told
