"""Batches in dispatch's world: written down, read again, sent, split where they are too large; no event in two."""

import json
import weakref
from collections import Counter
from typing import Any

import msgspec
import pytest

from pipeline import topics
from pipeline.deliver.batches import batch, halves, recorded, singles
from pipeline.deliver.jobs import Job
from pipeline.deliver.recorded import Recorded
from pipeline.deliver.stage import Post
from pipeline.model.deliveries import Delivery
from pipeline.model.ids import batch_id, delivery_id
from pipeline.record import Record
from tests.deliver.test_dispatch import HERE, World
from tests.examples import example

BATCHES = ("batches", 3)
REPLAYS = ("replays", 3)
WISH = {"events": 3, "bytes": 100_000, "ms": 500}


def _event(name: str) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(example("event.v1", "click") | {"id": name}).encode())


def _delivery(event: str, loop: str = "many", **more: Any) -> Delivery:
    return Delivery(id=delivery_id(event, loop), loop=loop, account="shop", event=_event(event), **more)


def _some(*events: str, **more: Any) -> list[Delivery]:
    return [_delivery(event, **more) for event in events]


def _read(record: Record) -> Delivery:
    return msgspec.json.decode(record.value or b"", type=Delivery)


def _events(post: Post) -> list[str]:
    return [told["event"] for told in json.loads(post.body)]


def _headers(post: Post) -> dict[str, str]:
    return dict(post.headers)


class Story(World):
    """What is written to `batches` comes back from there, as it does from Kafka."""

    def __init__(self) -> None:
        super().__init__()
        self.loop("many", format="json", batch=WISH)

    def come_back(self) -> list[int]:
        """What was written since is read; the marks of its jobs."""
        written, self.batches = self.batches, []
        return self.read(*written)

    def read(self, *records: Record) -> list[int]:
        known, first = self.dispatch.batching.recorded, self.ends[BATCHES]
        for at, record in enumerate(records):
            known.note(3, first + at, record.value)
        return self.take(*(_read(record) for record in records), place=BATCHES)

    def split(self, mark: int) -> list[Record]:
        """The records that the job's end wrote to `batches`."""
        return [record for record in self.ended[mark] if record.topic == topics.BATCHES]


@pytest.fixture
def story() -> Story:
    return Story()


def test_nothing_is_sent_before_the_batch_is_written_down_and_read_again(story: Story) -> None:
    marks = story.take(*_some("a", "b", "c", "d"))
    assert (story.posted, len(story.batches)) == ([], 1)
    assert [story.ended.get(mark) for mark in marks] == [[], [], [], None], "safe once the batch is"
    [mark] = story.come_back()
    job, post = story.posts[mark]
    assert (_events(post), job.past) == (["a", "b", "c"], False)
    assert _headers(post)["webhook-id"] == batch_id(["a", "b", "c"], "many")
    assert _headers(post)["Content-Type"] == "application/json"
    story.answer(mark)
    [attempt] = story.ended[mark]
    told = json.loads(attempt.value or b"")
    assert (attempt.topic, told["event"], [one["event"] for one in told["batch"]]) == ("attempts", "a", ["a", "b", "c"])


def test_what_is_too_few_goes_when_the_first_has_waited_long_enough(story: Story) -> None:
    story.take(*_some("a"))
    story.advance(0.4)
    story.take(*_some("b"))
    story.advance(0.09)
    assert not story.batches
    story.advance(0.02)
    [mark] = story.come_back()
    assert _events(story.posts[mark][1]) == ["a", "b"]
    story.advance(10)
    assert not story.batches, "its timer is over, too"


def test_one_alone_is_an_array_of_one_under_the_id_it_always_had(story: Story) -> None:
    story.take(*_some("a"))
    story.advance(1)
    [mark] = story.come_back()
    _, post = story.posts[mark]
    assert (_events(post), _headers(post)["webhook-id"]) == (["a"], delivery_id("a", "many"))
    story.answer(mark)
    assert "batch" not in json.loads(story.ended[mark][0].value or b"")


