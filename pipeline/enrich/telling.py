"""Tells changes of profiles: a part of enrich's door, on the thread that reads the tables."""

import time
from collections.abc import Callable

from pipeline import topics
from pipeline.enrich.changes import change_of
from pipeline.enrich.joiner import Joiner
from pipeline.enrich.refusals import Output
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.seam import Kafka, Message

FULL_SECONDS = 0.005  # between two tries where the producer's queue is full


class Changes:
    """Writes an event for each change of a profile that was not told yet. `wake` has the acknowledgements served."""

    def __init__(self, kafka: Kafka, joiner: Joiner, wake: Callable[[], None]) -> None:
        self._kafka = kafka
        self._joiner = joiner
        self._wake = wake
        self._ledgers: dict[int, Ledger] = {}
        self._told: dict[int, int] = {}  # what `profiles` holds below these offsets counts as told

    def own(self, partition: int, told: int, ledger: Ledger) -> None:
        """The partition is ours: changes from `told` on are news."""
        self._told[partition], self._ledgers[partition] = told, ledger

    def disown(self, partition: int) -> None:
        """The partition is another worker's."""
        self._told.pop(partition, None)
        self._ledgers.pop(partition, None)

    def see(self, message: Message) -> None:
        """One record of `profiles`, before it is applied."""
        partition, offset = message.partition() or 0, message.offset() or 0
        if offset < self._told.get(partition, offset + 1):
            return
        receipt = Receipt(self._ledgers[partition], offset, offset + 1, self._joiner.refuse)
        if not receipt.owed:
            return  # revoked: its next owner tells it
        before = self._joiner.tables.profile(partition, message.key() or b"")
        record = change_of(message, before, _origin(message), self._joiner.writer.sizes.event)
        if record is not None:
            receipt.expect(1)
            if not self._wrote(Output(self._joiner.writer.refusals.turn(), topics.PROFILES, message, record, receipt)):
                self._ledgers[partition].abandon(offset)  # the next owner tells it
                return
        receipt.complete()

    def _wrote(self, output: Output) -> bool:
        """Whether it is on its way; not so where the stage stops before there is room for it."""
        while not self._joiner.writer.put(output):
            if self._joiner.stopping:
                return False
            time.sleep(FULL_SECONDS)  # the event loop serves the acknowledgements
        self._wake()
        return True


def _origin(message: Message) -> str | None:
    origin = dict(message.headers() or ()).get("origin")
    return origin.decode(errors="replace") if origin else None
