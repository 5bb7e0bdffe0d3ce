"""Which loops want an event: their types, mailings, tags, machines and origins say so."""

import msgspec

from pipeline.model.loops import Loop

OF_LOOPS = "loop."  # how the types of notices begin; their profile is the loop they tell of


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
    """Whether the loop's types and filter let the event through. An empty list wants all.

    The filter is about mail: what is told of another loop passes it. No loop is told of itself.
    """
    if event.type.startswith(OF_LOOPS):
        return event.type in loop.events and event.profile != loop.id
    chosen = loop.filter
    return (
        event.type in loop.events
        and (not chosen.mailings or event.mailing in chosen.mailings)
        and (not chosen.tags or not set(chosen.tags).isdisjoint(event.tags or ()))
        and (chosen.machine or not event.machine)
        and (event.origin is None or event.origin not in chosen.exclude_origins)
    )
