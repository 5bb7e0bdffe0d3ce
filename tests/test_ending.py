"""An end is cut off where it hangs, and only there."""

import subprocess
import sys

CODE = """
import threading
from pipeline import ending
with ending.bounded({}):
    {}
print("ended")
"""


def _ended(seconds: float, end: str) -> tuple[int, str]:
    code = CODE.format(seconds, end)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_end_that_hangs_is_cut_off_and_says_so() -> None:
    code, said = _ended(0.1, "threading.Event().wait()")
    assert (code, said) == (1, "the end takes longer than 0 s and is cut off; what was not finished is read again\n")


def test_an_end_in_time_is_let_alone() -> None:
    assert _ended(30, "pass") == (0, "ended\n")
