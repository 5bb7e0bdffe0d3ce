"""Who goes when: dispatch in a world whose clock is set by hand and whose POSTs are answered by the test."""

import heapq
import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver import breaker, lanes
from pipeline.deliver.backlog import HIGH, HIGH_BYTES, LOW
from pipeline.deliver.cap import START
from pipeline.deliver.dispatch import Dispatch
from pipeline.deliver.jobs import Job, Place
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.lanes import IN_FLIGHT, LONGEST_WAIT, QUEUE
from pipeline.deliver.room import Room
from pipeline.deliver.roster import TIDY
from pipeline.deliver.stage import Post, Sent
from pipeline.deliver.verdict import Reply
from pipeline.model.deliveries import Delivery, Timings
from pipeline.model.ids import delivery_id
from pipeline.model.standing import Standings
from pipeline.record import Record
from tests.examples import example, raw

NOW = 1_773_998_101.3
EVENT = msgspec.Raw(raw("event.v1", "click"))
HERE: Place = ("deliveries", 3)
RETRY: Place = ("deliveries-retry-5s", 3)
OLD: Place = ("deliveries-retry-2h", 3)  # of an earlier ladder


class World:
    """Remembers what dispatch asked of it."""

    def __init__(self) -> None:
        self.clock = NOW
        self.stepped = 0.0  # how far the clock was set
        self.lost: set[int] = set()
        self.behind = 0.0
        self.paused: list[bool] = []
        self.is_paused: dict[Place, bool] = {}
        self.begun: list[int] = []
        self.posts: dict[int, tuple[Job[int], Post]] = {}  # under way, by mark
        self.posted: list[int] = []
        self.ended: dict[int, list[Record]] = {}
        self.batches: list[Record] = []  # written, in order
        self.ends = Counter[Place]()  # offsets that were given out
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = count()
        self.standings = Standings()
        ladder = Ladder((timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=5)))
        self.dispatch: Dispatch[int] = Dispatch(self, self.standings, ladder, lambda _loop, _sealed: "whsec_AAAA")
        self._marks = count()

    def now(self) -> float:
        return self.clock

    def tick(self) -> float:
        return self.clock - self.stepped

    def lateness(self) -> float:
        return self.behind

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.clock + seconds, next(self._ticket), do))

    def pause(self, place: Place, *, on: bool) -> None:
        assert on != self.is_paused.get(place, False), "told of what is so already"
        self.is_paused[place] = on
        self.paused.append(on)

    def owned(self, job: Job[int]) -> bool:
        return job.mark not in self.lost

    def leaves(self, job: Job[int]) -> bool:
        return job.mark in self.lost

    def begin(self, job: Job[int]) -> bool:
        self.begun.append(job.mark)
        return True

    def post(self, job: Job[int], post: Post) -> None:
        self.posted.append(job.mark)
        self.posts[job.mark] = job, post

    def end(self, job: Job[int], records: list[Record]) -> None:
        assert job.mark not in self.ended, "a delivery ends once"
        self.ended[job.mark] = records

    def record(self, jobs: Sequence[Job[int]], record: Record) -> None:
        for job in jobs:
            self.end(job, [])
        self.batches.append(record)

    # What the test does.

    def loop(self, name: str, **changed: Any) -> str:
        loop = example("loop.v1", "active") | {"id": name} | changed
        self.standings.put_loop(0, name.encode(), msgspec.json.encode(loop))
        return name

    def take(self, *deliveries: Delivery | Record, place: Place = HERE) -> list[int]:
        first = self.ends[place]
        self.ends[place] += len(deliveries)
        jobs = [Job(one, next(self._marks), offset=first + at, number=3) for at, one in enumerate(deliveries)]
        self.dispatch.take(place, jobs)
        return [job.mark for job in jobs]

    def again(self, record: Record) -> list[int]:
        """The record came through its retry topic."""
        assert record.value is not None
        return self.take(msgspec.json.decode(record.value, type=Delivery), place=(record.topic, 3))

    def answer(self, mark: int, status: int = 200, retry_after: str | None = None) -> None:
        job, post = self.posts.pop(mark)
        self.dispatch.answered(job, post, Sent(Reply(status, None, retry_after), b"", Timings()))

    def advance(self, seconds: float) -> None:
        until = self.clock + seconds
        while self._timers and self._timers[0][0] <= until:
            self.clock, _, do = heapq.heappop(self._timers)
            do()
        self.clock = until


@pytest.fixture
def world() -> World:
    made = World()
    made.loop("fast")
    return made


def _delivery(loop: str = "fast", event: str = "1", **more: Any) -> Delivery:
    return Delivery(id=delivery_id(event, loop), loop=loop, account="shop", event=EVENT, **more)


def _many(number: int, loop: str = "fast") -> list[Delivery]:
    return [_delivery(loop, str(each)) for each in range(number)]


