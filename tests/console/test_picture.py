"""The picture is what the topics tell, record by record."""

import logging
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pipeline.console.picture import Picture, Row
from pipeline.model.accounts import Account, ApiKey
from pipeline.model.loops import Loop, LoopState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _account(name: str, *hashes: str) -> Row:
    keys = [ApiKey(hash=one, created=NOW) for one in hashes]
    return Row("accounts", name.encode(), msgspec.json.encode(Account(account=name, keys=keys, created=NOW)))


def _loop(name: str, account: str, minutes: int = 0) -> Loop:
    return Loop(
        id=name,
        account=account,
        name=name,
        url="https://shop.example/",
        events=["open"],
        file="f",
        content="c",
        created_at=NOW + timedelta(minutes=minutes),
        secrets=[],
    )


def _row(loop: Loop) -> Row:
    return Row("loops", loop.id.encode(), msgspec.json.encode(loop))


def _picture(*rows: Row) -> Picture:
    picture = Picture()
    for row in rows:
        picture.apply(row)
    return picture


def test_a_key_is_known_while_its_account_has_it() -> None:
    picture = _picture(_account("acme", "h1", "h2"), _account("other", "h3"), _account("acme", "h2", "h4"))
    assert {name: picture.account_with(name) for name in ("h1", "h2", "h3", "h4")} == {
        "h1": None,
        "h2": "acme",
        "h3": "other",
        "h4": "acme",
    }
    picture.apply(Row("accounts", b"acme", None))
    assert (picture.account_with("h2"), list(picture.accounts)) == (None, ["other"])


def test_an_account_sees_its_own_loops_the_oldest_first() -> None:
    first, second, foreign = _loop("z", "acme"), _loop("a", "acme", 1), _loop("b", "other")
    picture = _picture(_row(second), _row(foreign), _row(first))
    assert picture.loops_of("acme") == [first, second]
    assert picture.loops_of("nobody") == []
    assert (picture.loop("acme", "z"), picture.loop("acme", "b"), picture.loop("acme", "x")) == (first, None, None)


def test_the_last_word_on_a_loop_counts() -> None:
    changed = _loop("z", "acme", 5)
    picture = _picture(_row(_loop("z", "acme")), _row(changed))
    assert picture.loops_of("acme") == [changed]
    picture.apply(Row("loops", b"z", None))
    picture.apply(Row("loops", b"z", None))
    assert (picture.loops_of("acme"), picture.loop("acme", "z")) == ([], None)


def test_what_deliver_found_out_is_known() -> None:
    found = LoopState(loop="z", epoch=1, reason="gone", at=NOW)
    picture = _picture(Row("loop-states", b"z", msgspec.json.encode(found)))
    assert picture.found == {"z": found}
    picture.apply(Row("loop-states", b"z", None))
    assert picture.found == {}


@pytest.mark.parametrize(
    "row", [Row("loops", b"z", b"{"), Row("loops", b"z", b'{"id":1}'), Row("loops", b"\xff", None)]
)
def test_a_record_that_cannot_be_read_changes_nothing_and_is_told(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    loop = _loop("z", "acme")
    picture = _picture(_row(loop))
    with caplog.at_level(logging.ERROR):
        picture.apply(row)
    assert picture.loops_of("acme") == [loop]
    assert "can't be read" in caplog.text
