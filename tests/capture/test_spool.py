"""The spool on a real disk: groups share an fsync, full disks are told of, and dead processes' segments are adopted."""

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.capture import segment, spool
from pipeline.capture.held import Segment
from pipeline.capture.segment import Kept
from pipeline.capture.spool import Spool

SECONDS = 20.0


def hit(number: int, size: int = 10) -> Kept:
    return Kept(f"acme/p-{number}".encode(), b"v" * size)


@contextmanager
def spooled(folder: Path, limit: int = 2**30) -> Iterator[Spool]:
    made = Spool(folder, limit)
    try:
        yield made
    finally:
        made.close()


def kept(into: Spool, *hits: Kept) -> list[str]:
    """What is said of each, once all is said."""
    said: list[str] = []
    all_said = threading.Event()

    def told(why: str) -> None:
        said.append(why)
        if len(said) == len(hits):
            all_said.set()

    for one in hits:
        into.keep(one, told)
    assert all_said.wait(SECONDS)
    return said


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def ended(from_: Spool) -> Segment:
    """The segment that was written, once it is ended."""
    from_.close_segment()
    until(lambda: not from_.writing)
    made = from_.next()
    assert made is not None
    return made


def hits_of(one: Segment) -> list[Kept]:
    data, at, hits = one.read(), segment.HEAD, []
    while record := segment.found(data, one.seed, at):
        hits.append(record.kept)
        at = record.end
    return hits


def test_what_is_said_to_be_kept_is_on_the_disk(tmp_path: Path) -> None:
    with spooled(tmp_path / "spool") as here:
        hits = [hit(number) for number in range(500)]
        assert kept(here, *hits) == [""] * 500
        [path] = (tmp_path / "spool").iterdir()
        assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, here.held)
        assert here.well
        assert here.since is not None
        assert abs(here.since - time.time()) < SECONDS
        one = ended(here)
        assert hits_of(one) == hits
        one.remove()
        assert list((tmp_path / "spool").iterdir()) == []
        assert here.held == 0
        assert here.since is None


def test_a_group_shares_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(spool, "GATHER_SECONDS", 0.05)
    with spooled(tmp_path) as here:
        kept(here, *(hit(number) for number in range(100)))
        assert len(synced) <= 3, "that of the head, that of the group, and one more where the first hit went alone"


def test_nothing_is_said_to_be_kept_before_its_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda _descriptor: order.append("synced"))
    with spooled(tmp_path) as here:
        here.keep(hit(1), lambda why: order.append(f"told {why}"))
        until(lambda: "told " in order)
    assert order == ["synced", "synced", "told "]


def test_a_segment_that_is_large_enough_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1_000)
    with spooled(tmp_path) as here:
        for number in range(3):
            kept(here, hit(number, 600), hit(number, 600))
        segments = [one for _ in range(3) if (one := here.next())]
        assert [len(hits_of(one)) for one in segments] == [2, 2, 2]
        assert sorted(segments, key=lambda one: one.since) == segments


def test_the_limit_counts_what_others_spooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LOOK_SECONDS", -1.0)
    with spooled(tmp_path, 3_000) as ours, spooled(tmp_path, 3_000) as theirs:
        assert kept(theirs, hit(1, 2_000)) == [""]
        assert kept(ours, hit(2, 2_000)) == ["the spool can't be written: SPOOL_LIMIT is reached"]
        assert not ours.well
        assert kept(ours, hit(3, 500)) == [""]
        assert ours.well


def test_a_spool_of_no_size_takes_nothing(tmp_path: Path) -> None:
    with spooled(tmp_path, 0) as here:
        assert kept(here, hit(1)) != [""]


@pytest.fixture
def small_files() -> Iterator[int]:
    """No file of this process may grow beyond so many bytes: as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield 200_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_write_that_fails_half_way_is_told_and_leaves_what_was_safe(tmp_path: Path) -> None:
    with spooled(tmp_path) as here:
        assert kept(here, hit(1, 100_000)) == [""]
        assert kept(here, hit(2, 150_000)) == ["the spool can't be written: File too large"]
        assert not here.well
        one = here.next()
        assert one is not None
        assert hits_of(one) == [hit(1, 100_000)]
        assert one.read() == one.path.read_bytes()
        assert kept(here, hit(3, 100_000)) == [""]
        assert here.well


def test_a_disk_that_fails_its_fsync_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with spooled(tmp_path) as here:
        assert kept(here, hit(1)) == [""]
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", lambda _descriptor: Path("/no/such/file").stat())
            assert kept(here, hit(2)) == ["the spool can't be written: No such file or directory"]
        one = here.next()
        assert one is not None, "what follows goes to another file"
        assert hits_of(one) == [hit(1)]


def test_a_fault_of_ours_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with spooled(tmp_path) as here:
        with monkeypatch.context() as broken:
            broken.setattr(segment, "framed", lambda _seed, _kept: 1 / 0)
            assert kept(here, hit(1)) == ["the spool failed: division by zero"]
        assert kept(here, hit(2)) == [""]
    assert caplog.messages == ["capture: the spool failed"]


def test_a_trial_tells_whether_there_is_room_and_leaves_nothing(tmp_path: Path) -> None:
    with spooled(tmp_path / "spool") as here:
        assert not here.well
        here.try_out()
        until(lambda: here.well)
        until(lambda: not list((tmp_path / "spool").iterdir()))
        kept(here, hit(1))
        size = here.held
        here.try_out()
        until(lambda: not here._trial)
        assert hits_of(ended(here)) == [hit(1)]
        assert size == segment.HEAD + len(segment.framed(b"seed", hit(1)))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with spooled(tmp_path / "file" / "spool") as here:
        here.try_out()
        until(lambda: here.why == "the spool can't be written: Not a directory")
        assert kept(here, hit(1)) == ["the spool can't be written: Not a directory"]
        assert here.next() is None


def test_what_a_living_process_holds_is_left_alone(tmp_path: Path) -> None:
    with spooled(tmp_path) as ours, spooled(tmp_path) as theirs:
        kept(theirs, hit(1))
        assert ours.next() is None
        theirs.close_segment()
        until(lambda: not theirs.writing)
        assert ours.next() is None
        assert theirs.next() is not None


def killed(folder: Path, ready: "multiprocessing.connection.Connection") -> None:
    here = Spool(folder, 2**30)
    kept(here, hit(1), hit(2))
    ready.send(True)
    signal.pause()


def test_what_a_killed_process_leaves_is_adopted(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=killed, args=(tmp_path, theirs))
    process.start()
    assert ours.recv()
    with spooled(tmp_path) as here:
        assert here.next() is None
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        one = here.next()
        assert one is not None
        assert hits_of(one) == [hit(1), hit(2)]
        assert here.next() is None
        here.put_back(one)
        assert here.held == one.size
    process.close()


def test_all_that_is_left_is_adopted_at_the_start_oldest_first(tmp_path: Path) -> None:
    for number in range(3):
        with spooled(tmp_path) as dead:
            kept(dead, hit(number))
    with spooled(tmp_path) as here:
        here.adopt()
        assert here.held == sum(path.stat().st_size for path in tmp_path.iterdir())
        assert [hits_of(one) for one in iter(here.next, None)] == [[hit(0)], [hit(1)], [hit(2)]]


def test_a_file_that_is_put_aside_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "1-a.spool").write_bytes(b"what is this?")
    with spooled(tmp_path) as here:
        one = here.next()
        assert one is not None
        assert one.seed == b""
        one.put_aside()
        assert here.next() is None
    assert [path.name for path in tmp_path.iterdir()] == ["1-a.damaged"]