def _value(record: Record) -> Any:
    return json.loads(record.value or b"null")


def _topics(records: list[Record]) -> list[str]:
    return [record.topic for record in records]


def test_a_delivery_is_posted_at_once_and_ends_with_its_attempt(world: World) -> None:
    assert world.take(_delivery()) == world.posted == world.begun == [0]
    world.answer(0)
    assert _topics(world.ended[0]) == ["attempts"]


def test_offsets_begin_in_order_whatever_becomes_of_them(world: World) -> None:
    world.loop("paused", paused=True)
    dead = Record("deliveries-dead", b"k", b"v")
    marks = world.take(_delivery(), dead, _delivery("removed"), _delivery("paused"), *_many(40), _delivery("fast"))
    assert world.begun == marks
    assert world.ended[1] == [dead]


def test_a_record_that_held_no_delivery_ends_with_its_dead_letter(world: World) -> None:
    dead = Record("deliveries-dead", b"lp", b"as it came", (("reason", b"value: ..."),))
    world.take(dead)
    assert (world.begun, world.ended) == ([0], {0: [dead]})


def test_a_head_that_is_not_due_waits_and_nothing_behind_passes_it(world: World) -> None:
    soon = _delivery(due=NOW + 1, leaves=NOW + 1)
    world.take(_delivery(due=NOW + 3, leaves=NOW + 3), soon, _delivery(), place=RETRY)
    world.advance(2.9)
    assert (world.begun, world.posted) == ([], [])
    world.advance(0.2)
    assert (world.begun, world.posted) == ([0, 1, 2], [0, 1, 2])


def test_another_partition_does_not_wait_for_it(world: World) -> None:
    world.take(_delivery(leaves=NOW + 3), place=RETRY)
    assert world.take(_delivery()) == world.posted


@pytest.mark.parametrize("topic", ["deliveries", "replays", "batches"])
def test_only_retry_topics_are_waited_in_whatever_a_record_says(world: World, topic: str) -> None:
    """It would hold up all that is behind it in its partition, for ever."""
    marks = world.take(_delivery(leaves=1e308), _delivery(), place=(topic, 3))
    assert world.posted == marks


def test_a_clock_that_is_set_takes_effect_within_five_seconds(world: World) -> None:
    world.take(_delivery(leaves=NOW + 3600), place=OLD)
    world.advance(1)
    world.clock += 3600  # set, no timer is told
    world._timers = [(at + 3600, ticket, do) for at, ticket, do in world._timers]
    world.advance(5)
    assert world.posted == [0]


def test_the_cap_grows_by_what_is_past_alone_which_has_half_of_it(world: World) -> None:
    past = [Job(_delivery("fast", f"{mark}", replay="rp_x"), mark, past=True) for mark in range(200)]
    world.dispatch.take(("replays", 3), past)
    most = 0
    while world.posts:
        most = max(most, len(world.posts))
        world.answer(next(iter(world.posts)))
    assert (world.dispatch.lanes["fast"].cap.size(32), most) == (32, 16)


def test_what_is_not_due_for_long_takes_none_of_its_loop_s_pace(world: World) -> None:
    world.loop("slow", rate=1)
    far = [_delivery("slow", f"far {number}", leaves=world.clock, due=world.clock + 3600) for number in range(50)]
    waiting = world.take(*far, place=RETRY)
    [now] = world.take(_delivery("slow"))
    assert world.posted == [now]
    assert {_topics(world.ended[mark])[0] for mark in waiting} == {"deliveries-retry-5m"}


def test_the_cap_of_a_lane_is_kept(world: World) -> None:
    world.take(*_many(200))
    assert world.posted == list(range(START))
    world.answer(7)
    assert len(world.posted) == START + 2, "a server that answers well gets one more at a time"
    for _ in range(60):
        world.answer(max(world.posts))
    assert len(world.posts) == IN_FLIGHT
    world.answer(min(world.posts), 503)
    for _ in range(IN_FLIGHT):
        world.answer(max(world.posts), 404)
    assert len(world.posts) == IN_FLIGHT // 2, "and half as many when it is in trouble"


def test_max_in_flight_is_kept(world: World) -> None:
    world.loop("careful", max_in_flight=2)
    world.take(*_many(4, "careful"))
    assert world.posted == [0, 1]
    for mark in (1, 0):
        world.answer(mark)
    assert world.posted == [0, 1, 2, 3]
    assert world.take(*_many(3)) == world.posted[4:], "another loop has its own"


