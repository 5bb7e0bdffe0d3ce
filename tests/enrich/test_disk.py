"""Tables on disk: read on where they can be, made anew where not, one process at a time, and no erased row stays."""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from pipeline import __version__, topics
from pipeline.enrich import disk, shelf
from pipeline.enrich.disk import Disk, sweep
from pipeline.enrich.marks import Mark
from pipeline.enrich.shelf import DiskShelf
from pipeline.enrich.store import Rocks, Store, TornError
from pipeline.enrich.tables import MemoryShelf, Shelf
from pipeline.kafka.memory import Memory
from pipeline.settings import SettingsError

KEY = b"shop/jane"
ROCKS = Rocks()


class Topic(Memory):
    """`profiles` as the broker tells of it."""

    def __init__(self) -> None:
        super().__init__({topics.PROFILES: 5})
        self.id, self.end, self.settings = "one", 1_000_000, dict[str, str]()

    def identity(self, _topic: str) -> str:
        return self.id

    def ends(self, _places: object, *, undecided: bool = False) -> dict[tuple[str, int], int]:  # noqa: ARG002
        return {(topics.PROFILES, number): self.end for number in range(5)}

    def starts(self, _places: object) -> dict[tuple[str, int], int]:
        return {(topics.PROFILES, number): 0 for number in range(5)}

    def config(self, _topic: str) -> Mapping[str, str]:
        return self.settings


@pytest.fixture
def topic() -> Topic:
    return Topic()


class Worker:
    """Opens the shelf of partition 3 as one that started just now; the one before is closed."""

    def __init__(self, folder: Path, topic: Topic) -> None:
        self._folder, self._topic = folder, topic
        self._ending = ExitStack()

    def __call__(self, safe: Callable[[], int | None] = lambda: 1_000_000) -> Shelf:
        self.close()
        tables = Disk(self._folder, self._topic)
        self._ending.callback(tables.close)
        made = tables.open(3, safe)
        self._ending.callback(made.close)
        return made

    def close(self) -> None:
        self._ending.close()


@pytest.fixture
def open_(tmp_path: Path, topic: Topic) -> Iterator[Worker]:
    made = Worker(tmp_path, topic)
    yield made
    made.close()


def store(folder: Path) -> Path:
    return folder / "profiles-3"


def test_a_store_is_read_on_from_its_offset(open_: Worker) -> None:
    first = open_()
    assert first.start == 0
    first.put(0, KEY, b"old")
    first.put(7, KEY, b"new")
    first.put(8, b"shop/joe", None)
    second = open_()
    assert (second.start, second.get(KEY), second.get(b"shop/joe")) == (9, b"new", None)
    assert isinstance(second, DiskShelf)


def test_what_was_not_told_is_not_in_the_store_so_its_change_can_be_told_with_what_was_before(open_: Worker) -> None:
    safe = 2
    first = open_(lambda: safe)
    for offset in range(5):
        first.put(offset, KEY, b"%d" % offset)
    assert first.get(KEY) == b"4"
    first.keep(time.time())
    assert first.rows([KEY])[KEY] == b"4"
    second = open_()
    assert (second.start, second.get(KEY)) == (2, b"1")


def test_before_it_is_known_what_was_told_nothing_is_written(open_: Worker) -> None:
    first = open_(lambda: None)
    first.put(0, KEY, b"row")
    first.keep(time.time())
    assert first.get(KEY) == b"row"
    second = open_()
    assert (second.start, second.get(KEY)) == (0, None)


