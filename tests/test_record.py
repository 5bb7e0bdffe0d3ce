"""A dead letter always fits, whatever it is of."""

from pipeline.kafka.memory import Message
from pipeline.record import LARGEST_DEAD, LONGEST_REASON, dead


def test_a_dead_letter_is_the_record_as_it_came_with_reason_and_origin() -> None:
    letter = dead("hits-dead", "hits", Message("x-hits", 3, 42, b"k", b"v", None), "because")
    assert letter == (
        "hits-dead", b"k", b"v",
        (("reason", b"because"), ("topic", b"hits"), ("partition", b"3"), ("offset", b"42")), -1,
    )  # fmt: skip


def test_what_is_too_large_for_its_dead_letter_is_cut_and_says_how_large_it_was() -> None:
    letter = dead("hits-dead", "hits", Message("hits", 0, 0, b"k", b"x" * 999_990, None), "r" * 2_000)
    headers = dict(letter.headers)
    assert (letter.value, headers["truncated"]) == (b"x" * LARGEST_DEAD, b"999990")
    assert headers["reason"] == b"r" * LONGEST_REASON
