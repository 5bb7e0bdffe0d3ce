"""A change of a profile is an event too: created, updated with what changed and what it was before, or deleted."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from pipeline import topics
from pipeline.enrich.join import Tail, UnreadableError, profile_tail
from pipeline.model.events import Event
from pipeline.model.ids import EPOCH, uuid7
from pipeline.record import LARGEST_EVENT, Message, Record, dead

LATEST_MS = 0x2FFF_FFFF_FFFF  # in the year 3642: `made_at` takes no later UUIDv7 for one

_json = msgspec.json.Encoder()


class Known(msgspec.Struct, frozen=True):
    """What a row of the table tells of a profile."""

    recipient: str | None = None
    fields: dict[str, Any] = {}
    interests: list[str] = []

    @property
    def flat(self) -> dict[str, Any]:
        """Name by name, as `parameters` and `previous` have it. A field can't take the place of what is ours."""
        ours = {"email": self.recipient, "interests": self.interests or None}
        return self.fields | {name: value for name, value in ours.items() if value is not None}


class Stamps(msgspec.Struct, frozen=True):
    """What a row says of its own age."""

    created: datetime | None = None
    modified: datetime | None = None

    @property
    def is_old(self) -> bool:
        """Whether it was changed since it was made."""
        return self.created is not None and self.modified is not None and self.created < self.modified


_known = msgspec.json.Decoder(Known)
_stamps = msgspec.json.Decoder(Stamps)


def change_of(message: Message, before: Tail | None, origin: str | None, largest: int = LARGEST_EVENT) -> Record | None:
    """The event of one record of `profiles`, for the same partition number of `events`, or a dead letter.

    None where the record changes nothing. One that can't be read is passed over by the table, too.

    `before` is the row it replaces, as the table has it; None where there is none, or none any more: what compaction
    took is not known. An event has at most `largest` bytes. Its id is a function of where the record stands: a change
    told twice is one event.
    """
    try:
        after = _of(profile_tail(message.key() or b"", value)) if (value := message.value()) is not None else None
    except UnreadableError as wrong:
        return dead(topics.HITS_DEAD, topics.PROFILES, message, str(wrong))
    old = None if before is None else _of(before)
    if after == old:
        return None
    if not all(_owner(message)):
        return dead(topics.HITS_DEAD, topics.PROFILES, message, "key: is not ACCOUNT/PROFILE")
    event = _event(message, old, after, origin)
    if len(event) > largest:
        return dead(topics.HITS_DEAD, topics.PROFILES, message, f"event: would be {len(event)} bytes")
    return Record(topics.EVENTS, message.key() or b"", event, partition=message.partition() or 0)


def _event(message: Message, old: Known | None, new: Known | None, origin: str | None) -> bytes:
    account, profile = _owner(message)
    was, is_ = (old.flat if old else {}), (new.flat if new else {})
    known = new or old or Known()
    event = Event(
        id=_id(message),
        type="delete" if new is None else "update" if old is not None or _is_old(message) else "create",
        account=account,
        profile=profile,
        at=_at(message),
        recipient=known.recipient,
        fields=known.fields or None,
        interests=known.interests or None,
        parameters={name: value for name, value in is_.items() if was.get(name) != value} or None,
        previous={name: value for name, value in was.items() if is_.get(name) != value} or None,
        origin=origin,
    )
    return _json.encode(event)


def _owner(message: Message) -> tuple[str, str]:
    """Account and profile, as the key says."""
    account, _, profile = (message.key() or b"").decode(errors="replace").partition("/")
    return account, profile


def _is_old(message: Message) -> bool:
    """Whether the row was made before, though it is not known what it was."""
    try:
        return _stamps.decode(message.value() or b"{}").is_old
    except (msgspec.MsgspecError, TypeError):  # a time with no zone can't be compared with one that has
        return False


def _of(tail: Tail) -> Known:
    return _known.decode(b"{" + tail[1:] + b"}")


def _at(message: Message) -> datetime:
    """When it was written, as its producer says: -1 is none, and microseconds by mistake are past all time."""
    return EPOCH + timedelta(milliseconds=min(max(message.timestamp()[1], 0), LATEST_MS))


def _id(message: Message) -> str:
    place = f"{message.topic()}/{message.partition()}/{message.offset()}".encode()
    return uuid7(_at(message), hashlib.blake2b(place, digest_size=10).digest())
