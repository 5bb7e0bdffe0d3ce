"""A worker's answers: each waits for the broker or the disk, and says so where neither has the hit."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline import __version__
from pipeline.capture import counts, owing, segment, serving
from pipeline.capture.answer import GIF, Request, Response, Rules
from pipeline.capture.privacy import Privacy
from pipeline.capture.serving import Capture
from pipeline.capture.spool import Spool
from pipeline.capture.spooling import FEW
from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.kafka.memory import Memory, MemoryProducer, Message
from pipeline.kafka.seam import OnDelivery
from pipeline.model.hits import AnyHit, Open
from pipeline.settings import read
from pipeline.topics import HITS

SECONDS = 20.0
KEYS = {"k1": b"k" * 32}
RULES = Rules(KEYS)
PIXEL = "/o/" + sign(Link("acme", "p-1", "m-1"), "open", *signing_key(KEYS, "acme"))
PLACED = Message(HITS, 0, 0, b"acme/p-1", b"{}", None)
PICTURE = (("Content-Type", "image/gif"), ("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0"))


def a_get(path: str, **more: Any) -> Request:
    return Request("GET", path, "::1", datetime.now(UTC))._replace(**more)


class Reply:
    """What was answered."""

    def __init__(self) -> None:
        self.answers: list[Response] = []
        self._answered = threading.Event()

    def __call__(self, response: Response) -> None:
        self.answers.append(response)
        self._answered.set()

    def wait(self) -> Response:
        assert self._answered.wait(SECONDS)
        return self.answers[0]


class Silent(MemoryProducer):
    """Takes records and never acknowledges one."""

    def poll(self, timeout: float = -1) -> int:  # noqa: ARG002
        return 0


class Full(MemoryProducer):
    """Has no room."""

    def produce(self, *_record: Any, **_more: Any) -> None:
        raise BufferError("Local: Queue full")


class Refusing(MemoryProducer):
    """Refuses a record at once."""

    def produce(self, *_record: Any, **_more: Any) -> None:
        raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


class Failing(MemoryProducer):
    """Says in the callback that a record was not taken."""

    def produce(self, topic: str, value: Any = None, key: Any = None, partition: int = -1, on_delivery: Any = None,
                headers: Any = None) -> None:  # fmt: skip
        def instead(_error: KafkaError | None, message: Any) -> None:
            on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), message)

        super().produce(topic, value, key, partition, on_delivery=instead, headers=headers)


class Unplaced(MemoryProducer):
    """Takes nothing, and says in the callback that it did, without an offset."""

    def produce(self, topic: str, value: Any = None, key: Any = None, _partition: int = -1, on_delivery: Any = None,
                headers: Any = None) -> None:  # fmt: skip
        self._untold.append((on_delivery, Message(topic, 0, None, key, value, headers)))  # type: ignore[arg-type]


class Broken(Memory):
    """A Kafka whose producer is of another kind."""

    def __init__(self, kind: Callable[[Memory], MemoryProducer]) -> None:
        super().__init__({HITS: 4})
        self._kind = kind

    def producer(self, **_more: Any) -> MemoryProducer:
        return self._kind(self)


def hits(memory: Memory) -> list[AnyHit]:
    values = [message.value() for log in memory.logs[HITS] for message in log]
    return [msgspec.json.decode(value, type=AnyHit) for value in values if value is not None]


def row() -> counts.Row:
    return memoryview(bytearray(counts.ROW * 8)).cast("d")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


class Running(Capture):
    """A worker, and the loop it runs on."""

    loop: asyncio.AbstractEventLoop


@contextmanager
def capturing(
    kafka: Memory,
    folder: Path,
    *,
    rules: Rules = RULES,
    limit: int = 2**30,
    deadline: float = 0.1,
) -> Iterator[Running]:
    """A worker that runs, on a thread of its own."""
    spool = Spool(folder / "spool", limit)
    capture = Running(kafka, rules, spool, [row()], deadline=deadline)
    loop = capture.loop = asyncio.new_event_loop()
    background = loop.create_task(capture.run())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(background)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: spool.well or bool(spool.why))
    try:
        yield capture
    finally:
        loop.call_soon_threadsafe(background.cancel)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        spool.close()


def hear(capture: Running, request: Request) -> Reply:
    """Hands it on as a connection does: on the event loop."""
    reply = Reply()
    capture.loop.call_soon_threadsafe(capture.hear, request, reply)
    return reply


def asked(capture: Running, *requests: Request) -> list[Reply]:
    """The replies to requests made at once, when all are there."""
    replies = [hear(capture, request) for request in requests]
    for reply in replies:
        reply.wait()
    return replies


def said(capture: Running, path: str) -> tuple[int, bytes]:
    [reply] = asked(capture, a_get(path))
    response = reply.wait()
    return response.status, response.body


def figures(capture: Running) -> list[str]:
    """The requests counted, and what else is not 0."""
    lines = said(capture, "/metrics")[1].decode().splitlines()
    return [line.removeprefix("loopwire_capture_") for line in lines if not line.startswith("#") if line[-2:] != " 0"]


def counted(capture: Running) -> list[str]:
    return [line for line in figures(capture) if line.startswith("requests_total")]


def test_a_pixel_is_answered_once_its_hit_is_safe(tmp_path: Path) -> None:
    memory = Memory({HITS: 4})
    with capturing(memory, tmp_path) as capture:
        [reply] = asked(capture, a_get(PIXEL, useragent="Thunderbird", referer="https://mail.example/"))
    assert reply.answers == [(200, PICTURE, GIF)]
    [hit] = hits(memory)
    assert hit == Open(id=hit.id, account="acme", profile="p-1", mailing="m-1", at=hit.at, ip="::1",
                       useragent="Thunderbird", referer="https://mail.example/", method="GET")  # fmt: skip


def test_a_hit_is_keyed_by_account_and_profile(tmp_path: Path) -> None:
    memory = Memory({HITS: 4})
    with capturing(memory, tmp_path) as capture:
        asked(capture, a_get(PIXEL))
    assert [message.key() for log in memory.logs[HITS] for message in log] == [b"acme/p-1"]


def test_every_hit_has_an_id_of_its_own(tmp_path: Path) -> None:
    memory = Memory({HITS: 4})
    with capturing(memory, tmp_path) as capture:
        asked(capture, *(a_get(PIXEL) for _ in range(2_500)))
    assert len({hit.id for hit in hits(memory)}) == 2_500


def test_a_trusted_proxy_tells_the_client(tmp_path: Path) -> None:
    memory = Memory({HITS: 4})
    rules = Rules(KEYS, Privacy("full", read(trusted_proxies="::1").trusted_proxies))
    with capturing(memory, tmp_path, rules=rules) as capture:
        asked(capture, a_get(PIXEL, forwarded=("6.6.6.6", "203.0.113.9")))
    assert [hit.ip for hit in hits(memory)] == ["203.0.113.9"]


@pytest.mark.parametrize("kind", [Full, Refusing, Failing, Silent, Unplaced])
def test_a_hit_that_the_broker_does_not_take_is_answered_once_it_is_on_the_disk(
    kind: type[MemoryProducer], tmp_path: Path
) -> None:
    with capturing(Broken(kind), tmp_path) as capture:
        [reply] = asked(capture, a_get(PIXEL))
        assert reply.answers == [(200, PICTURE, GIF)]
        assert counted(capture) == ['requests_total{kind="open",outcome="spooled"} 1']
        assert capture.waiting == 0
        assert capture.ready
    assert on_disk(tmp_path) == ["acme/p-1"]


@pytest.mark.parametrize("kind", [Full, Refusing, Failing, Silent, Unplaced])
def test_a_hit_that_neither_takes_is_said_to_be_lost(
    kind: type[MemoryProducer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owing, "PATIENCE_SECONDS", 0.3)
    with capturing(Broken(kind), tmp_path, limit=0) as capture:
        replies = asked(capture, *(a_get(PIXEL) for _ in range(5)))
        assert all(reply.answers == [(200, (*PICTURE, ("loopwire-hit", "lost")), GIF)] for reply in replies)
        assert counted(capture) == ['requests_total{kind="open",outcome="lost"} 5']
        assert capture.waiting == 0
        assert not capture.ready
        assert said(capture, "/ready") == (503, b"not ready\n")
        assert said(capture, "/live") == (200, b"live\n")


def test_after_a_few_failures_in_a_row_hits_go_straight_to_the_disk(tmp_path: Path) -> None:
    with capturing(Broken(Silent), tmp_path) as capture:
        asked(capture, *(a_get(PIXEL) for _ in range(FEW)))
        produced = len(capture._producer)
        assert produced == FEW
        [reply] = asked(capture, a_get(PIXEL))
        assert reply.answers == [(200, PICTURE, GIF)]
        assert len(capture._producer) <= produced + 1, "the probe comes from the spool"


def test_an_ack_that_comes_while_the_disk_refuses_saves_the_hit(tmp_path: Path) -> None:
    heard: list[OnDelivery] = []

    class Slow(Silent):
        def produce(self, *_record: Any, **_more: Any) -> None:
            heard.append(_more["on_delivery"])

    with capturing(Broken(Slow), tmp_path, limit=0, deadline=0.01) as capture:
        reply = hear(capture, a_get(PIXEL))
        until(lambda: capture._owing.broker.failures == 1)
        capture.loop.call_soon_threadsafe(lambda: heard[0](None, PLACED))
        assert reply.wait() == (200, PICTURE, GIF)


def test_an_ack_that_comes_after_the_answer_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    heard: list[OnDelivery] = []

    class Slow(Silent):
        def produce(self, *_record: Any, **_more: Any) -> None:
            heard.append(_more["on_delivery"])

    with capturing(Broken(Slow), tmp_path, deadline=0.01) as capture:
        [reply] = asked(capture, a_get(PIXEL))
        capture.loop.call_soon_threadsafe(lambda: heard[0](None, PLACED))
        assert "late_total 1" in figures(capture)
        assert len(reply.answers) == 1
        assert counted(capture) == ['requests_total{kind="open",outcome="spooled"} 1']


class Moody(Memory):
    """A Kafka that takes nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__({HITS: 4})
        self.away = True

    def producer(self, **_more: Any) -> MemoryProducer:
        return MoodyProducer(self)

    def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return super().partitions(topics)


