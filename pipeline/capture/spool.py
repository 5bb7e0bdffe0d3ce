"""The spool is this machine's disk: what the broker did not acknowledge in time is safe here until it does.

A part of the door. Each process appends to a segment (segment.py) of its own and holds it (held.py), so one that
nobody holds is a dead process's, and whoever finds it adopts it.
"""

import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

from pipeline.capture import held, segment
from pipeline.capture.held import SUFFIX, TRIAL_BYTES, Segment
from pipeline.capture.segment import Kept
from pipeline.capture.spooling import fits

log = logging.getLogger(__name__)

Told = Callable[[str], None]

FOLDER = "spool"
SEGMENT_BYTES = 16 * 2**20  # what a drain holds in memory, and what it sends again when it is killed
GATHER_SECONDS = 0.002  # hits that come so soon after the first share its fsync
LOOK_SECONDS = 0.1  # what other processes spooled meanwhile may pass SPOOL_LIMIT


class Spool:
    """The spool in a folder that other processes use too; `limit` is for the folder, in bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self.limit = limit
        self._lock = Lock()
        self._batch: list[tuple[Kept, Told]] = []
        self._some = Event()
        self._trial = self._closing = self._ending = False
        self._open: Segment | None = None
        self._full: deque[Segment] = deque()
        self._used = 0
        self._looked = float("-inf")
        self.well = False  # whether the last hit, or the last trial, came to the disk
        self.why = ""  # why not
        self._thread = Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def keep(self, kept: Kept, told: Told) -> None:
        """Writes the hit; `told` hears on the spool's thread: nothing once it is on the disk, else why it isn't."""
        with self._lock:
            self._batch.append((kept, told))
        self._some.set()

    def try_out(self) -> None:
        """Finds out, soon, whether the disk takes hits: see `well`."""
        self._trial = True
        self._some.set()

    def close_segment(self) -> None:
        """Ends the segment that is written, if there is one, so that `next` gives it."""
        self._closing = True
        self._some.set()

    def next(self) -> Segment | None:
        """The oldest segment that may be drained: an own one, else one that a dead process left."""
        with suppress(IndexError):
            return self._full.popleft()
        return next(self._adoptable(), None)

    def adopt(self) -> None:
        """Takes over all that dead processes left: at the start, so that what they hold is counted."""
        self._full.extend(self._adoptable())

    def put_back(self, one: Segment) -> None:
        """For a segment from `next` that could not be drained now."""
        self._full.appendleft(one)

    @property
    def full(self) -> bool:
        """Whether we hold a segment for `next`."""
        return bool(self._full)

    @property
    def held(self) -> int:
        """Bytes that wait in our segments, that apart which is drained."""
        return sum(one.size for one in self._mine())

    @property
    def since(self) -> float | None:
        """When the oldest of them was begun, in Unix seconds."""
        return min((one.since for one in self._mine()), default=None)

    @property
    def writing(self) -> bool:
        """Whether a segment has hits and is not ended yet."""
        current = self._open
        return current is not None and current.size > segment.HEAD

    def close(self) -> None:
        """Ends its thread and lets all segments go, for others to adopt."""
        self._ending = True
        self._some.set()
        self._thread.join()
        for one in self._mine():
            one.let_go()

    def _mine(self) -> list[Segment]:
        current = self._open
        return [*self._full.copy(), *([current] if current else [])]

    def _run(self) -> None:
        while not self._ending:
            self._some.wait()
            time.sleep(GATHER_SECONDS)
            self._some.clear()
            self._turn()

    def _turn(self) -> None:
        with self._lock:
            batch, self._batch = self._batch, []
        if batch:
            self._attempt(lambda: self._append([kept for kept, _ in batch]))
            for _, told in batch:
                told(self.why)
        if self._trial:
            self._trial = False
            self._attempt(self._try)
        if self._closing:
            self._closing = False
            self._end_segment()

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as failed:
            self.well, self.why = False, f"the spool can't be written: {failed.strerror}"
            self._end_segment()
        except Exception as ours:  # what waits is told, whatever happens
            log.exception("capture: the spool failed")
            self.well, self.why = False, f"the spool failed: {ours}"
            self._end_segment()
        else:
            self.well, self.why = True, ""

    def _append(self, hits: Sequence[Kept]) -> None:
        current = self._current()
        data = b"".join(segment.framed(current.seed, one) for one in hits)
        self._room_for(len(data))
        current.append(data)
        self._used += len(data)
        if current.size >= SEGMENT_BYTES:
            self._end_segment()

    def _try(self) -> None:
        self._room_for(TRIAL_BYTES)
        self._current().try_out()
        if not self.writing:
            self._end_segment()

    def _room_for(self, more: int) -> None:
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._used, self._looked = held.size(self._folder), now
        if not fits(self._used, more, self.limit):
            raise OSError(errno.EDQUOT, "SPOOL_LIMIT is reached")

    def _current(self) -> Segment:
        if self._open is None:
            self._open = held.made(self._folder)
        return self._open

    def _end_segment(self) -> None:
        """What is in it goes to the drain; an empty one goes."""
        current, self._open = self._open, None
        if current is None:
            return
        if current.size > segment.HEAD:
            self._full.append(current)
        else:
            with suppress(OSError):
                current.remove()

    def _adoptable(self) -> Iterator[Segment]:
        with suppress(OSError):
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                found = held.taken(path)
                if found is not None:
                    yield found
