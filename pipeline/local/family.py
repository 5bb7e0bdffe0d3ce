"""A process that was started by another ends with it, however the other ends."""

import ctypes
import os
import signal
import sys

PARENT = "LOOPWIRE_PARENT"
PR_SET_PDEATHSIG = 1  # prctl(2), Linux


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
