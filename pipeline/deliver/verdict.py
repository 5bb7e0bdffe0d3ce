"""The verdict: what the answer to a POST means for its delivery."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from pipeline.deliver.ladder import Ladder

SLOW_DOWN = frozenset({429, 502, 503, 504})  # whose Retry-After is kept
GONE = 410
TOO_LARGE = 413  # of a batch: its halves may fit
LONGEST_RETRY_AFTER = 7 * 86_400.0  # what waits longer would outlive its topic


@dataclass(frozen=True, slots=True)
class Delivered:
    """2xx: done."""


@dataclass(frozen=True, slots=True)
class Again:
    """A failure that may pass: once more at `due`, Unix seconds."""

    due: float
    error: str


@dataclass(frozen=True, slots=True)
class Dead:
    """No attempt will follow. `gone`: the customer told us to stop, so the loop is disabled."""

    error: str
    gone: bool = False


Verdict = Delivered | Again | Dead


class Reply(msgspec.Struct, frozen=True):
    """What of an answer decides: a status, or the error that stands for it, and a wish to wait."""

    status: int | None
    error: str | None = None
    retry_after: str | None = None


def well(reply: Reply) -> bool:
    """2xx, and all of it."""
    return reply.error is None and reply.status is not None and 200 <= reply.status < 300


def slow_down(reply: Reply) -> bool:
    """Whether the server has too much to do, as far as can be told: it says so, or did not answer."""
    return reply.error is not None or reply.status in SLOW_DOWN


def broken(reply: Reply) -> bool:
    """Whether the server does not work: no answer, or 5xx. One that answers 404 or 429 does."""
    return reply.error is not None or reply.status is None or reply.status >= 500


def verdict(reply: Reply, attempts: int, ladder: Ladder, now: float, luck: float = 0.0) -> Verdict:
    """What follows after that many attempts, this one counted. An error counts, whatever the status was.

    `luck` is from 0 to 1: what failed at one time does not come again at one time.
    """
    if well(reply):
        return Delivered()
    if reply.error is None and reply.status == GONE:
        return Dead("answered 410 Gone", gone=True)
    error = reply.error or f"answered {reply.status}"
    delay = ladder.after(attempts)
    if delay is None:
        return Dead(f"given up after {attempts} attempts: {error}")
    return Again(now + ladder.jittered(max(delay, _asked(reply, now)), luck), error)


def _asked(reply: Reply, now: float) -> float:
    """The seconds a Retry-After asks for (RFC 9110 10.2.3), 0 where it is none or not kept."""
    if reply.retry_after is None or reply.status not in SLOW_DOWN:
        return 0.0
    said = reply.retry_after
    seconds = float(said) if said.isascii() and said.isdecimal() else _until(said, now)
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _until(date: str, now: float) -> float:
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.fromtimestamp(now, UTC).timestamp()
