"""A worker's application: the answer waits for the ack, and says so where it gave up."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.capture import counts, run
from pipeline.capture.answer import GIF, Rules
from pipeline.capture.privacy import Privacy
from pipeline.capture.run import Capture
from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.kafka.memory import Memory, MemoryProducer
from pipeline.kafka.seam import OnDelivery
from pipeline.model.hits import AnyHit, Open
from pipeline.settings import read
from pipeline.topics import HITS

KEYS = {"k1": b"k" * 32}
PIXEL = "/o/" + sign(Link("acme", "p-1", "m-1"), "open", *signing_key(KEYS, "acme"))
PICTURE = [("Content-Type", "image/gif"), ("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0")]


class Headers(dict[str, list[str]]):
    def get(self, key: str, default: Any = None) -> Any:
        return self[key][0] if key in self else default

    def get_all(self, key: str) -> list[str]:
        return super().get(key, [])


class Scope:
    method = "GET"

    def __init__(self, path: str, headers: dict[str, list[str]] | None = None, client: str = "[::1]:4711") -> None:
        self.path = path
        self.headers = Headers(headers or {})
        self.client = client


class Reply:
    """What the application answered."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, list[tuple[str, str]], bytes]] = []

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, headers, body))


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


def served(memory: Memory, *scopes: Scope, rules: Rules = Rules(KEYS)) -> tuple[list[Reply], Capture]:  # noqa: B008
    """What the application answers to requests made at once."""

    async def serve() -> tuple[list[Reply], Capture]:
        capture = Capture(memory, rules, [row()])
        capture.__rsgi_init__(asyncio.get_running_loop())
        background = asyncio.create_task(capture.run())
        replies = [Reply() for _ in scopes]
        await asyncio.gather(*(capture.__rsgi__(*pair) for pair in zip(scopes, replies, strict=True)))
        background.cancel()
        return replies, capture

    return asyncio.run(serve())


def test_a_pixel_is_answered_once_its_hit_is_safe() -> None:
    memory = Memory({HITS: 4})
    [reply], _ = served(memory, Scope(PIXEL, {"user-agent": ["Thunderbird"], "referer": ["https://mail.example/"]}))
    assert reply.answers == [(200, PICTURE, GIF)]
    [hit] = hits(memory)
    assert hit == Open(id=hit.id, account="acme", profile="p-1", mailing="m-1", at=hit.at, ip="::1",
                       useragent="Thunderbird", referer="https://mail.example/", method="GET")  # fmt: skip


def test_a_hit_is_keyed_by_account_and_profile() -> None:
    memory = Memory({HITS: 4})
    served(memory, Scope(PIXEL))
    assert [message.key() for log in memory.logs[HITS] for message in log] == [b"acme/p-1"]


def test_every_hit_has_an_id_of_its_own() -> None:
    memory = Memory({HITS: 4})
    served(memory, *(Scope(PIXEL) for _ in range(2_500)))
    assert len({hit.id for hit in hits(memory)}) == 2_500


def test_a_trusted_proxy_tells_the_client() -> None:
    memory = Memory({HITS: 4})
    rules = Rules(KEYS, Privacy("full", read(trusted_proxies="::1").trusted_proxies))
    served(memory, Scope(PIXEL, {"x-forwarded-for": ["6.6.6.6", "203.0.113.9"]}), rules=rules)
    assert [hit.ip for hit in hits(memory)] == ["203.0.113.9"]


@pytest.mark.parametrize("kind", [Full, Refusing, Failing])
def test_a_hit_that_is_not_taken_is_said_to_be_lost(kind: type[MemoryProducer]) -> None:
    [reply], capture = served(Broken(kind), Scope(PIXEL))
    assert reply.answers == [(200, [*PICTURE, ("loopwire-hit", "lost")], GIF)]
    assert capture.waiting == 0
    assert not capture.ready


