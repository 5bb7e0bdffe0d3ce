"""A profile is the person behind an address, as the sender knows them."""

from datetime import datetime
from typing import Any

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the compacted topic `profiles`; `email` is the recipient of events. What is null is unknown."""

    id: str
    account: str
    email: str | None = None
    fields: dict[str, Any] | None = {}
    interests: list[str] | None = []
    created: datetime | None = None
    modified: datetime | None = None
