"""A mailing is what was sent to many, with the tags its sender gave it."""

import msgspec


class Mailing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the compacted topic `tags`. What is null is unknown."""

    mailing: str
    account: str
    name: str | None = None
    tags: list[str] | None = []