def test_a_change_of_max_in_flight_holds_for_what_comes_after_it(world: World) -> None:
    world.loop("busy", max_in_flight=1)
    world.take(*_many(3, "busy"))
    world.loop("busy", max_in_flight=3)
    world.take(_delivery("busy", "next"))
    assert world.posted == [0, 1, 2]
    world.loop("busy", max_in_flight=1)
    world.take(_delivery("busy", "last"))
    for mark in (0, 1):
        world.answer(mark)
    assert world.posted == [0, 1, 2], "two of three are over, and one is what may be"
    world.answer(2)
    assert world.posted == [0, 1, 2, 3]


def test_max_in_flight_of_one_keeps_order(world: World) -> None:
    world.loop("one", max_in_flight=1)
    world.take(*_many(20, "one"))
    for mark in range(20):
        assert list(world.posts) == [mark]
        world.answer(mark)


def _stall(world: World) -> tuple[list[int], list[int]]:
    """A loop that never answers fills its lane; the marks behind it in the partition, and one for a fast loop."""
    world.loop("slow", max_in_flight=1)
    world.take(*_many(1 + QUEUE, "slow"))
    assert world.posted == [0]
    return world.take(_delivery("slow", "late"), _delivery("slow", "later")), world.take(_delivery())


def test_a_full_lane_holds_its_partition_for_100_ms_at_most_then_what_it_can_t_take_waits_as_held(
    world: World,
) -> None:
    late, fast = _stall(world)
    world.advance(0.09)
    assert (world.posted, world.ended) == ([0], {})
    world.advance(0.02)
    assert world.posted == [0, *fast]
    for mark in late:
        (record,) = world.ended[mark]
        assert (record.topic, record.key) == ("deliveries-retry-5s", b"slow")
        found = _value(record)
        assert found["holds"] == 1
        assert not {"attempts", "history"} & set(found), "it cost no attempt"
        assert found["due"] == found["leaves"] == pytest.approx(world.clock + 5, abs=0.02)


def test_a_process_that_is_behind_blames_no_lane_that_moves(world: World) -> None:
    world.behind = 0.1
    marks = world.take(*_many(1000))
    for _ in range(200):  # five answers in 100 ms, for two seconds
        world.advance(0.02)
        for mark in list(world.posts)[:1]:
            world.answer(mark)
    assert {tuple(_topics(records)) for records in world.ended.values()} == {("attempts",)}
    world.behind = 0.0
    world.advance(0.2)
    assert [mark for mark in marks if _topics(world.ended.get(mark, [])) == ["deliveries-retry-5s"]]


def test_a_process_that_is_behind_lets_go_of_a_lane_that_does_not_move(world: World) -> None:
    world.behind = 0.1
    late, fast = _stall(world)
    world.advance(0.2)
    assert world.posted == [0, *fast]
    assert all(_topics(world.ended[mark]) == ["deliveries-retry-5s"] for mark in late)


def test_while_it_is_full_nothing_more_of_it_holds_its_partition(world: World) -> None:
    _stall(world)
    world.advance(0.2)
    (mark,) = world.take(_delivery("slow", "again"))
    assert _topics(world.ended[mark]) == ["deliveries-retry-5s"]


def test_a_held_delivery_that_finds_the_lane_full_again_climbs_a_rung(world: World) -> None:
    late, _ = _stall(world)
    world.advance(0.2)
    (record,) = world.ended[late[0]]
    for topic in ("deliveries-retry-1m", "deliveries-retry-5m", "deliveries-retry-5m"):
        (mark,) = world.again(record)
        world.advance(_value(record)["leaves"] - world.clock + 0.2)
        (record,) = world.ended[mark]
        assert record.topic == topic
    assert _value(record)["holds"] == 4
    assert "attempts" not in _value(record)


def test_a_delivery_held_in_the_middle_of_a_long_wait_still_waits_for_all_of_it(world: World) -> None:
    _stall(world)
    (mark,) = world.take(_delivery("slow", "asked", due=NOW + 600, leaves=NOW, attempts=1))
    world.advance(0.2)
    (record,) = world.ended[mark]
    assert (record.topic, _value(record)["due"], _value(record)["attempts"]) == ("deliveries-retry-5m", NOW + 600, 1)


def test_a_lane_that_moves_does_not_spill(world: World) -> None:
    marks = world.take(*_many(3000))
    while world.posts:
        world.advance(0.01)
        for mark in list(world.posts):
            world.answer(mark)
    assert world.posted == marks
    assert {tuple(_topics(records)) for records in world.ended.values()} == {("attempts",)}


def test_when_the_lane_has_room_its_partition_goes_on_at_once(world: World) -> None:
    late, fast = _stall(world)
    world.advance(0.05)
    world.answer(0)
    world.answer(1)
    assert world.posted == [0, 1, 2, *fast]
    assert world.begun == list(range(fast[-1] + 1))
    assert not set(late) & set(world.ended)


