"""A ledger knows which offsets of one partition are unfinished: a commit stays below the oldest of them."""

from threading import Lock


class Ledger:
    """Opened for a stretch of offsets when work on it begins, closed when all its outputs are acknowledged.

    Opened in the order of offsets. Read on one thread and acknowledged on another, so each call takes a lock:
    once a batch, or once a POST, never once a record of the join.
    """

    def __init__(self) -> None:
        self._unfinished: dict[int, None] = {}
        self._end: int | None = None
        self._lock = Lock()
        self.read = 0  # offsets below were handed out
        self._live = True
        self._abandoned: int | None = None

    def open(self, first: int, end: int) -> bool:
        """Offsets from `first` to before `end` are under way; False where the partition is another worker's."""
        with self._lock:
            if self._live:
                self._unfinished[first] = None
                self._end = end
            return self._live

    def close(self, first: int) -> None:
        """The stretch that begins at `first` is safe."""
        with self._lock:
            del self._unfinished[first]

    def abandon(self, first: int) -> None:
        """The stretch that begins at `first` will not be worked on here: the next owner reads from it on."""
        with self._lock:
            del self._unfinished[first]
            self._abandoned = first if self._abandoned is None else min(self._abandoned, first)

    def retire(self) -> None:
        """The partition goes to another worker: nothing new is begun, so what is under way can be waited for."""
        with self._lock:
            self._live = False

    @property
    def live(self) -> bool:
        """Whether the partition is still ours."""
        return self._live

    @property
    def safe(self) -> int | None:
        """The offset that may be committed; None before anything was under way."""
        with self._lock:
            safe = next(iter(self._unfinished), self._end)
            return safe if safe is None or self._abandoned is None else min(safe, self._abandoned)

    @property
    def finished(self) -> bool:
        """Whether nothing is under way."""
        with self._lock:
            return not self._unfinished
