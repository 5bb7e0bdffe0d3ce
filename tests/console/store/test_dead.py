"""Dead letters in the store, on both databases: as the topic has them, whoever reads it, however often."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sql
from sqlalchemy import URL, Connection

from pipeline.console.store import dead
from pipeline.console.store.dead import Sought, bury
from pipeline.console.store.letters import letters_of, without_rows
from pipeline.console.store.read import Whose
from pipeline.console.store.retention import DAY, Limits, horizon
from pipeline.console.store.schema import DEAD
from pipeline.console.store.told import microseconds
from pipeline.console.store.write import OvertakenError, empty, positions
from pipeline.kafka.memory import Memory, Message
from tests.console.store.stores import MINE, NOW, TOPIC, attempt, prune, store
from tests.console.store.test_recorder import ask, recording, until
from tests.examples import example

DEAD_TOPIC = "deliveries-dead"
EDGE = horizon(0, Limits())


def _value(delivery: str, **more: Any) -> bytes:
    known = example("delivery.v1", "given-up") | {"id": delivery, "loop": "lp_a", "account": "shop"}
    return msgspec.json.encode(known | more)


def _message(offset: int, key: str, value: bytes | None, reason: str = "answered 410 Gone") -> Message:
    return Message(DEAD_TOPIC, 0, offset, key.encode(), value, [("reason", reason.encode())])


def _put(memory: Memory, delivery: str, value: bytes | None) -> None:
    headers = [("reason", b"answered 500")]
    memory.producer().produce(DEAD_TOPIC, value, f"lp_a/{delivery}".encode(), headers=headers)


def _names(connection: Connection) -> list[str]:
    return sorted(connection.execute(sql.select(DEAD.c.delivery)).scalars())


def _fill(connection: Connection, *messages: Message) -> None:
    with connection.begin():
        position = positions(connection, DEAD_TOPIC, 1)
        bury(connection, DEAD_TOPIC, letters_of(messages, position))


def test_the_recorder_follows_the_topic_and_a_store_that_was_deleted_comes_back(store_url: URL) -> None:
    memory = Memory({TOPIC: 3, DEAD_TOPIC: 3})
    for number in range(60):
        _put(memory, f"msg_{number}", _value(f"msg_{number}"))
    for number in range(0, 60, 2):
        _put(memory, f"msg_{number}", None)
    memory.producer().produce(TOPIC, attempt(NOW), b"lp_a")
    expected = sorted(f"msg_{number}" for number in range(1, 60, 2))
    with recording(store_url, memory) as database:
        until(database, _names, expected)
        _put(memory, "msg_0", _value("msg_0"))
        until(database, _names, sorted([*expected, "msg_0"]))
        before = ask(database, lambda one: one.execute(sql.select(DEAD).order_by(DEAD.c.delivery)).all())
        with database._writer.connect() as connection, connection.begin():
            empty(connection)
    with recording(store_url, memory) as database:
        until(database, _names, sorted([*expected, "msg_0"]))
        assert ask(database, lambda one: one.execute(sql.select(DEAD).order_by(DEAD.c.delivery)).all()) == before


def test_of_one_key_the_last_record_counts_and_records_read_twice_do_not(store_url: URL) -> None:
    with store(store_url) as connection:
        _fill(
            connection,
            _message(0, "lp_a/msg_1", _value("msg_1")),
            _message(1, "lp_a/msg_1", None),
            _message(2, "lp_a/msg_1", _value("msg_1"), "answered 500"),
            _message(3, "lp_a/msg_2", _value("msg_2")),
            _message(4, "lp_a/msg_2", None),
        )
        _fill(connection, _message(1, "lp_a/msg_1", None))  # what was read before is passed over
        [row] = connection.execute(sql.select(DEAD)).all()
        assert (row.delivery, row.reason, row.id) == ("msg_1", "answered 500", 2 * 4096)


def test_two_that_write_at_once_write_once(store_url: URL) -> None:
    with store(store_url) as connection:
        with connection.begin():
            position = positions(connection, DEAD_TOPIC, 1)
        letters = letters_of([_message(0, "lp_a/msg_1", _value("msg_1"))], position)
        with connection.begin():
            bury(connection, DEAD_TOPIC, letters)
        with pytest.raises(OvertakenError), connection.begin():
            bury(connection, DEAD_TOPIC, letters)
        assert _names(connection) == ["msg_1"]


@pytest.mark.parametrize(
    ("key", "value", "readable"),
    [
        ("lp_a/msg_1", _value("msg_1"), True),
        ("lp_a/msg_1", _value("msg_2"), False),
        ("lp_a/msg_1", _value("msg_1", loop="lp_b"), False),
        ("lp_a/deliveries-0-7", b"{", False),
        ("lp_a/deliveries-0-7", b"\xff\x00", False),
        ("lp_a/deliveries-0-7", b"[" * 5000, False),
        ("lp_a/msg_1", _value("msg_1", event={"id": 7, "type": None}), True),
        ("lp_a/msg_1", _value("msg_1", event={"id": "e", "recipient": "a\0b"}), True),
    ],
)
def test_whatever_stands_there_is_a_letter_of_its_loop(store_url: URL, key: str, value: bytes, readable: bool) -> None:
    with store(store_url) as connection:
        _fill(connection, _message(0, key, value, "because\0"))
        [row] = connection.execute(sql.select(DEAD)).all()
        assert (f"{row.loop}/{row.delivery}", bool(row.value), row.reason) == (key, readable, "because\ufffd")
        assert (row.account is not None) == readable


@pytest.mark.parametrize("key", ["", "lp_a", "x" * 500 + "/y"])
def test_a_key_that_names_no_loop_is_nobody_s(key: str) -> None:
    letters = letters_of([_message(0, key, _value("msg_1"))], {0: 0})
    assert (letters.then, letters.rows, letters.gone) == ({0: 1}, [], [])
    assert without_rows(letters) == letters


def test_a_letter_is_its_account_s_alone(store_url: URL) -> None:
    with store(store_url) as connection:
        _fill(connection, _message(0, "lp_a/msg_1", _value("msg_1")))
        for whose, count in ((MINE, 1), (Whose("other", "lp_a"), 0), (Whose("shop", "lp_b"), 0)):
            assert dead.count(connection, whose, Sought(), EDGE) == count
            assert dead.has_any(connection, whose) == bool(count)


def test_what_the_topic_forgot_the_store_forgets(store_url: URL) -> None:
    with store(store_url) as connection:
        _fill(connection, *(_message(one, f"lp_a/msg_{one}", _value(f"msg_{one}")) for one in range(300)))
        now = microseconds(NOW)
        with connection.begin():
            connection.execute(sql.update(DEAD).values(at=now - 31 * DAY))
            connection.execute(sql.update(DEAD).where(DEAD.c.delivery == "msg_7").values(at=now))
        assert prune(connection, Limits()) == 299
        assert _names(connection) == ["msg_7"]
