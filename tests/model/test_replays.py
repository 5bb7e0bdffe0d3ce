"""How far a replay came, as its rows tell it."""

from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from pipeline.model.replays import Progress, Range, Replay, Replays, share_done, word_of
from tests.examples import example

ASKED = msgspec.convert(example("replay.v1", "asked"), Replay)  # 150 events of partition 0, three of partition 3


def came(partition: int, next_: int, **more: Any) -> Progress:
    return Progress(replay=ASKED.id, partition=partition, next=next_, **more)


def put(replays: Replays, row: Replay | Progress) -> None:
    key = row.id if isinstance(row, Replay) else f"{row.replay}/{row.partition}"
    replays.put(0, key.encode(), msgspec.json.encode(row))


CANCELLED = msgspec.structs.replace(ASKED, cancelled_at=ASKED.created_at)


@pytest.mark.parametrize(
    ("asked", "reached", "word", "share"),
    [
        (ASKED, [], "queued", 0.0),
        (ASKED, [came(0, 100)], "running", 0.0),
        (ASKED, [came(0, 250)], "running", 150 / 153),
        (ASKED, [came(0, 250), came(3, 43)], "done", 1.0),
        (ASKED, [came(0, 251), came(3, 50)], "done", 1.0),
        (CANCELLED, [], "cancelled", 0.0),
        (CANCELLED, [came(3, 43)], "cancelled", 3 / 153),
        (CANCELLED, [came(0, 250), came(3, 43)], "done", 1.0),
        (msgspec.structs.replace(ASKED, ranges=[]), [], "done", 1.0),
    ],
)
def test_its_word_and_its_share(asked: Replay, reached: list[Progress], word: str, share: float) -> None:
    assert word_of(asked, reached) == word
    assert share_done(asked, reached) == pytest.approx(share)


def test_what_is_left_is_what_was_not_looked_at() -> None:
    replays = Replays()
    put(replays, ASKED)
    assert replays.left(ASKED) == ASKED.ranges
    put(replays, came(0, 120, sent=7))
    assert replays.left(ASKED) == [Range(partition=0, start=120, end=250), Range(partition=3, start=40, end=43)]
    put(replays, came(3, 43))
    assert replays.left(ASKED) == [Range(partition=0, start=120, end=250)]
    assert list(replays.unfinished()) == [(ASKED, replays.left(ASKED))]
    put(replays, CANCELLED)
    assert replays.left(CANCELLED) == []
    assert list(replays.unfinished()) == []
    assert replays.reached(ASKED.id, 0) == came(0, 120, sent=7)


def test_who_has_nothing_left_is_asked_no_more_unless_its_row_changes() -> None:
    replays = Replays()
    put(replays, CANCELLED)
    with patch.object(Replays, "left", autospec=True, side_effect=Replays.left) as left:
        for _ in range(3):
            assert list(replays.unfinished()) == []
    assert left.call_count == 1
    put(replays, ASKED)
    assert [one.id for one, _ in replays.unfinished()] == [ASKED.id]


def test_it_never_goes_back() -> None:
    replays = Replays()
    replays.note(came(0, 120, sent=7))
    put(replays, came(0, 110, sent=5))
    assert replays.came(ASKED.id) == [came(0, 120, sent=7)]
    put(replays, came(0, 120, sent=7, place=2, end=9))
    assert replays.came(ASKED.id) == [came(0, 120, sent=7, place=2, end=9)]


def test_those_of_a_loop_are_in_the_order_they_were_asked_for() -> None:
    replays = Replays()
    later = msgspec.structs.replace(ASKED, id="rp_a", created_at=ASKED.created_at.replace(hour=13))
    for row in (later, ASKED, msgspec.structs.replace(ASKED, id="rp_b", loop="other")):
        put(replays, row)
    assert [one.id for one in replays.of(ASKED.loop)] == [ASKED.id, "rp_a"]
    assert [one.id for one, _ in replays.unfinished()] == [ASKED.id, "rp_b", "rp_a"]


def test_a_row_that_can_t_be_read_changes_nothing_and_a_null_forgets() -> None:
    replays = Replays()
    put(replays, ASKED)
    put(replays, came(0, 120))
    replays.put(0, ASKED.id.encode(), b"{")
    assert (replays.get(ASKED.id), replays.came(ASKED.id)) == (ASKED, [came(0, 120)])
    replays.put(0, ASKED.id.encode(), None)
    assert (replays.get(ASKED.id), replays.came(ASKED.id)) == (None, [])
