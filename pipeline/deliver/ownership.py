"""An address is proved again every RECHECK: a file that is surely gone, three times in a row, disables its loop."""

from datetime import timedelta
from typing import NamedTuple

import msgspec

from pipeline import topics
from pipeline.deliver.failing import disabled
from pipeline.deliver.notices import notice
from pipeline.model.ids import utc
from pipeline.model.loops import Checked, Loop, checked_key
from pipeline.model.standing import Standing
from pipeline.record import Record
from pipeline.verification import Look, reason

MOST_MISSES = 3
APART = timedelta(hours=6)  # between one answer and the next, where a file was not found
GONE = frozenset({404, 410})
SHOWS_A_FILE = 200


class Doubt(NamedTuple):
    """A loop whose file is to be looked for, and what is known of it."""

    loop: Loop
    checked: Checked | None


def due(standing: Standing, checked: Checked | None, every: timedelta, now: float) -> Doubt | None:
    """The loop, where it is time to look for its file again. Only of one that is sent to, now or after a pause."""
    loop = standing.loop
    if standing.state not in {"active", "paused"} or loop.verified_at is None:
        return None
    known = checked if checked is not None and checked.epoch == loop.epoch else None
    wait = min(APART, every) if known is not None and known.misses else every
    last = known.at if known is not None else loop.verified_at
    return Doubt(loop, known) if now >= last.timestamp() + wait.total_seconds() else None


def found_out(doubt: Doubt, looks: list[Look], now: float) -> list[Record]:
    """What follows from what stood at each place. A timeout, a 5xx, a refused connection say nothing of the owner."""
    loop, misses = doubt.loop, doubt.checked.misses if doubt.checked else 0
    if any(look.wrong is None for look in looks):
        over = [notice("loop.recovered", loop, utc(now), f"{loop.epoch}.{int(now)}")] if misses else []
        return [_row(loop, 0, now), *over]
    if not all(is_gone(look) for look in looks):
        return [_row(loop, misses, now)]
    misses += 1
    if misses >= MOST_MISSES:
        return disabled(loop, "ownership", now, error=reason(looks))
    told = notice(
        "loop.ownership", loop, utc(now), f"{loop.epoch}.{int(now)}", error=reason(looks), misses=misses, of=MOST_MISSES
    )
    return [_row(loop, misses, now), told]


def is_gone(look: Look) -> bool:
    """Whether the server itself says that the file is not there, or is another."""
    if look.answer.error is not None:
        return False
    return look.answer.status in GONE or look.answer.status == SHOWS_A_FILE


def _row(loop: Loop, misses: int, now: float) -> Record:
    checked = Checked(loop=loop.id, epoch=loop.epoch, at=utc(now), misses=misses)
    return Record(topics.LOOP_STATES, checked_key(loop.id), msgspec.json.encode(checked))