def test_many_rows_are_written_as_they_come_and_counted(open_: Worker, tmp_path: Path) -> None:
    first = open_()
    for offset in range(10_000):
        first.put(offset, b"shop/%d" % (offset % 4_000), b"%d" % offset)
    first.keep(time.time())
    open_.close()
    second = open_()
    assert second.start == 10_000
    rows = second.rows(b"shop/%d" % number for number in range(4_000))
    assert rows == {b"shop/%d" % n: b"%d" % (n + 8_000 if n < 2_000 else n + 4_000) for n in range(4_000)}
    assert len(second) >= 4_000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": "two"}, "the topic was made anew"),
        ({"end": 0}, "the topic ends before it"),
        ({"settings": {"delete.retention.ms": "0"}}, "it is 0.0 hours old, the topic keeps erasures for 0.0"),
    ],
)
def test_a_store_that_is_not_the_topic_s_is_made_anew_and_said(
    open_: Worker, topic: Topic, change: dict[str, object], why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_().put(0, KEY, b"row")
    open_.close()
    vars(topic).update(change)
    again = open_()
    assert (again.start, again.get(KEY)) == (0, None)
    assert [record.getMessage() for record in caplog.records] == [
        f"{store(tmp_path)} is made anew from the topic: {why}"
    ]
    again.put(0, KEY, b"row")


def test_a_store_in_use_is_never_too_old(open_: Worker, tmp_path: Path) -> None:
    first = open_()
    first.put(0, KEY, b"row")
    first.keep(time.time() + 100)
    open_.close()
    opened = Store(ROCKS, store(tmp_path))
    assert opened.mark is not None
    assert opened.mark.seen > time.time() + 50
    opened.close()


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[: len(data) // 2] = os.urandom(len(data) // 2)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("which", ["MANIFEST-*", "CURRENT", "*.sst"])
def test_a_damaged_store_is_made_anew_and_said_once(
    open_: Worker, tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_()
    for offset in range(5_000):
        first.put(offset, b"shop/%d" % offset, os.urandom(40))
    open_.close()
    [damaged] = store(tmp_path).glob(which)
    _damage(damaged)
    try:
        again = open_()
        again.rows(b"shop/%d" % number for number in range(5_000))
    except TornError:  # what only a read shows stops the worker, and at its next start
        again = open_()
    assert (again.start, again.get(b"shop/1")) == (0, None)
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        f"{store(tmp_path)} is made anew from the topic"
    ]


def test_a_log_that_was_cut_short_leaves_what_was_before_it(tmp_path: Path) -> None:
    """As after a kill or the machine's loss in the middle of a write: rows and offset are of one moment."""
    first = Store(ROCKS, store(tmp_path))
    mark = Mark("one", 0, time.time(), __version__)
    for offset in range(50):
        first.write([(b"shop/%d" % offset, b"row")], msgspec.structs.replace(mark, offset=offset + 1))
    [log] = store(tmp_path).glob("*.log")
    cut = log.read_bytes()[:-700]
    first.close()
    for file in store(tmp_path).glob("*.sst"):
        file.unlink()
    again = tmp_path / "cut"
    again.mkdir()
    fresh = Store(ROCKS, again)
    fresh.close()
    [empty] = again.glob("*.log") or [again / log.name]
    empty.write_bytes(cut)
    opened = Store(ROCKS, again)
    assert opened.mark is not None
    end = opened.mark.offset
    assert 0 < end < 50
    found = opened.many([b"shop/%d" % offset for offset in range(50)])
    assert [tail is not None for tail in found] == [offset < end for offset in range(50)]
    opened.close()


def test_a_partition_that_another_process_holds_is_kept_in_memory_and_said(
    open_: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk, "LOCK_SECONDS", 0.1)
    with (tmp_path / "profiles-3.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert isinstance(open_(), MemoryShelf)
    assert [record.getMessage() for record in caplog.records] == [
        f"{store(tmp_path)} is held by another process: the partition is in memory until it comes again"
    ]
    assert isinstance(open_(), DiskShelf)


def _in_files(folder: Path, word: bytes) -> bool:
    return any(word in _read(file) for file in folder.rglob("*") if file.is_file())


def _read(file: Path) -> bytes:
    with suppress(FileNotFoundError):  # RocksDB compacts meanwhile
        return file.read_bytes()
    return b""


def test_an_erased_row_is_gone_from_the_files_a_day_later(
    open_: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = os.urandom(40)  # nothing that compression would spell in another way
    first = open_()
    first.put(0, KEY, secret)
    first.put(1, b"shop/joe", b"joe")
    second = open_()
    assert second.get(KEY) == secret
    assert _in_files(tmp_path, secret)
    second.put(2, KEY, None)
    second.keep(time.time())
    assert second.get(KEY) is None
    third = open_()
    later = time.time() + shelf.TIDY_SECONDS + 1
    third.keep(later)
    while _in_files(tmp_path, secret):
        third.keep(later)
    while (opened := third._mark) and opened.erased is not None:  # type: ignore[attr-defined]
        third.keep(later)
    assert (third.get(KEY), third.get(b"shop/joe")) == (None, b"joe")


def test_a_compaction_that_is_under_way_does_not_hold_up_the_end(
    open_: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "TIDY_SECONDS", -1)
    first = open_()
    for offset in range(40_000):
        first.put(offset, b"shop/%d" % offset, os.urandom(300))
    first.put(40_000, b"shop/7", None)
    first.keep(time.time())
    open_.close()
    again = open_()
    assert (again.start, again.get(b"shop/7"), len(again.get(b"shop/8") or b"")) == (40_001, None, 300)


def test_what_nobody_has_open_goes_once_it_is_too_old_to_be_read_on(open_: Worker, tmp_path: Path) -> None:
    open_().put(0, KEY, b"row")
    open_.close()
    old = tmp_path / "profiles-2"
    old.mkdir()
    (tmp_path / "profiles-2.lock").touch()
    (old / "000004.log").touch()
    os.utime(old / "000004.log", (time.time() - 4000,) * 2)
    sweep(tmp_path, 5000)
    assert old.exists()
    sweep(tmp_path, 3600)
    assert not old.exists()
    assert store(tmp_path).exists()


def test_what_is_in_use_is_not_removed(open_: Worker, tmp_path: Path) -> None:
    held = open_()
    held.put(0, KEY, b"row")
    sweep(tmp_path)
    assert held.get(KEY) == b"row"
    assert store(tmp_path).exists()
    open_.close()
    sweep(tmp_path)
    assert not store(tmp_path).exists()


def test_only_its_owner_may_look_into_the_folder(tmp_path: Path, topic: Topic) -> None:
    Disk(tmp_path / "tables", topic).close()
    assert (tmp_path / "tables").stat().st_mode & 0o777 == 0o700


def test_without_rocksdb_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, topic: Topic) -> None:
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(SettingsError, match=r"^LOOPWIRE_TABLE_STORE: disk needs .*: pip install 'loopwire\[disk\]'$"):
        Disk(tmp_path, topic)


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
