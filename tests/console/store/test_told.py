"""A record is a row, or is skipped with its reason; never more than the databases take."""

from typing import Any

import msgspec
import pytest

from pipeline.console.store.batch import batch_of
from pipeline.console.store.cursor import Cursor, read, spelled
from pipeline.console.store.told import Row, Skipped, id_of
from pipeline.console.store.told import read as read_record
from pipeline.kafka.memory import Message
from tests.console.store.stores import NOW, Topic, attempt, failed, minutes
from tests.examples import FOLDER, example


def _record(value: bytes | None) -> Message:
    return Message("attempts", 3, 17, b"lp", value, None)


@pytest.mark.parametrize("name", ["again", "dead", "delivered", "never-connected"])
def test_an_example_is_a_row(name: str) -> None:
    told = example("attempt.v1", name)
    row = read_record(_record(msgspec.json.encode(told)))
    assert isinstance(row, Row)
    same = {"delivery", "loop", "account", "event", "type", "profile", "attempt", "url"}
    assert {key: row.values[key] for key in same} == {key: told[key] for key in same}
    assert row.values["id"] == id_of(3, 17) == 17 * 4096 + 3
    assert row.values["state"] == {"again": "retrying"}.get(told["outcome"], told["outcome"])
    assert row.values["failed"] == (told["outcome"] != "delivered")
    assert row.values["at"] == 1773998101_500_000
    assert (row.values["next_attempt"] is None) == ("next_attempt" not in told)


@pytest.mark.parametrize("name", sorted(path.stem for path in (FOLDER / "attempt.v1/rejected").glob("*.json")))
def test_what_the_contract_rejects_is_skipped(name: str) -> None:
    value = (FOLDER / f"attempt.v1/rejected/{name}.json").read_bytes()
    if name != "no-timings":
        assert isinstance(read_record(_record(value)), Skipped)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"loop": "x" * 401}, "`$.loop`"),
        ({"account": "Shop!"}, "`$.account`"),
        ({"status": 10**12}, "`$.status`"),
        ({"attempt": 0}, "`$.attempt`"),
        ({"at": "2026-03-20T09:15:01"}, "`$.at`"),
        ({"timings": {"total": -1}}, "`$.timings.total`"),
        ({"timings": {"total": 1e300}}, "`$.timings.total`"),
    ],
)
def test_what_no_column_takes_is_skipped_with_its_reason(more: dict[str, Any], reason: str) -> None:
    skipped = read_record(_record(msgspec.json.encode(msgspec.json.decode(attempt(NOW)) | more)))
    assert isinstance(skipped, Skipped)
    assert reason in skipped.reason


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_skipped(value: bytes | None) -> None:
    assert isinstance(read_record(_record(value)), Skipped)


def test_a_character_that_postgresql_can_t_keep_is_replaced() -> None:
    row = read_record(_record(attempt(NOW, response="a\0b")))
    assert isinstance(row, Row)
    assert row.values["response"] == "a\ufffdb"


def test_a_batch_counts_all_and_keeps_of_each_loop_the_newest_delivered() -> None:
    topic = Topic()
    topic.put(*(attempt(NOW + minutes(number)) for number in range(5)), failed(NOW), b"{", attempt(NOW, loop="lp_b"))
    batch = batch_of(topic.messages, {0: 0, 1: 0, 2: 0}, 2)
    kept = sorted((row["loop"], row["state"], row["at"] // 60_000_000) for row in batch.attempts)
    noon = int(NOW.timestamp()) // 60
    assert kept == [
        ("lp_a", "delivered", noon + 3),
        ("lp_a", "delivered", noon + 4),
        ("lp_a", "retrying", noon),
        ("lp_b", "delivered", noon),
    ]
    by_span = {span: sum(_count(row) for row in batch.counts if row["span"] == span) for span in (1, 60)}
    assert by_span == {1: 7, 60: 7}
    assert len(batch.skipped) == 1
    assert sum(batch.then.values()) == batch.read == len(topic.messages)


def test_a_batch_passes_over_what_was_read_before() -> None:
    topic = Topic()
    topic.put(attempt(NOW), attempt(NOW))
    partition = topic.messages[0].partition()
    batch = batch_of(topic.messages, {0: 0, 1: 0, 2: 0} | {partition: 1}, 10)
    assert (batch.expected, batch.then, batch.read) == ({partition: 1}, {partition: 2}, 1)


def _count(row: dict[str, Any]) -> int:
    return sum(count for name, count in row.items() if name.startswith("b"))


@pytest.mark.parametrize("cursor", [Cursor(0, 0), Cursor(1773998101_500_000, 69635), Cursor(-5, 1)])
def test_a_cursor_reads_as_it_was_spelled(cursor: Cursor) -> None:
    assert read(spelled(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "x", "1,2", "é", "MTIz", "AAAA", "MSwyLDM", "=" * 9])
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        read(text)
