"""The drain sends all that is whole, again where it fails, and keeps for people what it can't read."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from pipeline.capture import segment, spooling
from pipeline.capture.draining import Drain
from pipeline.capture.segment import Kept, framed, head
from pipeline.capture.spool import Spool
from pipeline.kafka.memory import Memory, MemoryProducer, Message
from pipeline.topics import HITS

SEED = b"seed"
TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)
RECORDS = [framed(SEED, Kept(b"acme/p-1", f"hit {number}".encode())) for number in range(5)]


class Fails(MemoryProducer):
    """Takes none of the first `times` records, and says so; or says that it took them, and not where they are."""

    def __init__(self, memory: Memory, times: int, error: KafkaError | None = TIMED_OUT) -> None:
        super().__init__(memory)
        self._times = times
        self._error = error

    def produce(self, topic: str, value: Any = None, key: Any = None, partition: int = -1, **more: Any) -> None:
        if self._times:
            self._times -= 1
            more["on_delivery"](self._error, Message(topic, 0, None, key, value, None))  # type: ignore[arg-type]
        else:
            super().produce(topic, value, key, partition, **more)


def sent(memory: Memory) -> list[bytes | None]:
    return [message.value() for log in memory.logs[HITS] for message in log]


def drained(
    folder: Path, producer: MemoryProducer, holds: Callable[[], bool], *, deadline: float = 10.0
) -> tuple[int, int]:
    """Drains what is in the folder until a condition holds: how many records, how often the broker was well."""
    counted = well = 0

    def count() -> None:
        nonlocal counted
        counted += 1

    def is_well() -> None:
        nonlocal well
        well += 1

    async def run() -> None:
        spool = Spool(folder, 2**30)
        drain = Drain(spool, producer, HITS, count)
        task = asyncio.create_task(drain.run(lambda: 0.0, deadline, is_well))
        async with asyncio.timeout(20):
            while not (holds() and drain.empty):
                producer.poll(0)
                await asyncio.sleep(0.002)
        task.cancel()
        spool.close()

    asyncio.run(run())
    return counted, well


def write(folder: Path, data: bytes) -> None:
    (folder / "1-a.spool").write_bytes(data)


@pytest.mark.parametrize("tail", [b"", RECORDS[4][:-1], RECORDS[4][:5], bytes(100)])
def test_a_segment_is_removed_when_all_of_it_is_acknowledged_a_torn_tail_apart(tail: bytes, tmp_path: Path) -> None:
    memory = Memory({HITS: 1})
    write(tmp_path, head(SEED) + b"".join(RECORDS[:4]) + tail)
    counted, well = drained(tmp_path, MemoryProducer(memory), lambda: not list(tmp_path.iterdir()))
    assert sent(memory) == [b"hit 0", b"hit 1", b"hit 2", b"hit 3"]
    assert counted == 4
    assert well > 0


def test_a_damaged_record_is_kept_for_people_and_the_others_are_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory({HITS: 1})
    broken = bytearray(RECORDS[1])
    broken[-1] ^= 1
    write(tmp_path, head(SEED) + RECORDS[0] + bytes(broken) + RECORDS[2])
    drained(tmp_path, MemoryProducer(memory), (tmp_path / "1-a.damaged").exists)
    assert sent(memory) == [b"hit 0", b"hit 2"]
    [line] = caplog.messages
    assert line.startswith(f"capture: {len(broken)} bytes in ")
    assert [path.name for path in tmp_path.iterdir()] == ["1-a.damaged"]


@pytest.mark.parametrize(
    ("data", "left"), [(b"", []), (b"LWSPOO", []), (b"LWSPOOL9seed" + RECORDS[0], ["1-a.damaged"])]
)
def test_what_is_no_segment_is_kept_unless_nothing_can_have_been_in_it(
    data: bytes, left: list[str], tmp_path: Path
) -> None:
    write(tmp_path, data)
    drained(tmp_path, MemoryProducer(Memory({HITS: 1})), lambda: not (tmp_path / "1-a.spool").exists())
    assert [path.name for path in tmp_path.iterdir()] == left


@pytest.mark.parametrize("error", [TIMED_OUT, None])
def test_what_is_not_taken_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KafkaError | None
) -> None:
    monkeypatch.setattr(spooling, "PROBE_SECONDS", 0.05)
    memory = Memory({HITS: 1})
    write(tmp_path, head(SEED) + b"".join(RECORDS))
    drained(tmp_path, Fails(memory, 3, error), lambda: not list(tmp_path.iterdir()))
    assert sorted(sent(memory), key=str) == [b"hit 0", b"hit 1", b"hit 2", b"hit 3", b"hit 4"]


def test_a_broker_that_is_slow_drains_the_spool_and_is_not_said_to_be_well(tmp_path: Path) -> None:
    memory = Memory({HITS: 1})
    write(tmp_path, head(SEED) + b"".join(RECORDS))
    assert drained(tmp_path, MemoryProducer(memory), lambda: not list(tmp_path.iterdir()), deadline=-1.0) == (5, 0)


def test_oldest_first(tmp_path: Path) -> None:
    memory = Memory({HITS: 1})
    for number in (3, 1, 2):
        (tmp_path / f"{number}-a.spool").write_bytes(head(SEED) + RECORDS[number])
    drained(tmp_path, MemoryProducer(memory), lambda: not list(tmp_path.iterdir()))
    assert sent(memory) == [b"hit 1", b"hit 2", b"hit 3"]
    assert len(head(SEED)) == segment.HEAD
