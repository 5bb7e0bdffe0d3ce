"""How a loop fared over a stretch of time, for its overview: what the store counted, drawn."""

from datetime import datetime, timedelta
from typing import NamedTuple

from pipeline.console.attempt_calls import AttemptCalls
from pipeline.console.console import StoreAwayError
from pipeline.console.pages import chart
from pipeline.console.questions import AttemptsAsked, StatsAsked
from pipeline.console.shown import AttemptShown, StatsShown

RANGES = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
NAMES = {"1h": "hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
USUAL = "24h"


class Fared(NamedTuple):
    """`success` is a share from 0 to 1, None where nothing was sent; `last_error` is the newest that failed, if any."""

    range: str
    stats: StatsShown
    bars: chart.Bars
    lines: chart.Lines | None
    success: float | None
    last_error: AttemptShown | None


class Whose(NamedTuple):
    """One loop of one account."""

    account: str
    loop: str


async def fared(calls: AttemptCalls, whose: Whose, asked: str, now: datetime) -> Fared | None:
    """What is known of the loop in the range that was asked for, or the usual one; None while the store is away."""
    chosen = asked if asked in RANGES else USUAL
    span = {"from": (now - RANGES[chosen]).isoformat(), "to": now.isoformat()}
    try:
        stats = await calls.stats(whose.account, whose.loop, StatsAsked.model_validate(span))
        failed = AttemptsAsked.model_validate({"state": "failed", "limit": 1, "from": span["from"]})
        errors = (await calls.attempts(whose.account, whose.loop, failed)).attempts
    except StoreAwayError:
        return None
    total = stats.total
    return Fared(
        chosen,
        stats,
        chart.bars(stats.points),
        chart.lines(stats.points),
        total.delivered / total.attempts if total.attempts else None,
        errors[0] if errors else None,
    )
