"""A segment that this process holds: a file of the spool that nobody else writes or reads meanwhile.

A part of the door. It is held by flock, which ends with the process, however that ends.
"""

import fcntl
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from pipeline.capture import segment

SUFFIX = ".spool"
DAMAGED = ".damaged"
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


def made(folder: Path) -> Segment:
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


def taken(path: Path) -> Segment | None:
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


def size(folder: Path) -> int:
    """Bytes of all segments in the folder, whoever's."""
    used = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                used += entry.stat().st_size
    return used
