"""A cursor is the place of a row in a list that begins with the newest: what comes later never moves it."""

import base64
import re
from typing import NamedTuple

_PLACE = re.compile(rb"(-?\d{1,18}),(\d{1,18})")


class Cursor(NamedTuple):
    """The last row that was shown."""

    at: int
    id: int


def spelled(cursor: Cursor) -> str:
    """As it is handed out; what is in it is nobody's business."""
    return base64.urlsafe_b64encode(b"%d,%d" % cursor).decode().rstrip("=")


def read(text: str) -> Cursor:
    """The cursor that was spelled so; ValueError for anything else."""
    try:
        place = _PLACE.fullmatch(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        place = None
    if place is None:
        raise ValueError("is no cursor: send next_cursor as it was answered")
    return Cursor(int(place[1]), int(place[2]))
