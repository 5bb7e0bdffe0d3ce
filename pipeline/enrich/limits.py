"""How much may be bad before a worker stops: it must not drain a topic into the dead letters."""

from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from pipeline import topics
from pipeline.record import Headers, Record

WINDOW = 1000  # hits, over all partitions of a worker


class Limits(NamedTuple):
    """`share` of the last 1,000 hits, 1 for no limit; `in_row` on one partition, 0 for no limit."""

    share: float = 0.5
    in_row: int = 100


class TooManyBadError(Exception):
    """More is bad than the limits allow; the message is the line the operator reads."""


class Bad:
    """Counts what was bad lately. What was not seen yet counts as good."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._rows: defaultdict[int, int] = defaultdict(int)
        self._late: dict[
            tuple[str, int], tuple[int, int]
        ] = {}  # the offset after the last refused one, how many before

    def remember(self, partition: int, bad: Sequence[bool], share: int) -> None:
        """What became of the hits before those that come; the last `share` of them count among the last 1,000."""
        self._rows[partition] = next((back for back, one in enumerate(reversed(bad)) if not one), len(bad))
        self._last.extend(bad[-share:] if share else ())

    def judge(self, partition: int, outcomes: Sequence[bytes | Record]) -> int:
        """How many of a batch are bad; TooManyBadError where that is too many, before any of it is written."""
        if Record not in map(type, outcomes):  # in C: this is the common case
            self._good(partition, len(outcomes))
            return 0
        done = dead = 0
        for at, outcome in enumerate(outcomes):
            if isinstance(outcome, Record):
                self._good(partition, at - done)
                self._rows[partition] += 1
                self._last.append(True)
                self._check(partition, self._rows[partition], outcome)
                done, dead = at + 1, dead + 1
        self._good(partition, len(outcomes) - done)
        return dead

    def late(self, record: Record, place: tuple[str, int], offset: int) -> None:
        """What was thought good was refused by Kafka: TooManyBadError where that is one too many."""
        after, row = self._late.get(place, (offset, 0))
        row = row + 1 if after == offset else 1
        self._late[place] = offset + 1, row
        if False in self._last:
            self._last.remove(False)
        self._last.append(True)
        self._check(place[1], row, record)

    def _check(self, partition: int, row: int, record: Record) -> None:
        most = self._limits.in_row
        if 0 < most <= row:
            raise TooManyBadError(_line(f"{row} hits in a row on partition {partition}", record, "BAD_IN_ROW"))
        if self._limits.share < 1 and (bad := sum(self._last)) > self._limits.share * WINDOW:
            raise TooManyBadError(_line(f"{bad} of the last {WINDOW:,} hits", record, "BAD_SHARE"))

    def _good(self, partition: int, count: int) -> None:
        if count:
            self._rows[partition] = 0
            self._last.extend(repeat(False, min(count, WINDOW)))


def _line(what: str, last: Record, setting: str) -> str:
    told = _words(last.headers)
    return (
        f"enrich stops: {what} can't become events, the last at offset {told.get('offset')} of {topics.HITS}"
        f" [{told.get('partition')}]: {told.get('reason')}. They were not put into {topics.HITS_DEAD}: mend what"
        f" writes them, or raise LOOPWIRE_{setting} until they are through"
    )


def _words(headers: Headers) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in headers}
