"""The room all lanes of a process share: POSTs at a time, and bytes. Where it is scarce, lanes take turns."""

from collections import deque

SLOTS = 1024  # POSTs under way
QUICK_SLOTS = 256  # of which lanes whose last answer was good and quick have so many to themselves
BYTES = 64 * 1024 * 1024  # of deliveries that wait in lanes or are under way; in memory twice as much
QUICK_BYTES = 16 * 1024 * 1024  # of which the quick have so many to themselves


class Room:
    """Slots and bytes that are left.

    However many servers hang, what they can't have are the slots and the bytes of the quick; those come back at once.
    """

    def __init__(self, slots: int = SLOTS, limit: int = BYTES) -> None:
        self._slots = slots
        self._slow_slots = slots - slots * QUICK_SLOTS // SLOTS
        self._limit = limit
        self._slow_limit = limit - limit * QUICK_BYTES // BYTES
        self._waiting: dict[bool, deque[str]] = {True: deque(), False: deque()}
        self._waits: set[str] = set()
        self._next_quick = True
        self.in_flight = 0
        self._slow = 0
        self.bytes = 0

    def admit(self, size: int, quick: bool) -> bool:
        """Takes so many bytes in, or not. `quick` is also who has nothing here yet."""
        if self.bytes + size > (self._limit if quick else self._slow_limit):
            return False
        self.bytes += size
        return True

    def release(self, size: int) -> None:
        """So many bytes are gone."""
        self.bytes -= size

    def take(self, loop: str, quick: bool) -> bool:
        """A slot for the loop, or not: then it has its turn when there is one. Who waits goes before who comes."""
        if self._free(quick) and not self._waited_for():
            self._taken(quick)
            return True
        self.line_up(loop, quick)
        return False

    def line_up(self, loop: str, quick: bool) -> None:
        """The loop waits for its turn, if it doesn't already."""
        if loop not in self._waits:
            self._waits.add(loop)
            self._waiting[quick].append(loop)

    def give(self, quick: bool) -> None:
        """A slot that was taken is free."""
        self.in_flight -= 1
        self._slow -= not quick

    def turn(self) -> tuple[str, bool] | None:
        """The loop whose turn it is, with a slot that is taken for it, and whether that is one of the quick.

        Quick and slow in turn, each in a circle.
        """
        if not self._waits:
            return None
        for quick in (self._next_quick, not self._next_quick):
            if self._waiting[quick] and self._free(quick):
                self._next_quick = not quick
                loop = self._waiting[quick].popleft()
                self._waits.discard(loop)
                self._taken(quick)
                return loop, quick
        return None

    def _waited_for(self) -> bool:
        """Whether there is a slot for one that waits."""
        return bool(self._waits) and any(self._waiting[one] and self._free(one) for one in (True, False))

    def _taken(self, quick: bool) -> None:
        self.in_flight += 1
        self._slow += not quick

    def _free(self, quick: bool) -> bool:
        return self.in_flight < self._slots and (quick or self._slow < self._slow_slots)
