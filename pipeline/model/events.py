"""An event is a hit and all that is known about it: the released contract other services read."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

EventType = Literal[
    "open",
    "click",
    "unsubscribe",
    "delivery",
    "bounce",
    "failure",
    "abuse",
    "create",
    "update",
    "delete",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of the hit, then what the join added. A name that is absent or null is unknown.

    `type` is a plain word here, so that a reader built today can read the kinds of event made tomorrow;
    `EventType` lists those of today.
    """

    id: str
    type: str
    account: str
    profile: str
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    mailing: str | None = None
    message: str | None = None
    ip: str | None = None
    useragent: str | None = None
    referer: str | None = None
    method: str | None = None
    gpc: bool | None = None
    dnt: bool | None = None
    url: str | None = None
    details: dict[str, Any] | None = None
    recipient: str | None = None
    tags: list[str] | None = None
    fields: dict[str, Any] | None = None
    interests: list[str] | None = None
    machine: bool | None = None
    signals: list[str] | None = None
    client: str | None = None
    system: str | None = None
    device: str | None = None
    parameters: dict[str, Any] | None = None
    previous: dict[str, Any] | None = None
    origin: str | None = None
