"""Which loops want an event: their types, mailings, tags, machines and origins say so."""

import msgspec

from pipeline.model.loops import Loop


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """What of an event decides who wants it; the rest is not even decoded."""

    id: str
    type: str
    account: str
    profile: str | None = None
    mailing: str | None = None
    tags: list[str] | None = None
    machine: bool | None = None
    origin: str | None = None


def wants(loop: Loop, event: Matter) -> bool:
    """Whether the loop's types and filter let the event through. An empty list wants all."""
    chosen = loop.filter
    return (
        event.type in loop.events
        and (not chosen.mailings or event.mailing in chosen.mailings)
        and (not chosen.tags or not set(chosen.tags).isdisjoint(event.tags or ()))
        and (chosen.machine or not event.machine)
        and (event.origin is None or event.origin not in chosen.exclude_origins)
    )
