"""One RocksDB: the rows of a partition, and the mark that says up to which record they go, in one write."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.enrich.join import Tail
from pipeline.enrich.marks import Mark, decoded, encoded

CACHE_BYTES = 64 * 2**20  # of all stores together: blocks lately read, and what was written and is not in a file yet
UNWRITTEN_BYTES = 32 * 2**20  # of those
ROWS_A_WRITE = 1000  # RocksDB's binding keeps Python's lock while it writes: 1 to 2 ms
CONDEMNED = "condemned"  # a file of that name says that the store must not be read again
ROW, MARK = b"r", b"m"  # what a key begins with, the whole key


class TornError(Exception):
    """A store can't be read or written; the message says which and why. At the next start it is made anew."""


class Rocks:
    """What all stores of a process share: cache and bounds. ImportError where RocksDB is not installed."""

    def __init__(self) -> None:
        import rocksdict  # noqa: PLC0415 (only where tables are on disk: it is an extra, and 11 MB)

        self.api: Any = rocksdict
        self._cache = rocksdict.Cache(CACHE_BYTES)
        self._unwritten = rocksdict.WriteBufferManager.new_write_buffer_manager_with_cache(
            UNWRITTEN_BYTES, False, self._cache
        )

    def options(self) -> Any:  # noqa: ANN401 (RocksDB's own)
        """How a store is opened. Nothing here decides what is in it."""
        blocks = self.api.BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_cache_index_and_filter_blocks(True)  # else they take memory that nobody counts
        blocks.set_bloom_filter(10, False)
        blocks.set_format_version(5)
        blocks.set_data_block_index_type(self.api.DataBlockIndexType.binary_and_hash())
        options = self.api.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._unwritten)
        options.set_write_buffer_size(8 * 2**20)
        options.set_max_open_files(64)
        options.set_max_background_jobs(2)
        options.set_compression_type(self.api.DBCompressionType.lz4())
        # A load would be held up, and Python with it, until compaction came after it.
        options.set_level_zero_slowdown_writes_trigger(100)
        options.set_level_zero_stop_writes_trigger(400)
        options.set_wal_recovery_mode(self.api.DBRecoveryMode.point_in_time())
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(2**20)
        return options


class Store:
    """A store that is open; of one process, which holds its lock. TornError at each call that fails."""

    def __init__(self, rocks: Rocks, path: Path) -> None:
        """Opens what is there, or begins an empty one."""
        self.path = path
        self._rocks = rocks
        self._given_up = False
        if (path / CONDEMNED).exists():
            raise TornError("a read or a write failed")
        self.mark: Mark | None = None  # nothing was written yet
        try:
            self._db = rocks.api.Rdict(str(path), rocks.options())
        except Exception as torn:
            raise TornError(str(torn)) from torn
        try:
            mark = self._db.get(MARK)
            self.mark = None if mark is None else decoded(mark)
        except Exception as torn:
            self._db.close()
            raise TornError(str(torn)) from torn

    def many(self, keys: Sequence[bytes]) -> list[Tail | None]:
        """The row of each key."""
        try:
            found: list[Tail | None] = self._db.get([ROW + key for key in keys])
        except Exception as torn:
            raise self._condemned(torn) from torn
        return found

    def write(self, rows: Iterable[tuple[bytes, Tail | None]], mark: Mark) -> None:
        """Rows, in order, and the mark that holds with them: all of it, or after a crash none."""
        batch = self._rocks.api.WriteBatch(raw_mode=True)
        for key, tail in rows:
            if tail is None:
                batch.delete(ROW + key)
            else:
                batch.put(ROW + key, tail)
        batch.put(MARK, encoded(mark))
        try:
            self._db.write(batch)
        except Exception as torn:
            raise self._condemned(torn) from torn
        self.mark = mark

    def compact(self) -> None:
        """Writes the files anew: what was erased before is in none of them. From any thread."""
        self._db.compact_range(None, None)

    @property
    def rows(self) -> int:
        """How many rows there are, about: a row that changed since the last compaction counts twice."""
        return int(self._db.property_int_value("rocksdb.estimate-num-keys") or 1) - 1

    @property
    def size(self) -> int:
        """How many bytes the rows have, about."""
        return int(self._db.property_int_value("rocksdb.estimate-live-data-size") or 0)

    def give_up(self) -> None:
        """Ends a compaction that is under way in another thread; only `close` may follow, once that has ended."""
        self._given_up = True
        self._db.cancel_all_background(True)

    def close(self) -> None:
        """What was written stays."""
        try:
            self._db.close()
        except Exception:
            if not self._given_up:  # else it can't write what its log has, too, and says so once it is closed
                raise

    def _condemned(self, torn: Exception) -> TornError:
        (self.path / CONDEMNED).touch()
        return TornError(f"{self.path}: {torn}: it will be made anew")
