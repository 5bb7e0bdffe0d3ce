"""How many POSTs one server gets at a time: more while it answers well, half as many when it is in trouble."""

from dataclasses import dataclass
from math import inf

START = 8  # POSTs at a time to a server that nothing is known of


@dataclass(slots=True)
class Cap:
    """Doubles until the first trouble, then grows by one for each whole round of good answers. Never below 1."""

    _size: float = START
    _doubling: bool = True
    _halved_at: float = -inf

    def size(self, most: int) -> int:
        """POSTs at a time, `most` at most."""
        size = self._size  # it is asked several times a POST
        return max(int(size), 1) if size < most else max(most, 1)

    def well(self, in_flight: int, most: int) -> None:
        """A good answer, of so many that were in flight: who does not use the cap has not shown that it may grow."""
        if in_flight >= self.size(most):
            self._size = min(self._size + (1.0 if self._doubling else 1 / self._size), most)

    def badly(self, began: float, now: float) -> None:
        """Trouble of a POST that began then. What began before the last halving says nothing new."""
        if began > self._halved_at:
            self._size = max(self._size / 2, 1.0)
            self._doubling = False
            self._halved_at = now
