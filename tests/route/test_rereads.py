"""Past events are read again by turns: each errand gets all of its own, whatever else is under way."""

import secrets
import time
from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from pipeline import topics
from pipeline.kafka.client import Cluster
from pipeline.kafka.memory import Memory
from pipeline.kafka.seam import Kafka, OnDelivery
from pipeline.record import Message, Record
from pipeline.route import rereads
from pipeline.route.errands import Came, Key
from pipeline.route.rereads import Rereads

EVENTS, PARTITIONS = 400, 4


@dataclass
class Errand:
    """Wants every `step`-th event of a partition; remembers what was written down."""

    name: str
    partition: int
    step: int
    end: int
    a_second: float = 1e6
    counts_only: bool = False
    probes: bool = False
    notes: list[Came] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.name, self.partition

    @property
    def loop(self) -> str:
        return self.name

    @property
    def start(self) -> Came:
        return self.notes[-1] if self.notes else Came(0)

    def pick(self, message: Message) -> Record | None:
        offset = message.offset() or 0
        return None if offset % self.step else Record(topics.REPLAYS, self.name.encode(), b"%d" % offset)

    def pace(self, errands: int) -> float:
        return self.a_second / errands

    def passed(self, came: Came) -> Record | None:
        self.notes.append(came)
        return None

    @property
    def over(self) -> bool:
        return bool(self.notes) and self.notes[-1].next >= self.end


class Bench:
    """Errands under way over a Kafka that holds EVENTS events in each partition."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.errands: list[Errand] = []
        self.sent: defaultdict[Key, list[int]] = defaultdict(list)
        self._producer = kafka.producer()
        for partition in range(PARTITIONS):
            for number in range(EVENTS):
                self._producer.produce(kafka.full(topics.EVENTS), b"%d" % number, b"k", partition)
        assert self._producer.flush(30) == 0
        self.rereads = Rereads(kafka, lambda: [one for one in self.errands if not one.over], self._produce)

    def _produce(self, record: Record, told: OnDelivery) -> None:
        name = record.key.decode()
        self.sent[name, 0].append(int(record.value or b"0"))
        self._producer.produce(self.kafka.full(record.topic), record.value, record.key, on_delivery=told)

    def until_over(self, *errands: Errand) -> None:
        deadline = time.monotonic() + 60
        while not all(one.over for one in errands):
            self.step()
            assert time.monotonic() < deadline, [one.notes[-1:] for one in errands]

    def step(self) -> None:
        self.rereads.step(time.monotonic())
        self._producer.poll(0)


@pytest.fixture(params=["memory", "broker"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(rereads, "AHEAD", 7)
    monkeypatch.setattr(rereads, "AHEAD_SECONDS", 0.0)
    monkeypatch.setattr(rereads, "TURN", 30)
    monkeypatch.setattr(rereads, "AT_ONCE", 11)
    monkeypatch.setattr(rereads, "LOOK_SECONDS", 0.0)
    if request.param == "memory":
        return Bench(Memory({topics.EVENTS: PARTITIONS, topics.REPLAYS: PARTITIONS}))
    return Bench(Cluster(request.getfixturevalue("cluster_settings")))


def test_many_errands_in_one_partition_get_each_event_once_and_in_order(bench: Bench) -> None:
    bench.errands = [Errand(f"{step}-{secrets.token_hex(2)}", step % 2, step, EVENTS - step) for step in range(1, 13)]
    bench.until_over(*bench.errands)
    for errand in bench.errands:
        expected = list(range(0, errand.end, errand.step))
        assert bench.sent[errand.name, 0] == expected
        last = errand.notes[-1]
        assert (last.next, last.matched, last.sent) == (errand.end, len(expected), len(expected))
        assert last.end is not None
        assert last.end >= len(expected)


def test_one_that_begins_anew_is_not_ahead_of_its_pace(bench: Bench) -> None:
    first = Errand("slow", 0, 1, 1, a_second=0.001)
    bench.errands = [first]
    bench.until_over(first)
    bench.step()
    bench.errands = [Errand("slow", 0, 1, 3, a_second=0.001, notes=[Came(1)])]
    for _ in range(50):
        bench.step()
    assert bench.sent["slow", 0] == [0]


def test_a_slow_one_keeps_nobody_waiting(bench: Bench) -> None:
    slow, fast = Errand("slow", 0, 1, EVENTS, a_second=0.001), Errand("fast", 0, 1, EVENTS)
    bench.errands = [slow, fast]
    bench.until_over(fast)
    assert len(bench.sent["slow", 0]) <= 1


def test_loops_that_only_fail_keep_nobody_waiting_and_each_is_probed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereads, "MOST_ERRANDS", 3)
    monkeypatch.setattr(rereads, "MOST_PROBES", 3)
    failing = [Errand(f"failing-{at}", at % 2, 1, EVENTS, a_second=0.001, probes=True) for at in range(20)]
    well = Errand("well", 0, 1, EVENTS)
    bench.errands = [*failing, well]
    bench.until_over(well)
    deadline = time.monotonic() + 30
    while not all(bench.sent[one.name, 0] for one in failing):
        bench.step()
        assert time.monotonic() < deadline, bench.sent
    assert [bench.sent[one.name, 0] for one in failing] == [[0]] * 20
    assert bench.sent["well", 0] == list(range(EVENTS))


def test_a_loop_that_fails_gets_each_event_once_and_in_order_however_slowly(bench: Bench) -> None:
    errand, other = (Errand(name, 1, 7, EVENTS, a_second=200, probes=True) for name in ("one", "two"))
    bench.errands = [errand, other]
    bench.until_over(errand, other)
    assert bench.sent["one", 0] == bench.sent["two", 0] == list(range(0, EVENTS, 7))


def test_what_only_counts_sends_nothing(bench: Bench) -> None:
    errand = Errand("dry", 1, 3, EVENTS, a_second=0.001, counts_only=True)
    bench.errands = [errand]
    bench.until_over(errand)
    assert (errand.notes[-1].matched, errand.notes[-1].sent) == (len(range(0, EVENTS, 3)), 0)
    assert bench.sent == {}


def test_one_that_is_given_up_goes_on_later_from_what_was_written_down(bench: Bench) -> None:
    errand = Errand("once", 2, 1, EVENTS, a_second=500)
    bench.errands = [errand]
    while len(bench.sent["once", 0]) < 50:
        bench.step()
    bench.errands = []
    while bench.rereads.busy or errand.notes[-1].sent < len(bench.sent["once", 0]):
        bench.step()
    assert not errand.over
    errand.a_second = 1e6
    bench.errands = [errand]
    bench.until_over(errand)
    assert bench.sent["once", 0] == list(range(EVENTS))


def test_a_partition_that_goes_is_left_and_one_that_comes_back_goes_on(bench: Bench) -> None:
    errand = Errand("moved", 3, 1, EVENTS, a_second=500)
    bench.errands = [errand]
    while len(bench.sent["moved", 0]) < 50:
        bench.step()
    bench.errands = []
    bench.rereads.drop(3)
    bench.step()
    errand.a_second = 1e6
    bench.errands = [errand]
    bench.until_over(errand)
    assert set(bench.sent["moved", 0]) == set(range(EVENTS))
    assert len(bench.sent["moved", 0]) < EVENTS + 60, "what was not written down is sent again, no more"