def test_the_partitions_that_wait_for_one_lane_all_go_on(world: World) -> None:
    world.loop("slow", max_in_flight=1)
    world.take(*_many(1 + QUEUE, "slow"))
    waiting = [world.take(_delivery("slow", str(each)), place=("deliveries-retry-5s", each)) for each in range(4)]
    for mark in range(4):
        world.answer(mark)
    assert set(world.begun) >= {mark for (mark,) in waiting}


@pytest.mark.parametrize(
    "state", [{"paused": True}, {"verified_url": None}, {"url": "https://new.shop.example/"}, {"epoch": 7}]
)
def test_what_is_not_active_is_held_a_rung_higher_each_time(world: World, state: dict[str, Any]) -> None:
    world.loop("waits", **state)
    if "epoch" in state:
        found = example("loop-state.v1", "gone") | {"loop": "waits", "epoch": 7}
        world.standings.put_state(0, b"waits", msgspec.json.encode(found))
    (mark,) = world.take(_delivery("waits", attempts=2))
    for rung, topic in enumerate(("5s", "1m", "5m", "5m")):
        (record,) = world.ended[mark]
        assert (record.topic, record.key) == (f"deliveries-retry-{topic}", b"waits")
        assert (_value(record)["holds"], _value(record)["attempts"]) == (rung + 1, 2)
        (mark,) = world.again(record)
        world.advance(_value(record)["leaves"] - world.clock)
    assert world.posted == []


def test_a_loop_that_becomes_active_gets_what_was_held_under_the_same_id(world: World) -> None:
    world.loop("waits", paused=True)
    world.take(_delivery("waits"))
    (record,) = world.ended[0]
    world.loop("waits")
    world.again(record)
    world.advance(5)
    (post,) = [post for _, post in world.posts.values()]
    assert dict(post.headers)["webhook-id"] == delivery_id("1", "waits")
    assert dict(post.headers)["loopwire-attempt"] == "1"


def test_what_is_paused_while_it_waits_in_its_lane_is_not_posted(world: World) -> None:
    world.loop("careful", max_in_flight=1)
    world.take(*_many(2, "careful"))
    world.loop("careful", max_in_flight=1, paused=True)
    world.answer(0)
    assert world.posted == [0]
    assert _topics(world.ended[1]) == ["deliveries-retry-5s"]


def test_a_removed_loop_s_delivery_is_a_dead_letter(world: World) -> None:
    world.take(_delivery("removed", attempts=1))
    (record,) = world.ended[0]
    assert (record.topic, record.key) == ("deliveries-dead", f"removed/{delivery_id('1', 'removed')}".encode())
    assert record.headers == (("reason", b"the loop was removed"),)
    assert _value(record)["attempts"] == 1


def test_a_failure_climbs_the_ladder_and_its_end_is_a_dead_letter_with_the_history(world: World) -> None:
    (mark,) = world.take(_delivery())
    for attempt, topic in enumerate(("5s", "1m", "5m"), start=1):
        assert dict(world.posts[mark][1].headers)["loopwire-attempt"] == str(attempt)
        world.answer(mark, 500)
        _, record = world.ended[mark]
        assert record.topic == f"deliveries-retry-{topic}"
        (mark,) = world.again(record)
        world.advance(_value(record)["due"] - world.clock - 0.1)
        assert mark not in world.posts
        world.advance(0.2)
    world.answer(mark, 502)
    attempt_record, dead, *_ = world.ended[mark]
    assert (attempt_record.topic, dead.topic) == ("attempts", "deliveries-dead")
    assert [failed["status"] for failed in _value(dead)["history"]] == [500, 500, 500, 502]
    assert [failed["attempt"] for failed in _value(dead)["history"]] == [1, 2, 3, 4]
    assert dead.headers == (("reason", b"given up after 4 attempts: answered 502"),)


@pytest.mark.parametrize("seconds", [7, 59, 100, 301, 1234])
def test_a_long_retry_after_chains_rungs_and_is_never_early(world: World, seconds: int) -> None:
    world.take(_delivery())
    world.answer(0, 503, str(seconds))
    _, record = world.ended[0]
    due = _value(record)["due"]
    assert world.clock + seconds <= due <= world.clock + seconds + min(seconds * 0.05, 5)
    (mark,) = world.again(record)
    for _ in range(100):
        world.advance(_value(record)["leaves"] - world.clock)
        if mark in world.posts:
            break
        (record,) = world.ended[mark]
        assert (_value(record)["due"], _value(record)["attempts"]) == (due, 1)
        assert "holds" not in _value(record)
        (mark,) = world.again(record)
    assert dict(world.posts[mark][1].headers)["loopwire-attempt"] == "2"
    assert due - 0.001 <= world.clock <= due + 0.001


