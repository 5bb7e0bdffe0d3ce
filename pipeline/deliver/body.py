"""The body of the POST: the same names as a form, as Copernica sends it, or as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

import msgspec

from pipeline.model.events import Event
from pipeline.model.loops import Format

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
NESTING = frozenset({dict, list, tuple})

_json = msgspec.json.Encoder()
Pair = tuple[str, str]
# What a form writes as it is; what is written before the rest, and what after; what stands between names and values
# until all of them are quoted.
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-"
_WORD = _PLAIN + b"% "
_PAIR, _NAME = "\x1e", "\x1f"
_KEPT = _WORD + _PAIR.encode() + _NAME.encode()
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
    details = {name: value for name, value in (event.details or {}).items() if name.partition("[")[0] not in ours}
    return {name: value for name, value in (details | ours).items() if value or _says(value)}


def body_of(told: Mapping[str, Any], form: Format) -> tuple[str, bytes]:
    """Content type and body."""
    if form == "json":
        return JSON, _json.encode(told)
    pairs: list[Pair] = []
    for name, value in told.items():
        _put(pairs, name, value)
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


def _put(pairs: list[Pair], name: str, value: object) -> None:
    """`fields[city]=Utrecht` for a map, `tags[]=a` for a list, to any depth; nothing for a null.

    A list of lists or maps is numbered, `orders[0][id]=7`: after `orders[][id]=7` PHP would begin the next item at
    each name.
    """
    if type(value) is str:  # nearly all are
        pairs.append((name, value))
    elif isinstance(value, dict):
        for key, item in value.items():
            _put(pairs, f"{name}[{key}]", item)
    elif isinstance(value, list | tuple):
        numbered = not NESTING.isdisjoint(map(type, value))
        for at, item in enumerate(value):
            _put(pairs, f"{name}[{at if numbered else ''}]", item)
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
        return b"&".join(b"=".join(map(_alone, pair)) for pair in pairs)
    quoted = _quoted(text.encode(), _KEPT).replace(b" ", b"+")
    return quoted.replace(_PAIR.encode(), b"&").replace(_NAME.encode(), b"=")


def _alone(word: str) -> bytes:
    return _quoted(word.encode(), _WORD).replace(b" ", b"+")


def _quoted(text: bytes, kept: bytes) -> bytes:
    """As %XX each byte but those that are kept."""
    text = text.replace(b"%", b"%25")  # first: it stands in what the others become
    for byte in set(text.translate(None, kept)):
        text = text.replace(*_QUOTES[byte])
    return text
