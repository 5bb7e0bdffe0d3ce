"""Is what stands on disk still what the topic says? A store carries a mark; the topic is asked what it is now."""

from typing import NamedTuple

import msgspec

FORMAT = 1  # of what stands on disk: to be raised when a row is rendered in another way
DELETE_RETENTION_SECONDS = 86_400.0  # Kafka's own default
SHARE = 0.9  # of that time a store may be old: the rest is for reading on, and for clocks that differ
AHEAD_SECONDS = 600.0  # a clock may be set back that far


class Mark(msgspec.Struct, frozen=True):
    """What a store says of itself, written together with its rows.

    `seen` is a Unix time: all that the topic held then is in the rows, or was there to be read when they began.
    `erased` is the time of the oldest erasure whose row may still stand somewhere in the files.
    """

    topic: str
    offset: int
    seen: float
    version: str
    erased: float | None = None
    format: int = FORMAT


class Log(NamedTuple):
    """One partition of the topic as the broker knows it."""

    topic: str  # its id: a topic made anew under the same name has another
    start: int
    end: int
    retention: float = DELETE_RETENTION_SECONDS  # seconds an erasure stays in the topic at least


def unfit(mark: Mark, log: Log, version: str, now: float) -> str | None:
    """Why the store can't be read on from; None where it can.

    An erasure may be gone from the topic a while after it was written, and with it what would tell us of it: so a
    store that did not see the topic's end for as long is made anew.
    """
    age, hours = now - mark.seen, log.retention / 3600
    reasons = (
        ((mark.version, mark.format) != (version, FORMAT), "another version of Loopwire wrote it"),
        (mark.topic != log.topic, "the topic was made anew"),
        (mark.offset > log.end, "the topic ends before it"),
        (mark.offset < log.start, "what followed it is no longer in the topic"),
        (age < -AHEAD_SECONDS, "its time is ahead of this machine's clock"),
        (age > SHARE * log.retention, f"it is {age / 3600:.1f} hours old, the topic keeps erasures for {hours:.1f}"),
    )
    return next((why for holds, why in reasons if holds), None)


def encoded(mark: Mark) -> bytes:
    """The mark as it stands in the store."""
    return msgspec.json.encode(mark)


def decoded(value: bytes) -> Mark:
    """The mark of a store; msgspec.MsgspecError where it is none."""
    return msgspec.json.decode(value, type=Mark)
