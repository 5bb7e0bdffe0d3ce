"""What a hit's request tells of who made it: a person or a machine, and with what. One for each partition."""

from typing import Protocol

from pipeline.enrich.bursts import Bursts
from pipeline.enrich.join import Tail
from pipeline.model.hits import AnyHit, Click, Open


class Tells(Protocol):
    """What a request tells, as the tail of a JSON object."""

    def tail(self, useragent: str | None, method: str | None, ip: str | None, seen: tuple[str, ...] = ()) -> Tail: ...


class Seen:
    """The hits of one partition, in its order: what lately came decides with what comes."""

    def __init__(self, readers: Tells) -> None:
        self._tail = readers.tail
        self._bursts = Bursts()

    def of(self, hit: AnyHit) -> Tail:
        """What is told of an open or a click; nothing of what mail servers tell."""
        if type(hit) is Open:
            return self._tail(hit.useragent, hit.method, hit.ip)
        if type(hit) is Click:
            return self._tail(hit.useragent, hit.method, hit.ip, self._signals(hit))
        return b""

    def remember(self, hit: AnyHit) -> None:
        """A hit of before, whose event was written long ago."""
        if type(hit) is Click:
            self._signals(hit)

    def _signals(self, hit: Click) -> tuple[str, ...]:
        # Opens are not shown: they have no link, and what is forgotten later than it could be changes no answer.
        return self._bursts.signals(
            hit.at.timestamp() * 1000, (hit.account, hit.profile, hit.mailing, hit.message), hit.url
        )
