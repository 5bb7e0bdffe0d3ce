"""The body of the POST: the same names as a form, as Copernica sends it, or as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

import msgspec

from pipeline.model.events import Event
from pipeline.model.ids import EPOCH
from pipeline.model.loops import Format

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
ABOUT_ALL = {"email", "interests"}
NESTING = frozenset({dict, list, tuple})
NUMBERS = frozenset({int, float, bool})
SECOND = timedelta(seconds=1)

Pair = tuple[str, str]
_json = msgspec.json.Encoder()
# What the customer is told, in this order, and which of the event's names has it; both times are made of `at`.
OURS = {
    "type": "type",
    "id": "message",
    "event": "id",
    "timestamp": "at",
    "time": "at",
    "recipient": "recipient",
    "ip": "ip",
    "useragent": "useragent",
    "referer": "referer",
    "original": "url",
    "tags": "tags",
    "mailing": "mailing",
    "profile": "profile",
    "account": "account",
    "fields": "fields",
    "interests": "interests",
    "machine": "machine",
    "signals": "signals",
    "client": "client",
    "system": "system",
    "device": "device",
    "parameters": "parameters",
    "previous": "previous",
    "origin": "origin",
}
LISTS = frozenset({"tags", "interests", "signals"})  # of words, and nothing else
_values = attrgetter(*OURS.values())
# What stands between names and values until all are quoted; and what is written as it is, before the rest, or after.
_PAIR, _NAME = "\x1e", "\x1f"
_LEFT = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-% \x1e\x1f"
_AFTER = bytes.maketrans(b" \x1e\x1f", b"+&=")
_QUOTES = [(b"%c" % byte, b"%%%02X" % byte) for byte in range(256)]


def names(event: Event, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """What the customer is told, name by name (contract section 5); unknown names are left out.

    `fields` are the profile fields the loop asked for, also of what changed; None means all. Details of the hit
    can't take the place of a name that is ours.
    """
    told = {name: value for name, value in zip(OURS, _values(event), strict=True) if value or _says(value)}
    seconds = (event.at - EPOCH) // SECOND
    told["timestamp"], told["time"] = _clock(seconds), seconds
    if event.type.startswith("loop."):
        del told["profile"]
    if fields is not None:
        _choose(told, set(fields))
    if event.details:
        told = {name: value for name, value in event.details.items() if _free(name) and (value or _says(value))} | told
    return told


def body_of(told: Mapping[str, Any], form: Format) -> tuple[str, bytes]:
    """Content type and body."""
    if form == "json":
        return JSON, _json.encode(told)
    return FORM, _form(told)


def array_of(told: Sequence[Mapping[str, Any]]) -> tuple[str, bytes]:
    """Content type and body of a batch: the same objects, in the order of their events."""
    return JSON, _json.encode(told)


def _choose(told: dict[str, Any], wanted: set[str]) -> None:
    """Leaves the fields that are wanted, and of what changed the address and the interests too."""
    for name, kept in (("fields", wanted), ("parameters", wanted | ABOUT_ALL), ("previous", wanted | ABOUT_ALL)):
        if name in told:
            told[name] = {key: value for key, value in told[name].items() if key in kept}
            if not told[name]:
                del told[name]


@lru_cache(1_000)
def _clock(seconds: int) -> str:
    """`YYYY-MM-DD HH:MM:SS` of Unix seconds, in UTC. Many events share one, and writing it takes as long as a map."""
    return (EPOCH + seconds * SECOND).isoformat(" ")[:19]  # without its zone


def _free(name: str) -> bool:
    """Whether a detail may be called that."""
    return name.partition("[")[0] not in OURS


def _says(value: object) -> bool:
    """Whether a value that Python takes for false says something: a 0 does, and "", and false."""
    return value is not None and not isinstance(value, list | dict)


def _put(pairs: list[str], told: Mapping[str, Any]) -> None:
    """Each pair as one word. What nearly all events have is put here as `_pairs` would, which takes twice as long."""
    for name, value in told.items():
        if type(value) is str:
            pairs.append(f"{name}{_NAME}{value}")
        elif type(value) is dict:
            for key, item in value.items():
                if type(item) is str:
                    pairs.append(f"{name}[{key}]{_NAME}{item}")
                elif type(item) in NUMBERS:
                    pairs.append(f"{name}[{key}]{_NAME}{_word(item)}")
                else:
                    pairs += map(_NAME.join, _pairs(f"{name}[{key}]", item))
        elif name in LISTS:
            pairs += [f"{name}[]{_NAME}{item}" for item in value]
        else:
            pairs += map(_NAME.join, _pairs(name, value))


def _pairs(name: str, value: object) -> Iterable[Pair]:
    """`fields[city]=Utrecht` for a map, `tags[]=a` for a list, to any depth; nothing for a null.

    A list of lists or maps is numbered, `orders[0][id]=7`: after `orders[][id]=7` PHP would begin the next item at
    each name.
    """
    if isinstance(value, dict):
        inside = [(f"{name}[{key}]", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        numbered = not NESTING.isdisjoint(map(type, value))
        inside = [(f"{name}[{at if numbered else ''}]", item) for at, item in enumerate(value)]
    else:
        return [] if value is None else [(name, _word(value))]
    return [pair for one in inside for pair in _pairs(*one)]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _form(told: Mapping[str, Any]) -> bytes:
    """As a form has it. All is quoted at once: word by word it takes twice as long."""
    pairs: list[str] = []
    _put(pairs, told)
    text = _PAIR.join(pairs)
    if text.count(_NAME) != len(pairs) or text.count(_PAIR) != len(pairs) - 1:  # a customer's own text has them, too
        return urlencode([pair for name, value in told.items() for pair in _pairs(name, value)]).encode()
    return _quoted(text.encode()).translate(_AFTER)


def _quoted(text: bytes) -> bytes:
    """As %XX each byte but those of _LEFT."""
    text = text.replace(b"%", b"%25")  # first: it stands in what the others become
    for byte in set(text.translate(None, _LEFT)):
        text = text.replace(*_QUOTES[byte])
    return text
