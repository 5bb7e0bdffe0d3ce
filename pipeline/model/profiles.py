"""A profile is the person behind an address, as the sender knows them."""

from datetime import datetime
from typing import Any

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the compacted topic `profiles`; `email` is the recipient of events."""

    id: str
    account: str
    email: str
    fields: dict[str, Any] = {}
    interests: list[str] = []
    created: datetime | None = None
    modified: datetime | None = None
