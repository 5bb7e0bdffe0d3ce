"""What is watched live: which events and attempts someone wants to see, and the few that wait to be shown."""

from collections import deque
from typing import Literal, NamedTuple

from pipeline.console.store.told import Told
from pipeline.model.events import Event

Seen = Event | Told
Kind = Literal["", "events", "attempts"]

WAITING = 200  # as many as a page keeps: what is older would not be shown anyway


class Wanted(NamedTuple):
    """A filter; "" wants all. `who` is an address, in any case, or a profile."""

    kind: Kind = ""
    type: str = ""
    loop: str = ""
    who: str = ""

    def fits(self, one: Seen) -> bool:
        """Whether it is shown. Events are no loop's, so a loop has attempts alone."""
        attempt = isinstance(one, Told)
        if self.kind and attempt != (self.kind == "attempts"):
            return False
        if self.loop and not (isinstance(one, Told) and one.loop == self.loop):
            return False
        if self.who and self.who != one.profile and self.who.lower() != (one.recipient or "").lower():
            return False
        return self.type in {"", one.type}


class Glance(NamedTuple):
    """What came since the last one, the oldest first; `dropped` were too many. `live`: whether Kafka is read now."""

    seen: list[Seen]
    dropped: int
    live: bool


class Waiting:
    """What waits for one watcher: the oldest goes when there is too much."""

    def __init__(self, account: str, wanted: Wanted, most: int = WAITING) -> None:
        self.account = account
        self._wanted = wanted
        self._most = most
        self._seen: deque[Seen] = deque()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._seen)

    def put(self, one: Seen) -> bool:
        """Whether it is the watcher's, and wanted; then it waits."""
        if one.account != self.account or not self._wanted.fits(one):
            return False
        self._seen.append(one)
        if len(self._seen) > self._most:
            self._seen.popleft()
            self._dropped += 1
        return True

    def take(self, *, live: bool) -> Glance:
        """All that waits."""
        glance = Glance(list(self._seen), self._dropped, live)
        self._seen.clear()
        self._dropped = 0
        return glance