def test_what_happens_now_what_is_past_and_each_replay_go_apart(story: Story) -> None:
    story.take(*_some("a"))
    story.take(*_some("b"), *_some("c", replay="rp_1"), *_some("d", replay="rp_2"), place=REPLAYS)
    story.take(*_some("e"))
    story.take(*_some("f", replay="rp_1"), place=REPLAYS)
    story.advance(1)
    story.come_back()
    sent = {tuple(_events(post)): _headers(post).get("loopwire-replay") for _, post in story.posts.values()}
    assert sent == {("a", "e"): None, ("b",): None, ("c", "f"): "rp_1", ("d",): "rp_2"}


def test_a_loop_without_the_wish_is_sent_to_as_ever(story: Story) -> None:
    story.loop("fast")
    assert story.take(*_some("a", loop="fast")) == story.posted
    assert story.posts[0][1].body.startswith(b"type=click&")


def test_a_batch_fails_waits_and_comes_again_as_one_under_its_id(story: Story) -> None:
    story.take(*_some("a", "b", "c"))
    [mark] = story.come_back()
    first = story.posts[mark][1]
    story.answer(mark, 500)
    attempt, retry = story.ended[mark]
    assert (json.loads(attempt.value or b"")["outcome"], retry.topic) == ("again", "deliveries-retry-5s")
    story.advance(6)
    [mark] = story.again(retry)
    again = story.posts[mark][1]
    assert (again.body, _headers(again)["webhook-id"]) == (first.body, _headers(first)["webhook-id"])
    assert _headers(again)["loopwire-attempt"] == "2"


def test_a_batch_that_is_given_up_is_a_dead_letter_for_each_of_its_events(story: Story) -> None:
    story.take(*_some("a", "b", "c"))
    [mark] = story.come_back()
    story.answer(mark, 410)
    letters = [record for record in story.ended[mark] if record.topic == topics.DELIVERIES_DEAD]
    assert [(letter.key, _read(letter).id, _read(letter).more) for letter in letters] == [
        (f"many/{delivery_id(event, 'many')}".encode(), delivery_id(event, "many"), []) for event in "abc"
    ]
    assert {one.error for letter in letters for one in _read(letter).history} == {"answered 410"}


def test_a_batch_of_a_loop_that_was_removed_is_dead_letters(story: Story) -> None:
    story.take(*_some("a", "b", "c"))
    story.standings.put_loop(0, b"many", None)
    [mark] = story.come_back()
    assert [record.topic for record in story.ended[mark]] == [topics.DELIVERIES_DEAD] * 3


def test_a_paused_loops_batch_waits_whole(story: Story) -> None:
    story.take(*_some("a", "b", "c"))
    story.loop("many", format="json", batch=WISH, paused=True)
    [mark] = story.come_back()
    [waiting] = story.ended[mark]
    assert (waiting.topic, len(_read(waiting).events), _read(waiting).offsets) == ("deliveries-retry-5s", 3, [])


def test_a_batch_that_is_too_large_is_sent_in_halves_that_are_written_down_first(story: Story) -> None:
    story.take(*_some("a", "b", "c"))
    [mark] = story.come_back()
    story.answer(mark, 413)
    attempt, *_ = story.ended[mark]
    told = json.loads(attempt.value or b"")
    assert (told["outcome"], told["error"]) == ("again", "answered 413: sent again in two halves")
    assert not story.posts
    marks = story.read(*story.split(mark))
    sent = {tuple(_events(post)): _headers(post) for _, post in story.posts.values()}
    assert {events: headers["webhook-id"] for events, headers in sent.items()} == {
        ("a", "b"): batch_id(["a", "b"], "many"),
        ("c",): delivery_id("c", "many"),
    }
    assert {headers["loopwire-attempt"] for headers in sent.values()} == {"1"}
    for mark in marks:
        story.answer(mark, 413)
    split, failed = (story.ended[mark] for mark in marks)
    assert [len(_read(record).events) for record in split[1:]] == [1, 1]
    assert failed[1].topic == "deliveries-retry-5s", "a single event that is too large is a failure like others"


