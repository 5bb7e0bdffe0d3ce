"""What is kept of a record of `deliveries-dead`: a letter, or that one is gone."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from pipeline.console.store.batch import Partitions
from pipeline.console.store.told import id_of
from pipeline.model.deliveries import Delivery
from pipeline.record import Message, headers_of

LONGEST_REASON = 1000
LONGEST_KEY = 400

Key = tuple[str, str]  # loop, delivery


class Names(msgspec.Struct, frozen=True):
    """Of the event, what letters are looked for by."""

    id: str | None = None
    type: str | None = None
    profile: str | None = None
    recipient: str | None = None
    message: str | None = None


class Letters(NamedTuple):
    """What many records come to: `gone` are all letters they are about, `rows` those that are there after them."""

    expected: Partitions
    then: Partitions
    gone: list[Key]
    rows: list[dict[str, Any]]


_delivery = msgspec.json.Decoder(Delivery)
_names = msgspec.json.Decoder(Names)


def letters_of(messages: Iterable[Message], position: Mapping[int, int]) -> Letters:
    """`position` is the next offset of each partition; records before it are passed over."""
    then: Partitions = {}
    found: dict[Key, dict[str, Any] | None] = {}
    for message in messages:
        partition, offset = message.partition() or 0, message.offset() or 0
        if offset < then.get(partition, position[partition]):
            continue
        then[partition] = offset + 1
        if (key := _key(message)) is not None:
            found[key] = _row(message, *key) if message.value() is not None else None
    expected = {partition: position[partition] for partition in then}
    return Letters(expected, then, list(found), [row for row in found.values() if row is not None])


def without_rows(letters: Letters) -> Letters:
    """The same records, of which nothing is kept."""
    return letters._replace(gone=[], rows=[])


def _key(message: Message) -> Key | None:
    """None where the key is none of ours: it belongs to no loop, so nobody can be shown it."""
    loop, slash, delivery = _text(message.key() or b"").rpartition("/")
    return (loop, delivery) if slash and len(loop) + len(delivery) < LONGEST_KEY else None


def _row(message: Message, loop: str, delivery: str) -> dict[str, Any]:
    value, reason = message.value() or b"", _reason(message)
    row: dict[str, Any] = {
        "loop": loop,
        "delivery": delivery,
        "id": id_of(message.partition() or 0, message.offset() or 0),
        "account": None,
        "at": message.timestamp()[1] * 1000,
        "reason": reason or "unknown",
        **dict.fromkeys(("type", "event", "profile", "recipient", "message", "status")),
        "attempts": 0,
        "value": "",
    }
    try:
        letter, text = _delivery.decode(value), value.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return row
    if (letter.loop, letter.id) != (loop, delivery):
        return row
    last = letter.history[-1] if letter.history else None
    known = {"account": letter.account, "attempts": letter.attempts, "value": text, "status": last and last.status}
    return row | known | {"reason": reason or (last.error if last else "unknown")} | _about(letter.event)


def _about(event: msgspec.Raw) -> dict[str, str | None]:
    try:
        names = _names.decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return {
        "type": names.type,
        "event": names.id,
        **{name: _plain(getattr(names, name)) for name in ("profile", "recipient", "message")},
    }


def _reason(message: Message) -> str:
    return _text(headers_of(message).get("reason", b""))[:LONGEST_REASON]


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace").replace("\0", "\ufffd")  # which PostgreSQL can't keep


def _plain(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "\ufffd")
