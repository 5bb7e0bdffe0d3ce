"""The profiles of one partition on disk: what was told is written, what was not yet waits in memory."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import NamedTuple

import msgspec

from pipeline.enrich.join import Rows, Tail
from pipeline.enrich.marks import Mark
from pipeline.enrich.recent import Recent
from pipeline.enrich.store import ROWS_A_WRITE, Store

log = logging.getLogger(__name__)

SEEN_SECONDS = 60.0  # how old the mark's time may become before it is written for that alone
TIDY_SECONDS = 86_400.0  # what was erased is gone from the files after that time, and the compaction's own


# A row as the record at that offset leaves it, None where it was erased: offset, key, tail. A plain tuple, since a load
# makes one for each row.
Change = tuple[int, bytes, Tail | None]


class Around(NamedTuple):
    """What a shelf asks of the disk it stands on."""

    room: Callable[[], int]  # bytes of rows lately asked for it may hold, in each of two generations
    tidy: Callable[[Callable[[], None]], "Future[None]"]  # runs a compaction elsewhere
    let_go: Callable[[], None]  # another may open the store


class DiskShelf:
    """Written is only what was told: so, when it is opened again, each change that was not told is still to come.

    Rows whose changes are not told yet are in memory. They are as many as events wait for their acknowledgement.
    """

    def __init__(self, store: Store, mark: Mark, safe: Callable[[], int | None], around: Around) -> None:
        self._store = store
        self._mark = mark
        self._safe = safe
        self._around = around
        self._recent = Recent()
        self._waiting: deque[Change] = deque()
        self._fresh: dict[bytes, Change] = {}  # the last that waits of each key
        self._tidying: Future[None] | None = None
        self._erased: float | None = None  # when first, since the last compaction began
        self._rows = store.rows
        self.start = mark.offset

    def put(self, offset: int, key: bytes, tail: Tail | None) -> None:
        change = (offset, key, tail)
        self._waiting.append(change)
        self._fresh[key] = change
        self._recent.change(key, tail)
        if len(self._waiting) >= ROWS_A_WRITE:
            self._write()

    def get(self, key: bytes) -> Tail | None:
        return self.rows([key]).get(key)

    def rows(self, keys: Iterable[bytes]) -> Rows:
        self._recent.make_room(self._around.room())
        rows = self._recent.rows
        if missing := {key for key in keys if key not in rows}:
            self._look_up(missing)
        return rows

    def keep(self, began: float) -> None:
        self._write_all()
        if self._waiting:
            return
        if began - self._mark.seen > SEEN_SECONDS:
            self._mark = msgspec.structs.replace(self._mark, seen=began)
            self._store.write((), self._mark)
        self._rows = self._store.rows
        self._tidy(began)

    def close(self) -> None:
        """What was told by now is kept; the rest is for the next owner to read again."""
        try:
            self._write_all()
        finally:
            if self._tidying is not None:
                self._store.give_up()
                wait([self._tidying])
            self._store.close()
            self._around.let_go()

    @property
    def size(self) -> int:
        return self._store.size

    def __len__(self) -> int:
        return self._rows

    def _look_up(self, keys: Iterable[bytes]) -> None:
        sought = []
        for key in keys:
            if key in self._fresh:
                tail = self._fresh[key][2]
            elif (tail := self._recent.older(key)) is None:
                sought.append(key)
            if tail is not None:
                self._recent.add(key, tail)
        for key, tail in zip(sought, self._store.many(sought) if sought else (), strict=True):
            if tail is not None:
                self._recent.add(key, tail)

    def _write_all(self) -> None:
        while self._write():
            pass

    def _write(self) -> bool:
        """Writes the oldest of what waits and was told; whether there was any."""
        safe = self._safe()
        told: list[Change] = []
        while self._waiting and safe is not None and self._waiting[0][0] < safe and len(told) < ROWS_A_WRITE:
            told.append(self._waiting.popleft())
        if not told:
            return False
        if any(tail is None for _, _, tail in told):
            self._erased = self._erased or time.time()
        erased = self._mark.erased or self._erased
        self._mark = msgspec.structs.replace(self._mark, offset=told[-1][0] + 1, erased=erased)
        self._store.write(((key, tail) for _, key, tail in told), self._mark)
        for change in told:
            if self._fresh[change[1]] is change:
                del self._fresh[change[1]]
        return True

    def _tidy(self, now: float) -> None:
        """Has the files written anew where somebody was erased a day ago; elsewhere, since that takes seconds."""
        if self._tidying is None:
            if self._mark.erased is not None and now - self._mark.erased > TIDY_SECONDS:
                self._erased = None
                self._tidying = self._around.tidy(self._store.compact)
        elif self._tidying.done():
            failed, self._tidying = self._tidying.exception(), None
            erased = self._erased  # since it began
            if failed is not None:
                log.warning("%s: was not compacted: %s", self._store.path, failed)
                erased = now  # tried again tomorrow
            self._mark = msgspec.structs.replace(self._mark, erased=erased)
            self._store.write((), self._mark)