def test_halves_of_the_past_are_of_the_past_too(story: Story) -> None:
    story.take(*_some("a", "b", "c"), place=REPLAYS)
    assert [_read(record).source for record in story.batches] == ["replays"]
    assert {half.source for half in halves(_read(story.batches[0]))} == {"replays"}


def test_after_a_kill_what_is_in_a_batch_is_not_put_into_another(story: Story) -> None:
    story.take(*_some("a", "b", "c", "d"))
    [written] = story.batches
    next_owner = Story()
    next_owner.dispatch.batching.recorded.note(3, 0, written.value)
    marks = next_owner.take(*_some("a", "b", "c", "d"))
    assert [next_owner.ended.get(mark) for mark in marks] == [[], [], [], None]
    next_owner.advance(1)
    next_owner.take(_read(written), place=BATCHES)
    next_owner.ends[BATCHES] = 1
    next_owner.come_back()
    assert sorted(_events(post) for _, post in next_owner.posts.values()) == [["a", "b", "c"], ["d"]]


def test_a_wish_that_was_taken_away_leaves_what_is_in_batches_there(story: Story) -> None:
    story.take(*_some("a", "b", "c"))
    [written] = story.batches
    story.loop("many", format="form")
    [mark] = story.come_back()
    assert _events(story.posts[mark][1]) == ["a", "b", "c"]
    late = Story()
    late.loop("many", format="form")
    late.dispatch.batching.recorded.note(3, 0, written.value)
    late.take(*_some("a", "b", "c", "d"))
    assert [dict(post.headers)["webhook-id"] for _, post in late.posts.values()] == [delivery_id("d", "many")]


def test_a_partition_that_goes_leaves_its_events_in_a_batch_to_its_next_owner(story: Story) -> None:
    story.take(*_some("a", "b"))
    story.dispatch.sweep()
    assert [_read(record).offsets for record in story.batches] == [[0, 1]]


def test_a_partition_that_was_lost_takes_what_was_gathered_along(story: Story) -> None:
    marks = story.take(*_some("a", "b"))
    story.lost.update(marks)
    story.dispatch.forget([HERE, BATCHES])
    story.advance(1)
    assert not story.batches
    assert not story.ended


def test_the_timer_writes_nothing_of_a_partition_that_is_not_ours(story: Story) -> None:
    story.lost.update(story.take(*_some("a", "b")))
    story.advance(1)
    assert not story.batches


def test_what_is_gathered_stays_where_only_another_topic_of_its_number_goes(story: Story) -> None:
    """A retry topic of an earlier ladder was deleted, say."""
    story.take(*_some("a", "b"))
    story.dispatch.forget([("deliveries-retry-7m", 3)])
    story.advance(1)
    assert [_read(record).offsets for record in story.batches] == [[0, 1]]


def test_what_was_written_down_is_not_kept_in_memory_until_its_time_is_over(story: Story) -> None:
    """A loop of 20,000 events a second, of which each may wait 10 s, would hold 200,000 of them."""

    class Mark:
        """Goes with its job."""

    marks = [Mark(), Mark(), Mark()]
    known = [weakref.ref(mark) for mark in marks]
    world: Any = story
    world.owned, world.begin, world.record = lambda _job: True, lambda _job: True, lambda _jobs, _record: None
    world.dispatch.take(HERE, [Job(one, mark) for one, mark in zip(_some("a", "b", "c"), marks, strict=True)])
    del marks
    assert [mark() for mark in known] == [None] * 3


def test_a_batch_that_is_full_with_its_first_event_sets_no_timer(story: Story) -> None:
    story.loop("many", format="json", batch=WISH | {"events": 1})
    story.take(*_some("a", "b"))
    assert (len(story.batches), story._timers) == (2, [])


def test_how_much_is_gathered_is_known(story: Story) -> None:
    job = Job(_delivery("a"), 7, size=100)
    story.dispatch.take(HERE, [job])
    story.dispatch.take(REPLAYS, [Job(_delivery("b", replay="rp_1"), 8, size=50)])
    assert (story.dispatch.batching.events, story.dispatch.batching.bytes) == (2, 150)
    story.advance(1)
    assert (story.dispatch.batching.events, story.dispatch.batching.bytes) == (0, 0)


