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
    return word in {event.profile, event.message} or word.casefold() == (event.recipient or "").casefold()


class Concern(NamedTuple):
    """An event that an attempt told, and the attempt as one of it."""

    event: str
    profile: str
    told: Told


def concerns(rows: Iterable[Row[Any]], word: str, names: Mapping[str, str]) -> list[Concern]:
    """What the attempts told that is about the word: of a batch its own events, and nobody else's.

    `names` are those of the loops.
    """
    found = []
    for row in rows:
        whole = attempt(row)
        told = [whole.model_copy(update=dict(one) | {"batch": []}) for one in whole.batch] or [whole]
        found += [
            Concern(one.event, one.profile, Told(row.loop, names.get(row.loop, row.loop), one))
            for one in told
            if word.casefold() in {(said or "").casefold() for said in (one.profile, one.recipient, one.message)}
        ]
    return found


def profiles(found: Iterable[Concern]) -> list[str]:
    """Each profile that the attempts are about, the newest first."""
    return list(dict.fromkeys(one.profile for one in found))


def of(events: Sequence[Event], found: Sequence[Concern]) -> list[Happened]:
    """The timeline, the newest first."""
    told: dict[str, list[Told]] = {}
    for one in sorted(found, key=lambda one: (one.told.attempt.at, one.told.attempt.id)):
        told.setdefault(one.event, []).append(one.told)
    known = {event.id: event for event in events}
    timeline = [Happened(one.id, one.type, one.at, one, told.get(one.id, [])) for one in known.values()]
    for event, attempts in told.items():
        if event not in known:
            first = attempts[0].attempt
            timeline.append(Happened(event, first.type, first.at, None, attempts))
    return sorted(timeline, key=lambda one: one.at, reverse=True)
