"""The store on both databases: each record once, the newest first, and the same again after a rebuild."""

import itertools
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection

from pipeline.console.store import retention
from pipeline.console.store.batch import batch_of
from pipeline.console.store.cursor import Cursor
from pipeline.console.store.database import Database, migrate
from pipeline.console.store.read import Whose, Wish
from pipeline.console.store.retention import Limits
from pipeline.console.store.schema import ATTEMPTS, COUNTS, METADATA, REVISION, SKIPPED
from pipeline.console.store.write import KEPT_SKIPPED, OtherTopicError, OvertakenError, empty, positions, record
from tests.console.store.stores import (
    MINE,
    NOW,
    PARTITIONS,
    TOPIC,
    Topic,
    answers,
    attempt,
    failed,
    fill,
    minutes,
    pages,
    prune,
    store,
)

ALL = Limits()
FEW = Limits(loop_successes=5, loop_failures=8, successes=12, failures=14)
LOOPS = [Whose("shop", f"lp_{name}") for name in "abcd"]


def test_from_nothing_the_migrations_come_to_what_the_code_expects(store_url: URL) -> None:
    with store(store_url) as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
        assert found == []
        assert connection.scalar(sql.text("SELECT version_num FROM alembic_version")) == REVISION
        migrate(connection)  # again, and nothing happens
        connection.rollback()
    with store(store_url) as connection:
        assert positions(connection, TOPIC, 1) == {0: 0}


