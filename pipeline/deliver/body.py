"""The body of the POST: the same names as a form, as Copernica sends it, or as JSON."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any

import msgspec

from pipeline.model.events import Event
from pipeline.model.loops import Format

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
REMEMBERED = 256  # characters of a word that is quoted once, and remembered
NESTING = frozenset({dict, list, tuple})

_json = msgspec.json.Encoder()
_plain = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_others = re.compile(r"[^A-Za-z0-9_.~-]")
_quotes = {chr(byte): f"%{byte:02X}" for byte in range(256)} | {" ": "+"}


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
    pairs: list[str] = []
    for name, value in told.items():
        _put(pairs, _quoted(name), value)
    return FORM, "&".join(pairs).encode()


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


def _put(pairs: list[str], name: str, value: object) -> None:
    """`fields[city]=Utrecht` for a map, `tags[]=a` for a list, to any depth; nothing for a null. `name` is quoted.

    A list of lists or maps is numbered, `orders[0][id]=7`: after `orders[][id]=7` PHP would begin the next item at
    each name.
    """
    if type(value) is str:  # nearly all are
        pairs.append(f"{name}={_quoted(value)}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _put(pairs, f"{name}%5B{_quoted(key)}%5D", item)
    elif isinstance(value, list | tuple):
        numbered = not NESTING.isdisjoint(map(type, value))
        for at, item in enumerate(value):
            _put(pairs, f"{name}%5B{at if numbered else ''}%5D", item)
    elif value is not None:
        pairs.append(f"{name}={_quoted(_word(value))}")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quoted(word: str) -> str:
    """As a form has it. Names, user agents, tags and cities come again and again; ids need no quoting."""
    if _plain(word):
        return word
    return _remembered(word) if len(word) <= REMEMBERED else _quote(word)


def _quote(word: str) -> str:
    """As urllib's quote_plus, which looks at each character and so takes two to three times as long."""
    return _others.sub(lambda found: _quotes[found[0]], word.encode().decode("latin-1"))


_remembered = lru_cache(16_384)(_quote)