class MoodyProducer(MemoryProducer):
    def __init__(self, moody: Moody) -> None:
        super().__init__(moody)
        self._moody = moody

    def produce(self, topic: str, value: Any = None, key: Any = None, partition: int = -1, **more: Any) -> None:
        if self._moody.away:
            raise BufferError("away")
        super().produce(topic, value, key, partition, **more)


def test_what_is_spooled_comes_when_the_broker_is_back_under_the_same_ids(tmp_path: Path) -> None:
    moody = Moody()
    with capturing(moody, tmp_path) as capture:
        asked(capture, *(a_get(PIXEL) for _ in range(300)))
        assert hits(moody) == []
        moody.away = False
        until(lambda: len(hits(moody)) >= 300)
        until(lambda: capture._drain.empty)
        asked(capture, a_get(PIXEL))
        assert len(hits(moody)) == len({hit.id for hit in hits(moody)}) == 301
        assert "drained_total 300" in figures(capture)
        assert list((tmp_path / "spool").iterdir()) == []


def test_what_a_dead_worker_spooled_comes_from_the_next(tmp_path: Path) -> None:
    with capturing(Broken(Full), tmp_path) as capture:
        asked(capture, *(a_get(PIXEL) for _ in range(20)))
    memory = Memory({HITS: 4})
    with capturing(memory, tmp_path):
        until(lambda: len(hits(memory)) == 20)
        until(lambda: not list((tmp_path / "spool").iterdir()))


