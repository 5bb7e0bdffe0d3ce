"""A hit is what happened to a mail, as bare as it came in: a new kind of event is a class here."""

from datetime import datetime
from typing import Annotated, Any

import msgspec


class Hit(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What every hit knows. `id` is a UUIDv7, `at` is UTC with microseconds; a time without a zone is no time.

    `gpc` and `dnt`: the reader asked not to be tracked, by Sec-GPC or DNT.
    """

    id: str
    account: str
    profile: str
    mailing: str
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    message: str | None = None
    ip: str | None = None
    useragent: str | None = None
    referer: str | None = None
    method: str | None = None
    gpc: bool | None = None
    dnt: bool | None = None
    details: dict[str, Any] | None = None


class Open(Hit, frozen=True, kw_only=True, tag="open"):
    """The pixel was fetched."""


class Click(Hit, frozen=True, kw_only=True, tag="click"):
    """A link was followed; `url` is where it leads."""

    url: str


class Unsubscribe(Hit, frozen=True, kw_only=True, tag="unsubscribe"):
    """The reader wants no more of it (RFC 8058)."""


class Delivery(Hit, frozen=True, kw_only=True, tag="delivery"):
    """The receiving mail server took the mail."""


class Bounce(Hit, frozen=True, kw_only=True, tag="bounce"):
    """A bounce message came back (RFC 3464)."""


class Failure(Hit, frozen=True, kw_only=True, tag="failure"):
    """The mail could not be delivered."""


class Abuse(Hit, frozen=True, kw_only=True, tag="abuse"):
    """The reader called it spam (RFC 5965)."""


AnyHit = Open | Click | Unsubscribe | Delivery | Bounce | Failure | Abuse
