"""How loops fared in the last 24 hours: three small questions for all loops of a page together."""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sql
from sqlalchemy import Connection

from pipeline.console.loop_health import Health
from pipeline.console.store.batch import MINUTE
from pipeline.console.store.latency import percentile
from pipeline.console.store.schema import ATTEMPTS, BUCKET_NAMES, COUNTS
from pipeline.console.store.stats import HOUR

HOURS = 24
# A delivery that waits has one attempt whose next one is still ahead; no wait of the ladder is longer than this.
LONGEST_WAIT_HOURS = 25


class Asked(NamedTuple):
    """Which loops of an account; `now` in microseconds."""

    account: str
    loops: Sequence[str]
    now: int


def health(connection: Connection, asked: Asked) -> dict[str, Health]:
    """The health of those of which anything is known, by id."""
    hours, states = _counted(connection, asked)
    latencies, waiting = _latencies(connection, asked), _waiting(connection, asked)
    return {
        loop: Health(
            hours[loop],
            states[loop].get("delivered", 0) / total if (total := sum(states[loop].values())) else None,
            percentile(latencies.get(loop, ()), 0.95),
            waiting.get(loop, 0),
        )
        for loop in hours
    }


def _first_slot(asked: Asked) -> int:
    """The beginning of the first of the last 24 hours, the present one the last of them."""
    hour = asked.now // MINUTE // HOUR * HOUR
    return hour - (HOURS - 1) * HOUR


def _which(asked: Asked) -> tuple[sql.ColumnElement[bool], ...]:
    first = _first_slot(asked)
    return (
        COUNTS.c.loop.in_(asked.loops),
        COUNTS.c.account == asked.account,
        COUNTS.c.span == HOUR,
        COUNTS.c.slot >= first,
        COUNTS.c.slot < first + HOURS * HOUR,
    )


def _counted(connection: Connection, asked: Asked) -> tuple[dict[str, list[int]], dict[str, dict[str, int]]]:
    """Attempts of each hour, and of each state, by loop."""
    row_sum = sql.literal_column(" + ".join(BUCKET_NAMES), sql.BigInteger)
    count = sql.cast(sql.func.sum(row_sum), sql.BigInteger)
    question = sql.select(COUNTS.c.loop, COUNTS.c.slot, COUNTS.c.state, count).where(*_which(asked))
    hours: dict[str, list[int]] = {}
    states: dict[str, dict[str, int]] = {}
    first = _first_slot(asked)
    for loop, slot, state, found in connection.execute(question.group_by(COUNTS.c.loop, COUNTS.c.slot, COUNTS.c.state)):
        hours.setdefault(loop, [0] * HOURS)[(slot - first) // HOUR] += found
        states.setdefault(loop, {})[state] = states.get(loop, {}).get(state, 0) + found
    return hours, states


def _latencies(connection: Connection, asked: Asked) -> dict[str, Sequence[int]]:
    """Attempts in each bucket of latency, by loop."""
    sums = [sql.cast(sql.func.sum(COUNTS.c[name]), sql.BigInteger) for name in BUCKET_NAMES]
    question = sql.select(COUNTS.c.loop, *sums).where(*_which(asked)).group_by(COUNTS.c.loop)
    return {row[0]: row[1:] for row in connection.execute(question)}


def _waiting(connection: Connection, asked: Asked) -> dict[str, int]:
    """Deliveries whose next attempt is ahead, by loop."""
    which = (
        ATTEMPTS.c.loop.in_(asked.loops),
        ATTEMPTS.c.account == asked.account,
        ATTEMPTS.c.failed == 1,
        ATTEMPTS.c.at >= asked.now - LONGEST_WAIT_HOURS * HOUR * MINUTE,
        ATTEMPTS.c.next_attempt > asked.now,
    )
    count = sql.func.count(sql.distinct(ATTEMPTS.c.delivery))
    question = sql.select(ATTEMPTS.c.loop, count).where(*which).group_by(ATTEMPTS.c.loop)
    return {row[0]: row[1] for row in connection.execute(question)}
