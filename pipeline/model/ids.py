"""Ids are short printable words, and an event's id tells when it was made."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@+-"
ACCOUNT_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-"
ID_PATTERN = r"^[A-Za-z0-9._:@+-]{1,128}$"
ACCOUNT_PATTERN = r"^[a-z0-9-]{1,40}$"
USER_PATTERN = r"^[A-Za-z0-9._@+-]{1,64}$"

_ID = re.compile(ID_PATTERN[:-1] + r"\Z")
_UUID7 = re.compile(r"[0-2][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_VARIANT = {f"{bits:x}": "89ab"[bits & 3] for bits in range(16)}
_MILLISECOND = timedelta(milliseconds=1)
_ACCOUNT = re.compile(ACCOUNT_PATTERN[:-1] + r"\Z")


def is_id(text: str) -> bool:
    """Whether `text` may name a profile, a mailing or a message."""
    return _ID.match(text) is not None


def is_account(text: str) -> bool:
    """Whether `text` may name an account."""
    return _ACCOUNT.match(text) is not None


def key_of(account: str, name: str) -> str:
    """The Kafka key of what belongs to an account: `ACCOUNT/PROFILE`, `ACCOUNT/MAILING`. No id holds a slash."""
    return f"{account}/{name}"


def uuid7(now: datetime, random: bytes) -> str:
    """A UUIDv7 (RFC 9562 5.7): 48 bits of milliseconds, then 74 of the 80 random bits given.

    `random` is 10 bytes. Ids made later sort later, to the millisecond.
    """
    time, bits = f"{milliseconds(now):012x}", random.hex()  # once a hit: uuid.UUID would take three times as long
    return f"{time[:8]}-{time[8:]}-7{bits[:3]}-{_VARIANT[bits[4]]}{bits[5:8]}-{bits[8:]}"


def made_at(event: str) -> datetime | None:
    """When a UUIDv7 was made, to the millisecond; None for any other id."""
    if not _UUID7.match(event):
        return None
    return EPOCH + timedelta(milliseconds=int(event[:8] + event[9:13], 16))


def delivery_id(event: str, loop: str) -> str:
    """The `webhook-id`: a function of event and loop, so that it is the same in every attempt and replay."""
    return "msg_" + hashlib.sha256(f"{event}\n{loop}".encode()).hexdigest()[:32]


def batch_id(events: Sequence[str], loop: str) -> str:
    """The `webhook-id` of a batch: a function of its events, in their order, and the loop. One event is no batch."""
    if len(events) == 1:
        return delivery_id(events[0], loop)
    return "batch_" + hashlib.sha256("\n".join([*events, loop]).encode()).hexdigest()[:32]


def milliseconds(time: datetime) -> int:
    """Whole Unix milliseconds, as Kafka writes times: exact, as a float of seconds is not."""
    return (time - EPOCH) // _MILLISECOND


def utc(timestamp: float) -> datetime:
    """Unix seconds as an aware datetime."""
    return datetime.fromtimestamp(timestamp, UTC)
