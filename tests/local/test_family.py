"""What another process started ends with it, also where its own end hangs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.local.family import PARENT

# A child that says so when it is ready, and that SIGTERM does not end.
CHILD = """
import signal, sys, threading
from pipeline.local.family import end_with_parent, outlive_parent_briefly
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
end_with_parent()
outlive_parent_briefly(0.2)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A parent with such a child, which writes to what the parent's stdout is."""
    code = f"""
import os, subprocess, sys
os.environ["{PARENT}"] = str(os.getpid())
subprocess.Popen([sys.executable, "-c", {CHILD!r}]).wait()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as one:
        yield one
        one.kill()


def test_a_child_whose_end_hangs_ends_soon_after_its_parent_was_killed(parent: subprocess.Popen[bytes]) -> None:
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.stdout.read() == b"told\n"  # and then its end: the child held the pipe
