"""Dead letters in the store: a batch is written with its offsets, and pages of them are read."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy import ColumnElement, Connection, Row

from pipeline.console.store.carried import equals
from pipeline.console.store.cursor import Cursor
from pipeline.console.store.letters import Key, Letters
from pipeline.console.store.read import Whose
from pipeline.console.store.retention import Horizon
from pipeline.console.store.schema import DEAD
from pipeline.console.store.write import advance, insert_rows

AT_ONCE = 200  # keys in one statement

Rows = list[Row[tuple[Any, ...]]]


class Sought(NamedTuple):
    """Which letters: written from `since` to before `until` (microseconds), whose reason has these words in it.

    `same` are columns with the value each has to have; `deliveries` are ids, all where it is empty.
    """

    since: int | None = None
    until: int | None = None
    reason: str | None = None
    same: tuple[tuple[str, str], ...] = ()
    deliveries: tuple[str, ...] = ()


class Letter(NamedTuple):
    """What a redrive needs of one; `value` is empty where the record can't be read."""

    place: Cursor
    delivery: str
    value: str


def bury(connection: Connection, topic: str, letters: Letters) -> None:
    """Writes the batch. OvertakenError where another console did: roll back, and ask for the positions anew."""
    advance(connection, topic, letters.expected, letters.then)
    for first in range(0, len(letters.gone), AT_ONCE):
        connection.execute(sql.delete(DEAD).where(_is_one_of(letters.gone[first : first + AT_ONCE])))
    if letters.rows:
        insert_rows(connection, DEAD, letters.rows)


def page(
    connection: Connection, whose: Whose, sought: Sought, edge: Horizon, after: Cursor | None, limit: int
) -> tuple[Rows, Cursor | None]:
    """The newest first, and where the next page begins."""
    which = _which(whose, sought, edge)
    if after is not None:
        which.append(_beyond(after, later=False))
    newest = sql.select(DEAD).where(*which).order_by(DEAD.c.at.desc(), DEAD.c.id.desc()).limit(limit + 1)
    rows = list(connection.execute(newest))
    return rows[:limit], Cursor(rows[limit - 1].at, rows[limit - 1].id) if len(rows) > limit else None


def count(
    connection: Connection, whose: Whose, sought: Sought, edge: Horizon, but: Collection[int] = frozenset()
) -> int:
    """How many there are, without the records `but`."""
    which = _which(whose, sought, edge)
    every = sql.select(sql.func.count()).select_from(DEAD).where(*which)
    without = (connection.scalar(every.where(one)) or 0 for one in _among(sorted(but)))
    return (connection.scalar(every) or 0) - sum(without)


def some(
    connection: Connection, whose: Whose, sought: Sought, edge: Horizon, after: Cursor | None, limit: int
) -> list[Letter]:
    """The oldest first, as they are redriven."""
    which = _which(whose, sought, edge)
    if after is not None:
        which.append(_beyond(after, later=True))
    columns = DEAD.c.at, DEAD.c.id, DEAD.c.delivery, DEAD.c.value
    oldest = sql.select(*columns).where(*which).order_by(DEAD.c.at, DEAD.c.id).limit(limit)
    return [Letter(Cursor(row.at, row.id), row.delivery, row.value) for row in connection.execute(oldest)]


def one(connection: Connection, whose: Whose, delivery: str, edge: Horizon) -> Row[tuple[Any, ...]] | None:
    """One letter."""
    which = [*_which(whose, Sought(), edge), DEAD.c.delivery == delivery]
    return connection.execute(sql.select(DEAD).where(*which)).one_or_none()


def has_any(connection: Connection, whose: Whose) -> bool:
    """Whether the account has a letter of the loop, which may be removed by now."""
    which = (DEAD.c.loop == whose.loop, DEAD.c.account == whose.account)
    return connection.execute(sql.select(DEAD.c.id).where(*which).limit(1)).first() is not None


def still(connection: Connection, loop: str, numbers: Sequence[int]) -> set[int]:
    """Which of these records of the loop are letters still: its index is looked through, not all there are."""
    its = sql.select(DEAD.c.id).where(DEAD.c.loop == loop)
    return {found for one in _among(numbers) for found in connection.scalars(its.where(one))}


def _which(whose: Whose, sought: Sought, edge: Horizon) -> list[ColumnElement[bool]]:
    since = edge.rows if sought.since is None else max(edge.rows, sought.since)
    found: list[ColumnElement[bool]] = [
        DEAD.c.loop == whose.loop,
        DEAD.c.at >= since,
        sql.or_(DEAD.c.account == whose.account, DEAD.c.account.is_(None)),  # whose loop it is was asked before
        *(equals(DEAD.c[name], value) for name, value in sought.same),
    ]
    if sought.until is not None:
        found.append(DEAD.c.at < sought.until)
    if sought.reason is not None:
        found.append(DEAD.c.reason.icontains(sought.reason, autoescape=True))
    if sought.deliveries:
        found.append(DEAD.c.delivery.in_(sought.deliveries))
    return found


def _among(numbers: Sequence[int]) -> Iterator[ColumnElement[bool]]:
    for first in range(0, len(numbers), AT_ONCE):
        yield DEAD.c.id.in_(numbers[first : first + AT_ONCE])


def _beyond(place: Cursor, *, later: bool) -> ColumnElement[bool]:
    at, number = DEAD.c.at, DEAD.c.id
    if later:
        return sql.and_(at >= place.at, sql.or_(at > place.at, number > place.id))
    return sql.and_(at <= place.at, sql.or_(at < place.at, number < place.id))


def _is_one_of(keys: list[Key]) -> ColumnElement[bool]:
    return sql.or_(*(sql.and_(DEAD.c.loop == loop, DEAD.c.delivery == delivery) for loop, delivery in keys))
