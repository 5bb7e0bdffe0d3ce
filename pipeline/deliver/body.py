"""The body of the POST: the same names as a form, as Copernica sends it, or as JSON."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

import msgspec

from pipeline.model.events import Event
from pipeline.model.loops import Format

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
REMEMBERED = 256  # characters of a word that is quoted once, and remembered

_json = msgspec.json.Encoder()
_plain = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch


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
        "timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
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
    return {name: value for name, value in (details | ours).items() if value not in (None, [], {})}


def body_of(told: Mapping[str, Any], form: Format) -> tuple[str, bytes]:
    """Content type and body."""
    if form == "json":
        return JSON, _json.encode(told)
    pairs: list[str] = []
    for name, value in told.items():
        _put(pairs, name, value)
    return FORM, "&".join(pairs).encode()


def array_of(told: Sequence[Mapping[str, Any]]) -> tuple[str, bytes]:
    """Content type and body of a batch: the same objects, in the order of their events."""
    return JSON, _json.encode(told)


def _chosen(fields: dict[str, Any] | None, wanted: set[str] | None) -> dict[str, Any] | None:
    if fields is None or wanted is None:
        return fields
    return {name: value for name, value in fields.items() if name in wanted}


def _put(pairs: list[str], name: str, value: object) -> None:
    """`fields[city]=Utrecht` for a map, `tags[]=a` for a list, to any depth; nothing for a null.

    A list of lists or maps is numbered, `orders[0][id]=7`: after `orders[][id]=7` PHP would begin the next item at
    each name.
    """
    if type(value) is str:  # nearly all are
        pairs.append(f"{_quoted(name)}={_quoted(value)}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _put(pairs, f"{name}[{key}]", item)
    elif isinstance(value, list | tuple):
        numbered = any(isinstance(item, dict | list | tuple) for item in value)
        for at, item in enumerate(value):
            _put(pairs, f"{name}[{at if numbered else ''}]", item)
    elif value is not None:
        pairs.append(f"{_quoted(name)}={_quoted(_word(value))}")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quoted(word: str) -> str:
    """As a form has it. Names, user agents, tags and cities come again and again; ids need no quoting."""
    if _plain(word):
        return word
    return _remembered(word) if len(word) <= REMEMBERED else quote_plus(word)


_remembered = lru_cache(16_384)(quote_plus)
