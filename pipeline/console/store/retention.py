"""What is kept, and what makes room: decided by what the records say, never by when they came.

So a store that is rebuilt from the topic comes to the same rows. The newest of a whole are the newest of the newest
of its parts; it does not matter how often, and how far apart, the old ones are taken out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sql
from sqlalchemy import ColumnElement, Connection

from pipeline.console.store.batch import MINUTE, SPANS
from pipeline.console.store.schema import ATTEMPTS, COUNTS, DEAD

DAY = 24 * 60 * MINUTE
BITE = 1000  # rows taken out in one transaction, so that nobody waits long for the database


class Limits(NamedTuple):
    """How much is kept: ages in days, the rest in rows. `kept_days` are those of the topic."""

    kept_days: int = 30
    minutes_days: int = 7
    loop_successes: int = 1000
    loop_failures: int = 100_000
    successes: int = 200_000
    failures: int = 1_000_000

    def of_loop(self, failed: int) -> int:
        """How many of one loop."""
        return self.loop_failures if failed else self.loop_successes

    def of_all(self, failed: int) -> int:
        """How many of all loops together."""
        return self.failures if failed else self.successes


class Horizon(NamedTuple):
    """What is older is neither shown nor kept: rows by microseconds, counts by the slot they begin with."""

    rows: int
    minutes: int
    hours: int

    def of_span(self, span: int) -> int:
        """The first slot of this span."""
        return self.minutes if span == SPANS[0] else self.hours


def horizon(now: int, limits: Limits) -> Horizon:
    """At `now`, in microseconds. Only whole minutes and hours: all records of each are still in the topic."""
    rows = now - limits.kept_days * DAY
    minute, hour = -(-(now - limits.minutes_days * DAY) // MINUTE), -(-rows // (60 * MINUTE)) * 60
    return Horizon(rows, minute, hour)


def bites(connection: Connection, now: int, limits: Limits) -> Iterator[int]:
    """Takes out what is over, a bite each time it is asked for more; how many rows. Ends when nothing is over.

    Each step is to be committed before the next is asked for.
    """
    edge = horizon(now, limits)
    for failed in (0, 1):
        yield from _all_of(connection, failed, ATTEMPTS.c.at < edge.rows)
    yield from _old_letters(connection, edge.rows)
    for span in SPANS:
        yield from _old_counts(connection, span, edge.of_span(span))
    for failed in (0, 1):
        for loop in _full_loops(connection, failed, limits.of_loop(failed)):
            yield from _over(connection, failed, limits.of_loop(failed), loop)
        yield from _over(connection, failed, limits.of_all(failed), None)


def of_loop(connection: Connection, loop: str, failed: int, limits: Limits) -> int:
    """Takes out what is over of one loop, at most a few bites; how many rows."""
    beyond = _beyond(connection, failed, limits.of_loop(failed), loop)
    return _delete(connection, failed, beyond, 10 * BITE) if beyond is not None else 0


def _all_of(connection: Connection, failed: int, which: ColumnElement[bool]) -> Iterator[int]:
    while taken := _delete(connection, failed, which, BITE):
        yield taken


def _over(connection: Connection, failed: int, most: int, loop: str | None) -> Iterator[int]:
    beyond = _beyond(connection, failed, most, loop)
    if beyond is not None:
        yield from _all_of(connection, failed, beyond)


def _full_loops(connection: Connection, failed: int, most: int) -> list[str]:
    of_kind = sql.select(ATTEMPTS.c.loop).where(ATTEMPTS.c.failed == failed).group_by(ATTEMPTS.c.loop)
    return list(connection.execute(of_kind.having(sql.func.count() > most)).scalars())


def _beyond(connection: Connection, failed: int, most: int, loop: str | None) -> ColumnElement[bool] | None:
    """The rows behind the newest `most`."""
    whose = [ATTEMPTS.c.failed == failed] + ([ATTEMPTS.c.loop == loop] if loop is not None else [])
    newest = sql.select(ATTEMPTS.c.at, ATTEMPTS.c.id).where(*whose).order_by(ATTEMPTS.c.at.desc(), ATTEMPTS.c.id.desc())
    first = connection.execute(newest.offset(most).limit(1)).first()
    return sql.and_(*whose[1:], older(first.at, first.id, inclusive=True)) if first else None


def older(at: int, number: int, *, inclusive: bool = False) -> ColumnElement[bool]:
    """Rows that come after this one where the newest come first."""
    same = ATTEMPTS.c.id <= number if inclusive else ATTEMPTS.c.id < number
    return sql.and_(ATTEMPTS.c.at <= at, sql.or_(ATTEMPTS.c.at < at, same))  # the first lets an index begin there


def _delete(connection: Connection, failed: int, which: ColumnElement[bool], most: int) -> int:
    some = sql.select(ATTEMPTS.c.id).where(ATTEMPTS.c.failed == failed, which).limit(most)
    return connection.execute(sql.delete(ATTEMPTS).where(ATTEMPTS.c.id.in_(some))).rowcount


def _old_letters(connection: Connection, edge: int) -> Iterator[int]:
    """Of those nobody redrove or purged: the topic forgets them after as many days."""
    some = sql.select(DEAD.c.loop, DEAD.c.delivery).where(DEAD.c.at < edge).limit(BITE // 10)
    while old := connection.execute(some).all():
        for loop, delivery in old:
            connection.execute(sql.delete(DEAD).where(DEAD.c.loop == loop, DEAD.c.delivery == delivery))
        yield len(old)


def _old_counts(connection: Connection, span: int, edge: int) -> Iterator[int]:
    """Slot by slot: a slot has a row for each loop, state and type."""
    old = COUNTS.c.span == span, COUNTS.c.slot < edge
    while (slot := connection.execute(sql.select(sql.func.min(COUNTS.c.slot)).where(*old)).scalar()) is not None:
        yield connection.execute(sql.delete(COUNTS).where(COUNTS.c.span == span, COUNTS.c.slot == slot)).rowcount