def test_the_code_expects_the_newest_revision() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(retention.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def test_a_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    with store(URL.create("sqlite", database=str(tmp_path / "new" / "console.db"))) as connection:
        positions(connection, TOPIC, 1)
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").glob("console.db*")} <= {0o600, 0o644}
        assert (tmp_path / "new" / "console.db").stat().st_mode & 0o777 == 0o600


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first can make its log; whoever comes a moment too early waits for it, as for any other writer."""
    monkeypatch.setattr("pipeline.console.store.database.BUSY_SECONDS", 30.0)
    for number in range(10):
        url = URL.create("sqlite", database=str(tmp_path / f"{number}.db"))
        holder = sqlite3.connect(str(url.database), isolation_level=None)
        holder.execute("CREATE TABLE one (a)")
        holder.execute("BEGIN IMMEDIATE")
        database = Database(url)
        with ThreadPoolExecutor(3) as many:
            asked = [many.submit(_asks, database) for _ in range(2)]
            recorded = many.submit(_records, database)
            assert not wait([*asked, recorded], timeout=0.05).done
            holder.execute("COMMIT")
            assert [one.result() for one in asked] == [1, 1]
            assert recorded.result()
        holder.close()
        database.close()


def _asks(database: Database) -> Any:
    with database._reader.connect() as connection:
        return connection.scalar(sql.text("SELECT count(*) FROM sqlite_master WHERE name = 'one'"))


def _records(database: Database) -> bool:
    with database.recording() as connection:
        return connection is not None


def test_a_batch_that_another_wrote_is_refused_whole(store_url: URL) -> None:
    topic = Topic()
    topic.put(attempt(NOW), failed(NOW), attempt(NOW, loop="lp_b"), attempt(NOW, loop="lp_c"))
    with store(store_url) as connection:
        with connection.begin():
            position = positions(connection, TOPIC, PARTITIONS)
        batch = batch_of(topic.messages, position, 10)
        with connection.begin():
            record(connection, TOPIC, batch)
        before = answers(connection, LOOPS)
        with pytest.raises(OvertakenError), connection.begin():
            record(connection, TOPIC, batch)
        assert answers(connection, LOOPS) == before
        assert positions(connection, TOPIC, PARTITIONS) == position | batch.then


def test_a_database_of_another_topic_is_left_alone(store_url: URL) -> None:
    with store(store_url) as connection:
        positions(connection, "staging-attempts", 2)
        with pytest.raises(OtherTopicError, match="the topic staging-attempts, not those of attempts"):
            positions(connection, TOPIC, 2)


def test_a_topic_that_was_made_anew_begins_an_empty_store(store_url: URL) -> None:
    topic = Topic()
    topic.put(attempt(NOW), b"{")
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 10)
        empty(connection)
        assert positions(connection, TOPIC, PARTITIONS) == dict.fromkeys(range(PARTITIONS), 0)
        counts = [connection.scalar(sql.select(sql.func.count()).select_from(one)) for one in (ATTEMPTS, COUNTS)]
        assert counts == [0, 0]


def _mixed(count: int) -> Topic:
    """Attempts of four loops over eight days, not in the order of their times, now and then two at one time."""
    topic, drawn = Topic(), random.Random(count)
    for number in range(count):
        at = NOW - timedelta(minutes=drawn.randrange(8 * 1440), seconds=drawn.randrange(4))
        kind = failed if drawn.random() < 0.4 else attempt
        more: dict[str, Any] = {"loop": f"lp_{'abcd'[min(number % 7, 3)]}", "ms": drawn.lognormvariate(4, 1)}
        topic.put(kind(at, **more | {"type": drawn.choice(["open", "click"]), "event": f"e{number}"}))
        if number % 50 == 0:
            topic.put(b"{}")
    return topic


@pytest.mark.parametrize("limits", [ALL, FEW])
def test_a_rebuilt_store_gives_the_same_answers(store_url: URL, limits: Limits) -> None:
    topic, found = _mixed(400), []
    for at_once in (1, 7, 90, 1000):
        with store(store_url) as connection:
            fill(connection, topic.messages, limits, at_once)
            found.append(answers(connection, LOOPS))
            with connection.begin():
                empty(connection)
    assert found[1:] == found[:-1]
    assert all(found[0][::3])


def test_what_is_kept_are_the_newest_by_their_own_time(store_url: URL) -> None:
    topic = _mixed(300)
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 300)
        whole = {whose: pages(connection, whose, Wish()) for whose in LOOPS}
        with connection.begin():
            empty(connection)
        fill(connection, topic.messages, FEW, 20)
        few = {whose: pages(connection, whose, Wish()) for whose in LOOPS}
    for state_is_failed, of_loop, of_all in ((0, 5, 12), (1, 8, 14)):
        newest = [row for rows in whole.values() for row in [r for r in rows if r.failed == state_is_failed][:of_loop]]
        expected = sorted(newest, key=lambda row: (row.at, row.id))[-of_all:]
        left = [row for rows in few.values() for row in rows if row.failed == state_is_failed]
        assert sorted(left, key=lambda row: (row.at, row.id)) == expected


def test_what_is_too_old_goes_rows_and_counts(store_url: URL) -> None:
    topic = Topic()
    ages = [0, 6, 8, 29, 31]
    topic.put(*(kind(NOW - timedelta(days=days)) for days in ages for kind in (attempt, failed)))
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 100)
        rows = pages(connection, MINE, Wish())
        assert [(NOW.timestamp() - row.at / 1e6) / 86400 for row in rows] == [0, 0, 6, 6, 8, 8, 29, 29]
        slots = sql.select(COUNTS.c.span, sql.func.count()).group_by(COUNTS.c.span)
        assert {row[0]: row[1] for row in connection.execute(slots)} == {1: 4, 60: 8}
        connection.rollback()
        assert prune(connection, ALL) == 0
        assert prune(connection, ALL, NOW + timedelta(days=40)) == 8 + 12


def test_rows_go_in_small_bites(store_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BITE", 10)
    topic = Topic()
    topic.put(*(failed(NOW - minutes(number)) for number in range(95)))
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 100)
        over = retention.bites(connection, int(NOW.timestamp() * 1e6), Limits(loop_failures=50))
        taken = []
        for rows in over:
            taken.append(rows)
            connection.commit()
        assert taken == [10, 10, 10, 10, 5]


def test_the_skipped_stay_to_be_seen_the_newest_of_them(store_url: URL) -> None:
    topic = Topic()
    topic.put(*[b"{}"] * (KEPT_SKIPPED + 5), attempt(NOW))
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 300)
        kept = connection.execute(sql.select(SKIPPED).order_by(SKIPPED.c.id)).all()
        assert len(kept) == KEPT_SKIPPED
        assert "missing required field" in kept[0].reason
        assert len(pages(connection, MINE, Wish())) == 1


def _numbers(connection: Connection, wish: Wish) -> list[int]:
    return [row.attempt for row in pages(connection, MINE, wish)]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), [6, 5, 4, 3, 2, 1]),
        (Wish(limit=1), [6, 5, 4, 3, 2, 1]),
        (Wish(states=("delivered",)), [6, 2, 1]),
        (Wish(states=("retrying",)), [4, 3]),
        (Wish(states=("dead",)), [5]),
        (Wish(states=("retrying", "dead")), [5, 4, 3]),
        (Wish(same=(("type", "open"),)), [6, 2]),
        (Wish(same=(("recipient", "joe@mail.example"),)), [3]),
        (Wish(same=(("recipient", "Joe@MAIL.example"),)), [3]),
        (Wish(same=(("event", "e1"),)), [1]),
        (Wish(same=(("delivery", "none"),)), []),
        (Wish(since=int((NOW + minutes(3)).timestamp()) * 10**6), [6, 5, 4, 3]),
        (Wish(until=int((NOW + minutes(3)).timestamp()) * 10**6), [2, 1]),
    ],
)
def test_what_may_be_asked(store_url: URL, wish: Wish, expected: list[int]) -> None:
    topic = Topic()
    topic.put(
        attempt(NOW + minutes(1), attempt=1, event="e1"),
        attempt(NOW + minutes(2), attempt=2, type="open"),
        failed(NOW + minutes(3), attempt=3, recipient="joe@mail.example"),
        failed(NOW + minutes(4), attempt=4),
        failed(NOW + minutes(5), attempt=5, outcome="dead"),
        attempt(NOW + minutes(6), attempt=6, type="open"),
        attempt(NOW, loop="lp_b"),
        attempt(NOW, account="other"),
    )
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 3)
        assert _numbers(connection, wish) == expected


def test_pages_are_not_moved_by_what_arrives(store_url: URL) -> None:
    topic = Topic()
    topic.put(*((failed if number % 2 else attempt)(NOW, attempt=number + 1) for number in range(20)))
    with store(store_url) as connection:
        fill(connection, topic.messages, ALL, 100)
        whole = _numbers(connection, Wish())
        first = pages(connection, MINE, Wish())[:6]
        old = len(topic.messages)
        topic.put(*(attempt(NOW + minutes(1), attempt=100 + number) for number in range(5)))
        with connection.begin():
            position = positions(connection, TOPIC, PARTITIONS)
        with connection.begin():
            record(connection, TOPIC, batch_of(topic.messages[old:], position, 10))
        rest = _numbers(connection, Wish(after=Cursor(first[-1].at, first[-1].id), limit=3))
        assert [row.attempt for row in first] + rest == whole
        assert len(_numbers(connection, Wish())) == 25


def test_counts_are_exact_however_the_batches_fell(store_url: URL) -> None:
    topic = Topic()
    topic.put(*(attempt(NOW - minutes(number / 4), ms=10.0) for number in range(40)))
    with store(store_url) as connection:
        fill(connection, topic.messages, FEW, 3)
        found = answers(connection, [MINE])
        counted = [sum(itertools.chain.from_iterable(row.buckets for row in rows)) for rows in found[1:]]
        assert counted == [39, 39]  # what began in the minute that is not over yet is not in the stretch
