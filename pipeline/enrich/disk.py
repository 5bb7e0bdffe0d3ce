"""The folder of tables on disk: whose the rows of a partition are, and whether they can be read on."""

import fcntl
import logging
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL
from pathlib import Path
from typing import IO

from pipeline import __version__, topics
from pipeline.enrich.marks import DELETE_RETENTION_SECONDS, Log, Mark, unfit
from pipeline.enrich.shelf import Around, DiskShelf
from pipeline.enrich.store import Rocks, Store, TornError
from pipeline.enrich.tables import MemoryShelf, Safe, Shelf
from pipeline.kafka.seam import Kafka
from pipeline.settings import SettingsError

log = logging.getLogger(__name__)

LOCK_SECONDS = 5.0  # a worker on this machine that still has the partition gets that long to let go
LOOK_SECONDS = 0.05
RECENT_BYTES = 32 * 2**20  # rows lately asked for, of all shelves, in each of two generations
SWEEP_SECONDS = 3600.0


class Disk:
    """Opens the shelf of a partition: `profiles-3` beside `profiles-3.lock`, which one process holds at a time."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        """SettingsError where RocksDB is not installed."""
        try:
            self._rocks = Rocks()
        except ImportError as missing:
            raise SettingsError("LOOPWIRE_TABLE_STORE: disk needs RocksDB: pip install 'loopwire[disk]'") from missing
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._kafka = kafka
        self._name = kafka.full(topics.PROFILES)
        self._tidying = ThreadPoolExecutor(1, "tidy")
        self._swept_at = -SWEEP_SECONDS
        self._in_vain_at = -LOCK_SECONDS
        self._open = 0
        self._loaded = False  # since the last look
        self._retention = DELETE_RETENTION_SECONDS

    def open(self, partition: int, safe: Safe) -> Shelf:
        """The rows of the partition as this machine last had them, or none where those can't be read on."""
        path = self._folder / f"{self._name}-{partition}"
        waited = time.monotonic() - self._in_vain_at < LOCK_SECONDS  # for another partition of the same process
        lock = _locked(_lock_of(path), 0 if waited else LOCK_SECONDS)
        if lock is None:
            self._in_vain_at = time.monotonic()
            log.warning("%s is held by another process: the partition is in memory until it comes again", path)
            return MemoryShelf()
        self._open += 1
        self._loaded = True
        try:
            store, mark = self._store(path, self._log(partition))
        except BaseException:
            self._let_go(lock)
            raise
        around = Around(
            room=lambda: RECENT_BYTES // self._open,
            tidy=self._tidying.submit,
            let_go=lambda: self._let_go(lock),
        )
        return DiskShelf(store, mark, safe, around)

    def keep(self) -> None:
        """Removes what nobody has open and is too old to be read on: somebody in it may have been erased since.

        After a load it gives back what that took and no longer needs; glibc would keep it.
        """
        if self._loaded:
            self._loaded = False
            if trim := getattr(CDLL(None), "malloc_trim", None):
                trim(0)
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            sweep(self._folder, self._retention)

    def close(self) -> None:
        self._tidying.shutdown()

    def _log(self, partition: int) -> Log:
        place = topics.PROFILES, partition
        retention = self._kafka.config(topics.PROFILES).get("delete.retention.ms")
        if retention is not None:
            self._retention = int(retention) / 1000
        start, end = self._kafka.starts([place])[place], self._kafka.ends([place])[place]
        return Log(self._kafka.identity(topics.PROFILES), start, end, self._retention)

    def _store(self, path: Path, there: Log) -> tuple[Store, Mark]:
        now = time.time()
        try:
            store = Store(self._rocks, path)
            if store.mark is not None:
                why = unfit(store.mark, there, __version__, now)
                if why is None:
                    return store, store.mark
                store.close()
                store = self._anew(path, why)
        except TornError as torn:
            store = self._anew(path, str(torn))
        return store, Mark(there.topic, 0, now, __version__)

    def _anew(self, path: Path, why: str) -> Store:
        log.warning("%s is made anew from the topic: %s", path, why)
        shutil.rmtree(path)
        return Store(self._rocks, path)

    def _let_go(self, lock: IO[bytes]) -> None:
        self._open -= 1
        lock.close()


def sweep(folder: Path, older: float = 0.0) -> None:
    """Removes the stores in which nothing was written for so many seconds, but those that a process has open."""
    for path in sorted(folder.glob("*.lock")):
        store = path.with_suffix("")
        lock = _locked(path, 0)
        if lock is None:
            continue
        with lock:
            written = max((file.stat().st_mtime for file in store.glob("*")), default=0.0)
            if store.exists() and time.time() - written > older:
                log.info("%s is removed: it is not in use", store)
                shutil.rmtree(store)


def _lock_of(store: Path) -> Path:
    return store.with_name(store.name + ".lock")


def _locked(path: Path, seconds: float) -> IO[bytes] | None:
    """The lock, held until it is closed or its process ends; None where another has it all that time."""
    lock = path.open("ab")
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() >= deadline:
                lock.close()
                return None
            time.sleep(LOOK_SECONDS)
