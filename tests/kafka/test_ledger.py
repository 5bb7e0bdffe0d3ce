"""A commit stays below the oldest offset that is unfinished."""

import threading

import pytest

from pipeline.kafka.ledger import Ledger


def test_before_anything_was_under_way_there_is_nothing_to_commit() -> None:
    ledger = Ledger()
    assert (ledger.safe, ledger.finished, ledger.live) == (None, True, True)


def test_the_offset_that_may_be_committed_is_the_oldest_unfinished_one() -> None:
    ledger, safe = Ledger(), []
    for first in (10, 20, 30):
        assert ledger.open(first, first + 10)
        safe.append(ledger.safe)
    for first in (20, 10, 30):
        ledger.close(first)
        safe.append(ledger.safe)
    assert safe == [10, 10, 10, 10, 30, 40]
    assert ledger.finished


def test_a_gap_that_compaction_left_is_passed() -> None:
    ledger = Ledger()
    ledger.open(5, 6)
    ledger.open(90, 91)
    ledger.close(5)
    assert ledger.safe == 90
    ledger.close(90)
    assert ledger.safe == 91


def test_after_it_retired_nothing_new_begins_and_what_is_under_way_can_finish() -> None:
    ledger = Ledger()
    ledger.open(10, 20)
    ledger.retire()
    assert ledger.open(20, 30) is False
    assert (ledger.live, ledger.finished, ledger.safe) == (False, False, 10)
    ledger.close(10)
    assert (ledger.finished, ledger.safe) == (True, 20)


def test_what_was_abandoned_is_finished_here_and_no_commit_passes_it() -> None:
    ledger = Ledger()
    for first in (10, 11, 12, 13):
        ledger.open(first, first + 1)
    ledger.retire()
    ledger.abandon(12)
    ledger.abandon(11)
    assert (ledger.finished, ledger.safe) == (False, 10)
    ledger.close(10)
    ledger.close(13)
    assert (ledger.finished, ledger.safe) == (True, 11)


def test_what_is_closed_twice_is_a_fault_of_ours() -> None:
    ledger = Ledger()
    ledger.open(1, 2)
    ledger.close(1)
    with pytest.raises(KeyError):
        ledger.close(1)


def test_one_thread_opens_while_another_closes() -> None:
    ledger, opened = Ledger(), threading.Semaphore(0)

    def close() -> None:
        for first in range(5000):
            opened.acquire()
            ledger.close(first)

    closing = threading.Thread(target=close)
    closing.start()
    before = 0
    for first in range(5000):
        ledger.open(first, first + 1)
        opened.release()
        safe = ledger.safe or 0
        assert before <= safe <= first + 1
        before = safe
    closing.join()
    assert (ledger.safe, ledger.finished) == (5000, True)
