"""Dead letters: what is asked becomes what the store is asked, its rows what is shown; and how one is redriven."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import Row

from pipeline import topics
from pipeline.console.attempts import moment_of
from pipeline.console.forms import DeadForm
from pipeline.console.problems import Problem, Wrong
from pipeline.console.questions import DeadAsked
from pipeline.console.shown import DeadLetterShown, DeadShown, DeadsShown, FailedShown
from pipeline.console.store import cursor
from pipeline.console.store.cursor import Cursor
from pipeline.console.store.dead import Letter, Sought
from pipeline.console.store.told import microseconds
from pipeline.deliver.ladder import Ladder
from pipeline.model.deliveries import Delivery
from pipeline.model.loops import Loop, State
from pipeline.record import Record

RATE = 200.0  # redriven deliveries of a loop a second, where nobody says otherwise
SLOWEST = 0.01
KEPT_HISTORY = 50  # failed attempts that a delivery remembers when it begins anew
SAME = ("type", "recipient", "profile", "message", "event")
PLAIN = ("loop", "delivery", "event", "type", "profile", "recipient", "message", "reason", "status", "attempts")

_delivery = msgspec.json.Decoder(Delivery)
_json = msgspec.json.Encoder()


class Pace(NamedTuple):
    """When the next letter of a loop is due, and how many seconds lie between two. Unix seconds."""

    due: float
    apart: float


def sought(asked: DeadAsked | DeadForm) -> Sought:
    """What the store is asked; Problem where `from` is not before `to`."""
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        raise Problem("invalid", "from: must be before to", [Wrong("from", "must be before to")])
    return Sought(
        since=None if asked.since is None else microseconds(asked.since),
        until=None if asked.until is None else microseconds(asked.until),
        reason=asked.reason,
        same=tuple((name, value) for name in SAME if (value := getattr(asked, name)) is not None),
        deliveries=tuple(getattr(asked, "deliveries", None) or ()),
    )


def page(rows: Iterable[Row[Any]], then: Cursor | None, total: int) -> DeadsShown:
    """The page as it is shown."""
    return DeadsShown(
        dead=[shown(row) for row in rows],
        total=total,
        next_cursor=None if then is None else cursor.spelled(then),
    )


def shown(row: Row[Any]) -> DeadShown:
    """A letter as it is listed."""
    return DeadShown(**_known(row))


def letter(row: Row[Any]) -> DeadLetterShown:
    """A letter whole, with its event."""
    text = row._mapping["value"]  # noqa: SLF001 (public, by SQLAlchemy's own word)
    event = msgspec.json.decode(text)["event"] if text else None
    return DeadLetterShown(**_known(row), content=event if isinstance(event, dict) else None)


def refusal(state: State | None) -> str | None:
    """Why nothing is redriven to a loop, if so: a paused one gets it when it goes on."""
    if state in {"active", "paused"}:
        return None
    if state is None:
        return "the loop was removed: its dead letters can be read and purged"
    return f"the loop is {state}: place the verification file and verify it first"


def pace(loop: Loop, asked: float | None, before: float, first: float) -> Pace:
    """The pace of a redrive: its first letter is due at `first`, or behind those redriven `before`."""
    wanted = asked or RATE
    rate = min(wanted, loop.rate or wanted)
    return Pace(max(before, first), 1 / max(rate, SLOWEST))


def redriven(one: Letter, ladder: Ladder, now: float, due: float) -> Record:
    """The delivery as it enters the first retry topic: its attempts begin anew, its history and its id go on.

    It has no place any more in a loop that is ordered: what came after it went on, and is not to wait for it now.
    """
    known = _delivery.decode(one.value)
    topic, leaves = ladder.first(now, due)
    history = known.history[-KEPT_HISTORY:]
    fresh = replace(known, attempts=0, holds=0, due=due, leaves=leaves, place=None, history=history)
    return Record(topic, known.loop.encode(), _json.encode(fresh))


def tombstone(loop: str, delivery: str) -> Record:
    """The record that takes a letter away."""
    return Record(topics.DELIVERIES_DEAD, f"{loop}/{delivery}".encode(), None)


def readable(letters: Sequence[Letter]) -> list[Letter]:
    """Those that can be sent again."""
    return [one for one in letters if one.value]


def at(seconds: float) -> datetime:
    """A Unix time as the API shows it."""
    return datetime.fromtimestamp(seconds, UTC)


def _known(row: Row[Any]) -> dict[str, Any]:
    found = row._mapping  # noqa: SLF001 (as above)
    history = _delivery.decode(found["value"]).history if found["value"] else []
    return {
        **{name: found[name] for name in PLAIN},
        "at": moment_of(found["at"]),
        "readable": bool(found["value"]),
        "history": [FailedShown(attempt=one.attempt, at=one.at, status=one.status, error=one.error) for one in history],
    }
