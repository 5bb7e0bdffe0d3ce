"""The body of the POST: the same names as a form, as Copernica sends it, or as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

import msgspec

from pipeline.model.events import Event
from pipeline.model.loops import Format

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
NESTING = frozenset({dict, list, tuple})

_json = msgspec.json.Encoder()
Pair = tuple[str, str]
# What stands between names and values until all are quoted; and what is written as it is, before the rest, or after.
_PAIR, _NAME = "\x1e", "\x1f"
_LEFT = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-% \x1e\x1f"
_QUOTES = [(b"%c" % byte, b"%%%02X" % byte) for byte in range(256)]


def names(event: Event, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """What the customer is told, name by name (contract section 5); unknown names are left out.

    `fields` are the profile fields the loop asked for, also of what changed; None means all. Details of the hit
    can't take the place of a name that is ours.
    """
    at = event.at.astimezone(UTC)
    wanted = None if fields is None else set(fields)
    about_all = None if wanted is None else wanted | {"email", "interests"}
    ours = {
        "type": event.type,
        "id": event.message,
        "event": event.id,
        "timestamp": at.isoformat(" ", "seconds")[:19],  # without its zone
        "time": int(at.timestamp()),
        "recipient": event.recipient,
        "ip": event.ip,
        "useragent": event.useragent,
        "referer": event.referer,
        "original": event.url,
        "tags": event.tags,
        "mailing": event.mailing,
        "profile": None if event.type.startswith("loop.") else event.profile,
        "account": event.account,
        "fields": _chosen(event.fields, wanted),
        "interests": event.interests,
        "machine": event.machine,
        "signals": event.signals,
        "client": event.client,
        "system": event.system,
        "device": event.device,
        "parameters": _chosen(event.parameters, about_all),
        "previous": _chosen(event.previous, about_all),
        "origin": event.origin,
    }
    if event.details:
        ours = {name: value for name, value in event.details.items() if name.partition("[")[0] not in ours} | ours
    return {name: value for name, value in ours.items() if value or _says(value)}


def body_of(told: Mapping[str, Any], form: Format) -> tuple[str, bytes]:
    """Content type and body."""
    if form == "json":
        return JSON, _json.encode(told)
    pairs: list[Pair] = []
    _put(pairs, told.items())
    return FORM, _form(pairs)


def array_of(told: Sequence[Mapping[str, Any]]) -> tuple[str, bytes]:
    """Content type and body of a batch: the same objects, in the order of their events."""
    return JSON, _json.encode(told)


def _chosen(fields: dict[str, Any] | None, wanted: set[str] | None) -> dict[str, Any] | None:
    if fields is None or wanted is None:
        return fields
    return {name: value for name, value in fields.items() if name in wanted}


def _says(value: object) -> bool:
    """Whether a value that Python takes for false says something: a 0 does, and "", and false."""
    return value is not None and not isinstance(value, list | dict)


def _put(pairs: list[Pair], told: Iterable[tuple[str, Any]]) -> None:
    """`fields[city]=Utrecht` for a map, `tags[]=a` for a list, to any depth; nothing for a null.

    A list of lists or maps is numbered, `orders[0][id]=7`: after `orders[][id]=7` PHP would begin the next item at
    each name.
    """
    for pair in told:
        name, value = pair
        if type(value) is str:  # nearly all are
            pairs.append(pair)
        elif isinstance(value, dict):
            _put(pairs, [(f"{name}[{key}]", item) for key, item in value.items()])
        elif isinstance(value, list | tuple):
            numbered = not NESTING.isdisjoint(map(type, value))
            _put(pairs, [(f"{name}[{at if numbered else ''}]", item) for at, item in enumerate(value)])
        elif value is not None:
            pairs.append((name, _word(value)))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _form(pairs: list[Pair]) -> bytes:
    """The pairs as a form has them. All are quoted at once: word by word it takes twice as long."""
    text = _PAIR.join(map(_NAME.join, pairs))
    if text.count(_NAME) != len(pairs) or text.count(_PAIR) != len(pairs) - 1:  # a customer's own text has them, too
        return urlencode(pairs).encode()
    return _quoted(text.encode()).replace(b" ", b"+").replace(_PAIR.encode(), b"&").replace(_NAME.encode(), b"=")


def _quoted(text: bytes) -> bytes:
    """As %XX each byte but those of _LEFT."""
    text = text.replace(b"%", b"%25")  # first: it stands in what the others become
    for byte in set(text.translate(None, _LEFT)):
        text = text.replace(*_QUOTES[byte])
    return text
