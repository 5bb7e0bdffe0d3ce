"""What goes together in one POST: by number, by bytes of body, by what a record holds, in the order of arrival."""

import json

import msgspec
import pytest

from pipeline.deliver.batching import weighed
from pipeline.deliver.body import array_of, names
from pipeline.deliver.gathering import LARGEST_RECORD, Gathering, Weight
from pipeline.model.deliveries import Delivery
from pipeline.model.events import Event
from pipeline.model.loops import Batch, Loop
from tests.examples import example, raw

EVENT = msgspec.Raw(raw("event.v1", "click"))
LOOP = msgspec.convert(example("loop.v1", "active"), Loop)
HALF = LARGEST_RECORD // 2


def _batches(wish: Batch, weights: list[Weight]) -> list[list[int]]:
    """The numbers of the weights, as they are put together; what is not full yet is the last."""
    made: list[Gathering[int]] = [Gathering()]
    for number, weight in enumerate(weights):
        if made[-1].full(wish) or not made[-1].fits(wish, weight):
            made.append(Gathering())
        made[-1].add(number, weight)
    return [gathering.items for gathering in made]


@pytest.mark.parametrize(
    ("wish", "weights", "batches"),
    [
        (Batch(events=3), [(10, 10)] * 7, [[0, 1, 2], [3, 4, 5], [6]]),
        (Batch(events=1), [(10, 10)] * 3, [[0], [1], [2]]),
        (Batch(bytes=32), [(10, 1)] * 5, [[0, 1], [2, 3], [4]]),  # [ten,ten] is 23 bytes, with one more it is 34
        (Batch(bytes=34), [(10, 1)] * 5, [[0, 1, 2], [3, 4]]),
        (Batch(bytes=30), [(10, 1), (100, 1), (10, 1)], [[0], [1], [2]]),  # larger than was wished: alone
        (Batch(bytes=30), [(5, 1), (25, 1), (5, 1)], [[0], [1], [2]]),  # nothing overtakes another
        (Batch(), [(1, HALF), (1, HALF), (1, 1)], [[0, 1], [2]]),
        (Batch(), [(1, HALF), (1, HALF + 1), (1, 1)], [[0], [1, 2]]),
    ],
)
def test_events_go_together_in_their_order_up_to_what_was_wished(
    wish: Batch, weights: list[tuple[int, int]], batches: list[list[int]]
) -> None:
    assert _batches(wish, [Weight(*weight) for weight in weights]) == batches


def test_a_weight_is_what_the_body_of_the_post_will_be() -> None:
    delivery = Delivery(id="msg_1", loop="lp_7h3k", account="shop", event=EVENT)
    weight = weighed(delivery, LOOP, 700)
    assert weight is not None
    gathering = Gathering[int]()
    for number in range(3):
        gathering.add(number, weight)
    _, body = array_of([names(msgspec.json.decode(EVENT, type=Event), LOOP.fields)] * 3)
    assert (len(json.loads(body)), gathering.weight) == (3, Weight(len(body), 2100))


@pytest.mark.parametrize("event", [b'{"id": 7}', b"[]", b'{"id":"e","type":"open","account":"shop"}'])
def test_what_can_not_be_told_goes_alone_and_dies_alone(event: bytes) -> None:
    assert weighed(Delivery(id="msg_1", loop="l", account="shop", event=msgspec.Raw(event)), LOOP, 10) is None


def test_what_is_too_large_for_a_record_with_others_goes_alone() -> None:
    delivery = Delivery(id="msg_1", loop="lp_7h3k", account="shop", event=EVENT)
    assert weighed(delivery, LOOP, LARGEST_RECORD) is not None
    assert weighed(delivery, LOOP, LARGEST_RECORD + 1) is None
