"""Attempts and their counts: what is asked becomes what the store is asked, and its rows become what is shown."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Row

from pipeline.console.problems import Problem, Wrong
from pipeline.console.questions import AttemptsAsked, StatsAsked
from pipeline.console.shown import (
    AttemptShown,
    AttemptsShown,
    CarriedShown,
    LatencyShown,
    PointShown,
    StatsShown,
    TimingsShown,
    TotalShown,
)
from pipeline.console.store import cursor, stats
from pipeline.console.store.read import Page, Wish
from pipeline.console.store.retention import Horizon
from pipeline.console.store.stats import Stretch, Sum
from pipeline.console.store.told import microseconds
from pipeline.model.deliveries import Carried
from pipeline.model.ids import EPOCH
from pipeline.settings import duration
from pipeline.topics import spelled

SAME = ("type", "recipient", "profile", "message", "event", "delivery")  # parameters that are columns
PLAIN = ("event", "delivery", "type", "profile", "recipient", "message", "attempt", "state", "status", "error",
         "response", "url", "replay")  # fmt: skip
TIMINGS = ("dns", "connect", "tls", "first_byte", "total")
_ID = re.compile(r"at_([0-9a-f]{1,15})")  # 60 bits, which both databases take
_batch = msgspec.json.Decoder(list[Carried])
DEFAULT_STRETCH = timedelta(hours=24)


def wish(asked: AttemptsAsked) -> Wish:
    """What the store is asked for a page; Problem where `from` is not before `to`."""
    _check_order(asked.since, asked.until)
    states = ("retrying", "dead") if asked.state == "failed" else (asked.state,) if asked.state else ()
    return Wish(
        states=states,
        since=None if asked.since is None else microseconds(asked.since),
        until=None if asked.until is None else microseconds(asked.until),
        same=tuple((name, value) for name in SAME if (value := getattr(asked, name)) is not None),
        after=cursor.read(asked.cursor) if asked.cursor else None,
        limit=asked.limit,
    )


def page(found: Page) -> AttemptsShown:
    """The page as it is shown."""
    then = None if found.then is None else cursor.spelled(found.then)
    return AttemptsShown(attempts=[attempt(row) for row in found.rows], next_cursor=then)


def number(shown: str) -> int | None:
    """The number in an attempt's id; None where it is no such id."""
    found = _ID.fullmatch(shown)
    return int(found[1], 16) if found else None


def stretch(asked: StatsAsked, now: datetime, edge: Horizon) -> Stretch:
    """The stretch of time; Problem where it ends before it begins, or its step does not fit."""
    until = asked.until or now
    since = asked.since or until - DEFAULT_STRETCH
    _check_order(since, until)
    step = int(duration(asked.step).total_seconds()) // 60 if asked.step else None
    whole = -(-microseconds(until) // 60_000_000)
    try:
        return stats.stretch(microseconds(since) // 60_000_000, whole, step, edge.minutes)
    except stats.StepError as wrong:
        raise _wrong("step", str(wrong)) from wrong


def shown(asked: Stretch, rows: Sequence[stats.Counted]) -> StatsShown:
    """The counts as they are shown."""
    points, whole = stats.summed(asked, rows)
    return StatsShown(
        since=_minute(asked.since),
        until=_minute(asked.until),
        step=spelled(timedelta(minutes=asked.step)),
        total=TotalShown(types=dict(sorted(whole.types.items())), **_sum(whole)),
        points=[PointShown(at=_minute(point), **_sum(found)) for point, found in points.items()],
    )


def attempt(row: Row[Any]) -> AttemptShown:
    """An attempt as it is shown."""
    found = row._mapping  # noqa: SLF001 (public, by SQLAlchemy's own word)
    return AttemptShown(
        id=f"at_{found['id']:x}",
        at=moment_of(found["at"]),
        next_attempt=None if found["next_attempt"] is None else moment_of(found["next_attempt"]),
        timings=TimingsShown(**{name: found[name] for name in TIMINGS}),
        batch=[CarriedShown(**msgspec.structs.asdict(one)) for one in _batch.decode(found["batch"] or "[]")],
        **{name: found[name] for name in PLAIN},
    )


def _sum(found: Sum) -> dict[str, Any]:
    states = {state: found.states[state] for state in ("delivered", "retrying", "dead")}
    return {"attempts": found.attempts, **states, "latency": _latency(found.latency)}


def _latency(of: Callable[[float], float | None]) -> LatencyShown | None:
    p50, p95, p99 = of(0.5), of(0.95), of(0.99)
    return None if p50 is None or p95 is None or p99 is None else LatencyShown(p50=p50, p95=p95, p99=p99)


def moment_of(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _minute(minutes: int) -> datetime:
    return EPOCH + timedelta(minutes=minutes)


def _check_order(since: datetime | None, until: datetime | None) -> None:
    if since is not None and until is not None and since >= until:
        raise _wrong("from", "must be before to")


def _wrong(name: str, what: str) -> Problem:
    wrong = Wrong(f"query.{name}", what)
    return Problem("invalid", f"{wrong.where}: {wrong.what}", [wrong])
