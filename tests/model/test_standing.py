"""How loops stand follows from the rows of two topics, in whatever order they come."""

import logging

import msgspec
import pytest

from pipeline.model.loops import Loop, LoopState
from pipeline.model.standing import Standing, Standings
from tests.examples import example, raw

KEY = b"lp_7h3k"
ACTIVE = msgspec.convert(example("loop.v1", "active"), Loop)
GONE = msgspec.convert(example("loop-state.v1", "gone"), LoopState)


def _row(row: Loop | LoopState) -> bytes:
    return msgspec.json.encode(row)


@pytest.fixture
def standings() -> Standings:
    made = Standings()
    made.put_loop(0, KEY, raw("loop.v1", "active"))
    return made


def test_a_loop_stands_as_it_was_written(standings: Standings) -> None:
    assert standings.get("lp_7h3k") == Standing(ACTIVE, "active", None)
    assert list(standings.of("shop")) == [Standing(ACTIVE, "active", None)]
    assert list(standings.of("other")) == []
    assert standings.get("lp_other") is None


def test_what_deliver_found_out_counts_whichever_row_comes_first(standings: Standings) -> None:
    later = Standings()
    later.put_state(0, KEY, _row(GONE))
    assert later.get("lp_7h3k") is None
    later.put_loop(0, KEY, _row(ACTIVE))
    standings.put_state(0, KEY, _row(GONE))
    assert standings.get("lp_7h3k") == later.get("lp_7h3k") == Standing(ACTIVE, "disabled", "gone")


def test_a_new_verification_makes_it_active_again(standings: Standings) -> None:
    standings.put_state(0, KEY, _row(GONE))
    again = msgspec.structs.replace(ACTIVE, epoch=2)
    standings.put_loop(0, KEY, _row(again))
    assert standings.get("lp_7h3k") == Standing(again, "active", None)


def test_a_null_removes(standings: Standings) -> None:
    standings.put_loop(0, KEY, None)
    standings.put_loop(0, b"lp_never", None)
    assert standings.get("lp_7h3k") is None
    assert list(standings.of("shop")) == []


def test_a_null_state_is_a_state_forgotten(standings: Standings) -> None:
    standings.put_state(0, KEY, _row(GONE))
    standings.put_state(0, KEY, None)
    assert standings.get("lp_7h3k") == Standing(ACTIVE, "active", None)


def test_a_loop_is_its_account_s_alone(standings: Standings) -> None:
    standings.put_loop(0, KEY, _row(msgspec.structs.replace(ACTIVE, account="other")))
    assert list(standings.of("shop")) == []
    assert [standing.loop.id for standing in standings.of("other")] == ["lp_7h3k"]


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"[" * 100_000, b"\xff", raw("loop.v1/rejected", "no-url")])
def test_a_row_that_can_t_be_read_changes_nothing(
    standings: Standings, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        standings.put_loop(0, KEY, value)
        standings.put_state(0, KEY, value)
    assert standings.get("lp_7h3k") == Standing(ACTIVE, "active", None)
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == (
        ["a loop's row can't be read and is passed over"] * 2
    )


def test_those_who_iterate_are_not_disturbed_by_a_change(standings: Standings) -> None:
    for standing in standings.of("shop"):
        standings.put_loop(0, standing.loop.id.encode(), None)