def test_a_410_disables_the_loop_and_what_waits_is_held(world: World) -> None:
    world.loop("gone", max_in_flight=1)
    world.take(*_many(2, "gone"))
    job, post = world.posts[0]
    state = example("loop-state.v1", "gone") | {"loop": "gone"}
    world.answer(0, 410)
    assert _topics(world.ended[0]) == ["attempts", "deliveries-dead", "loop-states", "events"]
    assert _value(world.ended[0][2])["reason"] == "gone"
    assert (job.mark, post.loop.id) == (0, "gone")
    assert (_topics(world.ended[1]), world.posts) == (["deliveries-retry-5s"], {}), "before the state is read"
    world.standings.put_state(0, b"gone", msgspec.json.encode(state))
    (mark,) = world.take(_delivery("gone", "3"))
    assert _topics(world.ended[mark]) == ["deliveries-retry-5s"]


def test_a_loop_that_was_verified_anew_gets_what_came_since_its_410(world: World) -> None:
    world.loop("gone", max_in_flight=2, epoch=1)
    world.take(*_many(2, "gone"))
    world.answer(0, 410)
    world.loop("gone", max_in_flight=2, epoch=2)
    world.answer(1, 410)  # to what was sent before: the verification is newer
    (mark,) = world.take(_delivery("gone", "3"))
    assert mark in world.posts


def test_a_deep_backlog_pauses_its_partition_until_it_is_short(world: World) -> None:
    world.loop("one", max_in_flight=1)
    world.take(_delivery("one", leaves=NOW + 1), *_many(HIGH - 2, "one"), place=RETRY)
    assert world.paused == []
    world.take(_delivery("one", "more"), place=RETRY)
    assert world.paused == [True]
    world.advance(1.1)
    assert world.paused == [True, False]
    assert len(world.begun) == HIGH > LOW


def test_what_was_not_begun_in_a_partition_that_is_lost_is_dropped(world: World) -> None:
    world.loop("slow", max_in_flight=1)
    world.take(*_many(1 + QUEUE + 5, "slow"))
    world.lost = set(range(1 + QUEUE + 5))
    world.dispatch.forget([HERE])
    world.advance(60)
    assert (world.posted, world.ended, world.begun) == ([0], {}, list(range(1 + QUEUE)))


def test_what_waits_in_a_lane_of_a_lost_partition_is_not_posted_and_its_lane_goes_on(world: World) -> None:
    world.loop("careful", max_in_flight=1)
    world.take(*_many(3, "careful"))
    other = world.take(_delivery("careful", "other"), place=("deliveries", 4))
    world.dispatch.forget([HERE])
    world.lost = {0, 1, 2}
    world.answer(0)
    assert world.posted == [0, *other]
    assert set(world.ended) == {0}, "who has the partition next begins the rest again"


def test_what_waits_in_a_lane_of_a_lost_partition_is_given_up_by_a_sweep_at_once(world: World) -> None:
    world.loop("slow", max_in_flight=1)
    world.take(*_many(1 + QUEUE, "slow"))
    other = world.take(_delivery("slow", "other"), place=("deliveries", 4))
    world.lost = set(range(1, 1 + QUEUE))
    world.dispatch.sweep()
    world.advance(0.2)
    assert world.begun == list(range(2 + QUEUE)), "there is room for the other partition's"
    world.answer(0)
    assert world.posted == [0, *other]
    assert set(world.ended) == {0}


def test_what_waited_for_long_in_a_lane_of_a_lost_partition_goes_to_the_ladder_and_keeps_no_commit_back(
    world: World,
) -> None:
    world.loop("slow")
    old = world.take(*_many(START + 20, "slow"))
    world.advance(LONGEST_WAIT + 1)
    new = world.take(*_many(5, "slow"))
    world.lost.update(old, new)
    world.dispatch.sweep()
    assert all(_topics(world.ended[mark]) == ["deliveries-retry-5s"] for mark in old[START:])
    assert world.ended.keys().isdisjoint(new)
    for mark in old[:START]:
        world.answer(mark)
    assert world.dispatch.room.bytes == world.dispatch.room.in_flight == 0


def test_a_partition_that_comes_back_begins_afresh(world: World) -> None:
    world.take(_delivery(leaves=NOW + 3), place=RETRY)
    world.dispatch.forget([RETRY])
    (mark,) = world.take(_delivery(leaves=NOW + 3), place=RETRY)
    world.advance(3)
    assert (world.begun, world.posted) == ([mark], [mark])


def _step(world: World, seconds: float) -> None:
    """The clock is set; no timer is told."""
    world.clock += seconds
    world.stepped += seconds
    world._timers = [(at + seconds, ticket, do) for at, ticket, do in world._timers]


