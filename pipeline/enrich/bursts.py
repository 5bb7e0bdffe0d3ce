"""Nobody follows three different links of a mail within two seconds; a scanner follows all.

What counts is when the hits happened, never when they are read: so a hit has the same signals whenever it is read
again, provided that reading began early enough. A hit is forgotten when one comes that is more than KEPT_MS later, and
nothing else forgets it. So an answer hangs on those hits alone that were not forgotten, and this is enough: begin at
or before the first hit, in the partition's order, whose `at` is no more than KEPT_MS before that of the first hit to be
answered. A record is never older than its hit, so `offsets_for_times` of that moment is early enough.
"""

from collections.abc import Hashable
from heapq import heappop, heappush

SIGNAL = "many-links-at-once"
LINKS = 3  # two may be a slip of the finger, or a second tab
WINDOW_MS = 2_000
KEPT_MS = 10_000  # more than the window, since what several captures write comes somewhat out of order

NONE: tuple[str, ...] = ()
BURST = (SIGNAL,)


class Bursts:
    """What was lately clicked in one partition, whose opens and clicks are shown in its order."""

    def __init__(self) -> None:
        self._links: dict[Hashable, dict[str, int]] = {}  # by message: each link's latest time
        self._times: list[tuple[int, int, Hashable, str]] = []  # a heap, the earliest first
        self._count = 0  # breaks ties, since keys need no order

    def signals(self, at_ms: int, key: Hashable, url: str | None) -> tuple[str, ...]:
        """What is seen at this hit: an open (no `url`) or a click. `key` is the message; at_ms Unix milliseconds.

        A click has the signal when, with it, three different links of the message were clicked within two seconds of
        it. So the first two of a burst pass for a person's: what came before is not known yet.
        """
        if self._times and self._times[0][0] < at_ms - KEPT_MS:
            self._forget(at_ms - KEPT_MS)
        if url is None:
            return NONE
        links = self._links.get(key)
        if links is None:
            links = self._links[key] = {}
        if links.get(url, at_ms - 1) < at_ms:
            links[url] = at_ms
            self._count += 1
            heappush(self._times, (at_ms, self._count, key, url))
        return BURST if len(links) >= LINKS and self._crowded(at_ms, links, url) else NONE

    def __len__(self) -> int:
        """Clicks remembered."""
        return len(self._times)

    def _crowded(self, at_ms: int, links: dict[str, int], url: str) -> bool:
        others = 0
        for link, at in links.items():
            if link != url and abs(at - at_ms) <= WINDOW_MS:
                others += 1
                if others == LINKS - 1:
                    return True
        return False

    def _forget(self, before: int) -> None:
        times = self._times
        while times and times[0][0] < before:
            at, _, key, url = heappop(times)
            links = self._links[key]
            if links[url] == at:  # else it was clicked again, later
                del links[url]
                if not links:
                    del self._links[key]
