"""Where a past event has to be looked for: its partition by its key, its time by its id."""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from pipeline.model.ids import key_of, made_at

MOST_READ = 500_000  # records of one partition
MOST_SECONDS = 8.0
# The id is made by capture, the record's time by enrich, and their clocks may differ a little.
CLOCKS_DIFFER = timedelta(seconds=10)
WITHOUT_TIME = timedelta(days=1)  # how long before its attempt an event was written at most, where its id doesn't tell


class Sought(NamedTuple):
    """An event: its id, the key of its record, and from when to before when it was written."""

    event: str
    key: bytes
    since: datetime
    until: datetime


class _Named(msgspec.Struct):
    id: str


_named = msgspec.json.Decoder(_Named)


def sought(account: str, profile: str, event: str, attempted: datetime) -> Sought:
    """Where the event of an attempt stands; `attempted` is when that was made."""
    made = made_at(event)
    since = attempted - WITHOUT_TIME if made is None or made > attempted else made
    return Sought(event, key_of(account, profile).encode(), since - CLOCKS_DIFFER, attempted + CLOCKS_DIFFER)


def is_it(value: bytes, event: str) -> bool:
    """Whether a record of `events` is this event: most are told by their bytes, and never decoded."""
    if event.encode() not in value:
        return False
    try:
        return _named.decode(value).id == event
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