@pytest.mark.parametrize("seconds", [-86_400.0, -3600.0, -60.0])
def test_a_clock_put_back_makes_nobody_wait_for_longer(world: World, seconds: float) -> None:
    world.take(_delivery())
    world.answer(0, 503, "100")
    _, record = world.ended[0]
    began = world.tick()
    (mark,) = world.again(record)
    world.advance(30)
    _step(world, seconds)
    while mark not in world.posts:
        world.advance(0.5)
        if mark in world.ended:
            (record,) = world.ended[mark]
            (mark,) = world.again(record)
    assert 100 <= world.tick() - began <= 105 + 5.25 + 0.5


def test_a_retry_topic_s_delay_bounds_the_wait_of_what_comes_after_the_clock_was_put_back(world: World) -> None:
    _step(world, -86_400.0)
    (mark,) = world.take(
        _delivery(due=world.clock + 86_400 + 5, leaves=world.clock + 86_400 + 5), place=("deliveries-retry-5s", 3)
    )
    world.advance(10.1)
    assert mark in world.posts


def test_a_loop_s_rate_is_kept_and_what_can_t_wait_here_comes_back_at_its_turn(world: World) -> None:
    world.loop("paced", rate=10.0)
    world.take(*_many(QUEUE + 50, "paced"))
    waiting = []
    for _ in range(1000):
        world.advance(0.1)
        for mark in list(world.posts):
            world.answer(mark)
        for mark, records in list(world.ended.items()):
            if records[0].topic.startswith("deliveries-retry"):
                waiting.append(_value(records[0])["due"])
                del world.ended[mark]
                world.again(records[0])
        if len(world.posted) == QUEUE + 50:
            break
    assert 30 <= world.clock - NOW <= 30 + 5 + 1, "later than the pace by the shortest rung at most"
    assert len(waiting) < 6 * 160, "each was written about as often as its wait has links"


@pytest.mark.parametrize("rate", [0.05, 1.0, 10.0])
def test_a_paced_loop_keeps_no_commit_back_for_long(world: World, rate: float) -> None:
    world.loop("paced", rate=rate)
    for _ in range(10):
        world.take(*_many(100, "paced"))
        begun = set(world.begun)
        for _ in range(round(LONGEST_WAIT) + 1):
            world.advance(1)
            for mark in list(world.posts):
                world.answer(mark)
        assert begun <= world.ended.keys(), "sent, or in a retry topic"


def test_a_rate_that_was_far_too_low_holds_nothing_up_once_it_is_mended(world: World) -> None:
    world.loop("paced", rate=0.001)
    world.take(*_many(100, "paced"))
    (first,) = world.posts
    world.answer(first)
    world.advance(1)
    world.loop("paced", rate=10.0)
    assert world.take(_delivery("paced", "new"))[0] in world.posts


def test_what_is_past_keeps_no_commit_back_however_much_happens_now(world: World) -> None:
    world.take(*_many(100))
    past = next(world._marks)
    world.dispatch.take(("replays", 3), [Job(_delivery(event="old"), past, past=True, number=3)])
    for _ in range(20):
        world.take(*_many(10))
        world.advance(1)
        for mark in sorted(world.posts)[:10]:
            world.answer(mark)
    assert _topics(world.ended[past]) == ["deliveries-retry-5s"]
    assert past not in world.posted


def test_what_makes_no_post_takes_none_of_its_loop_s_pace(world: World) -> None:
    world.loop("paced", rate=0.1, paused=True)
    held = world.take(*_many(50, "paced"))
    assert set(held) <= world.ended.keys()
    world.loop("paced", rate=0.1)
    further = world.take(_delivery("paced", "long", due=NOW + 60, leaves=NOW), place=RETRY)
    assert set(further) <= world.ended.keys()
    assert world.take(_delivery("paced", "now"))[0] in world.posts


def _break(world: World, loop: str) -> None:
    """A loop whose server answers 500 until its lane is closed."""
    world.loop(loop)
    while not world.dispatch.lanes.get(loop) or not world.dispatch.lanes[loop].closed(world.tick()):
        for mark in world.take(*_many(breaker.FAILURES, loop)):
            if mark in world.posts:
                world.answer(mark, 500)
        for mark in list(world.posts):
            world.answer(mark, 500)
        world.advance(5)


def test_a_broken_server_gets_a_probe_now_and_then_and_what_comes_is_held_at_once(world: World) -> None:
    _break(world, "broken")
    before = len(world.posted)
    held = world.take(*_many(20, "broken"))
    for mark in held:
        (record,) = world.ended[mark]
        assert (record.topic, _value(record)["holds"]) == ("deliveries-retry-5s", 1)
        assert "attempts" not in _value(record)
    assert len(world.posted) == before
    world.advance(breaker.LONGEST_PROBE_SECONDS)
    waiting = world.take(*_many(20, "broken"))
    assert len(world.posted) == before + 1, "one goes, the others wait for what it finds"
    world.answer(waiting[0], 500)
    assert all(_topics(world.ended[mark]) == ["deliveries-retry-5s"] for mark in waiting[1:])
    world.advance(breaker.LONGEST_PROBE_SECONDS)
    probe, *more = world.take(*_many(20, "broken"))
    world.answer(probe)
    assert set(more) & set(world.posts), "it works again"