def test_an_event_that_can_not_be_told_dies_alone(story: Story) -> None:
    bad = Delivery(id="msg_bad", loop="many", account="shop", event=msgspec.Raw(b'{"id":"x"}'))
    marks = story.take(_delivery("a"), bad, *_some("b", "c"))
    assert [record.topic for record in story.ended[marks[1]]] == [topics.DELIVERIES_DEAD]
    assert [len(_read(record).events) for record in story.batches] == [3]


def test_two_workers_that_wrote_of_the_same_events_send_each_of_them_once() -> None:
    """One was slow to learn that its partition had gone: what it wrote stands in the topic, before or after."""
    late, ours = (
        batch(_some(*events), "deliveries", offsets) for events, offsets in (("ab", [0, 1]), ("bcd", [1, 2, 3]))
    )
    for first, second, left in ((late, ours, ["c", "d"]), (ours, late, ["a"])):
        known = Recorded()
        known.note(3, 10, recorded(first).value)
        known.note(3, 11, recorded(second).value)
        assert known.own(3, 10, first) == first
        own = known.own(3, 11, second)
        assert own is not None
        assert [json.loads(bytes(event))["id"] for event in own.events] == left
        assert own.id == batch_id(left, "many")
    known.note(3, 12, recorded(late).value)
    assert known.own(3, 12, late) is None


def test_a_batch_is_found_again_until_what_it_is_made_of_is_committed() -> None:
    known, safe = Recorded(), Counter[tuple[str, int]]()
    known.gain([(("deliveries", 3), 5)])
    for offset, (events, offsets) in enumerate((("ab", [3, 4]), ("cd", [5, 9]), ("e", [6]))):
        known.note(3, offset, recorded(batch(_some(*events), "deliveries", offsets)).value)
    assert known.floor(3, lambda _place: None) == 1, "the first is committed since before"
    safe["deliveries", 3] = 7
    assert known.floor(3, safe.get) == 1, "the third may be done, the second is not"
    safe["deliveries", 3] = 10
    assert known.floor(3, safe.get) is None
    assert known.floor(4, safe.get) is None
    assert known.holds(("deliveries", 3), 9)
    known.forget([3])
    assert not known.holds(("deliveries", 3), 9)


@pytest.mark.parametrize(
    "lie",
    [
        b'{"source":"deliveries","offsets":[5,6]}',  # no delivery: the letter would hold none of those events
        b'{"event":{},"source":"deliveries","offsets":[5,6]}',
        b'{"event":{},"source":"events","offsets":[5]}',
        b'{"event":{},"offsets":[5]}',
    ],
)
def test_a_record_that_is_no_batch_takes_nothing_and_holds_no_commit_back(lie: bytes) -> None:
    known = Recorded()
    known.note(3, 0, lie)
    assert not any(known.holds((topic, 3), offset) for topic in ("deliveries", "events") for offset in (5, 6))
    assert known.floor(3, lambda _place: None) is None


def test_a_batch_of_one_that_is_given_up_is_the_delivery_it_was() -> None:
    assert singles(batch(_some("a"), "deliveries", [1])) == _some("a")


def test_halves_hold_all_of_it_in_order_and_singles_have_the_ids_they_always_had() -> None:
    whole = batch(_some(*"abcde"), "deliveries", [1, 2, 3, 4, 5])
    first, second = halves(whole)
    assert [*first.events, *second.events] == whole.events
    assert (len(first.events), first.offsets, second.offsets, first.attempts) == (3, [], [], 0)
    assert [one.id for one in singles(whole)] == [delivery_id(event, "many") for event in "abcde"]
    assert singles(whole)[0] == _delivery("a")


def test_the_id_is_a_function_of_the_events_in_their_order_and_the_loop() -> None:
    ids = [batch_id(events, loop) for events in (["a", "b"], ["b", "a"], ["a", "b", "c"]) for loop in ("one", "two")]
    assert len(set(ids)) == 6
    assert batch_id(["a"], "one") == delivery_id("a", "one")
