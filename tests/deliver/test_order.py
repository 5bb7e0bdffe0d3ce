"""In an ordered loop no event of a profile passes an earlier one that waits, and no other profile waits for it."""

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.console.dead import redriven
from pipeline.console.store.cursor import Cursor
from pipeline.console.store.dead import Letter
from pipeline.deliver.jobs import Job
from pipeline.deliver.ladder import Ladder
from pipeline.deliver.order import MOST, PAST, Order, placed, profile_of
from pipeline.model.deliveries import Delivery
from pipeline.record import Record
from tests.deliver.test_dispatch import HERE, World
from tests.examples import example


def _of(profile: str, number: int, **more: Any) -> Delivery:
    event = msgspec.Raw(msgspec.json.encode(example("event.v1", "click") | {"profile": profile, "id": f"e{number}"}))
    return Delivery(id=f"msg_{number}", loop="ordered", account="shop", event=event, **more)


class Ordered(World):
    """A world with one ordered loop, whose retry topics are read as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.loop("ordered", ordered=True)
        self.read: set[int] = set()
        self.profiles: dict[int, tuple[str, int]] = {}  # by mark: whose, and which
        self.next = 0

    def happens(self, profile: str) -> int:
        """The next event, of that profile."""
        mark, self.next = next(self._marks), self.next + 1
        self.profiles[mark] = profile, self.next
        self.dispatch.take(HERE, [Job(_of(profile, self.next), mark, offset=self.next, number=3)])
        return mark

    def read_again(self) -> None:
        """What was written to retry topics comes through them."""
        for mark, records in list(self.ended.items()):
            if mark in self.read:
                continue
            self.read.add(mark)
            for record in records:
                if record.topic.startswith("deliveries-retry"):
                    self._comes(mark, record)

    def _comes(self, before: int, record: Record) -> None:
        assert record.value is not None
        mark = next(self._marks)
        self.profiles[mark] = self.profiles[before]
        delivery = msgspec.json.decode(record.value, type=Delivery)
        self.dispatch.take((record.topic, 3), [Job(delivery, mark, number=3)])


def test_a_profile_has_one_post_under_way_and_others_go_beside_it() -> None:
    world = Ordered()
    jane, jane_again, joe = world.happens("jane"), world.happens("jane"), world.happens("joe")
    assert world.posted == [jane, joe]
    world.answer(jane)
    assert world.posted == [jane, joe, jane_again]


def test_what_failed_holds_its_profile_s_later_events_and_no_other_s() -> None:
    world = Ordered()
    jane, second = world.happens("jane"), world.happens("jane")
    world.answer(jane, 500)
    joe, third = world.happens("joe"), world.happens("jane")
    assert world.posted == [jane, joe]
    failed, behind = (msgspec.json.decode(world.ended[mark][-1].value or b"") for mark in (jane, second))
    assert (behind["holds"], "attempts" in behind) == (1, False)
    assert behind["due"] > failed["due"]
    assert third in world.ended


def test_a_letter_that_is_redriven_slowly_holds_no_later_event() -> None:
    world = Ordered()
    given_up = placed(_of("jane", 1), 0, past=False)
    letter = Letter(Cursor(0, 0), given_up.id, msgspec.json.encode(given_up).decode())
    ladder = Ladder((timedelta(seconds=5), timedelta(minutes=1)))
    world.again(redriven(letter, ladder, world.clock, world.clock + 3600))
    world.advance(6)  # it left the first topic, and has an hour to wait
    world.next = 1
    assert world.happens("jane") in world.posted


def test_past_events_come_before_those_of_now_and_a_place_is_given_once() -> None:
    delivery = placed(_of("jane", 1), 7, past=True)
    assert delivery.place == 7 - PAST
    assert placed(delivery, 9, past=False) is delivery
    assert profile_of(delivery) == "jane"
    assert profile_of(Delivery(id="m", loop="l", account="a", event=msgspec.Raw(b"[]"))) == ""


def test_what_is_known_of_is_bounded() -> None:
    order = Order(3)
    for place in range(MOST + 10):
        order.waits(f"p{place}", place, 5.0)
    assert (order.before("p0", 1), order.before(f"p{MOST + 1}", MOST + 5)) == (5.0, None)
    for place in range(MOST):
        order.gone(f"p{place}", place)
    assert order.empty


def test_a_worker_that_begins_knows_what_waits() -> None:
    world = Ordered()
    world.dispatch.recall(3, _of("jane", 1, place=0, due=world.clock + 60, leaves=world.clock + 60))
    late, joe = world.happens("jane"), world.happens("joe")
    assert world.posted == [joe]
    assert late in world.ended
    world.dispatch.forget([("deliveries", 4)])
    assert world.happens("jane") in world.ended
    world.dispatch.forget([HERE])
    assert world.happens("jane") in world.posts


def test_what_failed_when_its_partition_was_another_s_holds_nothing_back_once_it_is_back() -> None:
    world = Ordered()
    jane = world.happens("jane")
    world.lost.add(jane)
    world.dispatch.sweep()
    world.dispatch.forget([HERE])
    world.answer(jane, 500)
    assert world.happens("jane") in world.posts


def test_what_was_sent_while_a_loop_was_not_ordered_holds_nothing_back_when_it_is_again() -> None:
    world = Ordered()
    jane = world.happens("jane")
    world.answer(jane, 500)
    world.loop("ordered", ordered=False)
    world.read_again()
    world.advance(7)
    (again,) = world.posts
    world.answer(again)
    world.loop("ordered", ordered=True)
    assert world.happens("jane") in world.posts


STEPS = st.one_of(
    st.tuples(st.just("happens"), st.sampled_from(["jane", "joe"])),
    st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from([200, 500, 503])),
    st.tuples(st.just("advance"), st.sampled_from([0.01, 3.0, 7.0, 61.0])),
)


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=40))
def test_whatever_fails_the_events_of_a_profile_are_taken_in_order(steps: list[tuple[Any, ...]]) -> None:
    world, taken = Ordered(), list[tuple[str, int]]()

    def answer(mark: int, status: int) -> None:
        attempts = int(dict(world.posts[mark][1].headers)["loopwire-attempt"])
        if status == 200 or attempts > 3:  # the ladder's end: what is given up holds nobody
            taken.append(world.profiles[mark])
        world.answer(mark, status)
        world.read_again()

    for step in steps:
        match step:
            case "happens", profile:
                world.happens(profile)
            case "answer", which, status if world.posts:
                answer(sorted(world.posts)[which % len(world.posts)], status)
            case "advance", seconds:
                world.advance(seconds)
        world.read_again()
        whose = [world.profiles[mark][0] for mark in world.posts]
        assert len(whose) == len(set(whose))
    for _ in range(300):
        world.advance(5)
        world.read_again()
        for mark in sorted(world.posts):
            answer(mark, 200)
    assert len(taken) == world.next
    for profile in ("jane", "joe"):
        numbers = [number for whose, number in taken if whose == profile]
        assert numbers == sorted(numbers)