@pytest.mark.parametrize("row", [{"paused": True}, {"verified_url": "https://other.example/"}, None])
def test_what_comes_for_a_broken_server_s_loop_that_is_not_sent_to_waits_for_no_probe(
    world: World, row: dict[str, Any] | None
) -> None:
    _break(world, "broken")
    if row is None:
        world.standings.put_loop(0, b"broken", None)
    else:
        world.loop("broken", **row)
    (mark,) = world.take(_delivery("broken", "late"))
    topic = "deliveries-dead" if row is None else "deliveries-retry-5s"
    assert _topics(world.ended[mark]) == [topic]
    assert world.dispatch.held["state"] == (row is not None)


def test_slots_are_shared_and_lanes_take_turns(world: World) -> None:
    world.dispatch.room = Room(slots=8)
    for loop in "abc":
        world.loop(loop)
    a, b, c = (world.take(*_many(20, loop)) for loop in "abc")
    assert world.posted == a[:6], "two slots are for the quick"
    for mark in a[:3]:
        world.answer(mark, 404)
    assert world.posted[6:] == [a[6], b[0], c[0]]


def test_a_hundred_hanging_servers_take_no_slot_of_one_that_answers(world: World) -> None:
    world.dispatch.room = Room(slots=16)
    world.take(_delivery())
    world.answer(0)
    for number in range(100):
        world.take(*_many(50, world.loop(f"hangs-{number}")))
    quick = world.take(*_many(300))
    while set(quick) - set(world.ended):
        world.advance(0.02)
        for mark in quick:
            if mark in world.posts:
                world.answer(mark)
        assert world.clock - NOW < 10
    assert {tuple(_topics(world.ended[mark])) for mark in quick} == {("attempts",)}


def test_memory_is_bounded_by_bytes(world: World) -> None:
    world.dispatch.room = Room(limit=1_000_000)
    world.loop("large", max_in_flight=1)
    world.loop("small")
    for number in range(3000):
        jobs = [Job(_delivery("large", str(number)), number, size=100_000)]
        world.dispatch.take(HERE, jobs)
        world.advance(0.01)
        backlog = world.dispatch._backlogs[HERE]
        assert world.dispatch.room.bytes <= 1_000_000
        assert backlog.bytes <= HIGH_BYTES + 100_000
        if backlog.paused:
            world.advance(1)
    assert world.paused[:1] in ([], [True])


def test_what_waits_for_fifty_hanging_servers_keeps_nobody_else_out(world: World) -> None:
    world.dispatch.room = Room(limit=100_000)
    for number in range(50):
        hangs = world.loop(f"hangs-{number}", max_in_flight=1)
        jobs = [Job(_delivery(hangs, str(each)), 5 * number + each, size=400) for each in range(5)]
        world.dispatch.take(("deliveries", 0), jobs)
    for _ in range(100):
        world.advance(0.2)
    assert world.dispatch.room.bytes > 70_000, "what may wait for them does"
    world.loop("new")
    world.dispatch.take(("deliveries", 1), [Job(_delivery("new"), 1000, size=400)])
    assert 1000 in world.posts


def test_what_was_learned_of_a_server_that_gets_nothing_is_forgotten(world: World) -> None:
    for number in range(5 * TIDY):
        (mark,) = world.take(_delivery(world.loop(f"loop-{number}")))
        world.answer(mark)
        world.advance(1)
    assert len(world.dispatch.lanes) <= 2 * TIDY


