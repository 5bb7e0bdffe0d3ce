"""What an answer means for its delivery."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.ladder import Ladder
from pipeline.deliver.verdict import Again, Dead, Delivered, Reply, Verdict, verdict

NOW = 1_774_000_500.0  # Fri, 20 Mar 2026 09:55:00 GMT
LADDER = Ladder((timedelta(seconds=5), timedelta(minutes=1)))
WEEK = 7 * 86_400


@pytest.mark.parametrize(
    ("reply", "attempts", "found"),
    [
        (Reply(200), 1, Delivered()),
        (Reply(204), 3, Delivered()),
        (Reply(299), 1, Delivered()),
        (Reply(199), 1, Again(NOW + 5, "answered 199")),
        (Reply(301), 1, Again(NOW + 5, "answered 301")),
        (Reply(302), 2, Again(NOW + 60, "answered 302")),
        (Reply(400), 1, Again(NOW + 5, "answered 400")),
        (Reply(401), 1, Again(NOW + 5, "answered 401")),
        (Reply(404), 1, Again(NOW + 5, "answered 404")),
        (Reply(500), 2, Again(NOW + 60, "answered 500")),
        (Reply(500), 3, Dead("given up after 3 attempts: answered 500")),
        (Reply(410), 1, Dead("answered 410 Gone", gone=True)),
        (Reply(410), 3, Dead("answered 410 Gone", gone=True)),
        (Reply(None, "Connection timed out"), 1, Again(NOW + 5, "Connection timed out")),
        (Reply(None, "Connection timed out"), 3, Dead("given up after 3 attempts: Connection timed out")),
        (Reply(200, "Operation timed out"), 1, Again(NOW + 5, "Operation timed out")),
        (Reply(410, "Operation timed out"), 1, Again(NOW + 5, "Operation timed out")),
    ],
)
def test_what_follows_from_an_answer(reply: Reply, attempts: int, found: Verdict) -> None:
    assert verdict(reply, attempts, LADDER, NOW) == found


@pytest.mark.parametrize(
    ("status", "said", "seconds"),
    [
        (429, "120", 120),
        (502, "120", 120),
        (503, "120", 120),
        (504, "120", 120),
        (500, "120", 5),
        (301, "120", 5),
        (503, None, 5),
        (503, "3", 5),
        (503, "0", 5),
        (503, "-120", 5),
        (503, "120.5", 5),
        (503, "1_000", 5),
        (503, "soon", 5),
        (503, "", 5),
        (503, "nan", 5),
        (503, "\u00b2", 5),
        (503, "Fri, 20 Mar 2026 09:57:00 GMT", 120),
        (503, "Fri, 20 Mar 2026 10:57:00 +0100", 120),
        (503, "Friday, 20-Mar-26 09:57:00 GMT", 120),
        (503, "Fri, 20 Mar 2026 09:50:00 GMT", 5),
        (503, "Fri, 32 Mar 2026 09:57:00 GMT", 5),
        (503, "Fri, 20 Mar 99999999999999999999 09:57:00 GMT", 5),
        (503, "Fri, 20 Mar 2026 09:57:00 +99999999999999", 5),
        (503, str(WEEK - 1), WEEK - 1),
        (503, "999999999", WEEK),
        (503, "9" * 400, WEEK),
        (503, "9" * 9000, WEEK),
        (503, "Fri, 20 Mar 2099 09:57:00 GMT", WEEK),
    ],
)
def test_a_wish_to_wait_is_kept_where_it_is_one_for_a_week_at_most(
    status: int, said: str | None, seconds: float
) -> None:
    assert verdict(Reply(status, None, said), 1, LADDER, NOW) == Again(NOW + seconds, f"answered {status}")


@given(st.text(st.characters(max_codepoint=255)) | st.from_regex(r"[A-Z][a-z]{2}, \d+ Mar \d+ \d+:\d+:\d+ [+-]?\d*"))
def test_whatever_a_server_asks_for_there_is_a_verdict(said: str) -> None:
    found = verdict(Reply(503, None, said), 1, LADDER, NOW)
    assert isinstance(found, Again)
    assert NOW + 5 <= found.due <= NOW + WEEK


def test_a_wish_to_wait_does_not_lengthen_the_ladder() -> None:
    assert verdict(Reply(503, None, "120"), 3, LADDER, NOW) == Dead("given up after 3 attempts: answered 503")
