"""All calls under way on an event loop, and which libcurl makes each."""

from collections.abc import Callable
from functools import partial
from zlib import crc32

from pipeline.multi import Multi
from pipeline.outbound import Answer, Guard, Request
from pipeline.sockets import Polled, Sockets, Watched

APART = 8  # libcurls for names that were not resolved


class Calls:
    """Calls under way on the running event loop.

    Where a name was not resolved, the next call to its address goes apart, by another libcurl. One has 20 threads for
    names (8.23, and pycurl can't say otherwise): names that hang in all of them keep all others from being asked for.
    There are several to go apart by, since who was only kept waiting is then among those who hang.
    """

    def __init__(self, guard: Guard, sockets: type[Polled] | type[Watched] = Sockets) -> None:
        self._lost: set[str] = set()  # addresses whose name was not resolved the last time
        self._make = partial(Multi, guard, sockets, self._lost)
        self._together = self._make()
        self._apart: dict[int, Multi] = {}

    def __len__(self) -> int:
        return sum(map(len, self._all()))

    def start(self, request: Request, done: Callable[[Answer], None]) -> None:
        """Begins the call; `done` gets its answer on the event loop, never before `start` returns."""
        multi = self._aside(request.url) if self._lost and request.url in self._lost else self._together
        multi.start(request, done)

    def close(self) -> None:
        """Gives up what is under way; its `done` is not called."""
        for multi in self._all():
            multi.close()

    def _all(self) -> list[Multi]:
        return [self._together, *self._apart.values()]

    def _aside(self, url: str) -> Multi:
        number = crc32(url.encode()) % APART
        if number not in self._apart:
            self._apart[number] = self._make()
        return self._apart[number]