def test_an_ack_that_does_not_come_is_not_waited_for_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.2)
    [one, two], capture = served(Broken(Silent), Scope(PIXEL), Scope(PIXEL))
    assert one.answers == two.answers == [(200, [*PICTURE, ("loopwire-hit", "lost")], GIF)]
    assert capture.waiting == 0


def test_an_ack_that_comes_after_the_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.1)
    heard: list[OnDelivery] = []

    class Slow(Silent):
        def produce(self, *_record: Any, **_more: Any) -> None:
            heard.append(_more["on_delivery"])

    [reply], _ = served(Broken(Slow), Scope(PIXEL))
    heard[0](None, None)  # type: ignore[arg-type]
    assert len(reply.answers) == 1


def test_losses_are_told_of_at_most_once_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "TICK_SECONDS", 0.001)

    async def lose() -> None:
        capture = Capture(Broken(Full), Rules(KEYS), [row()])
        capture.__rsgi_init__(asyncio.get_running_loop())
        background = asyncio.create_task(capture.run())
        while not caplog.messages:
            await capture.__rsgi__(Scope(PIXEL), Reply())
            await asyncio.sleep(0)
        for _ in range(100):
            await capture.__rsgi__(Scope(PIXEL), Reply())
            await asyncio.sleep(0.001)
        background.cancel()

    asyncio.run(lose())
    [line] = caplog.messages
    assert line.endswith(" hits lost: Local: Queue full")


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 (what it waits for has no event)
        await asyncio.sleep(0.001)


def asked(capture: Capture, path: str) -> tuple[int, bytes]:
    reply = Reply()
    asyncio.run(capture.__rsgi__(Scope(path), reply))
    [(status, _, body)] = reply.answers
    return status, body


def test_a_worker_is_ready_while_the_broker_takes_hits() -> None:
    _, capture = served(Memory({HITS: 4}), Scope(PIXEL))
    assert asked(capture, "/ready") == (200, b"ready\n")
    capture.draining = True
    assert asked(capture, "/ready") == (503, b"not ready\n")
    assert asked(capture, "/live") == (200, b"live\n")


def test_a_worker_is_not_ready_before_the_broker_knows_our_topic(caplog: pytest.LogCaptureFixture) -> None:
    async def wait() -> Capture:
        capture = Capture(Memory({}), Rules(KEYS), [row()])
        background = asyncio.create_task(capture.run())
        await until(lambda: bool(caplog.messages))
        background.cancel()
        return capture

    assert asked(asyncio.run(wait()), "/ready") == (503, b"not ready\n")
    assert caplog.messages == ["capture: not ready: there is no topic hits"]


def test_a_worker_is_not_ready_while_a_hit_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SLOW_SECONDS", 0.05)

    async def wait() -> list[bool]:
        capture = Capture(Broken(Silent), Rules(KEYS), [row()])
        capture.__rsgi_init__(asyncio.get_running_loop())
        background = asyncio.create_task(capture.run())
        await until(lambda: capture.ready)
        request = asyncio.create_task(capture.__rsgi__(Scope(PIXEL), Reply()))
        await until(lambda: not capture.ready)
        request.cancel()
        background.cancel()
        return [capture.waiting == 1]

    assert asyncio.run(wait()) == [True]


def test_metrics_tell_kinds_and_outcomes() -> None:
    _, capture = served(Memory({HITS: 4}), Scope(PIXEL), Scope("/o/x"), Scope("/c/x"), Scope("/"))
    _, shown = asked(capture, "/metrics")
    told = [line for line in shown.decode().splitlines() if "requests_total{" in line and not line.endswith(" 0")]
    assert told == [
        'loopwire_capture_requests_total{kind="open",outcome="safe"} 1',
        'loopwire_capture_requests_total{kind="open",outcome="bad"} 1',
        'loopwire_capture_requests_total{kind="click",outcome="bad"} 1',
        'loopwire_capture_requests_total{kind="other",outcome="none"} 1',
    ]
