"""The spool is this machine's disk: what the broker did not acknowledge in time is safe here until it does.

A part of the door: capture's only way to the disk. Each process appends to a segment (segment.py) of its own and
holds it by flock, so a segment that nobody holds is a dead process's, and whoever finds it adopts it.
"""

import errno
import fcntl
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

from pipeline.capture import segment
from pipeline.capture.segment import Kept
from pipeline.capture.spooling import fits

log = logging.getLogger(__name__)

Told = Callable[[str], None]

FOLDER = "spool"
SUFFIX = ".spool"
DAMAGED = ".damaged"
SEGMENT_BYTES = 16 * 2**20  # what a drain holds in memory, and what it sends again when it is killed
GATHER_SECONDS = 0.002  # hits that come so soon after the first share its fsync
LOOK_SECONDS = 0.1  # what other processes spooled meanwhile may pass SPOOL_LIMIT
TRIAL_BYTES = 65_536
NANO = 1_000_000_000


class Segment:
    """A file of the spool that this process holds; OSError where the disk fails."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.seed = segment.seed_of(os.pread(descriptor, segment.HEAD, 0)) or b""

    @property
    def since(self) -> float:
        """When it was begun, in Unix seconds: its oldest hit is not older."""
        began = self.path.name.partition("-")[0]
        return int(began) / NANO if began.isdigit() else time.time()

    def append(self, data: bytes) -> None:
        """Returns once `data` is on the disk; where it can't be, the file is as it was."""
        try:
            self._write(data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(data)

    def try_out(self) -> None:
        """Returns where there is room and the disk works; the file stays as it is."""
        try:
            self._write(bytes(TRIAL_BYTES))
        finally:
            os.ftruncate(self._descriptor, self.size)

    def read(self) -> bytes:
        """All of it."""
        return os.pread(self._descriptor, self.size, 0)

    def remove(self) -> None:
        """Deletes it."""
        self.path.unlink(missing_ok=True)
        self.let_go()

    def put_aside(self) -> None:
        """Keeps it for people; nobody reads it again."""
        self.path.rename(self.path.with_suffix(DAMAGED))
        self.let_go()

    def let_go(self) -> None:
        """Closes it: now another process may adopt it."""
        os.close(self._descriptor)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fdatasync(self._descriptor)


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

    def put_back(self, held: Segment) -> None:
        """For a segment from `next` that could not be drained now."""
        self._full.appendleft(held)

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
            self._used, self._looked = _size(self._folder), now
        if not fits(self._used, more, self.limit):
            raise OSError(errno.EDQUOT, "SPOOL_LIMIT is reached")

    def _current(self) -> Segment:
        if self._open is None:
            self._open = _made(self._folder)
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
                held = _taken(path)
                if held is not None:
                    yield held


def _made(folder: Path) -> Segment:
    """A new segment of ours, its name on the disk too."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        held = _locked(path, descriptor)
        if held is None:  # somebody found it before it was ours, took it for a dead process's and removes it
            continue
        try:
            held.seed = secrets.token_bytes(segment.SEED_BYTES)
            held.append(segment.head(held.seed))
            _sync(folder)
        except OSError:
            held.remove()
            raise
        return held


def _taken(path: Path) -> Segment | None:
    """The segment, where no living process holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    except OSError:
        return None  # it is gone
    return _locked(path, descriptor)


def _locked(path: Path, descriptor: int) -> Segment | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return Segment(path, descriptor)
    except OSError:  # somebody holds it, or has just removed it
        pass
    os.close(descriptor)
    return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(folder: Path) -> int:
    """Bytes of all segments in the folder, whoever's."""
    size = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                size += entry.stat().st_size
    return size