def test_losses_are_told_of_at_most_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "TICK_SECONDS", 0.001)
    with capturing(Broken(Full), tmp_path, limit=0) as capture:
        asked(capture, *(a_get(PIXEL) for _ in range(FEW)))

        def lost() -> list[str]:
            return [line for line in caplog.messages if " hits lost: " in line]

        until(lambda: asked(capture, a_get(PIXEL)) != [] and lost() != [])
        asked(capture, *(a_get(PIXEL) for _ in range(100)))
        [line] = lost()
        assert line.endswith(" hits lost: Local: Queue full; the spool can't be written: SPOOL_LIMIT is reached")


def test_a_request_that_fails_by_our_fault_is_answered_with_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "answer", lambda *_all: 1 / 0)
    with capturing(Memory({HITS: 4}), tmp_path) as capture:
        assert said(capture, PIXEL)[0] == 500
    assert "capture: a request failed" in caplog.messages


def test_a_worker_that_ends_is_not_ready(tmp_path: Path) -> None:
    with capturing(Memory({HITS: 4}), tmp_path) as capture:
        capture.drain()
        assert said(capture, "/ready") == (503, b"not ready\n")


def test_a_worker_is_ready_once_its_disk_or_its_broker_takes_hits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moody = Moody()
    with capturing(moody, tmp_path, limit=0) as capture:
        until(lambda: any("the broker is not ready" in line for line in caplog.messages))
        assert not capture.ready
        moody.away = False
        until(lambda: capture.ready)
    with capturing(Moody(), tmp_path) as capture:
        assert said(capture, "/ready") == (200, b"ready\n")


def test_metrics_tell_kinds_and_outcomes(tmp_path: Path) -> None:
    head = a_get(PIXEL, method="HEAD")
    with capturing(Memory({HITS: 4}), tmp_path, limit=4711) as capture:
        asked(capture, a_get(PIXEL), head, a_get("/o/x"), a_get("/c/x"), a_get("/"))
        until(lambda: capture.waiting == 0)
        told = [line for line in figures(capture) if "ack_seconds" not in line]
    assert told == [
        'requests_total{kind="open",outcome="safe"} 2',
        'requests_total{kind="open",outcome="bad"} 1',
        'requests_total{kind="click",outcome="bad"} 1',
        'requests_total{kind="other",outcome="none"} 1',
        "head_total 1",
        "spool_limit_bytes 4711",
        f'build{{version="{__version__}"}} 1',
    ]


def on_disk(folder: Path) -> list[str]:
    """The keys of the hits in the spool."""
    keys = []
    for path in (folder / "spool").iterdir():
        data, at = path.read_bytes(), segment.HEAD
        while record := segment.found(data, segment.seed_of(data) or b"", at):
            keys.append(record.kept.key.decode())
            at = record.end
    return keys