PLACES: list[Place] = [("deliveries", 0), ("deliveries", 1), ("deliveries-retry-5s", 0)]
STEPS = st.one_of(
    st.tuples(st.just("take"), st.sampled_from(PLACES), st.lists(st.sampled_from(["a", "b", "paused", "gone"]))),
    st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from([200, 500, 410])),
    st.tuples(st.just("advance"), st.sampled_from([0.01, 0.1, 6.0])),
    st.tuples(st.just("lose"), st.sampled_from(PLACES)),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_each_delivery_begins_once_in_order_and_ends_once(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    taken: dict[Place, list[int]] = {place: [] for place in PLACES}
    for loop in ("a", "b"):
        world.loop(loop, max_in_flight=1)
    world.loop("paused", paused=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "QUEUE", 2)
        for step in steps:
            match step:
                case "take", place, loops:
                    taken[place] += world.take(*(_delivery(loop) for loop in loops), place=place)
                case "answer", which, status if world.posts:
                    world.answer(sorted(world.posts)[which % len(world.posts)], status)
                case "advance", seconds:
                    world.advance(seconds)
                case "lose", place:
                    world.lost |= set(taken[place])
                    world.dispatch.sweep()
                    world.dispatch.forget([place])
                    world.is_paused.pop(place, None)
        for _ in range(1000):
            world.advance(1)
            for mark in list(world.posts):
                world.answer(mark)
    assert len(world.begun) == len(set(world.begun))
    for marks in taken.values():
        here = set(marks)
        assert [mark for mark in world.begun if mark in here] == [mark for mark in marks if mark in set(world.begun)]
        assert here - world.lost <= set(world.ended)


def _answer_after(world: World, seconds: dict[str, float]) -> None:
    for mark, (job, post) in sorted(world.posts.items()):
        if world.tick() - job.began >= seconds[post.loop.id] - 1e-6:
            world.answer(mark)


def test_a_slow_server_has_in_memory_what_it_can_take_soon_and_is_never_without(world: World) -> None:
    world.loop("slow", max_in_flight=8)
    begun: dict[int, float] = {}
    longest = 0.0
    for second in range(120):
        if second % 4 == 0:  # three times what it can take
            begun |= dict.fromkeys(world.take(*_many(10, "slow")), world.clock)
        world.advance(1)
        _answer_after(world, {"slow": 10.0})
        assert len(world.posts) == 8
        for mark in begun.keys() & world.ended.keys():
            longest = max(longest, world.clock - begun.pop(mark))
    assert longest <= LONGEST_WAIT + 2 * 10.0, "so long it keeps back the commits of its partition"


def test_a_slow_server_that_was_not_known_yet_lets_go_of_what_it_can_not_take_soon(world: World) -> None:
    world.loop("slow", max_in_flight=8)
    marks = world.take(*_many(QUEUE, "slow"))
    world.advance(10)
    _answer_after(world, {"slow": 10.0})
    held = [mark for mark in marks if _topics(world.ended.get(mark, [])) == ["deliveries-retry-5s"]]
    assert held == marks[-len(held) :], "the last first"
    assert QUEUE - len(held) <= 8 + 8 + LONGEST_WAIT / 10 * 8 + 1


@pytest.mark.parametrize(("behind", "excused"), [(0.1, True), (0.02, False)])
def test_a_process_that_is_behind_is_no_excuse_for_a_server_that_is_slow_by_itself(
    world: World, behind: float, excused: bool
) -> None:
    world.behind = behind
    world.loop("slow")
    others = []
    for _ in range(500):
        world.take(*_many(4, "slow"))
        others += world.take(*_many(4))
        world.advance(0.02)
        for name, most in (("fast", 4), ("slow", 2)):  # 0.3 s each
            for mark in [mark for mark, (_, post) in sorted(world.posts.items()) if post.loop.id == name][:most]:
                world.answer(mark)
    assert (len(world.ended.keys() & others) < 0.8 * len(others)) is excused, "what is of others waits behind it"


def test_what_finds_a_lane_full_that_moves_comes_back_at_its_turn(world: World) -> None:
    """A replay of 3,000 at 200 a second to a server that takes 53: by rungs alone it would take six minutes."""
    waiting: list[tuple[float, Record]] = []
    for tenth in range(900):
        came = [_delivery("fast", f"{tenth} {at}", replay="rp_x") for at in range(20 if tenth < 150 else 0)]
        _take_past(world, "replays", came)
        world.advance(0.1)
        _answer_after(world, {"fast": 0.3})
        for mark, (record, *_) in list(world.ended.items()):
            if record.topic != "attempts":
                waiting.append((_value(record)["leaves"], record))
                del world.ended[mark]
        due = [record for leaves, record in waiting if leaves <= world.clock]
        waiting = [one for one in waiting if one[0] > world.clock]
        for record in due:
            _take_past(world, record.topic, [msgspec.json.decode(record.value or b"", type=Delivery)])
    assert (len(waiting), len(world.ended)) == (0, 3000)


def _take_past(world: World, topic: str, deliveries: Sequence[Delivery]) -> None:
    world.dispatch.take((topic, 3), [Job(one, next(world._marks), past=True, number=3) for one in deliveries])


def test_a_turn_that_is_far_off_is_not_waited_for(world: World) -> None:
    """Its server may be faster by then; and a chain of waits for each would cost others with it."""
    world.loop("slow", max_in_flight=1)
    world.take(_delivery("slow", "first"))
    world.advance(10)
    world.answer(0)
    marks = world.take(*_many(30, "slow"))
    world.advance(0.2)
    held = [_value(world.ended[mark][0])["due"] - world.clock for mark in marks if mark in world.ended]
    assert held[:3] == pytest.approx([30, 40, 50], abs=0.2), "one is under way, and one waits"
    assert held[3:] == pytest.approx([5] * len(held[3:]), abs=0.2), "the first rung"
