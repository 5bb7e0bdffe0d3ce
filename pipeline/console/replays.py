"""A replay is asked for, cancelled and shown."""

import base64
from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec.structs import replace

from pipeline.console.forms import ReplayForm
from pipeline.console.seals import Random
from pipeline.console.shown import ReplayShown
from pipeline.model.loops import Loop, State
from pipeline.model.replays import Progress, Range, Replay, Replays, share_done, word_of
from pipeline.record import Record
from pipeline.topics import REPLAY_STATES

MOST_UNFINISHED = 20  # of one loop
UNFINISHED = frozenset({"queued", "running"})


def identity(random: Random) -> str:
    """A new id: 80 bits."""
    return "rp_" + base64.b32encode(random(10)).decode().lower()


def asked(replay: str, loop: Loop, form: ReplayForm, ranges: list[Range], now: datetime) -> Replay:
    """A new replay."""
    return Replay(
        id=replay,
        loop=loop.id,
        account=loop.account,
        created_at=now,
        since=form.since,
        until=form.until,
        ranges=ranges,
        types=list(form.types),
        mailings=form.mailings,
        tags=form.tags,
        profiles=form.profiles,
        rate=form.rate,
        dry_run=form.dry_run,
    )


def cancelled(replay: Replay, now: datetime) -> Replay:
    """The replay cancelled; what was sent to the loop's lane by then still arrives."""
    return replace(replay, cancelled_at=now)


def row(replay: Replay) -> Record:
    """The replay as a record."""
    return Record(REPLAY_STATES, replay.id.encode(), msgspec.json.encode(replay))


def ends(came: Iterable[Progress]) -> dict[int, int]:
    """The offset behind the last delivery, for each partition of `replays` they went to."""
    found: dict[int, int] = {}
    for one in came:
        if one.place is not None and one.end is not None:
            found[one.place] = max(one.end, found.get(one.place, 0))
    return found


def unfinished(replays: Replays, loop: str) -> int:
    """How many replays of a loop are not at their end."""
    return sum(word_of(one, replays.came(one.id)) in UNFINISHED for one in replays.of(loop))


def shown(replay: Replay, came: list[Progress], state: State | None, *, posted: bool) -> ReplayShown:
    """The replay as its owner may see it.

    `state` is its loop's, None where that was removed; `posted`: the last delivery was, once at least.
    """
    word = word_of(replay, came)
    if word in UNFINISHED and state is None:
        word = "failed"
    if word == "done" and not posted:
        word = "running"
    return ReplayShown(
        id=replay.id,
        loop=replay.loop,
        state=word,
        reason=_reason(replay, state) if word in UNFINISHED | {"failed"} else None,
        matched=sum(one.matched for one in came),
        sent=sum(one.sent for one in came),
        progress=round(share_done(replay, came), 4),
        since=replay.since,
        until=replay.until,
        types=replay.types,
        mailings=replay.mailings,
        tags=replay.tags,
        profiles=replay.profiles,
        rate=replay.rate,
        dry_run=replay.dry_run,
        created_at=replay.created_at,
        cancelled_at=replay.cancelled_at,
    )


def _reason(replay: Replay, state: State | None) -> str | None:
    if state is None:
        return "the loop was removed"
    return None if state == "active" or replay.dry_run else f"waits: the loop is {state}"
