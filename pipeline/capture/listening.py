"""The ear: it accepts connections from the listening socket that all workers share, at most so many at a time.

A part of the door.
"""

import asyncio
import errno
import socket
import time

from pipeline.capture.talking import Hear, Talk
from pipeline.settings import Settings, unusable

BACKLOG = 2_048
CONNECTIONS = 4_096  # a worker's, each with one request at a time; more wait in the backlog
DESCRIPTORS = 128  # that a worker needs beside: brokers, the spool's files, uvloop's own (40 were seen)
AT_ONCE = 16  # connections that one worker takes before others have a turn
IDLE_SECONDS = 30.0  # for a whole request, between two of them, and for an answer to be read
CROWDED_SECONDS = 5.0  # the same while no more connections are taken: who asks has the place of who doesn't
SWEEP_SECONDS = 1.0
LEAVING_SECONDS = 1.0  # the workers of a killed parent are still closing their socket
TICK_SECONDS = 0.1


class Ear:
    """An HTTP server on a listening socket, which it takes over; at most so many connections at a time.

    `hear` must raise nothing.
    """

    def __init__(self, hear: Hear, listener: socket.socket, connections: int = CONNECTIONS) -> None:
        self._hear = hear
        self._listener = listener
        self._connections = connections
        self._talks: set[Talk] = set()
        self._beginning: set[asyncio.Task[None]] = set()  # the loop alone would let them be collected
        self._accepting = self._stopped = False
        self._closed = asyncio.Event()
        listener.setblocking(False)

    async def serve(self) -> None:
        """Returns once it was told to stop, and every connection is closed."""
        self._loop = asyncio.get_running_loop()
        self._accept_more()
        self._sweep()
        await self._closed.wait()

    def stop(self) -> None:
        """Takes no more connections, and closes each one once its request is answered."""
        self._stopped = True
        self._accept_no_more()
        self._listener.close()
        for talk in list(self._talks):
            talk.end()
        if not self._talks:
            self._closed.set()

    def _accept_more(self) -> None:
        if not self._accepting and not self._stopped:
            self._accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept_no_more(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            if len(self._talks) >= self._connections:
                self._accept_no_more()
                return
            try:
                made, peer = self._listener.accept()
            except OSError as failed:
                if failed.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._accept_no_more()
                    self._loop.call_later(TICK_SECONDS, self._accept_more)
                return  # else another worker was first, or who came is gone
            talk = Talk(self._hear, self._gone, peer[0])  # the socket itself can't tell once the other end is gone
            self._talks.add(talk)
            task = self._loop.create_task(self._begin(talk, made))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, talk: Talk, made: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: talk, made)
        except OSError:
            made.close()
            self._gone(talk)

    def _gone(self, talk: Talk) -> None:
        self._talks.discard(talk)
        if self._stopped:
            if not self._talks:
                self._closed.set()
        else:
            self._accept_more()

    def _sweep(self) -> None:
        """Closes connections whose other end keeps us waiting."""
        late = time.monotonic() - (IDLE_SECONDS if len(self._talks) < self._connections else CROWDED_SECONDS)
        for talk in [talk for talk in self._talks if talk.since < late and talk.waits]:
            talk.abort()
        self._loop.call_later(SWEEP_SECONDS, self._sweep)


def listening(settings: Settings) -> socket.socket:
    """The socket of CAPTURE_HOST and CAPTURE_PORT; SettingsError where they can't be used."""
    host, port = settings.capture_host, settings.capture_port
    deadline = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            return _listening(host, port)
        except OSError as taken:
            if taken.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(TICK_SECONDS)
                continue
            raise unusable(("CAPTURE_HOST", "CAPTURE_PORT"), host, port, taken) from taken


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    return listener
