"""What calls and pages ask of the store. Each function takes a connection and reads; nothing is kept between."""

from typing import NamedTuple

import sqlalchemy as sql
from sqlalchemy import ColumnElement, Connection, Row

from pipeline.console.store.carried import is_or_has
from pipeline.console.store.cursor import Cursor
from pipeline.console.store.retention import Horizon, older
from pipeline.console.store.schema import ATTEMPTS, BUCKET_NAMES, COUNTS
from pipeline.console.store.stats import Counted, Stretch


class Whose(NamedTuple):
    """Nothing is ever read but of one loop of one account."""

    account: str
    loop: str


class Wish(NamedTuple):
    """Which attempts, the newest first: from `since` to before `until` (microseconds), in `states`.

    `same` are columns with the value each has to have.
    """

    states: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    same: tuple[tuple[str, str], ...] = ()
    after: Cursor | None = None
    limit: int = 50


class Page(NamedTuple):
    """Rows of `attempts`; `then` is where the next page begins, None where there is none."""

    rows: list[Row[tuple[object, ...]]]
    then: Cursor | None


def attempts(connection: Connection, whose: Whose, wish: Wish, edge: Horizon) -> Page:
    """A page of attempts."""
    kinds = {int(state != "delivered") for state in wish.states} or {0, 1}
    found = [row for failed in kinds for row in connection.execute(_of_kind(whose, wish, edge, failed))]
    newest = sorted(found, key=lambda row: (row.at, row.id), reverse=True)
    rows = newest[: wish.limit]
    return Page(rows, Cursor(rows[-1].at, rows[-1].id) if len(newest) > len(rows) else None)


def attempt(connection: Connection, whose: Whose, number: int, edge: Horizon) -> Row[tuple[object, ...]] | None:
    """One attempt, by the number in its id."""
    which = (
        ATTEMPTS.c.id == number,
        ATTEMPTS.c.loop == whose.loop,
        ATTEMPTS.c.account == whose.account,
        ATTEMPTS.c.at >= edge.rows,
    )
    return connection.execute(sql.select(ATTEMPTS).where(*which)).one_or_none()


def counts(connection: Connection, whose: Whose, asked: Stretch, edge: Horizon) -> list[Counted]:
    """What was counted in each step, by state and type. Steps without anything have no row."""
    point = (COUNTS.c.slot - COUNTS.c.slot % asked.step).label("point")
    sums = [sql.cast(sql.func.sum(COUNTS.c[name]), sql.BigInteger) for name in BUCKET_NAMES]
    which = (
        COUNTS.c.loop == whose.loop,
        COUNTS.c.account == whose.account,
        COUNTS.c.span == asked.span,
        COUNTS.c.slot >= max(asked.since, edge.of_span(asked.span)),
        COUNTS.c.slot < asked.until,
    )
    question = sql.select(point, COUNTS.c.state, COUNTS.c.type, *sums).where(*which)
    rows = connection.execute(question.group_by(point, COUNTS.c.state, COUNTS.c.type))
    return [Counted(row[0], row[1], row[2], row[3:]) for row in rows]


def _of_kind(whose: Whose, wish: Wish, edge: Horizon, failed: int) -> sql.Select[tuple[object, ...]]:
    """Failed ones or delivered ones apart: so one index has the loop's rows in the order they are shown in."""
    which: list[ColumnElement[bool]] = [
        ATTEMPTS.c.loop == whose.loop,
        ATTEMPTS.c.failed == failed,
        ATTEMPTS.c.at >= max(edge.rows, edge.rows if wish.since is None else wish.since),
        ATTEMPTS.c.account == whose.account,
        *(is_or_has(name, value) for name, value in wish.same),
    ]
    if wish.until is not None:
        which.append(ATTEMPTS.c.at < wish.until)
    if wish.states:
        which.append(ATTEMPTS.c.state.in_(wish.states))
    if wish.after is not None:
        which.append(older(*wish.after))
    newest = sql.select(ATTEMPTS).where(*which).order_by(ATTEMPTS.c.at.desc(), ATTEMPTS.c.id.desc())
    return newest.limit(wish.limit + 1)
