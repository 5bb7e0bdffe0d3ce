"""The capture stage as a process of its own, over a Kafka in memory: `python -m tests.capture.stage capture`.

`ACK_SECONDS` is how late it acknowledges; below 0 it never does. `ACK_REFUSED` makes it refuse. `CONNECTIONS` is how
many a worker takes.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError

from pipeline import settings
from pipeline.capture import listening
from pipeline.capture.run import serve
from pipeline.kafka.memory import Memory, Message
from pipeline.kafka.seam import OnDelivery, Producer
from pipeline.topics import HITS


class Late:
    """A producer whose acknowledgements come `seconds` after the record, or never, or are refusals."""

    def __init__(self, seconds: float, refused: str) -> None:
        self._seconds = seconds
        self._error = KafkaError(KafkaError.POLICY_VIOLATION, refused) if refused else None
        self._untold: list[tuple[float, OnDelivery, Message]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,  # noqa: ARG002
        on_delivery: OnDelivery | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        assert on_delivery is not None
        self._untold.append((time.monotonic(), on_delivery, Message(topic, 0, 0, key, value, headers)))

    def poll(self, timeout: float = -1) -> int:  # noqa: ARG002
        now, untold = time.monotonic(), self._untold
        self._untold = [told for told in untold if not 0 <= self._seconds <= now - told[0]]
        due = [told for told in untold if told not in self._untold]
        for _, on_delivery, message in due:
            on_delivery(self._error, message)
        return len(due)

    def flush(self, timeout: float = -1) -> int:  # noqa: ARG002
        return len(self._untold)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Nothing waits in a queue."""

    def __len__(self) -> int:
        return len(self._untold)


class LateMemory(Memory):
    """A Kafka that is slow to acknowledge."""

    def producer(self, **_more: Any) -> Producer:
        return Late(float(os.environ.get("ACK_SECONDS", "0")), os.environ.get("ACK_REFUSED", ""))


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    listening.CONNECTIONS = int(os.environ.get("CONNECTIONS", listening.CONNECTIONS))
    try:
        serve(settings.read(), lambda: LateMemory({HITS: 4}))
    except settings.SettingsError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
