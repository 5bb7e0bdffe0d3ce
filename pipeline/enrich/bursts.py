"""Nobody follows three different links of a mail within two seconds; a scanner follows all.

What counts is when the hits happened, never when they are read: so a hit has the same signals whenever it is read
again, provided that reading began early enough. A hit is forgotten when one comes that is more than KEPT_MS later, and
nothing else forgets it. So an answer hangs on those hits alone that were not forgotten, and this is enough: begin at
or before the first hit, in the partition's order, whose `at` is no more than KEPT_MS before that of the first hit to be
answered. A record is never older than its hit, so `offsets_for_times` of that moment is early enough.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterable
from typing import NamedTuple

SIGNAL = "many-links-at-once"
LINKS = 3  # two may be a slip of the finger, or a second tab
WINDOW_MS = 2_000
KEPT_MS = 10_000  # more than the window, since what several captures write comes somewhat out of order
SWEPT = 1_000  # messages kept before what is forgotten is looked for, and then at twice as many as were left

NONE: tuple[str, ...] = ()
BURST = (SIGNAL,)


class Followed(NamedTuple):
    """A link, when it was followed last, and which hit of the partition that was."""

    url: str
    at_ms: float
    number: int


class Bursts:
    """What was lately clicked in one partition, whose opens and clicks are shown in its order.

    Most clicks are the only one of their message, so as little as can be is done for these: what is forgotten is
    found when a second one asks, and thrown out now and then.
    """

    def __init__(self) -> None:
        self._links: dict[Hashable, list[Followed]] = {}  # by message
        self._latest: list[tuple[int, float]] = []  # hits that are later than all that came after them
        self._count = 0
        self._most = SWEPT

    def signals(self, at_ms: float, key: Hashable, url: str | None) -> tuple[str, ...]:
        """What is seen at this hit: an open (no `url`) or a click. `key` is the message; at_ms Unix milliseconds.

        A click has the signal when, with it, three different links of the message were clicked within two seconds of
        it. So the first two of a burst pass for a person's: what came before is not known yet.
        """
        self._count = number = self._count + 1
        latest = self._latest
        while latest and latest[-1][1] <= at_ms:
            latest.pop()
        latest.append((number, at_ms))
        if len(self._links) > self._most or len(latest) > self._most:
            self._sweep()
        if url is None:
            return NONE
        before = self._links.get(key)
        if before is None:
            self._links[key] = [Followed(url, at_ms, number)]
            return NONE
        links = [link for link in before if not self._forgotten(link)]
        if not any(link.url == url and link.at_ms >= at_ms for link in links):
            links = [*(link for link in links if link.url != url), Followed(url, at_ms, number)]
        self._links[key] = links
        return BURST if _crowded(at_ms, links, url) else NONE

    def __len__(self) -> int:
        """How much is kept, hits and messages."""
        return len(self._latest) + len(self._links)

    def _forgotten(self, link: Followed) -> bool:
        """Whether a hit came since that was more than KEPT_MS later."""
        place = self._since(link)
        return place < len(self._latest) and self._latest[place][1] > link.at_ms + KEPT_MS

    def _since(self, link: Followed) -> int:
        """The place of the latest hit that came after the link was followed."""
        return bisect_left(self._latest, (link.number + 1,))

    def _sweep(self) -> None:
        """Throws out what was forgotten, and the hits that no link is measured by."""
        kept = {key: [link for link in links if not self._forgotten(link)] for key, links in self._links.items()}
        self._links = {key: links for key, links in kept.items() if links}
        places = {self._since(link) for links in self._links.values() for link in links}
        self._latest = [hit for place, hit in enumerate(self._latest) if place in places]
        self._most = max(SWEPT, 2 * len(self))


def _crowded(at_ms: float, links: Iterable[Followed], url: str) -> bool:
    return sum(link.url != url and abs(link.at_ms - at_ms) <= WINDOW_MS for link in links) >= LINKS - 1
