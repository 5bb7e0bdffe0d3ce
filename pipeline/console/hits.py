"""What mail servers tell of a mail becomes a hit: a delivery, a bounce, a failure, a complaint, an unsubscribe."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, get_args

import msgspec

from pipeline.capture.tokens import Kind, Link, read
from pipeline.console import load
from pipeline.console.forms import HitByLink, HitLine
from pipeline.model.hits import Abuse, AnyHit, Bounce, Delivery, Failure, Unsubscribe
from pipeline.model.ids import key_of, uuid7
from pipeline.record import Record
from pipeline.topics import HITS

RANDOM_BYTES = 10
KINDS: dict[str, type[AnyHit]] = {
    "delivery": Delivery,
    "bounce": Bounce,
    "failure": Failure,
    "abuse": Abuse,
    "unsubscribe": Unsubscribe,
}
# A tracking link, or the token alone; other addresses have none.
_TOKEN = re.compile(r"(?:https?://[^/?#\s]+/[ocu]/)?([0-9A-Za-z_-]+(?:\.[0-9A-Za-z_-]+){3})(?:\.gif)?\Z", re.ASCII)


class Teller(NamedTuple):
    """Whose hits they are, and TOKEN_KEYS, to read their links by."""

    account: str
    keys: Mapping[str, bytes]


def record(line: bytes, teller: Teller, now: datetime, random: bytes) -> Record:
    """The hit of a line, with an id of its own; ValueError says what is wrong with the line."""
    data = load.decoded(line)
    if isinstance(data, dict) and "link" in data:
        told = load.checked(data, HitByLink)
        return _record(told, linked(told.link, teller), now, random)
    form = load.checked(data, HitLine)
    return _record(form, Link(teller.account, form.profile, form.mailing, form.message), now, random)


def linked(text: str, teller: Teller) -> Link:
    """Whose mail a tracking link was in; ValueError where it is none that was signed for this account."""
    token = _TOKEN.match(text.strip())
    kinds: tuple[Kind, ...] = get_args(Kind)
    found = (read(token[1], teller.keys, kind) for kind in kinds) if token else iter(())
    link = next((one for one in found if one is not None), None)
    if link is None or link.account != teller.account:
        raise ValueError("link: is no tracking link of this account")
    return link


def _record(form: HitLine | HitByLink, link: Link, now: datetime, random: bytes) -> Record:
    known: dict[str, Any] = {
        "id": uuid7(now, random),
        "account": link.account,
        "profile": link.profile,
        "mailing": link.mailing,
        "message": link.message,
        "at": form.at or now,
        "details": form.details or None,
    }
    hit = KINDS[form.type](**known)
    return Record(HITS, key_of(link.account, link.profile).encode(), msgspec.json.encode(hit))
