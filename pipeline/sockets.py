"""The sockets that libcurl waits for on an event loop: by an epoll of our own, or where there is none by the loop."""

import asyncio
import select
from collections.abc import Callable, Iterable, Iterator

import pycurl

AT_ONCE = 128  # sockets between two turns of the event loop
IN, OUT = 1, 4  # EPOLLIN, EPOLLOUT
ONCE = 1 << 30  # EPOLLONESHOT
ASKED = {pycurl.POLL_IN: IN | ONCE, pycurl.POLL_OUT: OUT | ONCE, pycurl.POLL_INOUT: IN | OUT | ONCE}
READY = {IN: pycurl.CSELECT_IN, OUT: pycurl.CSELECT_OUT, IN | OUT: pycurl.CSELECT_IN | pycurl.CSELECT_OUT}

# Is told of sockets that are ready, and for what (CSELECT_*); takes the next only after it acted on the one before.
Act = Callable[[Iterable[tuple[int, int]]], None]


class Polled:
    """The event loop watches one descriptor, our epoll's.

    A socket is told of once (EPOLLONESHOT) and then asked for again: one system call a transfer. What libcurl no longer
    waits for stays in: an idle connection that its server closes is told of once, to nobody. A descriptor that is
    closed leaves by itself, and a new one of its number the kernel doesn't know: nothing here can be out of date.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Act) -> None:
        self._loop, self._act = loop, act
        self._epoll = select.epoll()
        self._wanted: dict[int, int] = {}
        self.told: dict[int, int] = {}  # how often there was something to read, since it is waited for
        loop.add_reader(self._epoll.fileno(), lambda: act(self._ready()))

    def __contains__(self, fd: int) -> bool:
        return fd in self._wanted

    def want(self, event: int, fd: int, _multi: object = None, _data: object = None) -> None:
        """libcurl's word (M_SOCKETFUNCTION) on what it waits for at a socket (POLL_*), in place of its last."""
        if event in ASKED:
            self._wanted[fd] = event
            self._ask(fd, event)
        else:
            self._wanted.pop(fd, None)
            self.told.pop(fd, None)

    def close(self) -> None:
        """Nothing is waited for any more."""
        self._wanted.clear()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> Iterator[tuple[int, int]]:
        wanted = self._wanted
        for fd, events in self._epoll.poll(0, AT_ONCE):
            event = wanted.get(fd)
            if event is None:
                continue
            yield fd, READY.get(events & (IN | OUT), event)  # an error is told to whoever waits, for whatever
            if wanted.get(fd) == event:
                self._ask(fd, event)

    def _ask(self, fd: int, event: int) -> None:
        try:
            self._epoll.modify(fd, ASKED[event])
        except FileNotFoundError:
            self._epoll.register(fd, ASKED[event])


class Watched:
    """The event loop watches each socket for as long as libcurl waits for it: dearer, but any system has it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Act) -> None:
        self._loop, self._act = loop, act
        self._wanted: dict[int, int] = {}
        self.told: dict[int, int] = {}  # as Polled's

    def __contains__(self, fd: int) -> bool:
        return fd in self._wanted

    def want(self, event: int, fd: int, _multi: object = None, _data: object = None) -> None:
        """As Polled's."""
        before, now = self._wanted.pop(fd, 0), event if event in ASKED else 0
        if now:
            self._wanted[fd] = now
        else:
            self.told.pop(fd, None)
        for bit, add, remove, way in (
            (pycurl.POLL_IN, self._loop.add_reader, self._loop.remove_reader, pycurl.CSELECT_IN),
            (pycurl.POLL_OUT, self._loop.add_writer, self._loop.remove_writer, pycurl.CSELECT_OUT),
        ):
            if now & bit and not before & bit:
                add(fd, self._act, [(fd, way)])
            elif before & bit and not now & bit:
                remove(fd)

    def close(self) -> None:
        """As Polled's."""
        for fd in list(self._wanted):
            self.want(pycurl.POLL_REMOVE, fd)


Sockets: type[Polled] | type[Watched] = Polled if hasattr(select, "epoll") else Watched
