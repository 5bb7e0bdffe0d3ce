"""Ids are short printable words; an event's id tells when it was made, a delivery's whose it is."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model.ids import delivery_id, is_account, is_id, key_of, uuid7

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
RANDOM = st.binary(min_size=10, max_size=10)


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@given(MOMENTS, RANDOM)
@example(datetime(2038, 1, 21, 20, 9, 29, 674_000, tzinfo=UTC), bytes(10))  # as a float, a millisecond less
def test_a_uuid7_has_the_layout_of_rfc_9562(moment: datetime, random: bytes) -> None:
    made = UUID(uuid7(moment, random))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == _milliseconds(moment)
    low = int.from_bytes(random, "big")
    assert (made.int >> 64) & 0xFFF == low >> 68
    assert made.int & (2**62 - 1) == low & (2**62 - 1)


@given(MOMENTS, MOMENTS, RANDOM, RANDOM)
def test_an_id_made_later_sorts_later(one: datetime, other: datetime, first: bytes, second: bytes) -> None:
    if _milliseconds(one) < _milliseconds(other):
        assert uuid7(one, first) < uuid7(other, second)


@given(MOMENTS, RANDOM, RANDOM)
def test_an_id_made_a_millisecond_later_sorts_later(moment: datetime, first: bytes, second: bytes) -> None:
    assert uuid7(moment, first) < uuid7(moment + timedelta(milliseconds=1), second)


def test_an_id_reads_as_uuids_are_written() -> None:
    moment = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)  # RFC 9562 A.6
    assert uuid7(moment, (0x0CC3 << 68 | 0x18C4DC0C0C07398F).to_bytes(10, "big")) == (
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    )


def test_a_delivery_has_the_same_id_for_ever() -> None:
    assert delivery_id("019ab5c7-5f20-7b3c-9d01-0242ac120002", "lp_7h3k") == "msg_50f860418eb7a06547c8d6b07371d4f0"


def test_another_event_or_another_loop_has_another_delivery_id() -> None:
    assert len({delivery_id("a", "b"), delivery_id("a", "c"), delivery_id("b", "b"), delivery_id("ab", "")}) == 4


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("jane", True),
        ("j", True),
        ("x" * 128, True),
        ("jane@mail.example", True),
        ("A-Z_a.z:0+9", True),
        ("", False),
        ("x" * 129, False),
        ("shop/jane", False),
        ("jane doe", False),
        ("jane\n", False),
        ("jané", False),
        ("٣", False),
        ("jane\0", False),
    ],
)
def test_an_id_is_a_short_printable_word(text: str, good: bool) -> None:
    assert is_id(text) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [("shop", True), ("shop-1", True), ("x" * 40, True), ("x" * 41, False), ("Shop", False), ("shop\n", False),
     ("", False), ("a_b", False), ("a.b", False)],
)  # fmt: skip
def test_an_account_is_a_shorter_one(text: str, good: bool) -> None:
    assert is_account(text) is good


def test_a_key_is_the_account_and_the_name() -> None:
    assert key_of("shop", "jane@mail.example") == "shop/jane@mail.example"
