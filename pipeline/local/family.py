"""A process that was started by another ends with it, however the other ends."""

import ctypes
import os
import select
import signal
import sys
import threading
import time

PARENT = "LOOPWIRE_PARENT"
PR_SET_PDEATHSIG = 1  # prctl(2), Linux
GRACE_SECONDS = 10.0


def end_with_parent(ending: int = signal.SIGTERM) -> None:
    """Asks the kernel for `ending` when the process named in LOOPWIRE_PARENT dies; nothing where none is named.

    On Linux alone; elsewhere an orphan has to be stopped by hand.
    """
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ending)
    if os.getppid() != int(parent):  # it died before we could ask
        os.kill(os.getpid(), ending)


def outlive_parent_briefly(seconds: float = GRACE_SECONDS) -> None:
    """Once the process named in LOOPWIRE_PARENT is dead, this one ends within so many seconds, come what may.

    The broker may have died with the same parent, and an orderly end would wait for it; what was not
    finished is read again, as after any kill -9. Not for a process that forks: it starts a thread.
    """
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform != "linux":
        return
    try:
        life = os.pidfd_open(int(parent))
    except ProcessLookupError:
        return  # it is dead, and we were told to end
    threading.Thread(target=_outlive, args=(life, seconds), name="parent", daemon=True).start()


def _outlive(life: int, seconds: float) -> None:
    select.select([life], [], [])
    time.sleep(seconds)
    os._exit(1)
