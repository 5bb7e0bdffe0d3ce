"""Capture follows what accounts choose; while Kafka is away, what was known before holds."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import msgspec
import pytest

from pipeline.capture import following
from pipeline.capture.choices import NOTHING, UNKNOWN, Chosen
from pipeline.capture.following import Following, kept
from pipeline.kafka.memory import Memory
from pipeline.model.accounts import Account, Choices
from pipeline.topics import ACCOUNTS

OWN = "https://t.example.com"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
OBEYED = Chosen({}, frozenset({"acme"}), frozenset())


def write(memory: Memory, name: str, value: bytes | None) -> None:
    memory.producer().produce(ACCOUNTS, value, name.encode())


def account(name: str, **more: object) -> bytes:
    return msgspec.json.encode(Account(account=name, keys=[], created=NOW, **more))  # type: ignore[arg-type]


def follow(memory: Memory, keep: Path | None = None) -> Callable[[], Chosen]:
    """The choices as they change, one a call."""
    told: Queue[Chosen] = Queue()
    Following(memory, OWN, keep, told.put).start()
    return lambda: told.get(timeout=20)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "GLANCE_SECONDS", 0.02)
    monkeypatch.setattr(following, "AGAIN_SECONDS", 0.02)


def test_each_change_is_told() -> None:
    memory = Memory({ACCOUNTS: 1})
    write(memory, "acme", account("acme", privacy=Choices(obey_signals=True)))
    write(memory, "other", account("other"))
    changed = follow(memory)
    assert changed() == OBEYED
    write(memory, "other", account("other", domains=["https://t.other.example"]))
    assert changed() == OBEYED._replace(owners={"t.other.example": "other"})
    write(memory, "acme", account("acme"))
    write(memory, "other", None)
    assert changed().owners in ({}, {"t.other.example": "other"})


def test_a_record_that_cannot_be_read_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory({ACCOUNTS: 1})
    write(memory, "acme", account("acme", privacy=Choices(obey_signals=True)))
    write(memory, "acme", b"nonsense")
    assert follow(memory)() == OBEYED
    assert "the record of b'acme' can't be read" in caplog.text


def test_what_was_known_holds_for_who_starts_while_kafka_is_away(tmp_path: Path) -> None:
    memory, file = Memory({ACCOUNTS: 1}), tmp_path / "data" / following.FILE
    assert kept(file, OWN) == UNKNOWN
    write(memory, "acme", account("acme", privacy=Choices(unregistered=["m"]), domains=["https://t.acme.example"]))
    changed = follow(memory, file)
    changed()
    write(memory, "other", account("other", privacy=Choices(obey_signals=True)))
    last = changed()
    assert last == Chosen({"t.acme.example": "acme"}, frozenset({"other"}), frozenset({("acme", "m")}))
    write(memory, "third", account("third", privacy=Choices(obey_signals=True)))
    changed()  # so what was told before is written
    assert kept(file, OWN)._replace(obeying=frozenset({"other"})) == last


def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    file = tmp_path / following.FILE
    file.write_bytes(b"nonsense")
    assert kept(file, OWN) == UNKNOWN
    file.write_bytes(b"[]")
    assert kept(file, OWN) == NOTHING


def test_without_the_topic_it_asks_again() -> None:
    memory = Memory({})
    changed = follow(memory)
    memory.logs[ACCOUNTS] = [[]]
    assert changed() == NOTHING
