"""A worker stops where more is bad than the limits allow, before any of that is written."""

import pytest

from pipeline.enrich.limits import WINDOW, Bad, Limits, TooManyBadError
from pipeline.record import Record

GOOD = b"{}"
HEADERS = (("reason", b"value: is null"), ("topic", b"hits"), ("partition", b"3"), ("offset", b"42"))
BAD = Record("hits-dead", b"shop/jane", None, HEADERS)
LINE = (
    "enrich stops: {what} can't become events, the last at offset 42 of hits [3]: value: is null. They were not put"
    " into hits-dead: mend what writes them, or raise LOOPWIRE_{setting} until they are through"
)


@pytest.fixture
def bad() -> Bad:
    return Bad(Limits())


def test_one_less_than_the_limits_is_let_through_and_counted(bad: Bad) -> None:
    assert bad.judge(3, [GOOD, *[BAD] * 99, GOOD, BAD]) == 100


def test_a_hundred_in_a_row_on_a_partition_stop_it(bad: Bad) -> None:
    with pytest.raises(TooManyBadError) as stopped:
        bad.judge(3, [GOOD] + [BAD] * 100)
    assert str(stopped.value) == LINE.format(what="100 hits in a row on partition 3", setting="BAD_IN_ROW")


def test_a_row_goes_on_from_batch_to_batch_and_each_partition_has_its_own(bad: Bad) -> None:
    for partition in range(5):
        bad.judge(partition, [BAD] * 60)
    with pytest.raises(TooManyBadError):
        bad.judge(4, [BAD] * 40)


def test_a_good_hit_ends_a_row(bad: Bad) -> None:
    for _ in range(4):
        bad.judge(3, [BAD] * 99)
        bad.judge(3, [GOOD])


def test_more_than_half_of_the_last_thousand_stop_it(bad: Bad) -> None:
    bad.judge(3, [GOOD, BAD] * 500)
    with pytest.raises(TooManyBadError) as stopped:
        bad.judge(3, [BAD, BAD])
    assert str(stopped.value) == LINE.format(what="501 of the last 1,000 hits", setting="BAD_SHARE")


def test_what_was_long_ago_does_not_count(bad: Bad) -> None:
    for _ in range(5):
        bad.judge(3, [GOOD, BAD] * 400)
        bad.judge(3, [GOOD] * WINDOW)


def test_what_became_of_the_hits_before_counts(bad: Bad) -> None:
    bad.remember(3, [True] * 10 + [False] + [True] * 99, 50)
    with pytest.raises(TooManyBadError, match="100 hits in a row on partition 3"):
        bad.judge(3, [BAD])


def test_of_the_hits_before_a_share_counts_among_the_last_thousand() -> None:
    bad = Bad(Limits(in_row=0))
    for partition in range(10):
        bad.remember(partition, [False] * 900 + [True] * 100, 50)
    bad.judge(0, [GOOD])
    with pytest.raises(TooManyBadError, match="501 of the last"):
        bad.judge(0, [BAD] * 2)


def test_a_partition_that_comes_anew_begins_anew(bad: Bad) -> None:
    bad.judge(3, [BAD] * 99)
    bad.remember(3, [], 50)
    assert bad.judge(3, [BAD] * 99) == 99


def test_limits_can_be_off() -> None:
    assert Bad(Limits(share=1, in_row=0)).judge(3, [BAD] * 5000) == 5000


def test_what_kafka_refuses_counts_and_neighbours_are_a_row(bad: Bad) -> None:
    bad.judge(3, [GOOD] * 1000)
    for offset in range(0, 198, 2):
        bad.late(BAD, ("hits", 3), offset)
    for offset in range(1000, 1099):
        bad.late(BAD, ("hits", 3), offset)
    with pytest.raises(TooManyBadError, match="100 hits in a row"):
        bad.late(BAD, ("hits", 3), 1099)


def test_what_kafka_refuses_was_counted_as_good_before() -> None:
    bad = Bad(Limits(in_row=0))
    bad.judge(3, [GOOD] * 1000)
    for offset in range(500):
        bad.late(BAD, ("hits", 3), offset)
    with pytest.raises(TooManyBadError, match="501 of the last 1,000 hits"):
        bad.late(BAD, ("hits", 3), 500)
