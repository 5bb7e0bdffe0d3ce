"""Connections that are kept for the next call, and whether they can still be used: a part of the door `outbound.py`."""

import select

KNOWN = 4_000  # kept connections that are looked at before they are used

Where = tuple[object, ...]  # a connection's two addresses and ports


class Kept:
    """Connections that are kept, by their ends: their sockets, where nothing should come from while none is used.

    libcurl (8.23) does not look where it used one within a second: a server that closed it meanwhile would cost the
    next POST its attempt, and what a server sent unasked would be taken for its answer.
    """

    def __init__(self) -> None:
        self._sockets: dict[Where, int] = {}
        self._poll = select.poll()

    def keep(self, where: Where, fd: int) -> None:
        """It is idle from now on."""
        if len(self._sockets) >= KNOWN:
            self._sockets.clear()  # of most of them libcurl closed the connection long ago
        self._sockets[where] = fd

    def stale(self, where: Where) -> bool:
        """It is about to be used: whether its server closed it, or said something, though asked nothing."""
        fd = self._sockets.pop(where, None)
        if fd is None:
            return False
        self._poll.register(fd, select.POLLIN)
        try:
            return bool(self._poll.poll(0))
        finally:
            self._poll.unregister(fd)
