"""Nobody follows three different links of a mail within two seconds; a scanner follows all.

What counts is when the hits happened, never when they are read: so a hit has the same signals whenever it is read
again, provided that reading began early enough. A hit is forgotten when one comes that is more than KEPT_MS later, and
nothing else forgets it. So an answer hangs on those hits alone that were not forgotten, and this is enough: begin at
or before the first hit, in the partition's order, whose `at` is no more than KEPT_MS before that of the first hit to be
answered. A record is never older than its hit, so `offsets_for_times` of that moment is early enough.
"""

from bisect import bisect_left
from collections.abc import Hashable

SIGNAL = "many-links-at-once"
LINKS = 3  # two may be a slip of the finger, or a second tab
WINDOW_MS = 2_000
KEPT_MS = 10_000  # more than the window, since what several captures write comes somewhat out of order
THINNED = 1_000  # messages or later hits kept before what is not needed any more is looked for, one by one

NONE: tuple[str, ...] = ()
BURST = (SIGNAL,)

Followed = tuple[str, float, int]  # a link, when it was followed last, the number of that hit


class Bursts:
    """What was lately clicked in one partition, whose opens and clicks are shown in its order.

    Most clicks are the only one of their message, so as little as can be is done for these: whether a link is
    forgotten is asked when another of its message comes, and what is forgotten goes by the thousand: or, where a click
    of a clock that was ahead keeps its generation from going, when twice as many were kept as there had to be.
    """

    def __init__(self) -> None:
        self._young: dict[Hashable, list[Followed]] = {}  # by message
        self._old: dict[Hashable, list[Followed]] = {}
        self._young_until = self._old_until = 0.0  # the time of their latest link
        self._later: list[tuple[int, float]] = []  # number and time of hits that are later than all that came after
        self._count = 0
        self._most_later = self._most_young = THINNED

    def signals(self, at_ms: float, key: Hashable, url: str | None) -> tuple[str, ...]:
        """What is seen at this hit: an open (no `url`) or a click. `key` is the message; at_ms Unix milliseconds.

        A click has the signal when, with it, three different links of the message were clicked within two seconds of
        it. So the first two of a burst pass for a person's: what came before is not known yet.
        """
        self._count += 1
        later = self._later
        while later and later[-1][1] <= at_ms:
            later.pop()
        later.append((self._count, at_ms))
        if self._old_until < at_ms - KEPT_MS:
            self._turn(at_ms - KEPT_MS)
        if len(later) > self._most_later or len(self._young) > self._most_young:
            self._thin()
        if url is None:
            return NONE
        self._young_until = max(self._young_until, at_ms)
        before = self._young.get(key) or self._old.get(key)
        if before is None:
            self._young[key] = [(url, at_ms, self._count)]
            return NONE
        links = self._young[key] = self._followed(before, (url, at_ms, self._count))
        others = sum(link != url and abs(at - at_ms) <= WINDOW_MS for link, at, _ in links)
        return BURST if others >= LINKS - 1 else NONE

    def __len__(self) -> int:
        """How much is kept, messages and hits."""
        return len(self._young) + len(self._old) + len(self._later)

    def _followed(self, before: list[Followed], this: Followed) -> list[Followed]:
        """The links of a message that are not forgotten, with this one: each once, at its latest."""
        links = [link for link in before if not self._forgotten(link)]
        same = [link for link in links if link[0] == this[0]]
        if same and same[0][1] >= this[1]:
            return links
        return [*(link for link in links if link not in same), this]

    def _forgotten(self, link: Followed) -> bool:
        """Whether a hit came since that was more than KEPT_MS later."""
        place = self._since(link)
        return place < len(self._later) and self._later[place][1] > link[1] + KEPT_MS

    def _since(self, link: Followed) -> int:
        """The place of the latest hit that came after the link was followed."""
        return bisect_left(self._later, (link[2] + 1,))

    def _turn(self, before: float) -> None:
        """All of the old are forgotten, and perhaps all of the young."""
        forgotten = self._young_until < before
        self._old, self._old_until = ({}, before) if forgotten else (self._young, self._young_until)
        self._young, self._young_until = {}, 0.0

    def _thin(self) -> None:
        """Throws out what is forgotten, and the hits that no link is measured by."""
        self._old, self._young = self._kept(self._old), self._kept(self._young)
        places = {self._since(link) for kept in (self._old, self._young) for links in kept.values() for link in links}
        self._later = [hit for place, hit in enumerate(self._later) if place in places]
        self._most_later = max(THINNED, 2 * len(self._later))
        self._most_young = max(THINNED, 2 * len(self._young))

    def _kept(self, clicked: dict[Hashable, list[Followed]]) -> dict[Hashable, list[Followed]]:
        kept = {key: [link for link in links if not self._forgotten(link)] for key, links in clicked.items()}
        return {key: links for key, links in kept.items() if links}
