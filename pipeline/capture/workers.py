"""A parent keeps its workers alive: it forks them, starts again what died, and takes them along when it ends.

A part of the door: run.py alone uses it. The parent must have no thread, since it forks at any time.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

log = logging.getLogger(__name__)

Work = Callable[[int, int], None]
ENDING = (signal.SIGTERM, signal.SIGINT)
TICK_SECONDS = 0.1  # how late a death, or the wish to end, is seen at most
PACE_SECONDS = 1.0  # a worker that dies at its start is started again once a second, not in a tight loop


class Worker(NamedTuple):
    """One forked process. Its seat is kept by the next one there."""

    seat: int
    pid: int
    born: float


class Crew:
    """`work(seat, lifeline)` in as many processes as there are seats, counted from 0.

    A worker starts with SIGTERM and SIGINT blocked and lets them in once it can handle them (`let_signals_in`).
    The file descriptor `lifeline` becomes readable when the parent is gone, kill -9 included.
    """

    def __init__(self, seats: int, work: Work) -> None:
        self._work = work
        self._lifeline, self._held = os.pipe()
        self._workers = [self._fork(seat) for seat in range(seats)]

    def restart_dead(self) -> None:
        """Starts again each worker that died, with a line that says so."""
        for seat, worker in enumerate(self._workers):
            if death := _death(worker):
                time.sleep(max(0.0, worker.born + PACE_SECONDS - time.monotonic()))
                self._workers[seat] = again = self._fork(seat)
                log.warning("capture: worker %d (pid %d) %s: started again as pid %d",
                            seat + 1, worker.pid, death, again.pid)  # fmt: skip

    def end(self, seconds: float) -> None:
        """Asks all to end, kills those that have not after `seconds`."""
        deadline = time.monotonic() + seconds
        left = self._signalled(self._workers, signal.SIGTERM)
        while left and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)
            left = [worker for worker in left if not _death(worker)]
        for worker in self._signalled(left, signal.SIGKILL):
            log.warning("capture: worker %d (pid %d) did not end and was killed", worker.seat + 1, worker.pid)
            os.waitpid(worker.pid, 0)

    def _signalled(self, workers: list[Worker], number: signal.Signals) -> list[Worker]:
        for worker in workers:
            os.kill(worker.pid, number)  # it is ours and not waited for yet, so the pid is still its own
        return workers

    def _fork(self, seat: int) -> Worker:
        sys.stdout.flush()  # else what is still in the buffer is printed twice
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        pid = os.fork()
        if pid == 0:
            os.close(self._held)  # else a worker would hide the parent's end from its siblings
            _live(lambda: self._work(seat, self._lifeline), seat)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Worker(seat, pid, time.monotonic())


def keep(seats: int, work: Work, grace: float, ending: Callable[[], None]) -> None:
    """Keeps a crew working until SIGTERM or SIGINT; then calls `ending` and gives it `grace` seconds to end."""
    with _told() as told:
        crew = Crew(seats, work)
        while not told:
            time.sleep(TICK_SECONDS)
            crew.restart_dead()
        ending()
        crew.end(grace)


def let_signals_in() -> None:
    """For a worker, once its handlers stand."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@contextmanager
def _told() -> Iterator[list[int]]:
    """A list that gets the signals that ask us to end."""
    told: list[int] = []
    before = [(number, signal.signal(number, lambda heard, _frame: told.append(heard))) for number in ENDING]
    try:
        yield told
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _live(work: Callable[[], None], seat: int) -> NoReturn:
    """The whole life of a worker: it never returns into the parent's code, whatever happens."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        log.exception("capture: worker %d failed", seat + 1)
    finally:
        logging.shutdown()
        os._exit(status)


def _death(worker: Worker) -> str:
    """How it died; nothing while it lives."""
    pid, status = os.waitpid(worker.pid, os.WNOHANG)
    if pid == 0:
        return ""
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
