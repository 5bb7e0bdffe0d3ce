"""Who is in a batch: its attempt is one row, found by every event that it carried."""

from typing import Any

import msgspec
import sqlalchemy as sql
from sqlalchemy import ColumnElement

from pipeline.console.store.schema import ATTEMPTS

OF_AN_EVENT = frozenset({"event", "type", "profile", "recipient", "message"})


def has(name: str, value: str) -> ColumnElement[bool]:
    """Whether an event of the batch has this under that name, as it is spelled in the row's JSON.

    SQLite makes no difference between upper and lower case here.
    """
    spelled = f'"{name}":{msgspec.json.encode(value).decode()}'
    return ATTEMPTS.c.batch.contains(spelled, autoescape=True)


def is_or_has(name: str, value: str) -> ColumnElement[bool]:
    """Whether it is the attempt's own, or of an event of its batch."""
    own = equals(ATTEMPTS.c[name], value)
    return sql.or_(own, has(name, value)) if name in OF_AN_EVENT else own


def equals(column: sql.Column[Any], value: str) -> ColumnElement[bool]:
    """Whether it is the value; of an address also in other letters, upper or lower, as people write them."""
    same = column == value
    return sql.or_(same, sql.func.lower(column) == value.lower()) if column.name == "recipient" else same
