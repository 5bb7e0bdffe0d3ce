"""What happened to a recipient, event by event: the event itself, then each attempt to tell a loop of it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row

from pipeline.console.attempts import attempt
from pipeline.console.shown import AttemptShown
from pipeline.model.events import Event


class Told(NamedTuple):
    """One attempt, and the loop it was made for, by id and by name."""

    loop: str
    name: str
    attempt: AttemptShown


class Happened(NamedTuple):
    """An event and its attempts, the oldest first; `event` is None where only these are known of it."""

    id: str
    type: str
    at: datetime
    event: Event | None
    told: list[Told]


def is_about(event: Event, word: str) -> bool:
    """Whether the word is the event's profile, address or message."""
    return word in {event.profile, event.recipient, event.message}


def profiles(rows: Iterable[Row[Any]]) -> list[str]:
    """Each profile that the attempts are about, the newest first."""
    return list(dict.fromkeys(row.profile for row in rows))


def of(events: Sequence[Event], rows: Sequence[Row[Any]], names: Mapping[str, str]) -> list[Happened]:
    """The timeline, the newest first; `names` are those of the loops."""
    told: dict[str, list[Told]] = {}
    for row in sorted(rows, key=lambda one: (one.at, one.id)):
        told.setdefault(row.event, []).append(Told(row.loop, names.get(row.loop, row.loop), attempt(row)))
    known = {event.id: event for event in events}
    found = [Happened(one.id, one.type, one.at, one, told.get(one.id, [])) for one in known.values()]
    for event, attempts in told.items():
        if event not in known:
            first = attempts[0].attempt
            found.append(Happened(event, first.type, first.at, None, attempts))
    return sorted(found, key=lambda one: one.at, reverse=True)
