"""Whether a process of this machine still does anything."""

from contextlib import suppress
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether any of its threads is: the first may be a zombie, which nobody has waited for yet, while others go on."""
    with suppress(FileNotFoundError, ProcessLookupError):
        states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        return any(state != "Z" for state in states)
    return False
