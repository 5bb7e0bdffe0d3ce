"""A notice is an event about a loop itself: the account's other loops can ask to be told of it."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from pipeline import topics
from pipeline.model.events import Event
from pipeline.model.ids import key_of
from pipeline.model.loops import Loop
from pipeline.record import Record

Notice = Literal["loop.failing", "loop.disabled", "loop.ownership", "loop.recovered"]


def notice(kind: Notice, loop: Loop, at: datetime, once: object, **about: Any) -> Record:  # noqa: ANN401 (JSON)
    """The record for `events`. What is told twice of one `once` has one id, so that it is one event to its readers.

    The event's profile is the loop: whatever is told of it stays in order. `about` joins its name, url and id.
    """
    told = {"loop": loop.id, "name": loop.name, "url": loop.url} | about
    event = Event(
        id=f"{kind}.{loop.id}.{once}",
        type=kind,
        account=loop.account,
        profile=loop.id,
        at=at,
        details={name: value for name, value in told.items() if value is not None},
    )
    return Record(topics.EVENTS, key_of(loop.account, loop.id).encode(), msgspec.json.encode(event))
