"""Attempts over all loops of one account: those of a profile, an address or a message, and the latest of all."""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sql
from sqlalchemy import Connection, Row

from pipeline.console.store import read
from pipeline.console.store.carried import has
from pipeline.console.store.read import Whose, Wish
from pipeline.console.store.retention import Horizon
from pipeline.console.store.schema import ATTEMPTS

WORDS = ("profile", "recipient", "message")  # each has an index of its own
Rows = list[Row[tuple[object, ...]]]


class Found(NamedTuple):
    """The newest first; `cut` where there are more."""

    rows: Rows
    cut: bool


def about(connection: Connection, account: str, word: str, limit: int, edge: Horizon) -> Found:
    """The account's attempts whose profile, recipient or message is this word; an address also in lower case."""
    spelled = {"recipient": {word, word.lower()}}
    own = (ATTEMPTS.c[name].in_(spelled.get(name, {word})) for name in WORDS)
    asked = [*own, _in_a_batch(word)]
    found = {row.id: row for which in asked for row in connection.execute(_by(which, account, limit, edge))}
    newest = sorted(found.values(), key=lambda row: (row.at, row.id), reverse=True)
    return Found(newest[:limit], len(newest) > limit)


def latest(connection: Connection, account: str, loops: Iterable[str], wish: Wish, edge: Horizon) -> Rows:
    """The newest attempts of these loops together, `wish.limit` at most."""
    found = [row for loop in loops for row in read.attempts(connection, Whose(account, loop), wish, edge).rows]
    return sorted(found, key=lambda row: (row.at, row.id), reverse=True)[: wish.limit]


def _in_a_batch(word: str) -> sql.ColumnElement[bool]:
    """Rows of batches are looked through: there is an index of them, and none of what is in them."""
    return sql.and_(ATTEMPTS.c.batch.is_not(None), sql.or_(*(has(name, word) for name in WORDS)))


def _by(asked: sql.ColumnElement[bool], account: str, limit: int, edge: Horizon) -> sql.Select[tuple[object, ...]]:
    which = (ATTEMPTS.c.account == account, asked, ATTEMPTS.c.at >= edge.rows)
    return sql.select(ATTEMPTS).where(*which).order_by(ATTEMPTS.c.at.desc()).limit(limit + 1)
