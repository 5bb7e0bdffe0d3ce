"""What was told to end ends: an orderly end that hangs is cut off, as a kill -9 may cut off anything."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

# Below the 20 s after which `loopwire up` kills, and the 30 s of Kubernetes.
END_SECONDS = 18.0


@contextmanager
def bounded(seconds: float = END_SECONDS) -> Iterator[None]:
    """Around the end of a process: once it takes so many seconds, the process exits with 1.

    librdkafka may wait a minute, or for ever, for a broker that is away; who owns the partitions next begins at what
    was committed.
    """
    cut = threading.Timer(seconds, _cut_off, [seconds])
    cut.daemon = True
    cut.start()
    try:
        yield
    finally:
        cut.cancel()


def _cut_off(seconds: float) -> None:
    log.error("the end takes longer than %.0f s and is cut off; what was not finished is read again", seconds)
    os._exit(1)
