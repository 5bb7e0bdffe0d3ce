"""A batch is written with its offsets in one transaction, so that each record counts once, whoever writes."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.console.store.batch import Batch, Partitions
from pipeline.console.store.schema import ATTEMPTS, BUCKET_NAMES, COUNTS, METADATA, OFFSETS, SKIPPED
from pipeline.console.store.told import PARTITIONS

KEPT_SKIPPED = 1000
Insert = sqlite.Insert | postgresql.Insert


class OvertakenError(Exception):
    """Another console wrote these records before; what this one knew of the offsets is old."""


class OtherTopicError(Exception):
    """The database holds the attempts of another topic. The message names both."""


def positions(connection: Connection, topic: str, count: int, beside: Collection[str] = ()) -> Partitions:
    """The next offset of each partition of the topic. OtherTopicError where the database is another topic's.

    `beside` are the other topics that it may hold.
    """
    found = connection.execute(sql.select(OFFSETS)).all()
    if others := {row.topic for row in found} - {topic, *beside}:
        raise OtherTopicError(f"the database holds the records of the topic {others.pop()}, not those of {topic}")
    known = {row.partition: row.next for row in found if row.topic == topic}
    new = [{"topic": topic, "partition": one, "next": 0} for one in range(count) if one not in known]
    if new:
        insert_rows(connection, OFFSETS, new)
    return {partition: known.get(partition, 0) for partition in range(count)}


def record(connection: Connection, topic: str, batch: Batch) -> None:
    """Writes the batch. OvertakenError where another did: roll back, and ask for the positions anew."""
    advance(connection, topic, batch.expected, batch.then)
    if batch.attempts:
        insert_rows(connection, ATTEMPTS, batch.attempts)
    if batch.counts:
        insert = _insert(connection, COUNTS)
        sums = {name: COUNTS.c[name] + insert.excluded[name] for name in BUCKET_NAMES}
        keys = list(COUNTS.primary_key)
        _put(connection, insert.on_conflict_do_update(index_elements=keys, set_=sums), batch.counts)
    if batch.skipped:
        rows = [one._asdict() for one in batch.skipped]
        insert_rows(connection, SKIPPED, rows)
        _forget_old_skipped(connection, {one.id % PARTITIONS for one in batch.skipped})


def empty(connection: Connection) -> None:
    """Takes every row out: the topic is another one under the same name, and is recorded from its beginning."""
    for table in METADATA.sorted_tables:
        connection.execute(sql.delete(table))


def insert_rows(connection: Connection, table: sql.Table, rows: list[dict[str, Any]]) -> None:
    """New rows that have the same names."""
    _put(connection, _insert(connection, table), rows)


def advance(connection: Connection, topic: str, expected: Mapping[int, int], then: Mapping[int, int]) -> None:
    """Reading goes on behind these records; OvertakenError where another console was faster.

    In the order of partitions, so that two consoles never wait for each other.
    """
    for partition in sorted(expected):
        ours = (OFFSETS.c.topic == topic, OFFSETS.c.partition == partition, OFFSETS.c.next == expected[partition])
        if connection.execute(sql.update(OFFSETS).where(*ours).values(next=then[partition])).rowcount != 1:
            raise OvertakenError(f"partition {partition} was recorded beyond offset {expected[partition]}")


def _forget_old_skipped(connection: Connection, partitions: set[int]) -> None:
    """Keeps the newest of each partition, by offset."""
    for partition in partitions:
        of_it = sql.select(SKIPPED.c.id).where(SKIPPED.c.id % PARTITIONS == partition)
        oldest = connection.execute(of_it.order_by(SKIPPED.c.id.desc()).offset(KEPT_SKIPPED).limit(1)).scalar()
        if oldest is not None:
            old = (SKIPPED.c.id % PARTITIONS == partition, SKIPPED.c.id <= oldest)
            connection.execute(sql.delete(SKIPPED).where(*old))


def _insert(connection: Connection, table: sql.Table) -> Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _put(connection: Connection, insert: Insert, rows: list[dict[str, Any]]) -> None:
    """Inserts rows that have the same names.

    PostgreSQL gets them as one document: by the driver's own way, a statement a row, it takes more than twice as long.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(insert, rows)
        return
    names = list(rows[0])
    kind: sql.ColumnElement[object] = sql.literal_column(f"NULL::{insert.table.name}")
    document = sql.cast(sql.bindparam("rows", type_=sql.Text), postgresql.JSON)
    read = sql.func.json_populate_recordset(kind, document).table_valued(*names)
    connection.execute(insert.from_select(names, sql.select(read)), {"rows": msgspec.json.encode(rows).decode()})
