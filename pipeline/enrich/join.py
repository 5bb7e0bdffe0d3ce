"""The join: an event is the hit as it came, with what is known about it appended.

What a row adds is rendered once, when the row changes, as the tail of a JSON object; joining is then a splice of
bytes, and what a newer capture put into a hit passes through an older enrich. A name that stands twice would be
read as its last, so what the tables say counts.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from pipeline.model.hits import AnyHit

Tail = bytes  # b',"tags":["a"]': what a row adds to an event
Rows = Mapping[bytes, Tail]
Told = Callable[[AnyHit], Tail]
Stray = Callable[[bytes], str]  # why a key does not belong where it stands; empty where it does
Row = TypeVar("Row")


class ProfileRow(msgspec.Struct, frozen=True):
    """What the join reads of a profile: anyone may write the topic, and the rest of a row can't spoil it."""

    id: str | None = None
    account: str | None = None
    email: str | None = None
    fields: dict[str, Any] | None = None
    interests: list[str] | None = None


class MailingRow(msgspec.Struct, frozen=True):
    """What the join reads of a mailing."""

    mailing: str | None = None
    account: str | None = None
    tags: list[str] | None = None


_hit = msgspec.json.Decoder(AnyHit)
_profile = msgspec.json.Decoder(ProfileRow)
_mailing = msgspec.json.Decoder(MailingRow)
_json = msgspec.json.Encoder()


class UnreadableError(ValueError):
    """A record can't be read; the message is its reason."""


def nowhere(_key: bytes) -> str:
    """Every key is where it belongs."""
    return ""


def event_of(
    key: bytes | None, value: bytes | None, profiles: Rows, tags: Rows, told: Told, stray: Stray = nowhere
) -> bytes:
    """The event of a hit, JSON; UnreadableError where the hit can't be read or its key is another profile's.

    A hit whose profile or mailing is unknown becomes an event without what is unknown. `told` says what the hit's
    request tells of who made it. `stray` is asked where no profile is found: it may stand in another partition.
    """
    hit = hit_of(key, value)
    who = profiles.get(key or b"")
    if who is None:
        who = b""
        if why := stray(key or b""):
            raise UnreadableError(f"partition: {why}")
    what = tags.get(f"{hit.account}/{hit.mailing}".encode(), b"")
    machine = told(hit)
    if not (machine or who or what):
        return value or b""
    return b"".join(((value or b"").rstrip()[:-1], machine, who, what, b"}"))


def hit_of(key: bytes | None, value: bytes | None) -> AnyHit:
    """The hit a record holds; UnreadableError where it holds none or its key is another profile's."""
    if value is None:
        raise UnreadableError("value: is null, which no hit is")
    try:
        hit: AnyHit = _hit.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise UnreadableError(f"value: {wrong}") from wrong
    if key != f"{hit.account}/{hit.profile}".encode():
        raise UnreadableError(f"key: is {_shown(key)}, but the value is of {hit.account}/{hit.profile}")
    return hit


def profile_tail(key: bytes, value: bytes) -> Tail:
    """What a profile's row adds: recipient, fields, interests; UnreadableError where it can't be read."""
    row: ProfileRow = _row(_profile, value)
    _same(key, row.account, row.id)
    return _tail({"recipient": row.email, "fields": row.fields or None, "interests": row.interests or None})


def tags_tail(key: bytes, value: bytes) -> Tail:
    """What a mailing's row adds: its tags; UnreadableError where it can't be read."""
    row: MailingRow = _row(_mailing, value)
    _same(key, row.account, row.mailing)
    return _tail({"tags": row.tags or None})


def _row(decoder: msgspec.json.Decoder[Row], value: bytes) -> Row:
    try:
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise UnreadableError(f"value: {wrong}") from wrong


def _same(key: bytes, account: str | None, name: str | None) -> None:
    """What the value says of its owner is what the key says; a value that says nothing leaves it to the key."""
    owner, _, own = key.decode(errors="replace").partition("/")
    if (account or owner, name or own) != (owner, own):
        raise UnreadableError(f"key: is {_shown(key)}, but the value is of {account or owner}/{name or own}")


def _tail(added: dict[str, object]) -> Tail:
    known = {name: value for name, value in added.items() if value is not None}
    return b"," + _json.encode(known)[1:-1] if known else b""


def _shown(key: bytes | None) -> str:
    return "absent" if key is None else key.decode(errors="replace")
