"""An event is as large as its topic takes, and a batch smaller."""

import pytest

from pipeline.enrich.sizes import FRAME, LARGEST_BATCH, Sizes, sizes
from pipeline.record import LARGEST_EVENT, Record


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Sizes(LARGEST_EVENT, 943_729)),
        ({"max.message.bytes": "20000"}, Sizes(20_000 - FRAME, 18_000)),
        ({"max.message.bytes": "910000"}, Sizes(LARGEST_EVENT, 819_000)),
        ({"max.message.bytes": "9999999"}, Sizes(LARGEST_EVENT, LARGEST_BATCH)),
        ({"max.message.bytes": "0"}, Sizes(-FRAME, 1)),
    ],
)
def test_an_event_and_a_batch_are_as_large_as_the_topic_takes(config: dict[str, str], expected: Sizes) -> None:
    assert sizes(config) == expected


def test_what_is_tried_next_is_no_larger_and_half_where_a_batch_was_refused_that_should_have_been_taken() -> None:
    now = Sizes(event=20_000, batch=18_000)
    assert now.after({"max.message.bytes": "20000"}, halve=True).batch == 9_000
    assert now.after({"max.message.bytes": "20000"}, halve=False).batch == 18_000
    assert now.after({"max.message.bytes": "10000"}, halve=False) == Sizes(10_000 - FRAME, 9_000)
    assert now.after({}, halve=False) == Sizes(LARGEST_EVENT, 18_000)
    assert Sizes(20_000, 1).after({}, halve=True).batch == 1


@pytest.mark.parametrize(("size", "is_too_large"), [(100, False), (11_990, False), (11_991, True), (20_001, True)])
def test_what_was_refused_alone_is_too_large_whatever_is_said(*, size: int, is_too_large: bool) -> None:
    record = Record("events", b"shop/jane", b"x" * size)
    assert Sizes(event=20_000, batch=12_000).is_too_large(record) is is_too_large
